#pragma once
// The kernel: virtual time, the event queue, and the shards of nodes on which fibers run and cost
// time. It knows neither network nor disk; those schedule their events here.
//
// Invariants:
//   - time never goes back, and jumps to the next event when no fiber can run;
//   - a shard runs one fiber at a time, and each run occupies it for a keyed 1 to 20 us times the
//     node's slowness;
//   - ready fibers of a shard run in the order of (instant they became ready + keyed offset).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/function.h"
#include "broker/runtime/scheduler.h"
#include "sim/choices.h"
#include "sim/trace.h"

namespace verdict::sim {

inline constexpr int64_t kNeverNs = INT64_MAX;

// Something that events happen to. It must not be destroyed while events for it are pending: see
// retire().
class EventTarget {
 public:
  virtual ~EventTarget() { CHECK(pending_events_ == 0); }
  // `argument` is what was given to schedule().
  virtual void on_event(uint64_t argument) = 0;
  uint32_t pending_events() const { return pending_events_; }

 private:
  friend class Kernel;
  uint32_t pending_events_ = 0;
};

// The clock of a node: world time to monotonic time and back.
struct NodeClock {
  int64_t drift_ppb = 0;       // parts per billion; fixed while the node runs
  int64_t offset_ns = 0;       // of the monotonic clock
  int64_t wall_offset_ns = 0;  // wall = monotonic + this
  bool wall_frozen = false;
  int64_t wall_frozen_at_ns = 0;
  // Effects: how often fibers read the wall clock or waited by the monotonic one.
  uint64_t wall_reads = 0;

  int64_t monotonic_ns(int64_t world_ns) const;
  // The earliest world time at which monotonic_ns() is at least `monotonic`.
  int64_t world_ns(int64_t monotonic) const;
  int64_t wall_ns(int64_t world_ns) const {
    return wall_frozen ? wall_frozen_at_ns : monotonic_ns(world_ns) + wall_offset_ns;
  }
};

struct KernelOptions {
  uint64_t seed = 1;
  int64_t run_cost_min_ns = 1'000;
  int64_t run_cost_max_ns = 20'000;
  int64_t shuffle_window_ns = 20'000;  // W: how far ready fibers may overtake each other
  bool hash_trace = true;              // off only to measure what it costs
};

// The machine-wide part of a node that its shards share.
struct KernelNode {
  uint32_t index = 0;
  std::string name;
  uint64_t path = 0;  // hash of the name: stable entity of the node
  uint32_t incarnation = 0;
  bool running = false;  // a process is up
  bool paused = false;
  bool dying = false;      // a fiber of it stands in die_here(); the kill comes next
  uint64_t slowness = 1;   // factor on the cost of work
  uint64_t late_runs = 0;  // fibers that ran tenfold later than without the factor or pause
  uint64_t exits = 0;      // incarnations that came to their own end
  NodeClock clock;
  TraceHash hash;
};

class Kernel;

// One shard of one incarnation of a node.
class Shard final : public EventTarget {
 public:
  Shard(Kernel& kernel, KernelNode& node, base::ShardId id, uint32_t count);
  void on_event(uint64_t argument) override;

  KernelNode& node() { return node_; }
  runtime::Tasks& tasks() { return tasks_; }
  // Posts that have not arrived are dropped, now and later.
  void close();
  // All shards of this incarnation, by id, owned by whoever made them: where posts go.
  void set_siblings(const std::vector<std::unique_ptr<Shard>>* siblings) { siblings_ = siblings; }

 private:
  friend class Kernel;
  // So that the kernel finds the shard of a Tasks without a look-up.
  struct OwnTasks : runtime::Tasks {
    OwnTasks(Kernel& kernel, base::ShardId id, uint32_t count, uint64_t path, Shard& own);
    Shard& shard_object;
  };
  struct Ready {
    int64_t key_ns;
    uint64_t sequence;
    runtime::Fiber* fiber;
  };
  struct Later {
    bool operator()(const Ready& a, const Ready& b) const {
      return a.key_ns != b.key_ns ? a.key_ns > b.key_ns : a.sequence > b.sequence;
    }
  };
  static constexpr uint64_t kWakeEvent = 0;  // others: 1 + slot of a post
  Kernel& kernel_;
  KernelNode& node_;
  OwnTasks tasks_;
  std::vector<Ready> ready_;  // heap
  int64_t busy_until_ns_ = 0;
  int64_t charged_ns_ = 0;  // by the running fiber
  bool listed_ = false;     // in the kernel's list of shards that may run now
  bool wake_scheduled_ = false;
  bool closed_ = false;
  const std::vector<std::unique_ptr<Shard>>* siblings_ = nullptr;
  std::vector<ChoicePoint> post_delays_;             // by target shard
  std::vector<base::UniqueFunction<void()>> posts_;  // on their way to this shard, by slot
  std::vector<uint32_t> free_posts_;
};

class Kernel final : public runtime::Scheduler {
 public:
  explicit Kernel(KernelOptions options);
  ~Kernel() override;

