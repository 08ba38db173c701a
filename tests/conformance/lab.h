#pragma once
// Lab: a place where a body of this suite runs. Bodies know the seam and nothing of the backend, so
// the same text defines what both backends mean.
//
// A suite is declared by CONFORMANCE_SUITE(Name) and its bodies by TEST_P(Name, fact_in_words);
// each body then appears once for every lab of labs(). CONFORMANCE_SUITE_ON names fewer labs, for
// what only virtual time or several shards can show.

#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/function.h"
#include "broker/base/hash.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/runtime/node.h"

namespace verdict::runtime {
void PrintTo(Wake wake, std::ostream* out);
}  // namespace verdict::runtime

namespace verdict::conformance {

using Body = base::UniqueFunction<void(runtime::Node&)>;

class Lab {
 public:
  virtual ~Lab() = default;
  // Runs `body` as the root fiber of shard 0 of a fresh node, until it and all that it started has
  // ended. The next run finds the same data directory.
  virtual void run(Body body) = 0;
  // Runs both at the same time, on two nodes that reach each other or both on one.
  virtual void run_pair(Body server, Body client) = 0;
  // Ends the node of the present run() as a crash of its process, from one of its fibers. Does not
  // return; run() does.
  [[noreturn]] virtual void kill() = 0;
  // Asks the node of the present run() to stop in good order.
  virtual void request_stop() = 0;
  // Keeps the shard of the running fiber busy for `length`, as a long computation does.
  virtual void occupy(runtime::Node& node, runtime::Duration length) = 0;
  // While run() runs: the node as `shard` sees it.
  virtual runtime::Node& node(base::ShardId shard) = 0;
  virtual uint32_t shards() const = 0;
  // The numeric address of the node of run() and of the server of run_pair().
  virtual std::string host() const = 0;
};

struct LabKind {
  std::string name;
  uint32_t shards = 1;
  std::function<std::unique_ptr<Lab>()> make;
};

void PrintTo(const LabKind& kind, std::ostream* out);

// Every lab of this build: the real backend, and the world under several seeds and shapes.
const std::vector<LabKind>& labs();

// One per backend; labs() asks for them.
std::vector<LabKind> real_labs();
std::vector<LabKind> simulated_labs();
// Those with more than one shard.
std::vector<LabKind> sharded_labs();

class LabTest : public testing::TestWithParam<LabKind> {
 protected:
  // A body that takes longer hangs: the process ends, and the last line names the body.
  static constexpr unsigned kBodySecondsMax = 120;

  LabTest();
  ~LabTest() override;
  Lab& lab() { return *lab_; }
  void run(Body body) { lab_->run(std::move(body)); }

 private:
  std::unique_ptr<Lab> lab_;
};

#define CONFORMANCE_SUITE_ON(Suite, kinds)                      \
  class Suite : public LabTest {};                              \
  INSTANTIATE_TEST_SUITE_P(On, Suite, testing::ValuesIn(kinds), \
                           [](const auto& kind_info) { return kind_info.param.name; })
#define CONFORMANCE_SUITE(Suite) CONFORMANCE_SUITE_ON(Suite, labs())

// ---------------------------------------------------------------- words for bodies

inline constexpr runtime::Instant kNever = runtime::Instant::never();

// A deadline that only a hang reaches.
inline runtime::Instant soon(runtime::Node& node) { return node.clock.after(runtime::seconds(30)); }

// Lets every other ready fiber run until it waits.
void settle(runtime::Node& node);

// Polls `condition`, for what no waitable tells: another node, another shard.
void wait_until(runtime::Node& node, const std::function<bool()>& condition);

// EXPECT_TRUE(ok(call())) prints the error.
template <class T>
testing::AssertionResult ok(const base::Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().to_string();
}

testing::AssertionResult check_error(const base::Error* error,
                                     std::initializer_list<base::Errc> expected);

// EXPECT_TRUE(fails(call(), Errc::reset)): failed with one of these.
template <class T, class... Codes>
testing::AssertionResult fails(const base::Result<T>& result, Codes... expected) {
  return check_error(result ? nullptr : &result.error(), {expected...});
}

// The value of a call that has to succeed for the body to make sense.
template <class T>
T must(base::Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().to_string();
  CHECK(result.has_value());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Repeatable pseudo-random numbers for what a body does, apart from the node's entropy.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(base::mix64(seed)) {}
  uint64_t next() { return base::mix64(state_++); }
  uint64_t below(uint64_t bound) { return next() % bound; }
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }

 private:
  uint64_t state_;
};

// The byte that stands at `position` of the endless pattern `seed`.
std::byte pattern_at(uint64_t seed, uint64_t position);
base::Slice pattern(uint64_t seed, uint64_t from, size_t size);
// Whether `slice` is the part of the pattern that starts at `from`.
bool is_pattern(uint64_t seed, uint64_t from, const base::Slice& slice);

inline base::Slice text(std::string_view t) { return base::Slice::copy_of(t); }

// ---------------------------------------------------------------- two ends of a connection

using End = base::UniqueFunction<void(runtime::Node&, std::unique_ptr<runtime::Stream>)>;

// Runs both ends of one connection with run_pair().
void connected(Lab& lab, End server, End client);

// Both ends of a connection within one node, made through its network.
struct Ends {
  std::unique_ptr<runtime::Stream> server;
  std::unique_ptr<runtime::Stream> client;
};
Ends connect_within(Lab& lab, runtime::Node& node);

std::unique_ptr<runtime::Listener> listen(Lab& lab, runtime::Node& node);

// One slice, written whole.
base::Result<> write(runtime::Node& node, runtime::Stream& stream, const base::Slice& slice);
// Everything until the peer's end.
base::Result<base::Slices> read_to_end(runtime::Node& node, runtime::Stream& stream);

}  // namespace verdict::conformance
