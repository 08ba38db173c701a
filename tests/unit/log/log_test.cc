// Appending, reading, rolling, epochs and timestamps of a log whose machine does not fail.

#include "broker/log/log.h"

#include <algorithm>

#include "broker/log/segment.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::Errc;

TEST(Log, what_is_appended_is_read_back_with_its_offsets_and_epoch) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_EQ(log->next(), Offset{0});
    EXPECT_EQ(append(*log, {.count = 3}, 4).base, Offset{0});
    Appended second = append(*log, {.count = 2}, 4);
    EXPECT_EQ(second.base, Offset{3});
    EXPECT_EQ(second.last, Offset{4});
    EXPECT_EQ(second.epoch, LeaderEpoch{4});
    EXPECT_FALSE(second.duplicate);
    EXPECT_EQ(log->next(), Offset{5});
    EXPECT_EQ(all_bytes(*log), std::string(build({.count = 3}, 0, 4).text()) +
                                   std::string(build({.count = 2}, 3, 4).text()));
    log->check_invariants();
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_read_gives_whole_batches_from_the_one_that_holds_the_offset) {
  // From memory and from the file alike.
  for (int64_t tail_bytes : {0, 1 << 18}) {
    runtime::KnobValues knobs;
    knobs.set(kTailBytes, tail_bytes);
    LogRig rig(1, std::move(knobs));
    rig.run([](runtime::Node& node) {
      auto log = LogRig::open(node);
      for (int i = 0; i < 10; ++i) append(*log, {.count = 3});
      size_t batch_bytes = build({.count = 3}).size();
      auto one = log->read(Offset{4}, log->next(), 1);
      ASSERT_TRUE(one.has_value());
      EXPECT_EQ(one->batches.size(), batch_bytes) << "at least one batch, however large";
      EXPECT_EQ(one->next, Offset{6});
      auto some = log->read(Offset{4}, log->next(), 3 * batch_bytes + 5);
      EXPECT_EQ(some->batches.size(), 3 * batch_bytes);
      EXPECT_EQ(some->next, Offset{12});
      auto limited = log->read(Offset{0}, Offset{6}, 1 << 20);
      EXPECT_EQ(limited->next, Offset{6});
      auto none = log->read(log->next(), log->next(), 1 << 20);
      EXPECT_TRUE(none->batches.empty());
      EXPECT_EQ(none->next, log->next());
      EXPECT_EQ(log->read(log->next() + 1, log->next(), 1).error().code, Errc::invalid);
      EXPECT_EQ(log->read(Offset{-1}, log->next(), 1).error().code, Errc::invalid);
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(Log, a_fetch_at_the_end_costs_no_read_of_the_file) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    for (int i = 0; i < 5; ++i) append(*log, {.count = 2});
    rig.disk().set_errors(sim::DiskErrors{.pattern = "", .reads = true});
    EXPECT_TRUE(log->read(Offset{6}, log->next(), 1 << 20).has_value());
    rig.disk().set_errors(std::nullopt);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, memory_of_the_tail_is_bounded) {
  runtime::KnobValues knobs;
  knobs.set(kTailBytes, 10'000);
  LogRig rig(1, std::move(knobs));
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    for (int i = 0; i < 100; ++i) append(*log, {.value_bytes = 1000});
    rig.disk().set_errors(sim::DiskErrors{.pattern = "", .reads = true});
    EXPECT_TRUE(log->read(Offset{95}, log->next(), 1 << 20).has_value());
    EXPECT_FALSE(log->read(Offset{80}, log->next(), 1 << 20).has_value());
    rig.disk().set_errors(std::nullopt);
    EXPECT_EQ(all_bytes(*log).size(), 100 * build({.value_bytes = 1000}).size());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_segment_rolls_by_size_and_reads_cross_it) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    std::string expected;
    for (int i = 0; i < 50; ++i) {
      expected += build({.count = 2}, log->next().value, 0).text();
      append(*log, {.count = 2});
    }
    size_t batches_per_segment = 1024 / (expected.size() / 50);
    EXPECT_EQ(log->segment_count(), (50 + batches_per_segment - 1) / batches_per_segment);
    EXPECT_EQ(log->size_bytes(), expected.size());
    EXPECT_EQ(all_bytes(*log), expected);
    EXPECT_EQ(all_bytes(*log, 1), expected);
    log->check_invariants();
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_batch_larger_than_a_segment_gets_one_of_its_own) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {.value_bytes = 5000});
    append(*log, {.value_bytes = 5000});
    append(*log, {});
    EXPECT_EQ(log->segment_count(), 3U);
    EXPECT_EQ(log->next(), Offset{3});
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_segment_rolls_by_the_age_that_its_records_tell) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    OpenOptions options;
    options.config.segment_ms = 1000;
    auto log = LogRig::open(node, options);
    append(*log, {.timestamp_ms = 5000});
    append(*log, {.timestamp_ms = 6000});
    EXPECT_EQ(log->segment_count(), 1U) << "age 1000 is not more than 1000";
    append(*log, {.timestamp_ms = 6001});
    EXPECT_EQ(log->segment_count(), 2U);
    append(*log, {.timestamp_ms = 2000});
    EXPECT_EQ(log->segment_count(), 2U) << "an old record is no reason";
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_segment_rolls_when_its_index_is_full) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    OpenOptions options;
    options.config.index_interval_bytes = 0;
    options.config.segment_index_bytes = 80;  // ten entries by offset, five by time
    auto log = LogRig::open(node, options);
    for (int i = 0; i < 40; ++i) append(*log, {.timestamp_ms = 1000});
    EXPECT_GE(log->segment_count(), 3U);
    EXPECT_LE(log->segment_count(), 4U);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_batch_with_its_place_is_taken_only_where_it_belongs) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    ASSERT_TRUE(log->append_as_is(build({.count = 3}, 0, 2)).has_value());
    EXPECT_EQ(log->append_as_is(build({.count = 3}, 2, 2)).error().code, Errc::invalid);
    EXPECT_EQ(log->append_as_is(build({.count = 3}, 4, 2)).error().code, Errc::invalid);
    EXPECT_EQ(log->append_as_is(build({.count = 3}, 3, 1)).error().code, Errc::invalid);
    base::Slice whole = build({.count = 3}, 3, 2);
    EXPECT_FALSE(log->append_as_is(whole.cut(0, whole.size() - 1)).has_value());
    EXPECT_FALSE(log->append_as_is(whole.cut(0, 20)).has_value());
    ASSERT_TRUE(log->append_as_is(whole).has_value());
    EXPECT_EQ(log->next(), Offset{6});
    EXPECT_EQ(log->last_epoch(), LeaderEpoch{2});
    EXPECT_FALSE(log->offline().has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_retry_is_answered_with_its_first_place_and_a_gap_is_refused) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    auto batch = [](int32_t sequence, int16_t epoch = 0) {
      return BatchSpec{
          .count = 2, .producer_id = 7, .producer_epoch = epoch, .base_sequence = sequence};
    };
    append(*log, batch(0));
    append(*log, batch(2));
    Appended again = append(*log, batch(0));
    EXPECT_TRUE(again.duplicate);
    EXPECT_EQ(again.base, Offset{0});
    EXPECT_EQ(again.last, Offset{1});
    EXPECT_EQ(log->next(), Offset{4});
    auto gap = log->append(validated(batch(6)), LeaderEpoch{0});
    ASSERT_FALSE(gap.has_value());
    EXPECT_EQ(gap.error().kind, AppendError::Kind::refused);
    EXPECT_EQ(gap.error().refusal, ProducerRefusal::out_of_order_sequence);
    append(*log, batch(0, 1));
    auto stale = log->append(validated(batch(4)), LeaderEpoch{0});
    ASSERT_FALSE(stale.has_value());
    EXPECT_EQ(stale.error().refusal, ProducerRefusal::invalid_producer_epoch);
    EXPECT_EQ(log->next(), Offset{6});
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, an_append_of_an_older_leader_is_refused) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    ASSERT_TRUE(log->begin_epoch(LeaderEpoch{5}).has_value());
    auto late = log->append(validated({}), LeaderEpoch{4});
    ASSERT_FALSE(late.has_value());
    EXPECT_EQ(late.error().kind, AppendError::Kind::failed);
    EXPECT_EQ(late.error().error.code, Errc::wrong_state);
    EXPECT_EQ(log->begin_epoch(LeaderEpoch{4}).error().code, Errc::wrong_state);
    EXPECT_TRUE(log->begin_epoch(LeaderEpoch{5}).has_value());
    EXPECT_FALSE(log->offline().has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, the_end_of_an_epoch_is_where_the_next_one_began) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_FALSE(log->end_of_epoch(LeaderEpoch{0}).has_value());
    append(*log, {.count = 3}, 2);
    append(*log, {.count = 4}, 5);
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch{1}), (EpochEnd{LeaderEpoch{1}, Offset{0}}));
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch{2}), (EpochEnd{LeaderEpoch{2}, Offset{3}}));
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch{4}), (EpochEnd{LeaderEpoch{2}, Offset{3}}));
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch{5}), (EpochEnd{LeaderEpoch{5}, Offset{7}}));
    EXPECT_FALSE(log->end_of_epoch(LeaderEpoch{6}).has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_search_by_timestamp_finds_the_first_record_of_at_least_that_time) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    for (int i = 0; i < 100; ++i) append(*log, {.count = 5, .timestamp_ms = 1000 + 10 * i}, 3);
    ASSERT_GT(log->segment_count(), 10U);
    auto find = [&](int64_t ms) { return *log->find_timestamp(ms); };
    EXPECT_EQ(find(0).offset, Offset{0});
    EXPECT_EQ(find(1003).offset, Offset{3});
    EXPECT_EQ(find(1003).timestamp_ms, 1003);
    EXPECT_EQ(find(1003).epoch, LeaderEpoch{3});
    EXPECT_EQ(find(1005).offset, Offset{5}) << "1005 to 1009 are nobody's";
    EXPECT_EQ(find(1994).offset, Offset{499});
    EXPECT_EQ(find(1995).offset, Offset{-1});
    EXPECT_EQ(log->max_timestamp()->offset, Offset{499});
    append(*log, {.timestamp_ms = 50}, 3);
    EXPECT_EQ(log->max_timestamp()->offset, Offset{499});
    EXPECT_EQ(log->max_timestamp()->timestamp_ms, 1994);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, an_empty_log_has_no_timestamps) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_EQ(log->max_timestamp()->offset, Offset{-1});
    EXPECT_EQ(log->find_timestamp(0)->offset, Offset{-1});
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_truncation_takes_records_epochs_and_producers_with_it) {
  LogRig rig(1, small_segments());
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    std::string expected;
    for (int i = 0; i < 60; ++i) {
      if (i < 20)
        expected +=
            build({.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = 2 * i},
                  2 * i, i / 10)
                .text();
      append(*log, {.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = 2 * i},
             i / 10);
    }
    ASSERT_GT(log->segment_count(), 3U);
    ASSERT_TRUE(log->truncate(Offset{41}).has_value());
    EXPECT_EQ(log->next(), Offset{40}) << "the batch of 40 and 41 goes as a whole";
    EXPECT_EQ(log->recovery_point(), Offset{40});
    EXPECT_EQ(all_bytes(*log), expected);
    EXPECT_EQ(log->last_epoch(), LeaderEpoch{1});
    ASSERT_EQ(log->producers().size(), 1U);
    EXPECT_EQ(log->producers().entries().at(7).batches.back().last_sequence, 39);
    log->check_invariants();
    append(*log, {.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = 40}, 9);
    EXPECT_EQ(log->next(), Offset{42});
    ASSERT_TRUE(log->truncate(Offset{0}).has_value());
    EXPECT_EQ(log->next(), Offset{0});
    EXPECT_EQ(log->segment_count(), 1U);
    EXPECT_EQ(log->producers().size(), 0U);
    EXPECT_EQ(log->last_epoch(), LeaderEpoch{-1});
    log->check_invariants();
  });
  rig.power_cycle();
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node, {.recovery_point = Offset{0}});
    EXPECT_EQ(log->next(), Offset{0}) << "a truncation is durable";
  });
  EXPECT_TRUE(rig.ended());
}

TEST(Log, a_read_under_way_when_the_log_is_cut_gives_what_is_left) {
  runtime::KnobValues knobs = small_segments();
  knobs.set(kTailBytes, 0);
  LogRig rig(1, std::move(knobs));
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    for (int i = 0; i < 60; ++i) append(*log, {.count = 2});
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  rig.power_cycle();  // so that reads are cold, and suspend
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node, {.recovery_point = Offset{120}});
    runtime::Nursery nursery(node.tasks);
    int reads = 0;
    for (int64_t from = 0; from < 120; from += 7) {
      nursery.spawn("read", [&, from] {
        auto result = log->read(Offset{from}, Offset{120}, 1 << 20);
        ++reads;
        if (!result) {
          EXPECT_EQ(result.error().code, Errc::invalid) << result.error().to_string();
        }
      });
    }
    ASSERT_TRUE(log->truncate(Offset{50}).has_value());
    (void)nursery.join_all(runtime::Instant::never());
    EXPECT_EQ(reads, 18);
    EXPECT_EQ(log->next(), Offset{50});
  });
  EXPECT_TRUE(rig.ended());
}

}  // namespace
}  // namespace verdict::log
