#include "sim/kernel.h"

#include <gtest/gtest.h>

#include <functional>

#include "broker/runtime/sync.h"

namespace verdict::sim {
namespace {

using runtime::Instant;
using runtime::Nursery;

// One node of some shards with a body per shard, without network and disk.
class Rig {
 public:
  explicit Rig(KernelOptions options = {}) : kernel(options) {}
  ~Rig() {
    for (auto& shards : nodes_) kernel.kill_shards(*shards);
    kernel.drop_events();
  }
  using Body = std::function<void(runtime::Tasks&)>;
  KernelNode& start(std::string_view name, uint32_t shards, Body body) {
    KernelNode& node = kernel.add_node(name);
    nodes_.push_back(std::make_unique<std::vector<std::unique_ptr<Shard>>>());
    auto& own = *nodes_.back();
    for (uint32_t i = 0; i < shards; ++i) {
      own.push_back(std::make_unique<Shard>(kernel, node, base::ShardId{i}, shards));
    }
    for (auto& shard : own) {
      shard->set_siblings(&own);
      kernel.spawn_root(shard->tasks(), "main", [body, &t = shard->tasks()] { body(t); });
    }
    return node;
  }
  std::vector<std::unique_ptr<Shard>>& shards(size_t node) { return *nodes_[node]; }
  Kernel kernel;

