#pragma once
// IoTest: a loop over a throw-away directory.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>

#include "broker/base/check.h"
#include "broker/io/loop.h"

namespace verdict::io {

class IoTest : public testing::Test {
 protected:
  IoTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "verdict-io-XXXXXX";
    CHECK(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
  }
  ~IoTest() override {
    loop_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Options options() const { return {.data_directory = directory_, .log_to_stderr = false}; }
  Loop& loop(Options with) {
    loop_.reset();  // only one at a time may have the signals
    auto made = Loop::create(std::move(with));
    CHECK(made.has_value());
    loop_ = std::move(*made);
    return *loop_;
  }
  Loop& loop() { return loop_ ? *loop_ : loop(options()); }
  void run(base::UniqueFunction<void(runtime::Node&)> body) { loop().run(std::move(body)); }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  std::unique_ptr<Loop> loop_;
};

// The value of a call that has to succeed for the test to make sense.
template <class T>
T must(base::Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().to_string();
  CHECK(result.has_value());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

template <class T>
testing::AssertionResult fails(const base::Result<T>& result, base::Errc expected) {
  if (!result && result.error().code == expected) return testing::AssertionSuccess();
  return testing::AssertionFailure() << (result ? "succeeded" : result.error().to_string());
}

// A deadline that only a hang reaches.
inline runtime::Instant soon(runtime::Node& node) { return node.clock.after(runtime::seconds(30)); }

struct Ends {
  std::unique_ptr<runtime::Stream> server;
  std::unique_ptr<runtime::Stream> client;
};

inline Ends connect_ends(runtime::Node& node) {
  auto listener = must(node.network.listen({"127.0.0.1", 0}, {}));
  Ends ends;
  ends.client = must(node.network.connect(listener->local(), soon(node)));
  ends.server = must(listener->accept(soon(node)));
  return ends;
}

inline base::Result<> write(runtime::Node& node, runtime::Stream& stream, const base::Slice& s) {
  return stream.write_all({&s, 1}, soon(node));
}

}  // namespace verdict::io
