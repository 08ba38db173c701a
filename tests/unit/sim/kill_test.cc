// Kills: who unwinds when, and that a machine stands up again ten thousand times.

#include <gtest/gtest.h>

#include "sim/world.h"

namespace verdict::sim {
namespace {

using base::Slice;
using runtime::Instant;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;

constexpr int64_t kMillisecond = 1'000'000;
constexpr runtime::Probe kHere{"test.kill"};

// Notes its name when its fiber unwinds.
struct Witness {
  std::vector<std::string>& log;
  std::string name;
  ~Witness() { log.push_back(name); }
};

TEST(Kill, children_unwind_before_parents_and_the_youngest_sibling_first) {
  World world({});
  uint32_t node = world.add_node({.name = "n"});
  std::vector<std::string> log;
  world.boot(node, [&](Node& n) {
    Witness root{log, "root"};
    Nursery nursery(n.tasks);
    for (const char* name : {"a", "b"}) {
      nursery.spawn(name, [&log, &n, name] {
        Witness own{log, name};
        Nursery below(n.tasks);
        for (const char* leaf : {"1", "2"}) {
          below.spawn(leaf, [&log, &n, path = std::string(name) + leaf] {
            Witness leaf_witness{log, path};
            (void)n.clock.sleep_until(Instant::never());
          });
        }
        below.join_all(Instant::never());
      });
    }
    nursery.join_all(Instant::never());
  });
  world.run_until(kMillisecond);
  EXPECT_TRUE(log.empty());
  world.crash(node);
  EXPECT_EQ(log, (std::vector<std::string>{"b2", "b1", "b", "a2", "a1", "a", "root"}));
}

TEST(Kill, a_fiber_spawned_into_a_foreign_nursery_dies_before_the_owner_whose_stack_it_uses) {
  World world({});
  uint32_t node = world.add_node({.name = "n"});
  std::vector<std::string> log;
  world.boot(node, [&](Node& n) {
    Witness root{log, "root"};
    runtime::Event opened(n.tasks);
    Nursery* foreign = nullptr;
    Nursery outer(n.tasks);
    outer.spawn("owner", [&] {
      Witness own{log, "owner"};
      std::vector<int> on_owners_stack(100, 1);
      Nursery inner(n.tasks);
      foreign = &inner;
      runtime::Event ready(n.tasks);
      opened.set();
      (void)ready.wait(Instant::never());
    });
    outer.spawn("spawner", [&] {
      Witness own{log, "spawner"};
      ASSERT_TRUE(opened.wait(Instant::never()).has_value());
      foreign->spawn("guest", [&] {
        Witness guest{log, "guest"};
        (void)n.clock.sleep_until(Instant::never());
      });
      (void)n.clock.sleep_until(Instant::never());
    });
    outer.join_all(Instant::never());
  });
  world.run_until(kMillisecond);
  world.crash(node);
  EXPECT_EQ(log, (std::vector<std::string>{"spawner", "guest", "owner", "root"}));
}

TEST(Kill, siblings_that_wait_on_each_others_stacks_unwind_without_touching_them) {
  World world({});
  uint32_t node = world.add_node({.name = "n"});
  int unwound = 0;
  world.boot(node, [&](Node& n) {
    runtime::Event* of_a = nullptr;
    runtime::Event* of_b = nullptr;
    Nursery nursery(n.tasks);
    struct Count {
      int& value;
      ~Count() { ++value; }
    };
    nursery.spawn("a", [&] {
      Count count{unwound};
      runtime::Event mine(n.tasks);
      runtime::Mutex mutex(n.tasks);
      runtime::LockGuard guard(mutex);
      of_a = &mine;
      while (of_b == nullptr) n.tasks.yield();
      (void)of_b->wait(Instant::never());
    });
    nursery.spawn("b", [&] {
      Count count{unwound};
      runtime::Event mine(n.tasks);
      of_b = &mine;
      while (of_a == nullptr) n.tasks.yield();
      (void)of_a->wait(Instant::never());
    });
    nursery.join_all(Instant::never());
  });
  world.run_until(kMillisecond);
  world.power_off(node);
  EXPECT_EQ(unwound, 2);
}

class CrashAtProbe final : public Watcher {
 public:
  explicit CrashAtProbe(World& world) : world_(world) {}
  bool on_probe(uint32_t node, const runtime::Probe&, uint64_t) override {
    world_.crash(node);
    return false;
  }

