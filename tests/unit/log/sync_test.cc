// What makes records durable, and what happens when a device says no.

#include "broker/log/probes.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::Errc;

// Counts the syncs of .log files and of the log's folder.
class SyncCounter final : public sim::DiskWatcher {
 public:
  void on_op(const sim::DiskOp& op) override {
    if (op.kind != sim::DiskOpKind::sync || op.phase != sim::DiskOpPhase::after) return;
    if (op.path.ends_with(".log")) ++files;
    if (op.is_directory && op.path == LogRig::kFolder) ++folders;
  }
  int files = 0;
  int folders = 0;
};

TEST(LogSync, records_are_durable_after_a_sync_and_not_before) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {.count = 2});
    EXPECT_EQ(log->durable(), Offset{0});
    ASSERT_TRUE(log->sync_through(Offset{2}).has_value());
    EXPECT_EQ(log->durable(), Offset{2});
    EXPECT_EQ(log->recovery_point(), Offset{2});
    std::string name = LogRig::path(kFirstLog);
    EXPECT_EQ(rig.disk().durable_through(name), log->size_bytes());
    EXPECT_TRUE(rig.disk().name_is_durable(name));
    append(*log, {});
    EXPECT_EQ(log->durable(), Offset{2});
    EXPECT_LT(rig.disk().durable_through(name), log->size_bytes());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, callers_that_come_together_share_a_sync) {
  LogRig rig(1);
  SyncCounter counter;
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    rig.disk().set_watcher(&counter);
    counter = {};
    runtime::Nursery nursery(node.tasks);
    int acked = 0;
    for (int i = 0; i < 50; ++i) {
      nursery.spawn("producer", [&] {
        Appended at = append(*log, {});
        EXPECT_TRUE(log->sync_through(at.last + 1).has_value());
        EXPECT_GT(log->durable(), at.last);
        ++acked;
      });
    }
    (void)nursery.join_all(runtime::Instant::never());
    EXPECT_EQ(acked, 50);
    EXPECT_GE(counter.files, 1);
    EXPECT_LE(counter.files, 3) << "the first one alone, then all that came meanwhile";
    rig.disk().set_watcher(nullptr);
  });
  EXPECT_GT(rig.world.probe_count(probe(ProbeId::sync_shared)), 0U);
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, an_append_during_a_sync_is_not_called_durable_by_it) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {});
    runtime::Nursery nursery(node.tasks);
    nursery.spawn("first", [&] { EXPECT_TRUE(log->sync_through(Offset{1}).has_value()); });
    ASSERT_TRUE(node.clock.sleep(runtime::microseconds(60)).has_value());
    ASSERT_EQ(log->durable(), Offset{0}) << "the sync is to be under way";
    append(*log, {});
    while (log->durable() == Offset{0}) {
      ASSERT_TRUE(node.clock.sleep(runtime::microseconds(10)).has_value());
    }
    EXPECT_EQ(log->durable(), Offset{1});
    EXPECT_TRUE(log->sync_through(Offset{2}).has_value());
    (void)nursery.join_all(runtime::Instant::never());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, records_of_a_new_segment_are_durable_only_with_its_name) {
  LogRig rig(1, small_segments());
  SyncCounter counter;
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 3) append(*log, {});
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
    for (const std::string& path : rig.disk().paths()) {
      if (!path.starts_with(LogRig::kFolder)) continue;
      if (path.ends_with("/")) continue;
      EXPECT_TRUE(rig.disk().name_is_durable(path)) << path;
      if (!path.ends_with(".log")) continue;
      auto content = rig.disk().content(path);
      EXPECT_EQ(rig.disk().durable_through(path), content->size()) << path;
    }
    rig.disk().set_watcher(&counter);
    append(*log, {});
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
    EXPECT_EQ(counter.files, 1);
    EXPECT_EQ(counter.folders, 0) << "no new names, no sync of the folder";
    rig.disk().set_watcher(nullptr);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, after_a_failed_sync_the_log_is_offline_for_good_and_says_why) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {});
    ASSERT_TRUE(log->sync_through(Offset{1}).has_value());
    append(*log, {});
    rig.disk().fail_next_sync(LogRig::path(kFirstLog));
    runtime::Nursery nursery(node.tasks);
    int told = 0;
    for (int i = 0; i < 5; ++i) {
      nursery.spawn("waiter", [&] {
        auto synced = log->sync_through(Offset{2});
        ASSERT_FALSE(synced.has_value());
        EXPECT_EQ(synced.error().code, Errc::io);
        ++told;
      });
    }
    (void)nursery.join_all(runtime::Instant::never());
    EXPECT_EQ(told, 5) << "every waiter is told";
    ASSERT_TRUE(log->offline().has_value());
    EXPECT_EQ(log->offline()->code, Errc::io);
    EXPECT_NE(log->offline()->detail.find("a sync"), std::string::npos);
    EXPECT_EQ(log->durable(), Offset{1});
    EXPECT_TRUE(log->sync_through(Offset{1}).has_value()) << "that much is durable";
    // The device works again, the log does not: what it holds is unknown.
    auto late = log->append(validated({}), LeaderEpoch{0});
    ASSERT_FALSE(late.has_value());
    EXPECT_EQ(late.error().kind, AppendError::Kind::failed);
    EXPECT_EQ(late.error().error.code, Errc::io);
    EXPECT_EQ(log->sync_through(Offset{2}).error().code, Errc::io);
    EXPECT_EQ(log->read(Offset{0}, Offset{1}, 100).error().code, Errc::io);
    EXPECT_EQ(log->close_cleanly().error().code, Errc::io);
    EXPECT_EQ(log->background_sync().error().code, Errc::io);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, a_failed_write_or_a_full_disk_takes_the_log_offline) {
  for (bool full : {false, true}) {
    LogRig rig(1);
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      append(*log, {});
      if (full) {
        rig.disk().set_full(10);
      } else {
        rig.disk().set_errors(sim::DiskErrors{.pattern = "*.log", .writes = true});
      }
      auto failed = log->append(validated({}), LeaderEpoch{0});
      ASSERT_FALSE(failed.has_value());
      EXPECT_EQ(failed.error().error.code, Errc::io);
      rig.disk().clear_faults();
      EXPECT_TRUE(log->offline().has_value());
      EXPECT_EQ(log->next(), Offset{1});
    });
    EXPECT_TRUE(rig.ended());
  }
}

