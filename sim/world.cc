#include "sim/world.h"

#include <cstring>

namespace verdict::sim {
namespace {

constexpr ChoiceStream kEntropyStream{"entropy"};

class WorldClock final : public runtime::Clock {
 public:
  WorldClock(Kernel& kernel, KernelNode& node, runtime::Tasks& tasks)
      : kernel_(kernel), node_(node), tasks_(tasks) {}
  runtime::Instant now() override { return kernel_.now(tasks_); }
  runtime::WallTime wall() override {
    ++node_.clock.wall_reads;
    return {node_.clock.wall_ns(kernel_.now_ns())};
  }
  base::Result<> sleep_until(runtime::Instant at) override {
    runtime::Wake wake = kernel_.suspend(nullptr, 0, at, true);
    CHECK(wake != runtime::Wake::notified);
    if (wake == runtime::Wake::cancelled) return base::fail(base::Errc::cancelled, "sleep");
    CHECK(now() >= at);
    return {};
  }

 private:
  Kernel& kernel_;
  KernelNode& node_;
  runtime::Tasks& tasks_;
};

// Every named stream is an entity of its own, so one more draw of one user moves nobody else's.
class WorldRandom final : public runtime::Random {
 public:
  WorldRandom(Kernel& kernel, KernelNode& node, const runtime::Tasks& tasks)
      : kernel_(kernel), node_(node), tasks_(tasks) {}
  uint64_t next(std::string_view name) override {
    uint64_t entity = base::combine(tasks_.path(), base::hash_text(name));
    ChoicePoint* point = points_.find(entity);
    if (point == nullptr) {
      point = &points_.set(entity, ChoicePoint(kernel_.choices(), kEntropyStream, entity));
      kernel_.choices().name_entity(entity, node_.name + " stream " + std::string(name));
    }
    uint64_t value = kernel_.choices().draw_entropy(*point);
    kernel_.record(node_, EventKind::entropy, entity, value, 0);
    return value;
  }
  void fill(std::string_view name, std::span<std::byte> secret) override {
    while (!secret.empty()) {
      uint64_t word = next(name);
      size_t n = std::min(secret.size(), sizeof word);
      std::memcpy(secret.data(), &word, n);
      secret = secret.subspan(n);
    }
  }

 private:
  Kernel& kernel_;
  KernelNode& node_;
  const runtime::Tasks& tasks_;
  base::HashMap<uint64_t, ChoicePoint> points_;
};

}  // namespace

class WorldObserver final : public runtime::Observer {
 public:
  WorldObserver(World& world, uint32_t node) : world_(world), node_(node) {}

  void log(runtime::Severity severity, std::string_view event,
           std::span<const runtime::Field> fields) override {
    world_.kernel_.record(*world_.machines_[node_]->kernel_node, EventKind::log,
                          base::hash_text(event), static_cast<uint64_t>(severity), fields.size());
    if (world_.watcher_ != nullptr && world_.watcher_->wants_log(severity)) {
      world_.watcher_->on_log(node_, severity, event, fields);
    }
  }
  // Severities from info up are events of the trace whether or not somebody reads them.
  bool wants(runtime::Severity severity) const override {
    return severity != runtime::Severity::debug ||
           (world_.watcher_ != nullptr && world_.watcher_->wants_log(severity));
  }
  void reached(const runtime::Probe& probe) override { provoke(probe); }
  bool provoke(const runtime::Probe& probe) override {
    World::Machine& machine = *world_.machines_[node_];
    uint64_t count = ++machine.probe_counts.at_or_create(probe.hash);
    ++world_.probe_counts_.at_or_create(probe.hash);
    world_.kernel_.record(*machine.kernel_node, EventKind::probe, probe.hash, count, 0);
    return world_.watcher_ != nullptr && world_.watcher_->on_probe(node_, probe, count);
  }

