// What the simulator costs by itself: events, messages, idle time, the trace hash.

#include <benchmark/benchmark.h>

#include "sim/world.h"
#include "tests/bench/count_new.h"

namespace verdict::sim {
namespace {

using base::Slice;
using runtime::Instant;
using runtime::Node;

constexpr int64_t kMillisecond = 1'000'000;

WorldOptions plain_options(bool hash) {
  WorldOptions options;
  options.kernel.hash_trace = hash;
  return options;
}

// Fibers that do nothing but sleep: timer, switch, keyed cost and trace entry of each event.
void timer_and_fiber(benchmark::State& state) {
  WorldOptions options = plain_options(state.range(1) != 0);
  World world(options);
  uint32_t node = world.add_node({.name = "n"});
  auto fibers = state.range(0);
  uint64_t runs = 0;
  world.boot(node, [&runs, fibers](Node& n) {
    runtime::Nursery nursery(n.tasks);
    for (int64_t i = 0; i < fibers; ++i) {
      nursery.spawn("sleeper", [&n, &runs] {
        while (n.clock.sleep(runtime::microseconds(500))) ++runs;
      });
    }
    nursery.join_all(Instant::never());
  });
  for (auto _ : state) world.run_until(world.now_ns() + 10 * kMillisecond);
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(runs), benchmark::Counter::kIsRate);
}
BENCHMARK(timer_and_fiber)->Args({4, 1})->Args({16, 1})->Args({16, 0});

// Pairs of nodes that send 64-byte messages one way, with a timer per read and a crash now and
// then.
void delivered_messages(benchmark::State& state) {
  World world(plain_options(true));
  auto received = std::make_unique<uint64_t>(0);
  uint32_t server = world.add_node({.name = "server"});
  uint32_t client = world.add_node({.name = "client"});
  Program serve = [count = received.get()](Node& n) {
    auto listener = n.network.listen({"0.0.0.0", 7}, {});
    if (!listener) return;
    runtime::Nursery connections(n.tasks);
    for (;;) {
      auto stream = (*listener)->accept(Instant::never());
      if (!stream) break;
      connections.spawn("reader", [count, &n, s = std::move(*stream)]() mutable {
        for (;;) {
          auto bytes = s->read_some(64, n.clock.after(runtime::seconds(30)));
          if (!bytes || bytes->empty()) return;
          ++*count;
        }
      });
    }
    connections.stop();
  };
  Program send = [address = world.address(server)](Node& n) {
    Slice message = Slice::copy_of(std::string(64, 'm'));
    for (;;) {
      auto stream = n.network.connect({address, 7}, n.clock.after(runtime::seconds(1)));
      if (!stream) {
        if (!n.clock.sleep(runtime::milliseconds(10))) return;
        continue;
      }
      while ((*stream)->write_all({&message, 1}, n.clock.after(runtime::seconds(1)))) {
        if (!n.clock.sleep(runtime::microseconds(5))) return;
      }
    }
  };
  world.boot(server, serve);
  world.boot(client, send);
  int64_t next_crash = 500 * kMillisecond;
  world.run_until(100 * kMillisecond);  // connected, and every pool as large as it gets
  const uint64_t received_before = *received;
  const uint64_t events_before = world.event_count();
  const uint64_t allocations_before = bench::allocations;
  for (auto _ : state) {
    world.run_until(world.now_ns() + 10 * kMillisecond);
    if (world.now_ns() < next_crash) continue;
    next_crash += 500 * kMillisecond;
    world.crash(server);
    world.boot(server, serve);
  }
  const auto messages = static_cast<double>(*received - received_before);
  state.counters["messages/s"] = benchmark::Counter(messages, benchmark::Counter::kIsRate);
  state.counters["events/message"] =
      static_cast<double>(world.event_count() - events_before) / messages;
  state.counters["allocations/message"] =
      static_cast<double>(bench::allocations - allocations_before) / messages;
}
BENCHMARK(delivered_messages);

}  // namespace
}  // namespace verdict::sim

BENCHMARK_MAIN();