  int64_t now_ns() const { return now_ns_; }
  const KernelOptions& options() const { return options_; }
  Choices& choices() { return choices_; }
  // W of KernelOptions, before anything runs.
  void set_shuffle_window(int64_t ns) {
    CHECK(ns >= 0);
    options_.shuffle_window_ns = ns;
  }

  // ---- events
  // on_event(argument) of `target` at world time `at_ns` (not before now), on the main stack.
  // Events of one instant happen in the order in which they were scheduled.
  void schedule(int64_t at_ns, EventTarget& target, uint64_t argument);
  // Runs `fn` at `at_ns` on the main stack.
  void schedule(int64_t at_ns, base::UniqueFunction<void()> fn);
  // Destroys `target` once no event for it is pending.
  void retire(std::unique_ptr<EventTarget> target);

  // ---- nodes; paths are stable, see KernelNode
  KernelNode& add_node(std::string_view name);
  KernelNode& node(uint32_t index) { return *nodes_[index]; }
  const KernelNode& node(uint32_t index) const { return *nodes_[index]; }
  size_t node_count() const { return nodes_.size(); }
  // The node of a fiber's shard.
  static KernelNode& node_of(const runtime::Tasks& tasks);
  // Ends the waits and unwinds the fibers of these shards. They must then be retired.
  void kill_shards(std::span<const std::unique_ptr<Shard>> shards);
  // From a fiber of `node` (a probe, a seam call) or the main stack: `kill` runs on the main stack
  // as soon as the running fiber is suspended, before any other fiber runs. Does not return when
  // the running fiber belongs to the node.
  void kill_soon(KernelNode& node, base::UniqueFunction<void()> kill);
  // A shard may have become able to run: after a pause.
  void poke(Shard& shard);
  // Drops every pending event: before targets die together with the world.
  void drop_events();

  // ---- running
  // One step: the next instant at which anything happens, no later than `limit_ns`. False when
  // nothing happens until then; time is then `limit_ns`.
  bool step(int64_t limit_ns);
  // Steps until `limit_ns` or until `done` (asked after each step) says so.
  void run_until(int64_t limit_ns, const std::function<bool()>& done = nullptr);

  // ---- trace
  void record(KernelNode& node, EventKind kind, uint64_t entity, uint64_t a, uint64_t b) {
    if (!options_.hash_trace) return;
    node.hash.add(now_ns_, kind, entity, a, b);
    ++event_count_;
    if (keep_trace_) [[unlikely]] {
      trace_.push_back({now_ns_, kind, node.index, entity, a, b});
    }
  }
  void keep_trace() {
    keep_trace_ = true;
    choices_.keep_names();
  }
  const std::vector<TraceEvent>& trace() const { return trace_; }
  uint64_t trace_hash() const;
  uint64_t event_count() const { return event_count_; }

  // ---- Scheduler
  runtime::Instant now(const runtime::Tasks& tasks) override;
  void post(runtime::Tasks& from, base::ShardId to, base::UniqueFunction<void()> fn) override;
  void offload(runtime::Tasks& tasks, base::UniqueFunction<void()> pure) override;
  void charge(runtime::Tasks& tasks, int64_t ns) override;

 private:
  friend class Shard;
  static constexpr int64_t kPostDelayMaxNs = 50'000;
  static constexpr int64_t kOffloadMaxNs = 200'000;
  struct Event {
    int64_t at_ns;
    uint64_t sequence;
    EventTarget* target;
    uint64_t argument;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at_ns != b.at_ns ? a.at_ns > b.at_ns : a.sequence > b.sequence;
    }
  };
  class Closures;
  struct FiberChoices {
    ChoicePoint order;
    ChoicePoint cost;
  };

  void enqueue(runtime::Fiber& fiber) override;
  void remove_ready(runtime::Fiber& fiber) override;
  void on_spawn(runtime::Fiber& fiber) override;
  int64_t world_deadline(const runtime::Tasks& tasks, runtime::Instant deadline) override;
  void run_events_of_this_instant();
  void run_shard(Shard& shard);
  void run_kills();
  void list(Shard& shard);
  static Shard& shard_of(const runtime::Tasks& tasks);

  KernelOptions options_;
  Choices choices_;
  int64_t now_ns_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Event> events_;  // heap
  std::vector<Shard*> runnable_;
  std::vector<Shard*> running_round_;
  std::vector<FiberChoices> fiber_choices_;  // by slot
  std::vector<std::unique_ptr<KernelNode>> nodes_;
  std::unique_ptr<Closures> closures_;
  std::vector<std::unique_ptr<EventTarget>> retired_;
  std::vector<base::UniqueFunction<void()>> kills_;
  uint64_t event_count_ = 0;
  bool keep_trace_ = false;
  std::vector<TraceEvent> trace_;
};

}  // namespace verdict::sim
