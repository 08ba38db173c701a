// Ten thousand lives of a node: boot, work of every kind, and an end by crash, by power loss or in
// good order. What its disk promised is held against it at the next boot.

#include <algorithm>

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

// What outlives the processes of the node: what was promised to be on its disk.
struct Promises {
  struct OfShard {
    uint64_t synced = 0;   // bytes of the log that survive a power loss
    uint64_t written = 0;  // bytes that survive a crash of the process
  };
  std::vector<OfShard> shards;
  int alive = 0;
  uint64_t boots = 0;
  uint64_t syncs = 0;
  uint64_t echoes = 0;
  uint64_t posts = 0;
  uint64_t good_ends = 0;
};

constexpr uint64_t kLogBytesMax = 64 * 1024;

// One incarnation of one shard: recovers its log, then does a little of everything at once.
class Life {
 public:
  Life(Node& node, Promises& promises, std::string peer, uint64_t seed)
      : node_(node),
        promises_(promises),
        mine_(promises.shards[node.tasks.shard().value]),
        peer_(std::move(peer)),
        dice_(base::combine(seed, node.tasks.shard().value)),
        alive_(promises.alive),
        mutex_(node.tasks),
        channel_(node.tasks, 2),
        nursery_(node.tasks) {}

  void run() {
    recover();
    ++promises_.boots;
    nursery_.spawn("writer", [this] { write_log(); });
    nursery_.spawn("client", [this] { echo(); });
    nursery_.spawn("names", [this] { change_names(); });
    nursery_.spawn("tree", [this] { grow(0); });
    nursery_.spawn("poster", [this] { post(); });
    nursery_.spawn("sender", [this] {
      while (channel_.send(1, kNever)) {
      }
    });
    nursery_.spawn("receiver", [this] {
      while (channel_.receive(kNever)) must_or_cancelled(node_.clock.sleep(milliseconds(1)));
    });
    (void)node_.stop.wait(kNever);
    nursery_.stop();
    ++promises_.good_ends;
  }