 private:
  std::vector<std::unique_ptr<std::vector<std::unique_ptr<Shard>>>> nodes_;
};

void sleep(runtime::Tasks& tasks, int64_t ns) {
  auto& scheduler = tasks.scheduler();
  (void)scheduler.suspend(nullptr, 0, scheduler.now(tasks) + runtime::nanoseconds(ns), true);
}

TEST(Kernel, time_jumps_to_the_next_event) {
  Rig rig;
  std::vector<int64_t> at;
  rig.start("a", 1, [&](runtime::Tasks& tasks) {
    for (int i = 0; i < 3; ++i) {
      sleep(tasks, 1'000'000'000);
      at.push_back(rig.kernel.now_ns());
    }
  });
  rig.kernel.run_until(10'000'000'000);
  ASSERT_EQ(at.size(), 3U);
  for (size_t i = 0; i < at.size(); ++i) {
    EXPECT_GE(at[i], static_cast<int64_t>(i + 1) * 1'000'000'000);
    EXPECT_LT(at[i], static_cast<int64_t>(i + 1) * 1'000'000'000 + 100'000);
  }
  EXPECT_EQ(rig.kernel.now_ns(), 10'000'000'000);
}

TEST(Kernel, work_costs_time_and_occupies_its_shard) {
  KernelOptions options;
  options.shuffle_window_ns = 0;
  Rig rig(options);
  std::vector<int64_t> at;
  rig.start("a", 1, [&](runtime::Tasks& tasks) {
    Nursery nursery(tasks);
    for (int i = 0; i < 5; ++i) {
      nursery.spawn("w", [&] {
        at.push_back(rig.kernel.now_ns());
        tasks.charge(1'000'000);
      });
    }
    nursery.join_all(Instant::never());
  });
  rig.kernel.run_until(1'000'000'000);
  ASSERT_EQ(at.size(), 5U);
  for (size_t i = 1; i < at.size(); ++i) EXPECT_GE(at[i] - at[i - 1], 1'001'000);
}

TEST(Kernel, ready_fibers_are_shuffled_by_the_seed_and_none_starves) {
  std::vector<std::vector<int>> orders;
  for (uint64_t seed : {1, 2, 3, 1}) {
    KernelOptions options;
    options.seed = seed;
    options.shuffle_window_ns = 1'000'000;
    Rig rig(options);
    std::vector<int> order;
    rig.start("a", 1, [&](runtime::Tasks& tasks) {
      Nursery nursery(tasks);
      for (int i = 0; i < 8; ++i)
        nursery.spawn("w" + std::to_string(i), [&, i] { order.push_back(i); });
      nursery.join_all(Instant::never());
    });
    rig.kernel.run_until(1'000'000'000);
    ASSERT_EQ(order.size(), 8U);
    orders.push_back(order);
  }
  EXPECT_EQ(orders[0], orders[3]);
  EXPECT_TRUE(orders[0] != orders[1] || orders[1] != orders[2]);
}

void ping_body(runtime::Tasks& tasks) {
  Nursery nursery(tasks);
  for (int f = 0; f < 3; ++f) {
    nursery.spawn("ping", [&] {
      for (int i = 0; i < 50; ++i) sleep(tasks, 10'000);
    });
  }
  nursery.join_all(Instant::never());
}

TEST(Kernel, a_fiber_on_another_node_changes_nothing_here) {
  uint64_t alone = 0;
  {
    Rig rig;
    KernelNode& node = rig.start("a", 1, ping_body);
    rig.kernel.add_node("b");
    rig.kernel.run_until(1'000'000'000);
    alone = node.hash.value();
  }
  Rig rig;
  KernelNode& node = rig.start("a", 1, ping_body);
  rig.start("b", 2, [](runtime::Tasks& tasks) {
    ping_body(tasks);
    ping_body(tasks);
  });
  rig.kernel.run_until(1'000'000'000);
  EXPECT_EQ(node.hash.value(), alone);
}

TEST(Kernel, on_the_same_shard_a_choice_keeps_its_value_where_k_agrees) {
  // One more fiber shifts instants, but the cost of the k-th run of an old fiber stays.
  auto costs = [](bool extra) {
    Rig rig;
    rig.kernel.choices().record();
    rig.start("a", 1, [extra](runtime::Tasks& tasks) {
      Nursery nursery(tasks);
      if (extra) nursery.spawn("extra", [&] { sleep(tasks, 5'000); });
      nursery.spawn("old", [&] {
        for (int i = 0; i < 10; ++i) sleep(tasks, 1'000);
      });
      nursery.join_all(Instant::never());
    });
    rig.kernel.run_until(1'000'000'000);
    base::OrderedMap<ChoiceKey, uint64_t> values;
    for (const Choice& c : rig.kernel.choices().recorded()) values[c.key] = c.value;
    return values;
  };
  auto without = costs(false);
  auto with = costs(true);
  EXPECT_GT(with.size(), without.size());
  size_t common = 0;
  for (const auto& [key, value] : without) {
    auto at = with.find(key);
    if (at == with.end()) continue;
    ++common;
    EXPECT_EQ(at->second, value);
  }
  EXPECT_GE(common, 20U);
}

TEST(Kernel, post_reaches_the_other_shard_late_and_dies_with_a_kill) {
  Rig rig;
  std::vector<std::pair<uint32_t, int64_t>> seen;
  rig.start("a", 3, [&](runtime::Tasks& tasks) {
    if (tasks.shard().value != 0) {
      sleep(tasks, 1'000'000'000);
      return;
    }
    for (uint32_t to = 0; to < 3; ++to) {
      tasks.post(base::ShardId{to}, [&, to] {
        seen.emplace_back(rig.kernel.current()->tasks().shard().value, rig.kernel.now_ns());
        EXPECT_EQ(seen.back().first, to);
      });
    }
    sleep(tasks, 1'000'000'000);
  });
  rig.kernel.run_until(500'000'000);
  EXPECT_EQ(seen.size(), 3U);
  for (auto& [shard, at] : seen) EXPECT_GT(at, 0);
}

TEST(Kernel, drift_makes_deadlines_later_or_earlier_in_world_time_and_never_early_for_the_node) {
  for (int64_t ppb : {-200'000'000L, -50'000L, 0L, 50'000L, 200'000'000L}) {
    Rig rig;
    KernelNode& node = rig.start("a", 1, [&](runtime::Tasks& tasks) {
      for (int i = 0; i < 100; ++i) {
        Instant until = rig.kernel.now(tasks) + runtime::nanoseconds(10'000'019 * (i + 1));
        (void)tasks.scheduler().suspend(nullptr, 0, until, true);
        EXPECT_GE(rig.kernel.now(tasks), until);
        EXPECT_LT(rig.kernel.now(tasks) - until, runtime::microseconds(100));
      }
    });
    node.clock.drift_ppb = ppb;
    rig.kernel.run_until(200'000'000'000);
    EXPECT_EQ(rig.shards(0)[0]->tasks().root(), nullptr);
  }
}

TEST(Kernel, a_paused_node_runs_nothing_and_catches_up_afterwards) {
  Rig rig;
  std::vector<int64_t> at;
  KernelNode& node = rig.start("a", 1, [&](runtime::Tasks& tasks) {
    for (int i = 0; i < 3; ++i) {
      sleep(tasks, 1'000'000);
      at.push_back(rig.kernel.now_ns());
    }
  });
  rig.kernel.run_until(1'500'000);
  node.paused = true;
  rig.kernel.run_until(50'000'000);
  EXPECT_EQ(at.size(), 1U);
  node.paused = false;
  rig.kernel.poke(*rig.shards(0)[0]);
  rig.kernel.run_until(100'000'000);
  EXPECT_EQ(at.size(), 3U);
  EXPECT_GT(node.late_runs, 0U);
}

TEST(Kernel, two_kernels_in_one_process_hash_alike) {
  uint64_t hashes[2];
  for (uint64_t& hash : hashes) {
    KernelOptions options;
    options.seed = 42;
    Rig rig(options);
    rig.start("a", 2, ping_body);
    rig.start("b", 1, ping_body);
    rig.kernel.run_until(1'000'000'000);
    hash = rig.kernel.trace_hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

}  // namespace
}  // namespace verdict::sim
