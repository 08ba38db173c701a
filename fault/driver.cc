#include "fault/driver.h"

#include "broker/base/check.h"

namespace verdict::fault {
namespace {

constexpr int64_t kSupervisorPeriodNs = 1'000'000'000;  // a process that ended by itself comes back

bool is_kill(Kind kind) { return kind == Kind::crash || kind == Kind::power_loss; }

bool is_network(Kind kind) { return kind >= Kind::cut && kind <= Kind::short_reads; }

bool is_disk(Kind kind) { return kind >= Kind::disk_full && kind <= Kind::bit_rot; }

}  // namespace

// Watches one node's disk.
class Driver::Eye final : public sim::DiskWatcher {
 public:
  Eye(Driver& driver, uint32_t node) : driver_(driver), node_(node) {}
  void on_op(const sim::DiskOp& op) override { driver_.on_op(node_, op); }

 private:
  Driver& driver_;
  uint32_t node_;
};

Driver::Driver(sim::World& world, Stage& stage, Plan plan, sim::Watcher* next)
    : world_(world), stage_(stage), plan_(std::move(plan)), next_(next) {
  armed_.resize(plan_.faults.size());
  outcomes_.resize(plan_.faults.size());
  boot_pending_.resize(world.node_count());
  stepped_ns_.resize(world.node_count());
}

Driver::~Driver() {
  *alive_ = false;
  world_.set_watcher(nullptr);
  for (uint32_t node = 0; node < world_.node_count(); ++node) {
    world_.disk(node).set_watcher(nullptr);
  }
}

void Driver::start() {
  CHECK(eyes_.empty());
  world_.set_watcher(this);
  for (uint32_t node = 0; node < world_.node_count(); ++node) {
    eyes_.push_back(std::make_unique<Eye>(*this, node));
    world_.disk(node).set_watcher(eyes_.back().get());
  }
  for (size_t i = 0; i < plan_.faults.size(); ++i) {
    const Fault& fault = plan_.faults[i];
    std::optional<uint32_t> node = stage_.node(fault.target);
    if (!node) continue;  // a plan may name nodes that this scenario does not have
    if (info(fault.kind).second && !stage_.node(fault.second)) continue;
    armed_[i].node = *node;
    armed_[i].waits = fault.trigger.on != Trigger::On::time;
    if (armed_[i].waits) continue;
    world_.at(std::max(fault.trigger.at_ns, world_.now_ns()), [this, i, alive = alive_] {
      if (*alive && !healed_) fire(i);
    });
  }
  supervise();
}

void Driver::supervise() {
  world_.at(world_.now_ns() + kSupervisorPeriodNs, [this, alive = alive_] {
    if (!*alive) return;
    for (uint32_t node = 0; node < world_.node_count(); ++node) {
      if (!world_.running(node) && !boot_pending_[node]) boot_now(node);
    }
    supervise();
  });
}

// ---------------------------------------------------------------- triggers

bool Driver::on_probe(uint32_t node, const runtime::Probe& probe, uint64_t count) {
  bool wanted = next_ != nullptr && next_->on_probe(node, probe, count);
  for (size_t i = 0; i < armed_.size() && !healed_; ++i) {
    const Trigger& trigger = plan_.faults[i].trigger;
    if (!armed_[i].waits || armed_[i].node != node) continue;
    if (trigger.on != Trigger::On::probe || trigger.name != probe.name) continue;
    if (++armed_[i].seen == trigger.k) fire(i);
  }
  return wanted;
}

void Driver::on_op(uint32_t node, const sim::DiskOp& op) {
  for (size_t i = 0; i < armed_.size() && !healed_; ++i) {
    const Trigger& trigger = plan_.faults[i].trigger;
    if (!armed_[i].waits || armed_[i].node != node) continue;
    bool fits = trigger.on == Trigger::On::sync
                    ? op.kind == sim::DiskOpKind::sync &&
                          (op.phase == sim::DiskOpPhase::before) == trigger.before
                    : trigger.on == Trigger::On::write && op.kind == sim::DiskOpKind::write;
    if (!fits || !sim::path_matches(trigger.name, op.path)) continue;
    if (++armed_[i].seen == trigger.k) fire(i);
  }
}

void Driver::on_log(uint32_t node, runtime::Severity severity, std::string_view event,
                    std::span<const runtime::Field> fields) {
  if (next_ != nullptr) next_->on_log(node, severity, event, fields);
}

bool Driver::wants_log(runtime::Severity severity) const {
  return next_ != nullptr && next_->wants_log(severity);
}

void Driver::fire(size_t index) {
  armed_[index].waits = false;
  if (is_kill(plan_.faults[index].kind)) {
    kill(index);
    return;
  }
  if (world_.kernel().current() == nullptr) {
    fire_on_main(index);
    return;
  }
  world_.at(world_.now_ns(), [this, index, alive = alive_] {
    if (*alive && !healed_) fire_on_main(index);
  });
}

// ---------------------------------------------------------------- kills

void Driver::kill(size_t index) {
  const Fault& fault = plan_.faults[index];
  uint32_t node = armed_[index].node;
  bool power = fault.kind == Kind::power_loss;
  if (!world_.running(node)) return;  // drawn, and nothing there to hit
  uint64_t unsynced = 0;
  for (const sim::DiskPending& pending : world_.disk(node).pending()) {
    unsynced += pending.writes + pending.names;
  }
  Outcome& outcome = outcomes_[index];
  outcome.fired = true;
  outcome.at_ns = world_.now_ns();
  bool busy = stage_.busy(node);
  outcome.effective = busy || unsynced > 0;
  outcome.what =
      std::to_string(unsynced) + " disk operations unsynced" + (busy ? ", requests open" : "");
  ++kills_;
  world_.kernel().record(world_.kernel_node(node), sim::EventKind::fault,
                         static_cast<uint64_t>(fault.kind), 0, 0);
  boot_later(node, fault.duration_ns);
  if (power) {
    stage_.before_power_loss(node);
    world_.power_off(node);
  } else {
    world_.crash(node);
  }
}

void Driver::boot_later(uint32_t node, int64_t delay_ns) {
  boot_pending_[node] = true;
  world_.at(world_.now_ns() + delay_ns + 1, [this, node, alive = alive_] {
    if (*alive && boot_pending_[node]) boot_now(node);
  });
}

void Driver::boot_now(uint32_t node) {
  boot_pending_[node] = false;
  if (world_.running(node)) return;
  world_.power_on(node);
  stage_.boot(node);
}

// ---------------------------------------------------------------- everything else

uint32_t Driver::second_node(const Fault& fault) const {
  std::optional<uint32_t> node = stage_.node(fault.second);
  CHECK(node.has_value());
  return *node;
}

Driver::Before Driver::look(const Fault& fault, uint32_t node) const {
  sim::KernelNode& kernel_node = world_.kernel_node(node);
  Before now;
  now.late_runs = kernel_node.late_runs;
  now.exits = kernel_node.exits;
  now.clock_reads = kernel_node.clock.wall_reads;
  if (is_network(fault.kind)) now.net = world_.net().effects();
  if (is_disk(fault.kind)) now.disk = world_.disk(node).effects();
  return now;
}

void Driver::fire_on_main(size_t index) {
  const Fault& fault = plan_.faults[index];
  uint32_t node = armed_[index].node;
  Outcome& outcome = outcomes_[index];
  outcome.fired = true;
  outcome.at_ns = world_.now_ns();
  armed_[index].before = look(fault, node);
  armed_[index].open = true;
  world_.kernel().record(world_.kernel_node(node), sim::EventKind::fault,
                         static_cast<uint64_t>(fault.kind), static_cast<uint64_t>(fault.amount),
                         static_cast<uint64_t>(fault.duration_ns));
  if (is_network(fault.kind)) {
    apply_net(fault, true);
  } else if (is_disk(fault.kind)) {
    apply_disk(fault, node, true);
  } else {
    apply_node(fault, node, true);
  }
  if (!info(fault.kind).lasts) return;  // judged at the end: its effect may come later
  world_.at(world_.now_ns() + fault.duration_ns, [this, index, alive = alive_] {
    if (*alive && armed_[index].open) end(index);
  });
}

void Driver::end(size_t index) {
  const Fault& fault = plan_.faults[index];
  uint32_t node = armed_[index].node;
  judge(index);
  armed_[index].open = false;
  if (is_network(fault.kind)) {
    apply_net(fault, false);
  } else if (is_disk(fault.kind)) {
    apply_disk(fault, node, false);
  } else {
    apply_node(fault, node, false);
    if (fault.kind == Kind::pause) judge(index);
  }
}

void Driver::apply_net(const Fault& fault, bool on) {
  sim::Net& net = world_.net();
  sim::KernelNode& a = world_.kernel_node(*stage_.node(fault.target));
  if (info(fault.kind).second) {
    sim::KernelNode& b = world_.kernel_node(second_node(fault));
    if (&a == &b) return;
    switch (fault.kind) {
      case Kind::cut:
        on ? net.cut(a, b) : net.heal(a, b);
        on ? net.cut(b, a) : net.heal(b, a);
        return;
      case Kind::cut_one_way:
        on ? net.cut(a, b) : net.heal(a, b);
        return;
      case Kind::slow_link: {
        sim::SlowLink slow;
        if (on) slow.extra_latency_ns = fault.amount;
        net.slow_link(a, b, slow);
        net.slow_link(b, a, slow);
        return;
      }
      case Kind::reset_connections:
        net.reset_connections(a, &b);
        return;
      case Kind::half_open:
        net.half_open(a, &b);
        return;
      default:
        CHECK(false);
    }
  }
  switch (fault.kind) {
    case Kind::refuse_connects:
      net.refuse_connects(a, on);
      return;
    case Kind::hang_connects:
      net.hang_connects(a, on);
      return;
    case Kind::accept_overflow:
      net.limit_backlog(a, on ? static_cast<uint32_t>(fault.amount) : 0);
      // The queue only overflows when connections come: make them come.
      if (on) net.reset_connections(a);
      return;
    case Kind::short_reads:
      net.set_short_reads(
          a, on ? static_cast<uint64_t>(fault.amount) : sim::Net::kShortReadsAsOptions);
      return;
    default:
      CHECK(false);
  }
}

void Driver::apply_disk(const Fault& fault, uint32_t node, bool on) {
  sim::Disk& disk = world_.disk(node);
  switch (fault.kind) {
    case Kind::disk_full:
      disk.set_full(on ? std::optional(static_cast<uint64_t>(fault.amount)) : std::nullopt);
      return;
    case Kind::disk_slow:
      disk.set_slow(on ? static_cast<uint64_t>(fault.amount) : 1);
      return;
    case Kind::disk_stall:
      disk.set_stalled(on);
      return;
    case Kind::sync_fails:
      disk.fail_next_sync(fault.path);
      return;
    case Kind::io_errors:
      disk.set_errors(
          on ? std::optional(sim::DiskErrors{.pattern = fault.path,
                                             .reads = true,
                                             .writes = true,
                                             .syncs = true,
                                             .permille = static_cast<uint64_t>(fault.amount)})
             : std::nullopt);
      return;
    case Kind::bit_rot:
      (void)disk.bit_rot(fault.path);
      return;  // nothing durable: no effect
    default:
      CHECK(false);
  }
}

void Driver::apply_node(const Fault& fault, uint32_t node, bool on) {
  switch (fault.kind) {
    case Kind::stop:
      world_.stop(node);
      return;
    case Kind::pause:
      on ? world_.pause(node) : world_.unpause(node);
      return;
    case Kind::slow_node:
      world_.set_slowness(node, on ? static_cast<uint64_t>(fault.amount) : 1);
      return;
    case Kind::clock_step:
      stepped_ns_[node] += fault.amount;
      world_.step_wall_clock(node, fault.amount);
      return;
    case Kind::clock_freeze:
      world_.freeze_wall_clock(node, on);
      return;
    case Kind::clock_drift:
      if (!on) return;
      world_.crash(node);
      if (!world_.powered(node)) return;
      world_.set_drift(node, fault.amount * 1'000);
      boot_later(node, fault.duration_ns);
      return;
    default:
      CHECK(false);
  }
}

// ---------------------------------------------------------------- effects

uint64_t Driver::change(const Fault& fault, const Armed& armed) const {
  Before now = look(fault, armed.node);
  const Before& was = armed.before;
  switch (fault.kind) {
    case Kind::stop:
      return now.exits - was.exits;
    case Kind::pause:
    case Kind::slow_node:
      return now.late_runs - was.late_runs;
    case Kind::cut:
    case Kind::cut_one_way:
      return now.net.bytes_held - was.net.bytes_held + now.net.connects_held -
             was.net.connects_held;
    case Kind::slow_link:
      return now.net.bytes_delayed - was.net.bytes_delayed;
    case Kind::reset_connections:
      return now.net.resets_hit_open - was.net.resets_hit_open;
    case Kind::half_open:
      return now.net.sides_forgotten - was.net.sides_forgotten;
    case Kind::refuse_connects:
      return now.net.connects_refused - was.net.connects_refused;
    case Kind::hang_connects:
      return now.net.connects_hung - was.net.connects_hung;
    case Kind::accept_overflow:
      return now.net.accept_overflows - was.net.accept_overflows;
    case Kind::short_reads:
      return now.net.short_reads - was.net.short_reads;
    case Kind::disk_full:
      return now.disk.no_space_errors - was.disk.no_space_errors;
    case Kind::disk_slow:
      return now.disk.ops_slowed - was.disk.ops_slowed;
    case Kind::disk_stall:
      return now.disk.ops_stalled - was.disk.ops_stalled;
    case Kind::sync_fails:
      return now.disk.syncs_failed - was.disk.syncs_failed;
    case Kind::io_errors:
      return now.disk.io_errors - was.disk.io_errors;
    case Kind::bit_rot:
      return now.disk.bits_rotten - was.disk.bits_rotten;
    case Kind::clock_step:
    case Kind::clock_freeze:
    case Kind::clock_drift:
      return now.clock_reads - was.clock_reads;
    case Kind::crash:
    case Kind::power_loss:
      return 0;
  }
  CHECK(false);
  return 0;
}

void Driver::judge(size_t index) {
  const Fault& fault = plan_.faults[index];
  uint64_t changed = change(fault, armed_[index]);
  if (changed == 0) return;
  outcomes_[index].effective = true;
  outcomes_[index].what =
      std::to_string(changed) + " times: " + std::string(info(fault.kind).effect);
}

void Driver::heal() {
  CHECK(!healed_);
  CHECK(world_.kernel().current() == nullptr);
  for (size_t i = 0; i < armed_.size(); ++i) {
    armed_[i].waits = false;
    if (armed_[i].open && info(plan_.faults[i].kind).lasts) end(i);
  }
  healed_ = true;
  for (uint32_t node = 0; node < world_.node_count(); ++node) {
    world_.disk(node).clear_faults();
    // Clocks are set right again: a broker whose clock is off for good may refuse good timestamps.
    if (stepped_ns_[node] != 0) world_.step_wall_clock(node, -stepped_ns_[node]);
    if (!world_.running(node)) boot_now(node);
  }
}

void Driver::finish() {
  for (size_t i = 0; i < armed_.size(); ++i) {
    if (!armed_[i].open) continue;
    judge(i);
    armed_[i].open = false;
  }
}

}  // namespace verdict::fault
