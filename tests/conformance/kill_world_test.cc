// Crash, power-off and restart as only a world can order them: at a probe, within a disk call, from
// another node, of a paused node.

#include "sim/world.h"
#include "tests/conformance/deaths.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;
using runtime::Probe;
using runtime::seconds;

constexpr Probe kHere{"conformance.here"};
constexpr int64_t kMs = 1'000'000;

// A world of one node under test, 0, and one beside it, 1.
class KillWorld : public testing::Test, public sim::Watcher, public sim::DiskWatcher {
 protected:
  KillWorld() : world_({.kernel = {.seed = 11}, .net = {}}) {
    world_.add_node({.name = "subject"});
    world_.add_node({.name = "beside"});
    world_.set_watcher(this);
  }
  ~KillWorld() override { world_.disk(0).set_watcher(nullptr); }
  bool on_probe(uint32_t node, const Probe&, uint64_t count) override {
    return at_probe ? at_probe(node, count) : false;
  }
  void on_op(const sim::DiskOp& op) override {
    if (at_op) at_op(op);
  }
  void run_for(int64_t ns) { world_.run_until(world_.now_ns() + ns); }
  void boot_beside(std::function<void(Node&)> program) { world_.boot(1, std::move(program)); }

  std::function<bool(uint32_t, uint64_t)> at_probe;
  std::function<void(const sim::DiskOp&)> at_op;
  sim::World world_;
  int alive_ = 0;
};

TEST_F(KillWorld, a_kill_at_a_probe_throws_in_the_probe) {
  bool went_on = false;
  int passed = 0;
  at_probe = [&](uint32_t node, uint64_t count) {
    if (count == 3) world_.crash(node);
    EXPECT_LT(count, 3U);
    return count == 2;
  };
  world_.boot(0, [&](Node& node) {
    Tracked root(alive_);
    Nursery nursery(node.tasks);
    nursery.spawn("waits", [&] {
      Tracked guard(alive_);
      (void)node.clock.sleep_until(kNever);
      went_on = true;
    });
    settle(node);
    node.observer.reached(kHere);
    ++passed;
    EXPECT_TRUE(node.observer.provoke(kHere));
    ++passed;
    (void)node.observer.provoke(kHere);
    went_on = true;
  });
  run_for(100 * kMs);
  EXPECT_EQ(passed, 2);
  EXPECT_FALSE(went_on);
  EXPECT_EQ(alive_, 0);
  EXPECT_FALSE(world_.running(0));
  EXPECT_EQ(world_.kernel().live_fibers(), 0U);
  EXPECT_EQ(world_.probe_count(kHere), 3U);
}