 private:
  World& world_;
};

TEST(Kill, the_running_fiber_throws_where_it_stands_and_its_children_go_first) {
  World world({});
  CrashAtProbe watcher(world);
  world.set_watcher(&watcher);
  uint32_t node = world.add_node({.name = "n"});
  std::vector<std::string> log;
  bool went_on = false;
  world.boot(node, [&](Node& n) {
    Witness root{log, "root"};
    Nursery nursery(n.tasks);
    nursery.spawn("child", [&] {
      Witness child{log, "child"};
      (void)n.clock.sleep_until(Instant::never());
    });
    (void)n.clock.sleep(runtime::milliseconds(1));
    n.observer.reached(kHere);
    went_on = true;
  });
  world.run_until(10 * kMillisecond);
  EXPECT_FALSE(went_on);
  EXPECT_EQ(log, (std::vector<std::string>{"child", "root"}));
  EXPECT_FALSE(world.running(node));
}

// A program with everything that can be open when the end comes: fibers, locks, files, streams.
void busy_program(Node& n) {
  auto file = n.data.open("counter", OpenMode::open_or_create);
  auto listener = n.network.listen({"0.0.0.0", 9}, {});
  if (!file || !listener) return;
  runtime::Mutex mutex(n.tasks);
  Nursery nursery(n.tasks);
  nursery.spawn("server", [&] {
    Nursery connections(n.tasks);
    for (;;) {
      auto stream = (*listener)->accept(Instant::never());
      if (!stream) break;
      connections.spawn("echo", [s = std::move(*stream)]() mutable {
        for (;;) {
          auto bytes = s->read_some(100, Instant::never());
          if (!bytes || bytes->empty() || !s->write_all({&*bytes, 1}, Instant::never())) return;
        }
      });
    }
    connections.stop();
  });
  nursery.spawn("client", [&] {
    auto stream = n.network.connect({"127.0.0.1", 9}, Instant::never());
    if (!stream) return;
    Slice ping = Slice::copy_of("ping");
    for (;;) {
      if (!(*stream)->write_all({&ping, 1}, Instant::never())) return;
      if (!(*stream)->read_exact(4, Instant::never())) return;
    }
  });
  for (int i = 0; i < 2; ++i) {
    nursery.spawn("writer", [&] {
      Slice one = Slice::copy_of("x");
      for (;;) {
        runtime::LockGuard guard(mutex);
        if (!(*file)->write_at((*file)->size(), {&one, 1})) return;
        if (!(*file)->sync()) return;
        n.tasks.post(base::ShardId{0}, [] {});
      }
    });
  }
  nursery.join_all(Instant::never());
}

TEST(Kill, boot_kill_power_off_and_restart_ten_thousand_times) {
  WorldOptions options;
  options.kernel.seed = 77;
  World world(options);
  uint32_t node = world.add_node({.name = "n", .shards = 2});
  Choices choices(5);
  ChoicePoint point(choices, ChoiceStream("test.end"), 1);
  uint64_t powered_off = 0;
  constexpr int kCycles = 10'000;
  for (int i = 0; i < kCycles; ++i) {
    world.boot(node, [](Node& n) {
      if (n.tasks.shard().value == 0) {
        busy_program(n);
      } else {
        (void)n.clock.sleep_until(Instant::never());
      }
    });
    world.run_until(world.now_ns() + static_cast<int64_t>(choices.draw(point, 2 * kMillisecond)));
    if (choices.draw(point, 2) == 0) {
      world.crash(node);
    } else {
      world.power_off(node);
      world.power_on(node);
      ++powered_off;
    }
    ASSERT_FALSE(world.running(node));
    ASSERT_EQ(world.kernel().live_fibers(), 0U);
  }
  EXPECT_GT(powered_off, kCycles / 3U);
  EXPECT_EQ(world.kernel_node(node).incarnation, static_cast<uint32_t>(kCycles));
}

}  // namespace
}  // namespace verdict::sim
