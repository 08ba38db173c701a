// Recovery when the device has lied or failed before: what the page cache shows may be on no
// device.

#include "broker/log/probes.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::Errc;

TEST(LogRecoveryFaults, what_a_failed_sync_left_in_the_page_cache_is_written_again) {
  // The pages look clean after the failed sync, so that a sync alone would write nothing.
  for (bool whole_segment : {true, false}) {
    LogRig rig(1);
    Offset durable{0};
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      if (!whole_segment) {
        append_many(*log, 5);
        ASSERT_TRUE(log->sync_through(log->next()).has_value());
        durable = log->durable();
      }
      append_many(*log, 5);
      rig.disk().fail_next_sync(LogRig::path(kFirstLog));
      EXPECT_FALSE(log->sync_through(log->next()).has_value());
    });
    Offset served{0};
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = durable});
      served = log->next();
      EXPECT_EQ(served, durable + 10);
    });
    EXPECT_GT(rig.world.probe_count(probe(ProbeId::tail_rewritten)), 0U);
    rig.disk().evict_clean_pages();
    rig.power_cycle();
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = served});
      EXPECT_EQ(log->next(), served) << "it was served, so it has to stay";
      EXPECT_EQ(all_bytes(*log), expected_bytes(static_cast<int>(served.value) / 2));
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(LogRecoveryFaults, a_name_that_a_failed_sync_forgot_is_made_again) {
  LogRig rig(1, small_segments());
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 2) append_many(*log, 1);
    rig.disk().fail_next_sync(std::string(LogRig::kFolder));
    EXPECT_FALSE(log->sync_through(log->next()).has_value());
  });
  Offset served{0};
  rig.run([&](runtime::Node& node) { served = LogRig::open(node)->next(); });
  rig.disk().evict_clean_pages();
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    EXPECT_EQ(LogRig::open(node, {.recovery_point = served})->next(), served);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecoveryFaults, a_truncation_that_a_failed_sync_forgot_is_made_again) {
  // Else a power loss brings the records back, in place of those that came after them.
  for (uint64_t seed = 0; seed < 10; ++seed) {
    LogRig rig(seed);
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      append_many(*log, 6);
      ASSERT_TRUE(log->sync_through(log->next()).has_value());
      rig.disk().fail_next_sync(LogRig::path(kFirstLog));
      EXPECT_FALSE(log->truncate(Offset{4}).has_value());
      EXPECT_TRUE(log->offline().has_value());
    });
    Offset served{0};
    rig.run([&](runtime::Node& node) {
      served = LogRig::open(node, {.recovery_point = Offset{4}})->next();
    });
    rig.power_cycle();
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node, {.recovery_point = Offset{4}});
      EXPECT_EQ(log->next(), served);
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(LogRecoveryFaults,
     a_segment_sealed_during_the_sync_that_reached_its_end_gets_its_indexes_anew) {
  // The recovery point is at the segment's end then, and its indexes may be of an older past.
  LogRig rig(1, small_segments());
  Offset boundary{0};
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 2) {
      boundary = log->next();
      append_many(*log, 1);
    }
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  // Well-formed, and of other records: a timestamp that nobody has.
  std::string times = rig.content("00000000000000000000.timeindex");
  ASSERT_EQ(times.size(), 12U);
  times[4] = 1;
  rig.overwrite("00000000000000000000.timeindex", times);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node, {.recovery_point = boundary});
    EXPECT_EQ(log->max_timestamp()->timestamp_ms, 1001);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecoveryFaults, above_the_recovery_point_an_epoch_that_goes_back_ends_the_log) {
  LogRig rig(1);
  std::string text(build({.count = 2}, 0, 5).text());
  text += build({.count = 2}, 2, 3).text();
  rig.overwrite(kFirstLog, text);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    EXPECT_EQ(log->next(), Offset{2});
    EXPECT_NE(log->recovery().what.find("epoch goes back"), std::string::npos);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogRecoveryFaults, an_error_of_the_device_is_told_and_cuts_nothing) {
  LogRig rig(1);
  rig.run([](runtime::Node& node) {
    auto log = LogRig::open(node);
    append_many(*log, 3);
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
  });
  const std::string whole = rig.content(kFirstLog);
  rig.power_cycle();
  rig.disk().set_errors(sim::DiskErrors{.pattern = "*.log", .reads = true});
  rig.run([](runtime::Node& node) { EXPECT_EQ(LogRig::try_open(node).error().code, Errc::io); });
  rig.disk().clear_faults();
  EXPECT_EQ(rig.content(kFirstLog), whole);
}

}  // namespace
}  // namespace verdict::log