TEST_F(KillWorld, a_kill_within_any_disk_call_throws_there) {
  // After a write, before and at the end of a sync, after each operation on names: the k-th call,
  // for every k there is.
  Slice bytes = pattern(1, 0, 5'000);
  world_.disk(0).set_watcher(this);
  for (bool power : {false, true}) {
    uint64_t done = 0;
    for (uint64_t kill_at = 1; done == 0; ++kill_at) {
      ASSERT_LT(kill_at, 100U);
      uint64_t seen = 0;
      at_op = [&](const sim::DiskOp&) {
        if (++seen != kill_at) return;
        power ? world_.power_off(0) : world_.crash(0);
      };
      world_.boot(0, [&](Node& node) {
        Tracked root(alive_);
        Nursery nursery(node.tasks);
        nursery.spawn("waits", [&] {
          Tracked guard(alive_);
          (void)node.clock.sleep_until(kNever);
        });
        {
          auto directory = must(node.data.subdirectory("d", OpenMode::open_or_create));
          must(runtime::remove_contents(*directory));
          auto file = must(directory->open("f", OpenMode::open_or_create));
          Tracked guard(alive_);
          must(file->write_at(0, {&bytes, 1}));
          must(file->sync());
          must(file->truncate(100));
          must(directory->rename("f", "g"));
          must(directory->sync());
          must(node.data.sync());
        }
        nursery.stop();
        ++done;
      });
      run_for(3'000 * kMs);
      EXPECT_EQ(alive_, 0) << "at call " << kill_at;
      EXPECT_FALSE(world_.running(0));
      world_.power_on(0);
    }
    EXPECT_EQ(done, 1U);
  }
}

TEST_F(KillWorld, a_kill_from_another_node_spares_the_killer) {
  bool killer_went_on = false;
  world_.boot(0, [&](Node& node) {
    Tracked root(alive_);
    for (;;) node.tasks.yield();
  });
  boot_beside([&](Node& node) {
    must(node.clock.sleep(milliseconds(5)));
    EXPECT_EQ(alive_, 1);
    world_.crash(0);
    world_.crash(0);  // nothing is left to crash
    killer_went_on = true;
    must(node.clock.sleep(milliseconds(5)));
    EXPECT_EQ(alive_, 0);
    EXPECT_FALSE(world_.running(0));
  });
  run_for(100 * kMs);
  EXPECT_TRUE(killer_went_on);
}

TEST_F(KillWorld, nodes_may_kill_each_other_at_one_instant) {
  for (uint32_t other : {1U, 0U}) {
    world_.boot(1 - other, [&, other](Node& node) {
      Tracked guard(alive_);
      must(node.clock.sleep_until({5 * kMs}));
      world_.crash(other);
      must(node.clock.sleep_until({5 * kMs}));
      world_.crash(1 - other);
      ADD_FAILURE() << "a killed fiber went on";
    });
  }
  run_for(100 * kMs);
  EXPECT_EQ(alive_, 0);
  EXPECT_FALSE(world_.running(0));
  EXPECT_FALSE(world_.running(1));
}

TEST_F(KillWorld, a_paused_node_can_be_killed_and_boots_unpaused) {
  for (bool power : {false, true}) {
    world_.boot(0, [&](Node& node) {
      Tracked guard(alive_);
      for (;;) must(node.clock.sleep(milliseconds(1)));
    });
    run_for(5 * kMs);
    world_.pause(0);
    run_for(50 * kMs);
    EXPECT_EQ(alive_, 1);
    power ? world_.power_off(0) : world_.crash(0);
    EXPECT_EQ(alive_, 0);
    world_.power_on(0);
    bool ran = false;
    world_.boot(0, [&](Node& node) {
      must(node.clock.sleep(milliseconds(1)));
      ran = true;
    });
    run_for(50 * kMs);
    EXPECT_TRUE(ran);
    EXPECT_FALSE(world_.running(0));
  }
}

TEST_F(KillWorld, after_a_power_loss_the_peer_hears_nothing_until_the_machine_is_back) {
  // The dying streams of the node must not reach the world: it was cut first.
  bool heard = false;
  base::Result<> outcome;
  world_.boot(0, [&](Node& node) {
    auto listener = must(node.network.listen({world_.address(0), 9092}, {}));
    auto stream = must(listener->accept(kNever));
    must(write(node, *stream, text("hello")));
    (void)node.clock.sleep_until(kNever);
  });
  boot_beside([&](Node& node) {
    must(node.clock.sleep(milliseconds(2)));
    auto stream = must(node.network.connect({world_.address(0), 9092}, soon(node)));
    must(stream->read_exact(5, soon(node)));
    Nursery nursery(node.tasks);
    nursery.spawn("reader", [&] {
      auto end = stream->read_some(10, kNever);
      heard = true;
      if (!end) outcome = std::unexpected(end.error());
    });
    must(node.clock.sleep(seconds(8)));
    // The machine is back and knows nothing of the connection: it answers with a reset.
    must(write(node, *stream, text("are you there?")));
    nursery.join_all(kNever);
  });
  run_for(1'000 * kMs);
  world_.power_off(0);
  run_for(4'000 * kMs);
  EXPECT_FALSE(heard);
  world_.power_on(0);
  run_for(2'000 * kMs);
  EXPECT_FALSE(heard);
  run_for(60'000 * kMs);
  EXPECT_TRUE(heard);
  EXPECT_TRUE(fails(outcome, Errc::reset));
}

TEST_F(KillWorld, a_program_is_destroyed_with_its_incarnation) {
  auto shared = std::make_shared<int>(1);
  for (int i = 0; i < 3; ++i) {
    world_.boot(0, [shared](Node& node) { (void)node.clock.sleep_until(kNever); });
    run_for(kMs);
    EXPECT_EQ(shared.use_count(), 2);
    i % 2 == 0 ? world_.crash(0) : world_.power_off(0);
    EXPECT_EQ(shared.use_count(), 1);
    world_.power_on(0);
  }
}

}  // namespace
}  // namespace verdict::conformance
