#include "tests/conformance/lab.h"

#include <unistd.h>

#include <ostream>

void verdict::runtime::PrintTo(Wake wake, std::ostream* out) {
  switch (wake) {
    case Wake::notified:
      *out << "notified";
      return;
    case Wake::timed_out:
      *out << "timed_out";
      return;
    case Wake::cancelled:
      *out << "cancelled";
      return;
  }
}

namespace verdict::conformance {

using base::Errc;
using base::Result;
using base::Slice;
using base::Slices;
using runtime::Endpoint;
using runtime::Listener;
using runtime::milliseconds;
using runtime::Node;
using runtime::Stream;

const std::vector<LabKind>& labs() {
  static const std::vector<LabKind> kAll = [] {
    std::vector<LabKind> all = real_labs();
    for (LabKind& kind : simulated_labs()) all.push_back(std::move(kind));
    return all;
  }();
  return kAll;
}

LabTest::LabTest() : lab_(GetParam().make()) { ::alarm(kBodySecondsMax); }

LabTest::~LabTest() { ::alarm(0); }

std::vector<LabKind> sharded_labs() {
  std::vector<LabKind> sharded;
  for (const LabKind& kind : labs()) {
    if (kind.shards > 1) sharded.push_back(kind);
  }
  return sharded;
}

void PrintTo(const LabKind& kind, std::ostream* out) { *out << kind.name; }

void settle(Node& node) { EXPECT_TRUE(ok(node.clock.sleep(milliseconds(5)))); }

void wait_until(Node& node, const std::function<bool()>& condition) {
  runtime::Instant end = soon(node);
  while (!condition()) {
    CHECK(node.clock.now() < end);  // the body hangs
    must(node.clock.sleep(milliseconds(1)));
  }
}

testing::AssertionResult check_error(const base::Error* error,
                                     std::initializer_list<Errc> expected) {
  if (error == nullptr) return testing::AssertionFailure() << "succeeded";
  std::string words;
  for (Errc code : expected) {
    if (error->code == code) return testing::AssertionSuccess();
    words += " " + std::string(base::to_string(code));
  }
  return testing::AssertionFailure() << error->to_string() << ", expected" << words;
}

std::byte pattern_at(uint64_t seed, uint64_t position) {
  uint64_t word = base::mix64(seed ^ (position / 8));
  return static_cast<std::byte>(word >> (8 * (position % 8)));
}

Slice pattern(uint64_t seed, uint64_t from, size_t size) {
  if (size == 0) return {};
  base::MutableBuffer buffer(size);
  for (size_t i = 0; i < size; ++i) buffer.data()[i] = pattern_at(seed, from + i);
  return std::move(buffer).freeze(size);
}

bool is_pattern(uint64_t seed, uint64_t from, const Slice& slice) {
  for (size_t i = 0; i < slice.size(); ++i) {
    if (slice.data()[i] != pattern_at(seed, from + i)) return false;
  }
  return true;
}

void connected(Lab& lab, End server, End client) {
  Endpoint at;
  lab.run_pair(
      [&](Node& node) {
        std::unique_ptr<Listener> listener = listen(lab, node);
        at = listener->local();
        std::unique_ptr<Stream> stream = must(listener->accept(soon(node)));
        server(node, std::move(stream));
      },
      [&](Node& node) {
        wait_until(node, [&] { return at.port != 0; });
        client(node, must(node.network.connect(at, soon(node))));
      });
}

std::unique_ptr<Listener> listen(Lab& lab, Node& node) {
  return must(node.network.listen({lab.host(), 0}, {}));
}

Ends connect_within(Lab& lab, Node& node) {
  std::unique_ptr<Listener> listener = listen(lab, node);
  Ends ends;
  ends.client = must(node.network.connect(listener->local(), soon(node)));
  ends.server = must(listener->accept(soon(node)));
  return ends;
}

Result<> write(Node& node, Stream& stream, const Slice& slice) {
  return stream.write_all({&slice, 1}, soon(node));
}

Result<Slices> read_to_end(Node& node, Stream& stream) {
  constexpr size_t kReadBytes = 64 * 1024;
  Slices all;
  for (;;) {
    Slice slice = TRY(stream.read_some(kReadBytes, soon(node)));
    if (slice.empty()) return all;
    all.push_back(std::move(slice));
  }
}

}  // namespace verdict::conformance
