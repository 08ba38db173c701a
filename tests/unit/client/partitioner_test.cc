#include "broker/client/partitioner.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string_view>

namespace verdict::client {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

// Counts up, so that every value comes.
class CountingRandom final : public runtime::Random {
 public:
  uint64_t next(std::string_view) override { return ++drawn_ << 61; }
  void fill(std::string_view, std::span<std::byte>) override {}

 private:
  uint64_t drawn_ = 0;
};

TEST(Partitioner, the_hash_of_a_key_is_that_of_Kafkas_producer) {
  // From the tests of Kafka's own client.
  EXPECT_EQ(static_cast<int32_t>(murmur2(bytes_of("21"))), -973932308);
  EXPECT_EQ(static_cast<int32_t>(murmur2(bytes_of("foobar"))), -790332482);
  EXPECT_EQ(static_cast<int32_t>(murmur2(bytes_of("a-little-bit-long-string"))), -985981536);
  EXPECT_EQ(static_cast<int32_t>(murmur2(bytes_of("a-little-bit-longer-string"))), -1486304829);
  EXPECT_EQ(
      static_cast<int32_t>(murmur2(bytes_of("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"))),
      -58897971);
  EXPECT_EQ(static_cast<int32_t>(murmur2(bytes_of("abc"))), 479470107);
}

TEST(Partitioner, a_key_whose_hash_is_negative_lands_in_a_partition_that_exists) {
  EXPECT_EQ(partition_of_key(bytes_of("21"), 10), (-973932308 & INT32_MAX) % 10);
  for (int32_t partitions = 1; partitions < 50; ++partitions) {
    for (const char* key : {"", "21", "foobar", "abc", "\xff\xfe\xfd"}) {
      const int32_t chosen = partition_of_key(bytes_of(key), partitions);
      EXPECT_TRUE(chosen >= 0 && chosen < partitions) << key << " of " << partitions;
    }
  }
}

TEST(Partitioner, without_a_key_a_partition_is_kept_for_a_batch_and_then_another_one_comes) {
  CountingRandom random;
  Partitioner partitioner(random, 4, 1'000);
  std::set<int32_t> seen;
  int32_t before = -1;
  for (int batch = 0; batch < 40; ++batch) {
    const int32_t chosen = partitioner.choose(std::nullopt, 100);
    EXPECT_NE(chosen, before);
    for (int i = 1; i < 10; ++i) EXPECT_EQ(partitioner.choose(std::nullopt, 100), chosen);
    seen.insert(chosen);
    before = chosen;
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST(Partitioner, a_key_goes_its_own_way_and_moves_no_one_elses) {
  CountingRandom random;
  Partitioner partitioner(random, 7, 1'000);
  const int32_t chosen = partitioner.choose(std::nullopt, 10);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(partitioner.choose(bytes_of("foobar"), 100), partition_of_key(bytes_of("foobar"), 7));
  }
  EXPECT_EQ(partitioner.choose(std::nullopt, 10), chosen);
}

TEST(Partitioner, a_topic_with_one_partition_has_one_choice) {
  CountingRandom random;
  Partitioner partitioner(random, 1, 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(partitioner.choose(std::nullopt, 100), 0);
}

}  // namespace
}  // namespace verdict::client