 private:
  static void must_or_cancelled(const base::Result<>& result) {
    EXPECT_TRUE(result.has_value() || result.error().code == Errc::cancelled);
  }
  void nap() {
    must_or_cancelled(
        node_.clock.sleep(runtime::microseconds(static_cast<int64_t>(dice_.below(2'000)))));
  }

  void recover() {
    std::string name = "log-" + std::to_string(node_.tasks.shard().value);
    log_ = must(node_.data.open(name, OpenMode::open_or_create));
    must(node_.data.sync());
    uint64_t size = log_->size();
    ASSERT_GE(size, mine_.written);
    ASSERT_GE(size, mine_.synced);
    Slice all = must(log_->read_at(0, size));
    ASSERT_EQ(all.size(), size);
    uint64_t good = std::max(mine_.synced, mine_.written);
    ASSERT_TRUE(is_pattern(node_.tasks.shard().value, 0, all.cut(0, good)));
    // What nobody was promised is cut, as a torn tail is.
    must(log_->truncate(good));
    mine_.written = good;
    if (good > kLogBytesMax) {
      mine_ = {};
      must(log_->truncate(0));
    }
    must(log_->sync());
    mine_.synced = mine_.written;
  }

  void write_log() {
    Tracked guard(promises_.alive);
    while (!node_.tasks.cancelled()) {
      Slice piece = pattern(node_.tasks.shard().value, mine_.written, dice_.between(1, 3'000));
      must(log_->write_at(mine_.written, {&piece, 1}));
      mine_.written += piece.size();
      node_.observer.reached(kHere);
      if (dice_.below(3) == 0) {
        uint64_t covered = mine_.written;
        must(log_->sync());
        mine_.synced = std::max(mine_.synced, covered);
        ++promises_.syncs;
      }
      nap();
    }
  }

  void echo() {
    Tracked guard(promises_.alive);
    while (!node_.tasks.cancelled()) {
      nap();
      auto stream = node_.network.connect({peer_, 7}, node_.clock.after(seconds(1)));
      if (!stream) continue;
      Slice word = pattern(5, 0, dice_.between(1, 20'000));
      if (!(*stream)->write_all({&word, 1}, node_.clock.after(seconds(1)))) continue;
      node_.observer.reached(kHere);
      auto back = (*stream)->read_exact(word.size(), node_.clock.after(seconds(1)));
      if (!back) continue;
      EXPECT_TRUE(is_pattern(5, 0, back->flatten()));
      ++promises_.echoes;
    }
  }

  void change_names() {
    Tracked guard(promises_.alive);
    auto directory = must(node_.data.subdirectory("names", OpenMode::open_or_create));
    std::string name = std::to_string(node_.tasks.shard().value);
    while (!node_.tasks.cancelled()) {
      must(directory->open(name + ".new", OpenMode::open_or_create));
      nap();
      must(directory->rename(name + ".new", name));
      node_.observer.reached(kHere);
      if (dice_.below(2) == 0) must(directory->sync());
      if (dice_.below(4) == 0) must(directory->remove(name));
    }
  }

  void grow(int depth) {
    Tracked guard(promises_.alive);
    Nursery below(node_.tasks);
    for (uint64_t n = dice_.below(3); n > 0 && depth < 4; --n) {
      below.spawn("branch", [this, depth] { grow(depth + 1); });
    }
    {
      runtime::LockGuard lock(mutex_);
      nap();
      node_.observer.reached(kHere);
    }
    if (dice_.below(2) == 0) node_.tasks.offload([this] { ++offloaded_; });
    below.join_all(kNever);
    below.stop();
  }

  void post() {
    Tracked guard(promises_.alive);
    while (!node_.tasks.cancelled()) {
      base::ShardId to{static_cast<uint32_t>(dice_.below(node_.tasks.shard_count()))};
      node_.tasks.post(to, [p = &promises_, own = Tracked(promises_.alive)] { ++p->posts; });
      nap();
    }
  }

  Node& node_;
  Promises& promises_;
  Promises::OfShard& mine_;
  std::string peer_;
  Dice dice_;
  Tracked alive_;
  std::unique_ptr<runtime::File> log_;
  int offloaded_ = 0;
  runtime::Mutex mutex_;
  runtime::Channel<int> channel_;
  Nursery nursery_;
};

// The peer: answers what it is sent.
void serve_echo(Node& node, const std::string& host) {
  auto listener = must(node.network.listen({host, 7}, {}));
  Nursery nursery(node.tasks);
  for (;;) {
    auto stream = listener->accept(kNever);
    if (!stream) continue;
    nursery.spawn("connection", [&node, stream = std::move(*stream)] {
      for (;;) {
        auto slice = stream->read_some(1 << 20, node.clock.after(seconds(2)));
        if (!slice || slice->empty()) return;
        if (!stream->write_all({&*slice, 1}, node.clock.after(seconds(2)))) return;
      }
    });
  }
}

class ManyLives : public sim::Watcher {
 public:
  ManyLives(uint64_t seed, uint32_t shards)
      : world_({.kernel = {.seed = seed}, .net = {}}), dice_(seed) {
    promises_.shards.resize(shards);
    world_.add_node({.name = "subject", .shards = shards, .disk = {.sync_tail_permille = 0}});
    world_.add_node({.name = "echo"});
    world_.set_watcher(this);
    world_.boot(1, [host = world_.address(1)](Node& node) { serve_echo(node, host); });
  }
  bool on_probe(uint32_t node, const Probe&, uint64_t) override {
    if (kill_at_probe_ == 0 || --kill_at_probe_ > 0) return false;
    ++ends_at_probe;
    power_ ? world_.power_off(node) : world_.crash(node);
    return false;
  }

  // One life: boots, runs a while, ends in one of the ways there are.
  void live() {
    const uint64_t seed = dice_.next();
    world_.boot(0, [this, seed](Node& node) {
      Life life(node, promises_, world_.address(1), seed);
      life.run();
    });
    power_ = dice_.below(2) == 0;
    // From "before anything ran" to a few syncs later.
    const int64_t length = static_cast<int64_t>(dice_.below(uint64_t{1} << dice_.below(28)));
    switch (dice_.below(5)) {
      case 0:
        kill_at_probe_ = dice_.between(1, 12);
        world_.run_until(world_.now_ns() + 60 * kMs, [this] { return !world_.running(0); });
        kill_at_probe_ = 0;
        break;
      case 1:
        world_.run_until(world_.now_ns() + length);
        world_.stop(0);
        world_.run_until(world_.now_ns() + 10'000 * kMs, [this] { return !world_.running(0); });
        ASSERT_FALSE(world_.running(0));
        ++ends_in_good_order;
        break;
      default:
        world_.run_until(world_.now_ns() + length);
        break;
    }
    power_ ? world_.power_off(0) : world_.crash(0);
    power_ ? ++power_losses : ++crashes;
    ASSERT_FALSE(world_.running(0));
    ASSERT_EQ(promises_.alive, 0);
    if (!world_.powered(0)) {
      // A power loss takes what was written and not synced.
      for (auto& shard : promises_.shards) shard.written = shard.synced;
      if (dice_.below(2) == 0) world_.run_until(world_.now_ns() + length);
      world_.power_on(0);
    }
  }

  const Promises& promises() const { return promises_; }
  sim::World& world() { return world_; }
  uint64_t ends_at_probe = 0;
  uint64_t ends_in_good_order = 0;
  uint64_t power_losses = 0;
  uint64_t crashes = 0;

 private:
  sim::World world_;
  Dice dice_;
  Promises promises_;
  uint64_t kill_at_probe_ = 0;
  bool power_ = false;
};

TEST(KillMany, ten_thousand_boots_crashes_power_losses_and_restarts) {
  constexpr int kLives = 10'000;
  Promises all;
  for (uint32_t shards : {1U, 2U, 3U}) {
    ManyLives lives(100 + shards, shards);
    for (int i = 0; i < kLives / 3 + 1; ++i) {
      lives.live();
      ASSERT_FALSE(testing::Test::HasFailure()) << "life " << i << " on " << shards << " shards";
    }
    EXPECT_GT(lives.ends_at_probe, 300U);
    EXPECT_GT(lives.ends_in_good_order, 300U);
    EXPECT_GT(lives.power_losses, 1'000U);
    EXPECT_GT(lives.crashes, 1'000U);
    // They were lives: what they are made of happened.
    EXPECT_GT(lives.promises().boots, 1'000U);
    EXPECT_GT(lives.promises().syncs, 1'000U);
    EXPECT_GT(lives.promises().echoes, 1'000U);
    EXPECT_GT(lives.promises().posts, 1'000U);
    EXPECT_GT(lives.promises().good_ends, 300U);
    // Nothing of ten thousand lives is left but the peer.
    EXPECT_LT(lives.world().kernel().live_fibers(), 100U);
  }
}

TEST(KillMany, the_same_lives_give_the_same_hash) {
  uint64_t first = 0;
  for (int round = 0; round < 2; ++round) {
    ManyLives lives(7, 2);
    for (int i = 0; i < 100; ++i) lives.live();
    if (round == 0) first = lives.world().trace_hash();
    EXPECT_EQ(lives.world().trace_hash(), first);
  }
  ManyLives others(8, 2);
  for (int i = 0; i < 100; ++i) others.live();
  EXPECT_NE(others.world().trace_hash(), first);
}

}  // namespace
}  // namespace verdict::conformance
