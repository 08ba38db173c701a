// A partition by itself: high watermark, syncs, waiters, ends.

#include "broker/replica/partition.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/record/batch.h"
#include "broker/replica/probes.h"
#include "sim/world.h"

namespace verdict::replica {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr base::Uuid kTopic{7, 9};

base::Slice batch(const std::string& value) {
  record::BatchBuilder builder({});
  builder.add(1'767'225'600'000, std::nullopt, std::as_bytes(std::span(value)));
  return builder.build();
}

FetchPosition at(int64_t from, size_t bytes_max, int32_t current_epoch, int32_t last_epoch) {
  FetchPosition position;
  position.from = {from};
  position.bytes_max = bytes_max;
  position.current_epoch = {current_epoch};
  position.last_fetched_epoch = {last_epoch};
  return position;
}

class Host final : public PartitionHost {
 public:
  explicit Host(runtime::Tasks& tasks) : nursery_(tasks) {}
  runtime::Nursery& nursery() override { return nursery_; }
  void became_dirty(Partition&) override { ++dirty; }
  void storage_failed(Partition&, const base::Error& error) override {
    failures.push_back(error.code);
  }
  int dirty = 0;
  std::vector<base::Errc> failures;

 private:
  runtime::Nursery nursery_;
};

struct Stand {
  runtime::Node& node;
  Host& host;
  std::shared_ptr<Partition> partition;

  runtime::Instant soon() const { return node.clock.after(runtime::seconds(30)); }
};

class PartitionTest : public testing::Test {
 protected:
  PartitionTest() {
    sim::NodeOptions machine;
    machine.name = "n";
    node_ = world.add_node(machine);
  }
  sim::Disk& disk() { return world.disk(node_); }

  // Boots, opens the partition as leader of `epoch`, runs `body`, and crashes.
  void run(int32_t epoch, int64_t flush_messages, const std::function<void(Stand&)>& body) {
    bool done = false;
    world.boot(node_, [&](runtime::Node& node) {
      auto host = std::make_unique<Host>(node.tasks);
      PartitionOptions options;
      options.key = {kTopic, 0};
      options.name = "t-0";
      options.leader_epoch = {epoch};
      options.log.config.flush_messages = flush_messages;
      auto folder = node.data.subdirectory("t-0", runtime::OpenMode::open_or_create);
      ASSERT_TRUE(folder.has_value());
      Stand stand{node, *host,
                  Partition::open(node, *host, std::move(*folder), std::move(options))};
      body(stand);
      stand.partition->check_invariants();
      host->nursery().stop();
      done = true;
    });
    world.run_until(world.now_ns() + 600 * kSecond, [&] { return done; });
    EXPECT_TRUE(done);
    world.crash(node_);
  }
  sim::World world{sim::WorldOptions{}};

