// Random traffic under random hardship against the model of a byte stream; independence.

#include <array>
#include <deque>

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;
using runtime::Instant;
using runtime::Nursery;
using runtime::Stream;

constexpr size_t kHeader = 8;

// A generator of the test's own, apart from the choices of the world.
class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(base::mix64(seed)) {}
  uint64_t roll(uint64_t bound) { return base::mix64(seed_ + ++k_ * 0x9e3779b9ULL) % bound; }

 private:
  uint64_t seed_;
  uint64_t k_ = 0;
};

// What both ends of every connection know, told by the programs to somebody outside the world.
struct Direction {
  uint64_t taken = 0;  // bytes that the stream accepted
  uint64_t read = 0;
  bool finished = false;  // the writer wrote all it wanted
  bool ended = false;     // the reader saw the end
};
struct Ledger {
  std::deque<std::array<Direction, 2>> connections;  // its elements stay where they are
  size_t completed = 0;  // connections whose both directions ended in good order
  size_t errors = 0;
  size_t bytes = 0;
};

class Traffic {
 public:
  Traffic(Ledger& ledger, uint64_t seed) : ledger_(ledger), seed_(seed) {}

  // Accepts for ever; the first bytes of a connection say which it is.
  void serve(NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {.backlog = 4});
    CHECK(listener.has_value());
    Nursery nursery(p.tasks);
    for (;;) {
      auto accepted = (*listener)->accept(Instant::never());
      if (!accepted) break;
      nursery.spawn("server", [this, &p, stream = std::move(*accepted)] {
        auto header = stream->read_exact(kHeader, Instant::never());
        if (!header) return;
        std::string text(header->flatten().text());
        both_ways(p, *stream, std::stoull(text), 1);
      });
    }
    nursery.stop();
  }
  // One connection after the other to `targets`.
  void drive(NetProgram& p, std::vector<std::string> targets, uint64_t entity, size_t count) {
    Dice dice(base::combine(seed_, entity));
    for (size_t i = 0; i < count; ++i) {
      p.sleep_ms(static_cast<int64_t>(dice.roll(500)));
      auto stream = p.network.connect({targets[dice.roll(targets.size())], kPort}, p.in_ms(8000));
      if (!stream) {
        ++ledger_.errors;
        continue;
      }
      uint64_t id = ledger_.connections.size();
      ledger_.connections.emplace_back();
      std::string header = std::to_string(id);
      header.insert(0, kHeader - header.size(), '0');
      Slice slice = Slice::copy_of(header);
      if ((*stream)->write_all({&slice, 1}, Instant::never())) both_ways(p, **stream, id, 0);
    }
  }

 private:
  void both_ways(NetProgram& p, Stream& stream, uint64_t id, size_t s) {
    Nursery nursery(p.tasks);
    nursery.spawn("writer", [&] { write(p, stream, id, s); });
    read(p, stream, id, 1 - s);
    nursery.stop();
    const auto& both = ledger_.connections[id];
    if (both[0].ended && both[1].ended && both[0].finished && both[1].finished) {
      ++ledger_.completed;
    }
  }
  void write(NetProgram& p, Stream& stream, uint64_t id, size_t s) {
    Dice dice(base::combine(base::combine(seed_, id), s));
    uint64_t total = 1 + dice.roll(120'000);
    for (uint64_t at = 0; at < total;) {
      Slice parts[3];
      for (Slice& part : parts) {
        uint64_t n = std::min(total - at, dice.roll(8) == 0 ? dice.roll(60'000) : dice.roll(300));
        part = pattern_slice(2 * id + s, at, n);
        at += n;
      }
      if (!write_parts(stream, parts, ledger_.connections[id][s].taken)) {
        ++ledger_.errors;
        return;
      }
      if (dice.roll(4) == 0) p.sleep_ms(static_cast<int64_t>(dice.roll(20)));
      if (dice.roll(8) == 0) p.sleep_ms(static_cast<int64_t>(dice.roll(2'000)));
    }
    ledger_.connections[id][s].finished = true;
    stream.shutdown_write();
  }
  static bool write_parts(Stream& stream, std::span<const Slice> parts, uint64_t& taken) {
    base::Slices rest;
    for (const Slice& part : parts) rest.push_back(part);
    while (!rest.empty()) {
      auto n = stream.try_write(rest.span());
      if (!n) return false;
      taken += *n;
      rest = rest.cut(*n, rest.size() - *n);
      if (!rest.empty() && !runtime::wait_for(stream.writable(), Instant::never())) return false;
    }
    return true;
  }
  void read(NetProgram& p, Stream& stream, uint64_t id, size_t d) {
    Dice dice(base::combine(base::combine(seed_, id), d + 7));
    for (;;) {
      auto slice = stream.read_some(1 + dice.roll(20'000), Instant::never());
      Direction& direction = ledger_.connections[id][d];
      if (!slice) {
        ++ledger_.errors;
        return;
      }
      if (slice->empty()) {
        // The end stands behind every byte that was taken.
        ASSERT_EQ(direction.read, direction.taken);
        direction.ended = true;
        return;
      }
      ASSERT_TRUE(matches_pattern(2 * id + d, direction.read, *slice)) << id;
      direction.read += slice->size();
      ledger_.bytes += slice->size();
      ASSERT_LE(direction.read, direction.taken);
      if (dice.roll(50) == 0) p.sleep_ms(static_cast<int64_t>(dice.roll(30)));
    }
  }
  Ledger& ledger_;
  uint64_t seed_;
};

// Three machines that all talk to each other while something happens to them every 300 ms or so.
class Chaos {
 public:
  static constexpr uint32_t kNodes = 3;
  static constexpr int64_t kHardshipMs = 30'000;

  explicit Chaos(uint64_t seed) : rig_(seed), dice_(seed), traffic_(ledger, seed) {
    for (const char* name : {"a", "b", "c"}) rig_.add(name);
    for (uint32_t i = 0; i < kNodes; ++i) boot(i);
  }
  void run() {
    while (rig_.kernel.now_ns() < kHardshipMs * kMs) {
      rig_.run_ms(static_cast<int64_t>(1 + dice_.roll(600)));
      hardship();
    }
    effects = rig_.net.effects();
    heal_all();
    // Whoever waits for bytes held by a cut, or for a machine that forgot, has its answer by now.
    rig_.run_ms(300'000);
  }
  uint64_t hash() { return rig_.kernel.trace_hash(); }
  uint64_t events() { return rig_.kernel.event_count(); }
  NetRig& rig() { return rig_; }

  Ledger ledger;
  NetEffects effects;

 private:
  void boot(uint32_t i) {
    uint32_t incarnation = rig_.node(i).incarnation;
    rig_.boot(i, [this, i, incarnation](NetProgram& p) {
      Nursery nursery(p.tasks);
      nursery.spawn("serve", [&] { traffic_.serve(p); });
      for (uint64_t k = 0; k < 3; ++k) {
        nursery.spawn("drive", [this, &p, i, incarnation, k] {
          traffic_.drive(p, {"a", "b", "c"}, i * 1000 + incarnation * 10 + k, 12);
        });
      }
      (void)nursery.join_all(Instant::never());
    });
  }
  void hardship() {
    auto x = static_cast<uint32_t>(dice_.roll(kNodes));
    auto y = static_cast<uint32_t>((x + 1 + dice_.roll(kNodes - 1)) % kNodes);
    KernelNode& from = rig_.node(x);
    KernelNode& to = rig_.node(y);
    switch (dice_.roll(16)) {
      case 0:
      case 1:
        rig_.net.cut(from, to);
        break;
      case 2:
        rig_.cut_both(x, y);
        break;
      case 3:
      case 4:
      case 5:
        rig_.heal_both(x, y);
        break;
      case 6:
        rig_.net.reset_connections(from, &to);
        break;
      case 7:
        rig_.net.half_open(from, &to);
        break;
      case 8:
        crash_or_boot(x);
        break;
      case 9:
        power(x);
        break;
      case 10:
        pause(x);
        break;
      case 11:
        slow(from, to);
        break;
      case 12:
        rig_.net.set_short_reads(from, dice_.roll(1001));
        break;
      case 13:
        rig_.net.refuse_connects(from, dice_.roll(2) == 0);
        break;
      case 14:
        rig_.net.hang_connects(from, dice_.roll(2) == 0);
        break;
      case 15:
        rig_.net.limit_backlog(from, static_cast<uint32_t>(dice_.roll(2)));
        break;
    }
  }
  void crash_or_boot(uint32_t x) {
    if (rig_.running(x)) {
      rig_.crash(x);
    } else if (!dark_[x]) {
      boot(x);
    }
  }
  void power(uint32_t x) {
    if (dark_[x]) {
      rig_.power_on(x);
      boot(x);
    } else {
      rig_.power_off(x);
    }
    dark_[x] = !dark_[x];
  }
  void pause(uint32_t x) {
    if (!rig_.running(x)) return;
    rig_.node(x).paused = !rig_.node(x).paused;
    rig_.poke(x);
  }
  void slow(KernelNode& from, KernelNode& to) {
    SlowLink slow;
    if (dice_.roll(2) == 0) {
      slow.extra_latency_ns = static_cast<int64_t>(dice_.roll(300)) * kMs;
      slow.bandwidth_bytes_per_s = static_cast<int64_t>(dice_.roll(3)) * 500'000;
    }
    rig_.net.slow_link(from, to, slow);
  }
  void heal_all() {
    for (uint32_t x = 0; x < kNodes; ++x) {
      if (dark_[x]) power(x);
      if (!rig_.running(x)) boot(x);
      if (rig_.node(x).paused) pause(x);
      rig_.net.refuse_connects(rig_.node(x), false);
      rig_.net.hang_connects(rig_.node(x), false);
      rig_.net.limit_backlog(rig_.node(x), 0);
      for (uint32_t y = 0; y < kNodes; ++y) {
        if (x == y) continue;
        rig_.net.heal(rig_.node(x), rig_.node(y));
        rig_.net.slow_link(rig_.node(x), rig_.node(y), {});
      }
    }
  }
  NetRig rig_;
  Dice dice_;
  Traffic traffic_;
  bool dark_[kNodes] = {false, false, false};
};

TEST(NetModel, streams_stay_streams_under_every_hardship) {
  Ledger all;
  NetEffects effects;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Chaos chaos(seed);
    chaos.run();
    ASSERT_FALSE(testing::Test::HasFatalFailure());
    all.completed += chaos.ledger.completed;
    all.errors += chaos.ledger.errors;
    all.bytes += chaos.ledger.bytes;
    effects += chaos.effects;
    EXPECT_GT(chaos.ledger.completed, 0U);
    // Nothing is still on its way but in connections whose peer went away without a word.
    EXPECT_EQ(chaos.rig().net.bytes_on_the_way(), 0U);
  }
  // The test has no teeth unless every hardship really happened.
  EXPECT_GT(all.completed, 1500U);
  EXPECT_GT(all.errors, 1000U);
  EXPECT_GT(effects.bytes_held, 0U);
  EXPECT_GT(effects.acks_held, 0U);
  EXPECT_GT(effects.connects_held, 0U);
  EXPECT_GT(effects.connects_hung, 0U);
  EXPECT_GT(effects.connects_refused, 0U);
  EXPECT_GT(effects.accept_overflows, 0U);
  EXPECT_GT(effects.resets_hit_open, 0U);
  EXPECT_GT(effects.sides_forgotten, 0U);
  EXPECT_GT(effects.short_reads, 0U);
  EXPECT_GT(effects.bytes_delayed, 0U);
  RecordProperty("completed", static_cast<int>(all.completed));
  RecordProperty("errors", static_cast<int>(all.errors));
}

TEST(NetModel, the_same_seed_gives_the_same_trace) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Chaos first(seed);
    first.run();
    Chaos second(seed);
    second.run();
    EXPECT_EQ(first.hash(), second.hash());
    EXPECT_EQ(first.events(), second.events());
    Chaos other(seed + 1000);
    other.run();
    EXPECT_NE(first.hash(), other.hash());
  }
}

// ---------------------------------------------------------------- independence

struct Hashes {
  uint64_t a, b, c, d;
};

// a and b talk, c and d talk over `others` connections, and `fault` may happen to c and d.
Hashes run_pairs(size_t others, const std::function<void(NetRig&)>& fault = nullptr) {
  NetRig rig(42);
  Ledger here;
  Ledger there;
  Traffic near(here, 1);
  Traffic far(there, 2);
  for (const char* name : {"a", "b", "c", "d"}) rig.add(name);
  rig.boot(0, [&](NetProgram& p) { near.serve(p); });
  rig.boot(1, [&](NetProgram& p) { near.drive(p, {"a"}, 1, 20); });
  rig.boot(2, [&](NetProgram& p) { far.serve(p); });
  rig.boot(3, [&](NetProgram& p) { far.drive(p, {"c"}, 1, others); });
  for (int i = 0; i < 5; ++i) {
    rig.run_ms(1'000);
    rig.net.cut(rig.node(1), rig.node(0));
    if (fault) fault(rig);
    rig.run_ms(300);
    rig.net.heal(rig.node(1), rig.node(0));
  }
  rig.run_ms(60'000);
  EXPECT_GT(here.bytes, 100'000U);
  return {rig.node(0).hash.value(), rig.node(1).hash.value(), rig.node(2).hash.value(),
          rig.node(3).hash.value()};
}

TEST(NetIndependence, traffic_and_faults_between_other_nodes_change_nothing_here) {
  Hashes quiet = run_pairs(0);
  Hashes one = run_pairs(1);
  Hashes many = run_pairs(20);
  Hashes faulty = run_pairs(20, [](NetRig& rig) {
    rig.net.reset_connections(rig.node(2));
    rig.net.cut(rig.node(2), rig.node(3));
  });
  for (const Hashes& hashes : {one, many, faulty}) {
    EXPECT_EQ(hashes.a, quiet.a);
    EXPECT_EQ(hashes.b, quiet.b);
  }
  EXPECT_NE(one.c, quiet.c);
  EXPECT_NE(many.c, one.c);
  EXPECT_NE(faulty.c, many.c);
}

}  // namespace
}  // namespace verdict::sim
