// Each exhibit of this room shows its symptom, and without the switch there is none.

#include "tests/unit/log/log_rig.h"

#if VERDICT_EXHIBITS

namespace verdict::log {
namespace {

using runtime::Exhibit;

BatchSpec of_producer(int32_t sequence) {
  return {.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = sequence};
}

// How many of `seeds` power losses took records that sync_through had promised.
int losses_after_a_roll(std::optional<Exhibit> exhibit, uint64_t seeds) {
  int lost = 0;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    LogRig rig(seed, small_segments());
    rig.run([](runtime::Node& node) {
      auto log = LogRig::open(node);
      append(*log, {});
      CHECK(log->sync_through(log->next()).has_value());
    });
    rig.world.set_exhibit(rig.node, exhibit);
    Offset promised{0};
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = Offset{1}});
      while (log->segment_count() < 3) append(*log, {});
      if (log->sync_through(log->next())) promised = log->durable();
    });
    rig.power_cycle();
    rig.world.set_exhibit(rig.node, std::nullopt);
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::try_open(node, {.recovery_point = Offset{1}});
      lost += !log || (*log)->next() < promised;
    });
  }
  return lost;
}

TEST(LogExhibits, segment_directory_not_synced_loses_promised_records) {
  EXPECT_EQ(losses_after_a_roll(std::nullopt, 30), 0);
  EXPECT_GT(losses_after_a_roll(Exhibit::segment_directory_not_synced, 30), 0);
}

TEST(LogExhibits, ack_after_failed_sync_loses_promised_records) {
  for (auto exhibit : {std::optional<Exhibit>(), std::optional(Exhibit::ack_after_failed_sync)}) {
    LogRig rig(1);
    rig.world.set_exhibit(rig.node, exhibit);
    bool promised = false;
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      append(*log, {});
      rig.disk().fail_next_sync(LogRig::path(kFirstLog));
      promised = log->sync_through(Offset{1}).has_value();
    });
    EXPECT_EQ(promised, exhibit.has_value());
    rig.disk().evict_clean_pages();
    rig.power_cycle();
    rig.world.set_exhibit(rig.node, std::nullopt);
    rig.run([&](runtime::Node& node) { EXPECT_EQ(LogRig::open(node)->next(), Offset{0}); });
  }
}

TEST(LogExhibits, torn_tail_kept_makes_later_records_unreadable) {
  for (auto exhibit : {std::optional<Exhibit>(), std::optional(Exhibit::torn_tail_kept)}) {
    runtime::KnobValues knobs;
    knobs.set(kTailBytes, 0);
    LogRig rig(1, std::move(knobs));
    rig.run([](runtime::Node& node) {
      auto log = LogRig::open(node);
      append(*log, {});
      append(*log, {});
    });
    std::string whole = rig.content(kFirstLog);
    rig.overwrite(kFirstLog, whole.substr(0, whole.size() - 10));
    rig.world.set_exhibit(rig.node, exhibit);
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      EXPECT_EQ(log->next(), Offset{1});
      append(*log, {});
      EXPECT_EQ(log->next(), Offset{2});
      EXPECT_EQ(log->read(Offset{1}, Offset{2}, 1000).has_value(), !exhibit.has_value());
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(LogExhibits, producer_state_not_rebuilt_takes_a_retry_for_a_new_batch) {
  for (auto exhibit :
       {std::optional<Exhibit>(), std::optional(Exhibit::producer_state_not_rebuilt)}) {
    LogRig rig(1);
    rig.run([](runtime::Node& node) { append(*LogRig::open(node), of_producer(0)); });
    rig.world.set_exhibit(rig.node, exhibit);
    rig.run([&](runtime::Node& node) {
      EXPECT_EQ(append(*LogRig::open(node), of_producer(0)).duplicate, !exhibit.has_value());
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(LogExhibits, dedup_forgotten_at_roll_takes_a_retry_for_a_new_batch) {
  for (auto exhibit : {std::optional<Exhibit>(), std::optional(Exhibit::dedup_forgotten_at_roll)}) {
    LogRig rig(1, small_segments());
    rig.world.set_exhibit(rig.node, exhibit);
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      append(*log, of_producer(0));
      while (log->segment_count() < 2) append(*log, {});
      EXPECT_EQ(append(*log, of_producer(0)).duplicate, !exhibit.has_value());
    });
    EXPECT_TRUE(rig.ended());
  }
}

}  // namespace
}  // namespace verdict::log

#endif
