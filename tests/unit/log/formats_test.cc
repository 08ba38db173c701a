// Kafka's file formats: what is written is read back, what makes no sense is refused.

#include <algorithm>

#include "broker/base/endian.h"
#include "broker/log/checkpoint_file.h"
#include "broker/log/epoch_cache.h"
#include "broker/log/file_names.h"
#include "broker/log/offset_index.h"
#include "broker/log/time_index.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::Errc;
using base::Slice;

TEST(LogFileNames, offsets_have_twenty_digits) {
  EXPECT_EQ(offset_file_name(Offset{0}, ".log"), "00000000000000000000.log");
  EXPECT_EQ(offset_file_name(Offset{INT64_MAX}, ".index"), "09223372036854775807.index");
  EXPECT_EQ(parse_offset_file_name("00000000000000000042.log", ".log"), Offset{42});
  EXPECT_EQ(parse_offset_file_name("09223372036854775807.log", ".log"), Offset{INT64_MAX});
  for (const char* name : {"42.log", "0000000000000000004x.log", "00000000000000000042.index",
                           "99999999999999999999.log", "-0000000000000000042.log", ".log", ""}) {
    EXPECT_FALSE(parse_offset_file_name(name, ".log").has_value()) << name;
  }
}

TEST(LogOffsetIndex, an_entry_is_found_at_or_before_the_offset) {
  OffsetIndex index;
  EXPECT_FALSE(index.lookup(100).has_value());
  for (int32_t i = 1; i <= 5; ++i) index.append({10 * i, 1000 * i});
  EXPECT_FALSE(index.lookup(9).has_value());
  EXPECT_EQ(index.lookup(10)->position, 1000);
  EXPECT_EQ(index.lookup(49)->position, 4000);
  EXPECT_EQ(index.lookup(1'000'000)->position, 5000);
}

TEST(LogOffsetIndex, its_file_is_read_back_and_one_that_makes_no_sense_refused) {
  OffsetIndex index;
  for (int32_t i = 1; i <= 20'000; ++i) index.append({10 * i, 100 * i});
  Slice bytes = index.encode().flatten();
  EXPECT_EQ(bytes.size(), 160'000U);
  EXPECT_EQ(base::load_be<int32_t>(bytes.data()), 10);
  auto back = OffsetIndex::decode(bytes, 2'000'001);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(std::ranges::equal(back->entries(), index.entries()));
  EXPECT_FALSE(OffsetIndex::decode(bytes, 2'000'000).has_value()) << "beyond the log's end";
  EXPECT_FALSE(OffsetIndex::decode(bytes.cut(0, 15), 2'000'001).has_value());
  EXPECT_FALSE(OffsetIndex::decode(bytes.cut(8, 8), 100).has_value());
  EXPECT_FALSE(OffsetIndex::decode(Slice::copy_of(std::string(16, '\0')), 100).has_value());
}

TEST(LogTimeIndex, only_growing_times_are_kept_and_searched) {
  TimeIndex index;
  index.maybe_append({-1, 0});
  EXPECT_EQ(index.size(), 0U);
  index.maybe_append({100, 5});
  index.maybe_append({100, 9});
  index.maybe_append({90, 12});
  index.maybe_append({200, 12});
  ASSERT_EQ(index.size(), 2U);
  EXPECT_FALSE(index.lookup(99).has_value());
  EXPECT_EQ(index.lookup(199)->relative_offset, 5);
  EXPECT_EQ(index.lookup(200)->relative_offset, 12);
  Slice bytes = index.encode().flatten();
  EXPECT_EQ(bytes.size(), 24U);
  auto back = TimeIndex::decode(bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(std::ranges::equal(back->entries(), index.entries()));
  EXPECT_FALSE(TimeIndex::decode(bytes.cut(0, 13)).has_value());
  EXPECT_FALSE(TimeIndex::decode(Slice::copy_of(std::string(24, '\0'))).has_value());
}

TEST(LogEpochCache, an_epoch_without_records_gives_way_to_the_next_one) {
  EpochCache cache;
  EXPECT_TRUE(cache.assign(LeaderEpoch{1}, Offset{0}));
  EXPECT_TRUE(cache.assign(LeaderEpoch{2}, Offset{10}));
  EXPECT_FALSE(cache.assign(LeaderEpoch{2}, Offset{20}));
  EXPECT_TRUE(cache.assign(LeaderEpoch{4}, Offset{10}));
  EXPECT_EQ(cache.entries(), (std::vector<EpochCache::Entry>{{LeaderEpoch{1}, Offset{0}},
                                                             {LeaderEpoch{4}, Offset{10}}}));
  EXPECT_FALSE(cache.assign(LeaderEpoch{-1}, Offset{30}));
  EXPECT_EQ(cache.at(Offset{9}), LeaderEpoch{1});
  EXPECT_EQ(cache.at(Offset{10}), LeaderEpoch{4});
}

TEST(LogEpochCache, both_ends_can_be_cut) {
  EpochCache cache;
  for (int32_t i = 1; i <= 5; ++i) (void)cache.assign(LeaderEpoch{i}, Offset{10 * i});
  EXPECT_TRUE(cache.truncate_end(Offset{50}));
  EXPECT_FALSE(cache.truncate_end(Offset{41}));
  EXPECT_EQ(cache.last(), LeaderEpoch{4});
  EXPECT_TRUE(cache.truncate_start(Offset{25}));
  EXPECT_EQ(cache.entries().front(), (EpochCache::Entry{LeaderEpoch{2}, Offset{25}}));
  EXPECT_FALSE(cache.truncate_start(Offset{25}));
  EXPECT_TRUE(cache.truncate_end(Offset{0}));
  EXPECT_TRUE(cache.entries().empty());
}

TEST(LogEpochCache, its_text_is_kafkas) {
  EpochCache cache;
  (void)cache.assign(LeaderEpoch{1}, Offset{0});
  (void)cache.assign(LeaderEpoch{2}, Offset{1104});
  EXPECT_EQ(cache.encode(), "0\n2\n1 0\n2 1104\n");
  auto back = EpochCache::decode(cache.encode());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->entries(), cache.entries());
  for (const char* bad : {"", "1\n0\n", "0\n1\n", "0\n1\n1 0\n2 5\n", "0\n1\n1\n", "0\n1\n-1 0\n",
                          "0\n2\n1 5\n2 5\n", "0\n2\n2 0\n1 5\n", "0\nx\n", "0\n1\n1 0 7\n"}) {
    EXPECT_FALSE(EpochCache::decode(bad).has_value()) << bad;
  }
}

TEST(LogCheckpointFile, a_crash_leaves_the_old_content_or_the_new) {
  int old_ones = 0;
  int new_ones = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    LogRig rig(seed);
    rig.run([](runtime::Node& node) {
      ASSERT_TRUE(replace_file(node.data, "c", "old text", SyncDirectory::yes).has_value());
      ASSERT_TRUE(replace_file(node.data, "c", "the new one", SyncDirectory::no).has_value());
    });
    rig.power_cycle();
    auto content = rig.disk().content("c");
    ASSERT_TRUE(content.has_value());
    old_ones += content->text() == "old text";
    new_ones += content->text() == "the new one";
  }
  EXPECT_EQ(old_ones + new_ones, 40);
  EXPECT_GT(old_ones, 0);
  EXPECT_GT(new_ones, 0);
}

}  // namespace
}  // namespace verdict::log