TEST(LogSync, a_roll_that_fails_takes_the_log_offline_before_a_byte_of_the_batch_is_written) {
  LogRig rig(1, small_segments());
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {});
    rig.disk().set_errors(sim::DiskErrors{.pattern = "*.snapshot", .writes = true});
    std::optional<AppendError> why;
    for (int i = 0; i < 1'000 && !why; ++i) {
      auto appended = log->append(validated({}), LeaderEpoch{0});
      if (!appended) why = appended.error();
    }
    rig.disk().clear_faults();
    ASSERT_TRUE(why.has_value()) << "it never rolled";
    EXPECT_EQ(why->kind, AppendError::Kind::failed);
    ASSERT_TRUE(log->offline().has_value());
    EXPECT_NE(log->offline()->detail.find("a roll"), std::string::npos);
    const Offset end = log->next();
    EXPECT_FALSE(log->append(validated({}), LeaderEpoch{0}).has_value());
    EXPECT_EQ(log->next(), end);
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, a_failed_sync_of_the_folder_counts_like_one_of_the_file) {
  LogRig rig(1, small_segments());
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    while (log->segment_count() < 2) append(*log, {});
    rig.disk().fail_next_sync(std::string(LogRig::kFolder));
    EXPECT_EQ(log->sync_through(log->next()).error().code, Errc::io);
    EXPECT_EQ(log->durable(), Offset{0});
    EXPECT_TRUE(log->offline().has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, after_a_sync_and_after_a_stop_in_good_order_every_file_is_durable) {
  for (bool stops : {false, true}) {
    LogRig rig(1, small_segments());
    rig.run([&](runtime::Node& node) {
      auto log = LogRig::open(node);
      for (int i = 0; i < 30; ++i) append(*log, {.producer_id = 7, .base_sequence = i});
      ASSERT_GT(log->segment_count(), 2U);
      ASSERT_TRUE(stops ? log->close_cleanly() : log->sync_through(log->next()));
    });
    std::set<std::string> kinds;
    for (const std::string& path : rig.disk().paths()) {
      if (!path.starts_with(LogRig::kFolder) || path.ends_with("/")) continue;
      auto content = rig.disk().content(path);
      ASSERT_TRUE(content.has_value()) << path;
      EXPECT_TRUE(rig.disk().name_is_durable(path)) << path;
      EXPECT_EQ(rig.disk().durable_through(path), content->size()) << path;
      kinds.insert(path.substr(path.rfind('.') + 1));
    }
    EXPECT_TRUE(kinds.contains("snapshot")) << "the test looked at too little";
  }
}

TEST(LogSync, flush_messages_asks_for_a_sync_before_the_acknowledgement) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    OpenOptions options;
    options.config.flush_messages = 3;
    auto log = LogRig::open(node, options);
    append(*log, {.count = 2});
    EXPECT_FALSE(log->needs_sync_before_ack());
    append(*log, {});
    EXPECT_TRUE(log->needs_sync_before_ack());
    ASSERT_TRUE(log->sync_through(log->next()).has_value());
    EXPECT_FALSE(log->needs_sync_before_ack());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, the_background_sync_comes_by_bytes_by_time_and_after_a_roll) {
  LogRig rig(1, small_segments());
  rig.run([&](runtime::Node& node) {
    OpenOptions options;
    options.config.background_sync_bytes = 300;
    options.config.flush_ms = 1000;
    auto log = LogRig::open(node, options);
    append(*log, {.value_bytes = 1});
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->durable(), Offset{0}) << "nothing is due";
    append(*log, {.value_bytes = 300});
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->durable(), Offset{2}) << "by bytes";
    append(*log, {.value_bytes = 1});
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->durable(), Offset{2});
    ASSERT_TRUE(node.clock.sleep(runtime::milliseconds(1001)).has_value());
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->durable(), Offset{3}) << "by time";
    LogConfig config = log->config();
    config.background_sync_bytes = 1 << 20;
    log->set_config(config);
    while (log->segment_count() < 2) append(*log, {.value_bytes = 200});
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->durable(), log->next()) << "a sealed segment is not left behind";
  });
  EXPECT_GE(rig.world.probe_count(probe(ProbeId::sync_background)), 3U);
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, a_closed_log_takes_nothing_more) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto log = LogRig::open(node);
    append(*log, {});
    ASSERT_TRUE(log->close_cleanly().has_value());
    EXPECT_EQ(log->durable(), log->next());
    auto late = log->append(validated({}), LeaderEpoch{0});
    ASSERT_FALSE(late.has_value());
    EXPECT_EQ(late.error().error.code, Errc::wrong_state);
    EXPECT_EQ(log->close_cleanly().error().code, Errc::wrong_state);
    log->check_invariants();
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogSync, producers_that_were_silent_for_long_are_forgotten_by_housekeeping) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    OpenOptions options;
    options.config.producer_expiry_ms = 3'600'000;
    auto log = LogRig::open(node, options);
    int64_t now_ms = node.clock.wall().ms();
    append(*log,
           {.timestamp_ms = now_ms, .producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
    append(*log, {.timestamp_ms = now_ms + 3'000'000,
                  .producer_id = 2,
                  .producer_epoch = 0,
                  .base_sequence = 0});
    ASSERT_TRUE(node.clock.sleep(runtime::seconds(601)).has_value());
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->producers().size(), 2U);
    ASSERT_TRUE(node.clock.sleep(runtime::seconds(3'100)).has_value());
    ASSERT_TRUE(log->background_sync().has_value());
    EXPECT_EQ(log->producers().size(), 1U);
    EXPECT_TRUE(log->producers().entries().contains(2));
  });
  EXPECT_TRUE(rig.ended());
}

}  // namespace
}  // namespace verdict::log
