#pragma once
// World: machines with clocks, disks and a network, on which programs boot, crash and come back.
// Knows nothing of Kafka: any program written against the seam can be put on trial.
//
// Invariants:
//   - a crashed or powered-off node is cut from the world first; then its waits, timers and posts
//     leave their lists; then its fibers unwind; then its objects are destroyed;
//   - what a program does after it was cut reaches nobody;
//   - the disk of a node outlives its processes, and can be inspected at any time.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/runtime/node.h"
#include "sim/disk.h"
#include "sim/kernel.h"
#include "sim/net.h"

namespace verdict::sim {

// Runs on every shard of a booting node, each with its own Node. One copy serves all shards of one
// incarnation and is destroyed when the incarnation has ended.
using Program = std::function<void(runtime::Node&)>;

struct WorldOptions {
  KernelOptions kernel;
  NetOptions net;
};

struct NodeOptions {
  std::string name;
  uint32_t shards = 1;
  DiskOptions disk;
  runtime::KnobValues knobs;
  int64_t clock_drift_ppb = 0;
  int64_t clock_offset_ns = 0;                        // of the monotonic clock
  int64_t wall_start_ns = 1'767'225'600'000'000'000;  // 2026-01-01, plus the skew of the node
};

// What happens in the programs, as it happens. Called on the fiber that causes it: it may crash or
// power off that fiber's node, and then does not return; it may not wait.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // `count`: how often this node has stood at the probe, from 1. True to take the rare path, when
  // the code asks.
  virtual bool on_probe(uint32_t /*node*/, const runtime::Probe&, uint64_t /*count*/) {
    return false;
  }
  virtual void on_log(uint32_t /*node*/, runtime::Severity, std::string_view /*event*/,
                      std::span<const runtime::Field>) {}
  // Whether on_log is wanted for this severity.
  virtual bool wants_log(runtime::Severity) const { return false; }
};

class World {
 public:
  explicit World(WorldOptions options);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  // ---- building
  uint32_t add_node(NodeOptions options);
  size_t node_count() const { return machines_.size(); }
  // Numeric address of a node; its name resolves to it.
  std::string address(uint32_t node) const;
  void set_watcher(Watcher* watcher) { watcher_ = watcher; }

  // ---- life of a node. All but boot() may be called from a fiber, also of the node itself; then
  // the call does not return.
  void boot(uint32_t node, Program program);
#if VERDICT_EXHIBITS
  // For the incarnations that boot from now on.
  void set_exhibit(uint32_t node, std::optional<runtime::Exhibit> exhibit);
#endif
  // Asks for a stop in good order: sets Node::stop.
  void stop(uint32_t node);
  // The process dies; the machine, its page cache and its kernel live on. Nothing when not running.
  void crash(uint32_t node);
  // The machine loses power, whether a process runs or not. power_on() before the next boot().
  void power_off(uint32_t node);
  void power_on(uint32_t node);
  // Fibers do not run; the machine's kernel still takes bytes; timers fire late.
  void pause(uint32_t node);
  void unpause(uint32_t node);
  // Factor on the cost of every piece of work, 1 is normal.
  void set_slowness(uint32_t node, uint64_t factor);
  bool running(uint32_t node) const { return machines_[node]->incarnation != nullptr; }
  bool powered(uint32_t node) const { return machines_[node]->powered; }
  bool paused(uint32_t node) const { return machines_[node]->kernel_node->paused; }

  // ---- clocks
  void step_wall_clock(uint32_t node, int64_t by_ns);
  void freeze_wall_clock(uint32_t node, bool frozen);
  // Only while the node does not run.
  void set_drift(uint32_t node, int64_t ppb);

  // ---- running
  int64_t now_ns() const { return kernel_.now_ns(); }
  // Runs `fn` on the main stack at `at_ns`.
  void at(int64_t at_ns, base::UniqueFunction<void()> fn) {
    kernel_.schedule(at_ns, std::move(fn));
  }
  void run_until(int64_t limit_ns, const std::function<bool()>& done = nullptr) {
    kernel_.run_until(limit_ns, done);
  }

  Kernel& kernel() { return kernel_; }
  Net& net() { return *net_; }
  Disk& disk(uint32_t node) { return *machines_[node]->disk; }
  KernelNode& kernel_node(uint32_t node) { return *machines_[node]->kernel_node; }
  uint64_t trace_hash() const { return kernel_.trace_hash(); }
  uint64_t event_count() const { return kernel_.event_count(); }
  // How often all nodes together stood at the probe.
  uint64_t probe_count(const runtime::Probe& probe) const;
  const std::string& name(uint32_t node) const { return machines_[node]->options.name; }

 private:
  friend class WorldObserver;
  struct ShardContext;
  struct Incarnation {
    std::vector<std::unique_ptr<Shard>> shards;
    std::vector<std::unique_ptr<ShardContext>> contexts;  // by shard
    Program program;
  };
  struct Machine {
    NodeOptions options;
    KernelNode* kernel_node = nullptr;
    std::unique_ptr<Disk> disk;
    std::unique_ptr<Incarnation> incarnation;
    bool powered = true;
    base::HashMap<uint64_t, uint64_t> probe_counts;
#if VERDICT_EXHIBITS
    std::optional<runtime::Exhibit> exhibit;
#endif
  };

  Machine& machine(uint32_t node) {
    CHECK(node < machines_.size());
    return *machines_[node];
  }
  void look_for_exit(uint32_t node, uint32_t shard, int64_t after_ns);
  // On the main stack: cuts, unwinds and destroys the incarnation, if there is one.
  void end_incarnation(Machine& machine);
  void crash_now(uint32_t node);
  void power_off_now(uint32_t node);
  // Now when nothing runs, otherwise as soon as the running fiber is suspended.
  void kill(uint32_t node, base::UniqueFunction<void()> action);

  Kernel kernel_;
  std::unique_ptr<Net> net_;
  std::vector<std::unique_ptr<Machine>> machines_;
  Watcher* watcher_ = nullptr;
  base::HashMap<uint64_t, uint64_t> probe_counts_;
};

}  // namespace verdict::sim
