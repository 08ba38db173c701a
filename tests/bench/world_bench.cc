// What a whole broker costs in the world: idle, and what the trace hash costs under the load of a
// trial. A trial itself, with faults and checkers, is measured by `verdict run`.

#include <benchmark/benchmark.h>

#include <time.h>

#include "broker/base/check.h"
#include "scenarios/broker_program.h"
#include "scenarios/proto/verdict.pb.h"
#include "scenarios/scenario.h"
#include "scenarios/workload.h"
#include "sim/world.h"

namespace verdict::scenarios {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kIdleSeconds = 10'000;
constexpr int64_t kSettleSeconds = 20;  // for clients to end
constexpr uint64_t kSeeds = 16;

proto::Scenario steady_load() {
  auto found = find_scenario("steady_load");
  CHECK(found.has_value());
  return *found;
}

// One broker that nobody asks anything.
void idle_broker(benchmark::State& state) {
  const BrokerProgram program(steady_load(), 0);
  uint64_t events = 0;
  int64_t simulated_ns = 0;
  for (auto _ : state) {
    sim::World world({});
    const uint32_t node = world.add_node({.name = "broker-1"});
    world.boot(node, program.make());
    world.run_until(kIdleSeconds * kSecond);
    CHECK(world.running(node));
    events += world.event_count();
    simulated_ns += world.now_ns();
  }
  const double simulated_s = static_cast<double>(simulated_ns) / 1e9;
  state.counters["simulated_s/s"] = benchmark::Counter(simulated_s, benchmark::Counter::kIsRate);
  state.counters["events/simulated_s"] = static_cast<double>(events) / simulated_s;
}
BENCHMARK(idle_broker)->Unit(benchmark::kMillisecond);

// The cluster, the clients and the load of the scenario, without faults and without judgement.
class LoadedWorld {
 public:
  LoadedWorld(const proto::Scenario& scenario, uint64_t seed, bool hash)
      : world_(options(seed, hash)),
        load_{.scenario = scenario,
              .history = history_,
              .choices = world_.kernel().choices(),
              .bootstrap_host = "broker-1"} {
    const uint32_t broker = world_.add_node({.name = "broker-1"});
    const proto::Workload& workload = scenario.workload();
    load_.safety_ns = static_cast<int64_t>(scenario.phases().safety_s()) * kSecond;
    load_.world_now_ns = [this] { return world_.now_ns(); };
    load_.producers.resize(workload.producers());
    load_.consumers.resize(workload.consumers());
    world_.boot(broker, BrokerProgram(scenario, broker).make());
    boot_client("setup", [this](runtime::Node& n) { run_setup(n, load_); });
    for (size_t i = 0; i < load_.producers.size(); ++i) {
      load_.producers[i].name = "producer-" + std::to_string(i + 1);
      load_.producers[i].records_left = workload.records() / workload.producers();
      boot_client(load_.producers[i].name,
                  [this, i](runtime::Node& n) { run_producer(n, load_, i); });
    }
    for (size_t i = 0; i < load_.consumers.size(); ++i) {
      load_.consumers[i].name = "consumer-" + std::to_string(i + 1);
      boot_client(load_.consumers[i].name,
                  [this, i](runtime::Node& n) { run_consumer(n, load_, i); });
    }
  }

  void run() {
    world_.run_until(load_.safety_ns);
    load_.finish = true;
    world_.run_until(load_.safety_ns + kSettleSeconds * kSecond);
    CHECK(history_.acked_count() > 0);
  }
  uint64_t acked() const { return history_.acked_count(); }

 private:
  static sim::WorldOptions options(uint64_t seed, bool hash) {
    sim::WorldOptions options;
    options.kernel.seed = seed;
    options.kernel.hash_trace = hash;
    return options;
  }
  void boot_client(std::string name, sim::Program program) {
    world_.boot(world_.add_node({.name = std::move(name)}), std::move(program));
  }

  History history_;
  sim::World world_;
  Load load_;
};

int64_t cpu_ns() {
  timespec now{};
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// CPU time of one loaded world, from its making to its end.
int64_t loaded_world_ns(const proto::Scenario& scenario, uint64_t seed, bool hash,
                        uint64_t* acked) {
  const int64_t began = cpu_ns();
  {
    LoadedWorld loaded(scenario, seed, hash);
    loaded.run();
    *acked = loaded.acked();
  }
  return cpu_ns() - began;
}

// The same seeds with the trace hash and without, in turns; every other seed begins with the other.
void trace_hash(benchmark::State& state) {
  const proto::Scenario scenario = steady_load();
  int64_t spent_ns[2] = {0, 0};
  uint64_t seed = 0;
  for (auto _ : state) {
    ++seed;
    uint64_t acked[2] = {0, 0};
    for (uint64_t turn : {seed % 2, (seed + 1) % 2}) {
      spent_ns[turn] += loaded_world_ns(scenario, 1 + seed % kSeeds, turn == 1, &acked[turn]);
    }
    CHECK(acked[0] == acked[1]);  // the hash changes nothing
  }
  state.counters["hash_percent"] =
      (static_cast<double>(spent_ns[1]) / static_cast<double>(spent_ns[0]) - 1) * 100;
}
BENCHMARK(trace_hash)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace verdict::scenarios

BENCHMARK_MAIN();
