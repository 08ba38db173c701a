#include "sim/world.h"

#include <gtest/gtest.h>

namespace verdict::sim {
namespace {

using base::Slice;
using runtime::Instant;
using runtime::Node;
using runtime::OpenMode;

constexpr int64_t kSecond = 1'000'000'000;

// A server that echoes, one fiber per connection, for ever.
void echo_server(Node& node) {
  auto listener = node.network.listen({"0.0.0.0", 7}, {});
  ASSERT_TRUE(listener.has_value());
  runtime::Nursery connections(node.tasks);
  for (;;) {
    auto stream = (*listener)->accept(Instant::never());
    if (!stream) break;
    connections.spawn("echo", [s = std::move(*stream)]() mutable {
      for (;;) {
        auto bytes = s->read_some(4096, Instant::never());
        if (!bytes || bytes->empty()) return;
        if (!s->write_all({&*bytes, 1}, Instant::never())) return;
      }
    });
  }
  connections.stop();
}

// Sends `count` messages and reads each back; counts those that came back.
Program echo_client(std::string address, int count, int* done) {
  return [=](Node& node) {
    auto stream = node.network.connect({address, 7}, node.clock.after(runtime::seconds(5)));
    if (!stream) return;
    for (int i = 0; i < count; ++i) {
      Slice message = Slice::copy_of("message " + std::to_string(i));
      if (!(*stream)->write_all({&message, 1}, node.clock.after(runtime::seconds(5)))) return;
      auto back = (*stream)->read_exact(message.size(), node.clock.after(runtime::seconds(5)));
      if (!back) return;
      ASSERT_EQ(back->flatten().text(), message.text());
      ++*done;
    }
  };
}

WorldOptions with_seed(uint64_t seed) {
  WorldOptions options;
  options.kernel.seed = seed;
  return options;
}

TEST(World, two_nodes_talk_and_the_same_seed_gives_the_same_hash) {
  uint64_t hashes[3];
  for (uint64_t seed : {5, 6, 5}) {
    World world(with_seed(seed));
    uint32_t server = world.add_node({.name = "server"});
    uint32_t client = world.add_node({.name = "client"});
    int done = 0;
    world.boot(server, echo_server);
    world.boot(client, echo_client(world.address(server), 100, &done));
    world.run_until(10 * kSecond);
    EXPECT_EQ(done, 100);
    EXPECT_TRUE(world.running(server));
    EXPECT_FALSE(world.running(client));
    hashes[seed == 6 ? 1 : 0] = world.trace_hash();
    hashes[2] = world.trace_hash();
  }
  EXPECT_EQ(hashes[0], hashes[2]);
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST(World, a_message_between_other_nodes_changes_nothing_here) {
  auto run = [](int elsewhere) {
    World world(with_seed(9));
    uint32_t server = world.add_node({.name = "server"});
    uint32_t client = world.add_node({.name = "client"});
    uint32_t other_server = world.add_node({.name = "other-server"});
    uint32_t other_client = world.add_node({.name = "other-client"});
    int done = 0;
    int other_done = 0;
    world.boot(server, echo_server);
    world.boot(client, echo_client(world.address(server), 50, &done));
    world.boot(other_server, echo_server);
    world.boot(other_client, echo_client(world.address(other_server), elsewhere, &other_done));
    world.run_until(10 * kSecond);
    EXPECT_EQ(done, 50);
    EXPECT_EQ(other_done, elsewhere);
    return std::pair(world.kernel_node(server).hash.value(),
                     world.kernel_node(client).hash.value());
  };
  EXPECT_EQ(run(20), run(21));
}

void count_boots(Node& node, int* boots) {
  auto file = node.data.open("boots", OpenMode::open_or_create);
  ASSERT_TRUE(file.has_value());
  *boots = static_cast<int>((*file)->size()) + 1;
  Slice one = Slice::copy_of("x");
  ASSERT_TRUE((*file)->write_at((*file)->size(), {&one, 1}).has_value());
  ASSERT_TRUE((*file)->sync().has_value());
  ASSERT_TRUE(node.data.sync().has_value());
  (void)node.clock.sleep_until(Instant::never());
}

TEST(World, a_node_boots_again_from_its_disk_after_crash_and_power_loss) {
  World world(with_seed(1));
  uint32_t node = world.add_node({.name = "n"});
  int boots = 0;
  for (int i = 1; i <= 20; ++i) {
    world.boot(node, [&](Node& n) { count_boots(n, &boots); });
    world.run_until(world.now_ns() + kSecond);
    EXPECT_EQ(boots, i);
    if (i % 2 == 0) {
      world.crash(node);
    } else {
      world.power_off(node);
      world.power_on(node);
    }
    EXPECT_FALSE(world.running(node));
  }
}

constexpr runtime::Probe kHere{"test.here"};

class KillAtProbe final : public Watcher {
 public:
  explicit KillAtProbe(World& world) : world_(world) {}
  bool on_probe(uint32_t node, const runtime::Probe& probe, uint64_t count) override {
    if (probe.hash == kHere.hash && count == 3) world_.power_off(node);
    return false;
  }

 private:
  World& world_;
};

TEST(World, a_watcher_kills_the_running_fiber_at_a_probe) {
  World world(with_seed(1));
  KillAtProbe watcher(world);
  world.set_watcher(&watcher);
  uint32_t node = world.add_node({.name = "n"});
  int passed = 0;
  bool unwound = false;
  world.boot(node, [&](Node& n) {
    struct Guard {
      bool& flag;
      ~Guard() { flag = true; }
    } guard{unwound};
    for (int i = 0; i < 10; ++i) {
      n.observer.reached(kHere);
      ++passed;
    }
  });
  world.run_until(kSecond);
  EXPECT_EQ(passed, 2);
  EXPECT_TRUE(unwound);
  EXPECT_FALSE(world.powered(node));
  EXPECT_EQ(world.probe_count(kHere), 3U);
}

TEST(World, the_wall_clock_steps_and_freezes_and_the_monotonic_clock_does_not) {
  World world(with_seed(1));
  uint32_t node = world.add_node({.name = "n"});
  std::vector<std::pair<int64_t, int64_t>> readings;  // monotonic, wall
  world.boot(node, [&](Node& n) {
    for (int i = 0; i < 4; ++i) {
      readings.emplace_back(n.clock.now().ns, n.clock.wall().ns);
      if (!n.clock.sleep(runtime::seconds(1))) return;
    }
  });
  world.at(kSecond / 2, [&] { world.step_wall_clock(node, -100 * kSecond); });
  world.at(kSecond * 3 / 2, [&] { world.freeze_wall_clock(node, true); });
  world.run_until(10 * kSecond);
  ASSERT_EQ(readings.size(), 4U);
  int64_t first = readings[1].second - readings[0].second;
  EXPECT_LT(first, -98 * kSecond);
  EXPECT_EQ(readings[2].second, readings[3].second);
  for (size_t i = 1; i < 4; ++i) EXPECT_GE(readings[i].first - readings[i - 1].first, kSecond);
}

TEST(World, stop_is_seen_by_every_shard) {
  World world(with_seed(1));
  uint32_t node = world.add_node({.name = "n", .shards = 3});
  int stopped = 0;
  world.boot(node, [&](Node& n) {
    ASSERT_TRUE(n.stop.wait(Instant::never()).has_value());
    ++stopped;
  });
  world.at(kSecond, [&] { world.stop(node); });
  world.run_until(2 * kSecond);
  EXPECT_EQ(stopped, 3);
  EXPECT_FALSE(world.running(node));
}

TEST(World, shards_that_listen_together_share_the_connections) {
  World world(with_seed(4));
  uint32_t server = world.add_node({.name = "server", .shards = 3});
  uint32_t client = world.add_node({.name = "client"});
  std::vector<int> accepted(3);
  world.boot(server, [&](Node& n) {
    auto listener = n.network.listen({"0.0.0.0", 7}, {});
    ASSERT_TRUE(listener.has_value());
    while ((*listener)->accept(Instant::never())) ++accepted[n.tasks.shard().value];
  });
  world.boot(client, [&](Node& n) {
    for (int i = 0; i < 60; ++i) {
      auto stream = n.network.connect({"server", 7}, n.clock.after(runtime::seconds(5)));
      ASSERT_TRUE(stream.has_value());
    }
  });
  world.run_until(60 * kSecond);
  EXPECT_EQ(accepted[0] + accepted[1] + accepted[2], 60);
  for (int n : accepted) EXPECT_GT(n, 5);
}

}  // namespace
}  // namespace verdict::sim