 private:
  uint32_t node_ = 0;
};

TEST_F(PartitionTest, by_default_the_high_watermark_is_the_log_end_at_once) {
  run(0, INT64_MAX, [](Stand& s) {
    for (int64_t i = 0; i < 3; ++i) {
      auto ticket = s.partition->append(batch("x"));
      ASSERT_TRUE(ticket.has_value());
      EXPECT_EQ(ticket->base.value, i);
      EXPECT_EQ(s.partition->high_watermark().value, i + 1);
      EXPECT_EQ(s.partition->wait_committed(*ticket, s.node.clock.now()), ErrorCode::none);
    }
    EXPECT_EQ(s.host.dirty, 1);
  });
}

TEST_F(PartitionTest, with_flush_messages_1_nothing_is_visible_before_its_sync) {
  run(0, 1, [](Stand& s) {
    auto ticket = s.partition->append(batch("x"));
    ASSERT_TRUE(ticket.has_value());
    EXPECT_EQ(s.partition->high_watermark().value, 0);
    EXPECT_EQ(s.partition->log_end().value, 1);
    EXPECT_TRUE(s.partition->fetch(at(0, 1 << 20, -1, -1)).records.empty());
    EXPECT_EQ(s.partition->fetch(at(0, 1 << 20, -1, -1)).high_watermark.value, 0);
    EXPECT_EQ(s.partition->find_offset(kLatestOffset, {-1}).offset.value, 0);
    EXPECT_EQ(s.partition->find_offset(kMaxTimestamp, {-1}).offset.value, -1);
    EXPECT_EQ(s.partition->wait_committed(*ticket, s.soon()), ErrorCode::none);
    EXPECT_EQ(s.partition->find_offset(kLatestOffset, {-1}).offset.value, 1);
    EXPECT_EQ(s.partition->find_offset(kMaxTimestamp, {-1}).offset.value, 0);
    EXPECT_EQ(s.partition->high_watermark().value, 1);
    EXPECT_EQ(s.partition->recovery_point().value, 1);
    EXPECT_FALSE(s.partition->fetch(at(0, 1 << 20, -1, -1)).records.empty());
  });
}

TEST_F(PartitionTest, a_duplicate_waits_for_the_sync_of_its_original) {
  run(0, 1, [](Stand& s) {
    record::BatchBuilder builder({.producer_id = 7, .producer_epoch = 0, .base_sequence = 0});
    builder.add(1'000, std::nullopt, base::Slice::copy_of("x").bytes());
    base::Slices sent(builder.build());
    auto original = s.partition->append(sent);
    auto again = s.partition->append(sent);
    ASSERT_TRUE(original.has_value() && again.has_value());
    EXPECT_EQ(again->base, original->base);
    EXPECT_EQ(s.partition->log_end().value, 1);
    EXPECT_EQ(s.partition->wait_committed(*again, s.node.clock.now()),
              ErrorCode::request_timed_out);
    EXPECT_EQ(s.partition->wait_committed(*again, s.soon()), ErrorCode::none);
    EXPECT_EQ(s.partition->recovery_point().value, 1);
  });
}

TEST_F(PartitionTest, producers_that_come_together_share_syncs) {
  run(0, 1, [](Stand& s) {
    runtime::Nursery producers(s.node.tasks);
    int committed = 0;
    for (int i = 0; i < 50; ++i) {
      producers.spawn("producer", [&] {
        auto ticket = s.partition->append(batch("x"));
        ASSERT_TRUE(ticket.has_value());
        EXPECT_EQ(s.partition->wait_committed(*ticket, s.soon()), ErrorCode::none);
        ++committed;
      });
    }
    (void)producers.join_all(s.soon());
    producers.stop();
    EXPECT_EQ(committed, 50);
  });
  EXPECT_LE(world.probe_count(kProbeCommittedBySync), 10U);
}

TEST_F(PartitionTest, a_failed_sync_acknowledges_nobody_and_takes_the_partition_offline) {
  run(0, 1, [&](Stand& s) {
    disk().fail_next_sync("t-0/*.log");
    auto ticket = s.partition->append(batch("x"));
    ASSERT_TRUE(ticket.has_value());
    EXPECT_EQ(s.partition->wait_committed(*ticket, s.soon()), ErrorCode::kafka_storage_error);
    EXPECT_EQ(s.host.failures, std::vector<base::Errc>{base::Errc::io});
    EXPECT_TRUE(s.partition->offline().has_value());
    auto again = s.partition->append(batch("y"));
    ASSERT_FALSE(again.has_value());
    EXPECT_EQ(again.error().code, ErrorCode::kafka_storage_error);
    EXPECT_EQ(s.partition->fetch(at(0, 100, -1, -1)).code, ErrorCode::kafka_storage_error);
    EXPECT_EQ(s.partition->find_offset(kLatestOffset, {}).code, ErrorCode::kafka_storage_error);
  });
}

TEST_F(PartitionTest, a_produce_that_waits_too_long_is_told_so_and_stays_written) {
  run(0, 1, [](Stand& s) {
    auto ticket = s.partition->append(batch("x"));
    ASSERT_TRUE(ticket.has_value());
    EXPECT_EQ(s.partition->wait_committed(*ticket, s.node.clock.now()),
              ErrorCode::request_timed_out);
    EXPECT_EQ(s.partition->wait_committed(*ticket, s.soon()), ErrorCode::none);
  });
}

TEST_F(PartitionTest, removal_wakes_whoever_waits) {
  run(0, 1, [](Stand& s) {
    struct Watcher final : ProgressWatcher {
      void on_progress() override { ++told; }
      int told = 0;
    } watcher;
    s.partition->watch(watcher);
    auto ticket = s.partition->append(batch("x"));
    ASSERT_TRUE(ticket.has_value());
    runtime::Nursery waiters(s.node.tasks);
    ErrorCode heard = ErrorCode::none;
    waiters.spawn("waiter", [&] { heard = s.partition->wait_committed(*ticket, s.soon()); });
    ASSERT_TRUE(s.node.clock.sleep(runtime::microseconds(20)).has_value());
    s.partition->remove();
    (void)waiters.join_all(s.soon());
    waiters.stop();
    EXPECT_EQ(heard, ErrorCode::unknown_topic_or_partition);
    EXPECT_GE(watcher.told, 1);
    EXPECT_EQ(s.partition->append(batch("y")).error().code, ErrorCode::unknown_topic_or_partition);
    watcher.unlink();
  });
}

TEST_F(PartitionTest, a_new_leadership_fences_the_old_epoch_and_tells_where_it_ended) {
  run(0, INT64_MAX, [](Stand& s) { ASSERT_TRUE(s.partition->append(batch("a")).has_value()); });
  run(4, INT64_MAX, [](Stand& s) {
    ASSERT_TRUE(s.partition->append(batch("b")).has_value());
    EXPECT_EQ(s.partition->fetch(at(0, 10, 0, -1)).code, ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(s.partition->fetch(at(0, 10, 5, -1)).code, ErrorCode::unknown_leader_epoch);
    const FetchPart part = s.partition->fetch(at(2, 10, -1, 0));
    ASSERT_TRUE(part.diverging.has_value());
    EXPECT_EQ(part.diverging->end.value, 1);
    EXPECT_EQ(s.partition->find_offset(kLatestOffset, {4}).epoch.value, 4);
    EXPECT_EQ(s.partition->find_offset(kEarliestOffset, {}).offset.value, 0);
  });
}

TEST_F(PartitionTest, after_a_clean_close_nothing_is_taken) {
  run(0, 1, [](Stand& s) {
    for (int i = 0; i < 3; ++i) {
      auto ticket = s.partition->append(batch("x"));
      ASSERT_TRUE(ticket.has_value());
      EXPECT_EQ(s.partition->wait_committed(*ticket, s.soon()), ErrorCode::none);
    }
    EXPECT_TRUE(s.partition->close_cleanly().has_value());
    EXPECT_EQ(s.partition->append(batch("late")).error().code, ErrorCode::not_leader_or_follower);
  });
}

}  // namespace
}  // namespace verdict::replica
