#include "sim/disk_content.h"

#include <gtest/gtest.h>

#include "broker/base/hash.h"

namespace verdict::sim {
namespace {

using base::Slice;

TEST(DiskContent, agrees_with_a_string_under_any_sequence_of_writes_and_cuts) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    uint64_t state = seed;
    auto next = [&](uint64_t bound) { return (state = base::mix64(state)) % bound; };
    DiskContent content;
    std::string reference;
    for (int step = 0; step < 60; ++step) {
      uint64_t offset = next(3) == 0 ? reference.size() : next(200);
      uint64_t n = next(60);
      switch (next(4)) {
        case 0: {
          reference.resize(offset);
          content.set_size(offset);
          break;
        }
        case 1: {
          uint64_t to = std::min<uint64_t>(offset + n, reference.size());
          for (uint64_t i = offset; i < to; ++i) reference[i] = 0;
          content.erase(offset, to);
          break;
        }
        default: {
          std::string bytes(n, static_cast<char>('a' + step % 26));
          if (n > 0) reference.resize(std::max<size_t>(reference.size(), offset + n));
          if (n > 0) reference.replace(offset, n, bytes);
          content.write(offset, Slice::copy_of(bytes));
        }
      }
      content.check_invariants();
      ASSERT_EQ(content.size(), reference.size()) << "seed " << seed << " step " << step;
      ASSERT_EQ(content.read(0, 1000).text(), reference) << "seed " << seed << " step " << step;
      uint64_t from = next(220);
      std::string part = from < reference.size() ? reference.substr(from, n) : "";
      ASSERT_EQ(content.read(from, n).text(), part);
      uint64_t stored = content.stored_in(from, n) + content.stored_in(0, from);
      ASSERT_EQ(stored + content.stored_in(from + n, 1000), content.stored_bytes());
    }
  }
}

TEST(DiskContent, a_read_inside_one_extent_shares_the_writers_buffer) {
  // Payloads are never copied on their way through the disk.
  DiskContent content;
  Slice first = Slice::copy_of("first record");
  content.write(0, first);
  content.write(first.size(), Slice::copy_of("second"));
  EXPECT_EQ(content.read(6, 6).data(), first.data() + 6);
  EXPECT_EQ(content.extent_count(), 2U);
  EXPECT_EQ(content.read(6, 12).text(), "recordsecond");
}

}  // namespace
}  // namespace verdict::sim