 private:
  World& world_;
  uint32_t node_;
};

// Everything that one shard's Node refers to.
struct World::ShardContext {
  ShardContext(World& world, Machine& machine, Shard& shard)
      : clock(world.kernel_, *machine.kernel_node, shard.tasks()),
        random(world.kernel_, *machine.kernel_node, shard.tasks()),
        network(world.net_->attach(*machine.kernel_node, shard.tasks())),
        data(machine.disk->attach(shard.tasks())),
        observer(world, machine.kernel_node->index),
        stop(shard.tasks()),
        node{clock,
             random,
             *network,
             *data,
             shard.tasks(),
             observer,
             machine.options.knobs,
             stop
#if VERDICT_EXHIBITS
             ,
             machine.exhibit
#endif
        } {
  }
  WorldClock clock;
  WorldRandom random;
  std::unique_ptr<runtime::Network> network;
  std::unique_ptr<runtime::Directory> data;
  WorldObserver observer;
  runtime::Event stop;
  runtime::Node node;
};

World::World(WorldOptions options)
    : kernel_(options.kernel), net_(std::make_unique<Net>(kernel_, options.net)) {}

World::~World() {
  for (auto& machine : machines_) {
    if (machine->incarnation == nullptr) continue;
    net_->process_ended(*machine->kernel_node);
    machine->disk->process_ended();
    end_incarnation(*machine);
  }
  kernel_.drop_events();
}

uint32_t World::add_node(NodeOptions options) {
  auto machine = std::make_unique<Machine>();
  KernelNode& node = kernel_.add_node(options.name);
  node.clock.drift_ppb = options.clock_drift_ppb;
  node.clock.offset_ns = options.clock_offset_ns;
  node.clock.wall_offset_ns = options.wall_start_ns - options.clock_offset_ns;
  machine->kernel_node = &node;
  machine->disk = std::make_unique<Disk>(kernel_, node, options.disk);
  net_->register_node(node, options.name);
  machine->options = std::move(options);
  machines_.push_back(std::move(machine));
  CHECK(node.index + 1 == machines_.size());
  return node.index;
}

std::string World::address(uint32_t node) const { return "10.0.0." + std::to_string(node + 1); }

// ---------------------------------------------------------------- life

void World::boot(uint32_t node, Program program) {
  CHECK(kernel_.current() == nullptr);
  Machine& m = machine(node);
  CHECK(m.powered);
  CHECK(m.incarnation == nullptr);
  KernelNode& k = *m.kernel_node;
  ++k.incarnation;
  k.running = true;
  kernel_.record(k, EventKind::boot, k.path, k.incarnation, m.options.shards);
  m.incarnation = std::make_unique<Incarnation>();
  Incarnation& incarnation = *m.incarnation;
  incarnation.program = std::move(program);
  for (uint32_t i = 0; i < m.options.shards; ++i) {
    incarnation.shards.push_back(
        std::make_unique<Shard>(kernel_, k, base::ShardId{i}, m.options.shards));
  }
  for (auto& shard : incarnation.shards) {
    shard->set_siblings(&incarnation.shards);
    incarnation.contexts.push_back(std::make_unique<ShardContext>(*this, m, *shard));
  }
  for (uint32_t i = 0; i < m.options.shards; ++i) {
    kernel_.spawn_root(incarnation.shards[i]->tasks(), "main", [this, node, i, &incarnation] {
      incarnation.program(incarnation.contexts[i]->node);
      look_for_exit(node, i, 1);
    });
  }
}

// A root goes on until its posts have ended, so the end of a process is looked for, not announced.
void World::look_for_exit(uint32_t node, uint32_t shard, int64_t after_ns) {
  uint32_t ordinal = machine(node).kernel_node->incarnation;
  kernel_.schedule(kernel_.now_ns() + after_ns, [this, node, shard, ordinal] {
    constexpr int64_t kLookAgainNs = 1'000'000;
    Machine& m = machine(node);
    if (m.incarnation == nullptr || m.kernel_node->incarnation != ordinal) return;
    if (m.incarnation->shards[shard]->tasks().root() != nullptr) {
      look_for_exit(node, shard, kLookAgainNs);
      return;
    }
    for (const auto& other : m.incarnation->shards) {
      if (other->tasks().root() != nullptr) return;
    }
    ++m.kernel_node->exits;
    crash_now(node);  // an exit looks to the world like a crash: the kernel closes what was open
  });
}

void World::end_incarnation(Machine& m) {
  std::unique_ptr<Incarnation> incarnation = std::move(m.incarnation);
  CHECK(incarnation != nullptr);
  kernel_.kill_shards(incarnation->shards);
  incarnation->contexts.clear();
  for (auto& shard : incarnation->shards) kernel_.retire(std::move(shard));
  m.kernel_node->running = false;
  m.kernel_node->dying = false;
  m.kernel_node->paused = false;
}

void World::crash_now(uint32_t node) {
  Machine& m = machine(node);
  if (m.incarnation == nullptr) return;
  kernel_.record(*m.kernel_node, EventKind::crash, m.kernel_node->path, m.kernel_node->incarnation,
                 0);
  net_->process_ended(*m.kernel_node);
  m.disk->process_ended();
  end_incarnation(m);
}

void World::power_off_now(uint32_t node) {
  Machine& m = machine(node);
  if (!m.powered) return;
  m.powered = false;
  kernel_.record(*m.kernel_node, EventKind::power_off, m.kernel_node->path,
                 m.kernel_node->incarnation, 0);
  net_->power_lost(*m.kernel_node);
  m.disk->process_ended();
  if (m.incarnation != nullptr) end_incarnation(m);
  m.disk->power_lost();
}

void World::kill(uint32_t node, base::UniqueFunction<void()> action) {
  kernel_.kill_soon(*machine(node).kernel_node, std::move(action));
}

void World::crash(uint32_t node) {
  kill(node, [this, node] { crash_now(node); });
}

void World::power_off(uint32_t node) {
  kill(node, [this, node] { power_off_now(node); });
}

void World::power_on(uint32_t node) {
  Machine& m = machine(node);
  if (m.powered) return;
  m.powered = true;
  kernel_.record(*m.kernel_node, EventKind::power_on, m.kernel_node->path, 0, 0);
  net_->power_back(*m.kernel_node);
}

void World::stop(uint32_t node) {
  Machine& m = machine(node);
  if (m.incarnation == nullptr) return;
  kernel_.record(*m.kernel_node, EventKind::stop, m.kernel_node->path, 0, 0);
  for (auto& context : m.incarnation->contexts) context->stop.set();
}

void World::pause(uint32_t node) {
  Machine& m = machine(node);
  if (m.incarnation == nullptr || m.kernel_node->paused) return;
  m.kernel_node->paused = true;
  kernel_.record(*m.kernel_node, EventKind::pause, m.kernel_node->path, 0, 0);
}

void World::unpause(uint32_t node) {
  Machine& m = machine(node);
  if (!m.kernel_node->paused) return;
  m.kernel_node->paused = false;
  kernel_.record(*m.kernel_node, EventKind::resume_node, m.kernel_node->path, 0, 0);
  if (m.incarnation == nullptr) return;
  for (auto& shard : m.incarnation->shards) kernel_.poke(*shard);
}

void World::set_slowness(uint32_t node, uint64_t factor) {
  CHECK(factor >= 1);
  machine(node).kernel_node->slowness = factor;
}

#if VERDICT_EXHIBITS
void World::set_exhibit(uint32_t node, std::optional<runtime::Exhibit> exhibit) {
  machine(node).exhibit = exhibit;
}
#endif

// ---------------------------------------------------------------- clocks

void World::step_wall_clock(uint32_t node, int64_t by_ns) {
  KernelNode& k = *machine(node).kernel_node;
  k.clock.wall_offset_ns += by_ns;
  k.clock.wall_frozen_at_ns += by_ns;
  kernel_.record(k, EventKind::clock_step, k.path, static_cast<uint64_t>(by_ns), 0);
}

void World::freeze_wall_clock(uint32_t node, bool frozen) {
  KernelNode& k = *machine(node).kernel_node;
  if (k.clock.wall_frozen == frozen) return;
  int64_t shown = k.clock.wall_ns(kernel_.now_ns());
  k.clock.wall_frozen = frozen;
  k.clock.wall_frozen_at_ns = shown;
  // Thawing goes on from the frozen reading, as a suspended machine's clock does.
  if (!frozen) k.clock.wall_offset_ns = shown - k.clock.monotonic_ns(kernel_.now_ns());
  kernel_.record(k, EventKind::clock_freeze, k.path, frozen ? 1 : 0, 0);
}

void World::set_drift(uint32_t node, int64_t ppb) {
  Machine& m = machine(node);
  CHECK(m.incarnation == nullptr);
  NodeClock& clock = m.kernel_node->clock;
  // The reading at this instant stays what it is.
  int64_t shown = clock.monotonic_ns(kernel_.now_ns());
  clock.drift_ppb = ppb;
  clock.offset_ns += shown - clock.monotonic_ns(kernel_.now_ns());
}

uint64_t World::probe_count(const runtime::Probe& probe) const {
  const uint64_t* count = probe_counts_.find(probe.hash);
  return count == nullptr ? 0 : *count;
}

}  // namespace verdict::sim
