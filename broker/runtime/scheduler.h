#pragma once
// The core that both backends share: fibers, waits, wake-ups, timers, cancel and kill.
//
// A backend supplies only time, the order of ready fibers and how to wait for the world.
//
// Invariants:
//   - a wait ends in exactly one of notified, timed out, cancelled, decided when it is woken, so a
//     notify that comes before the fiber resumes is never lost and never counted twice;
//   - every fiber has a parent, the owner of its nursery; a parent outlives its children;
//   - a killed fiber unwinds by FiberKilled, children first, youngest sibling first; while it
//     unwinds it cannot suspend, and nothing that it does reaches another fiber or the world.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/function.h"
#include "broker/base/ids.h"
#include "broker/base/intrusive_list.h"
#include "broker/runtime/fiber_context.h"
#include "broker/runtime/time.h"

namespace verdict::runtime {

class Fiber;
class Nursery;
class Scheduler;
class Tasks;
class WaitQueue;

enum class Wake : uint8_t { notified, timed_out, cancelled };

// Thrown at the wait of a killed fiber. Nobody but the fiber's entry may catch it.
class FiberKilled {};

// Names a fiber without being its address. A fiber that ended is never found again.
struct FiberId {
  uint32_t slot = 0;
  uint32_t generation = 0;  // 0: no fiber
  constexpr auto operator<=>(const FiberId&) const = default;
};

// One fiber's place in one wait queue. Lives on the waiting fiber's stack.
class WaitNode : public base::ListNode {
 public:
  Fiber* fiber = nullptr;
  uint64_t tag = 0;  // for the owner of the queue: how much this waiter asks for
};

class Fiber : public base::ListNode {
 public:
  FiberId id() const { return id_; }
  std::string_view name() const { return name_; }
  // Hash of the names and ordinals from the node down to this fiber: stable from run to run.
  uint64_t path() const { return path_; }
  uint64_t resumes() const { return resumes_; }
  Tasks& tasks() const { return *tasks_; }
  bool cancelled() const { return cancelled_; }
  // Its node was killed: it unwinds, or is about to.
  bool killed() const { return killed_; }
  Wake last_wake() const { return wake_; }

 private:
  friend class Nursery;
  friend class Scheduler;
  enum class State : uint8_t { free, fresh, ready, running, waiting, done };

  FiberId id_;
  std::string name_;
  uint64_t path_ = 0;
  uint64_t resumes_ = 0;
  Tasks* tasks_ = nullptr;
  Fiber* parent_ = nullptr;
  Nursery* nursery_ = nullptr;
  base::IntrusiveList<Fiber> children_;                        // oldest first
  std::vector<std::pair<uint64_t, uint32_t>> child_ordinals_;  // by hash of the name
  Scheduler* scheduler_ = nullptr;
  FiberContext context_;
  Stack stack_;
  base::UniqueFunction<void()> body_;
  WaitQueue* children_done_ = nullptr;  // where a root waits for its posts
  WaitNode* wait_nodes_ = nullptr;
  size_t wait_node_count_ = 0;
  int64_t deadline_ns_ = 0;  // world time of the present wait's end
  int64_t armed_ns_ = 0;     // world time of this fiber's one live entry in the timer heap
  uint64_t armed_sequence_ = 0;
  uint64_t wait_sequence_ = 0;  // order of the waits with a deadline
  State state_ = State::free;
  Wake wake_ = Wake::notified;
  bool cancelled_ = false;
  bool killed_ = false;
  bool cancellable_ = false;
  bool park_permit_ = false;
  bool parked_ = false;
  bool started_ = false;
};

// One shard of a node as its fibers see it.
class Tasks {
 public:
  // `path` is the stable hash of node and shard.
  Tasks(Scheduler& scheduler, base::ShardId shard, uint32_t shard_count, uint64_t path)
      : scheduler_(scheduler), shard_(shard), shard_count_(shard_count), path_(path) {}
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  base::ShardId shard() const { return shard_; }
  uint32_t shard_count() const { return shard_count_; }
  uint64_t path() const { return path_; }
  Scheduler& scheduler() const { return scheduler_; }

  // Lets other ready fibers run.
  void yield();
  // Whether the running fiber was asked to stop.
  bool cancelled() const;

  // The only way across shards: runs `fn` as a fiber of shard `to` of the same node. It may carry
  // slices, numbers and immutable values. Dropped when the node, or its program, ends before.
  void post(base::ShardId to, base::UniqueFunction<void()> fn);
  // Runs CPU work that touches nothing of the node; the fiber waits for its end.
  void offload(base::UniqueFunction<void()> pure);

  // Waits for unpark() of this fiber; one that came earlier counts.
  Wake park(Instant deadline);
  // Nothing when the fiber has ended.
  void unpark(FiberId fiber);
  FiberId current_id() const;

  // Adds `ns` to what the running fiber costs its shard. No effect on the real backend.
  void charge(int64_t ns);

  // The root fiber, null before the start and after the end of the node's main function.
  Fiber* root() const { return root_; }

 private:
  friend class Scheduler;
  Scheduler& scheduler_;
  base::ShardId shard_;
  uint32_t shard_count_;
  uint64_t path_;
  Fiber* root_ = nullptr;
};

class Scheduler {
 public:
  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  virtual ~Scheduler();

  // The running fiber, null on the main stack.
  Fiber* current() const { return current_; }
  // The shard of the running fiber, null on the main stack.
  const Tasks* current_tasks() const { return current_ == nullptr ? nullptr : current_->tasks_; }

  // Suspends the running fiber, whose `count` nodes the caller has linked into wait queues.
  Wake suspend(WaitNode* nodes, size_t count, Instant deadline, bool cancellable);
  // Ends the wait of `fiber` with `reason`; nothing when it is not waiting.
  void wake(Fiber& fiber, Wake reason);
  // Suspends the running fiber for good: the world is about to kill its node.
  [[noreturn]] void die_here();
  void yield();
  Wake park(Instant deadline);
  void unpark(FiberId id);
  Fiber* find(FiberId id);

  // Starts the root fiber of a shard.
  Fiber& spawn_root(Tasks& tasks, std::string_view name, base::UniqueFunction<void()> body);
  Fiber& spawn_child(Fiber& parent, Nursery* nursery, std::string_view name,
                     base::UniqueFunction<void()> body);
  // Asks `fiber` and everything below it to stop.
  void cancel(Fiber& fiber);
  // Kills every fiber of the given shards of one node: takes all their waits and timers out of
  // every list, then unwinds children first, youngest first. From the main stack only.
  void kill(std::span<Tasks* const> shards);

  virtual Instant now(const Tasks& tasks) = 0;
  virtual void post(Tasks& from, base::ShardId to, base::UniqueFunction<void()> fn) = 0;
  virtual void offload(Tasks& tasks, base::UniqueFunction<void()> pure) = 0;
  virtual void charge(Tasks& tasks, int64_t ns) = 0;

  size_t live_fibers() const { return live_; }
  // Entries in the timer heap, stale ones included.
  size_t timer_entries() const { return timers_.size(); }

 protected:
  // The fiber may run; the backend decides when. Called once per wake-up.
  virtual void enqueue(Fiber& fiber) = 0;
  // A killed fiber leaves whatever queue enqueue() put it in.
  virtual void remove_ready(Fiber& fiber) = 0;
  virtual void on_spawn(Fiber&) {}
  // World time, in ns, at which the shard's clock reaches `deadline`.
  virtual int64_t world_deadline(const Tasks& tasks, Instant deadline) = 0;

  // Continues `fiber` until it suspends or ends. From the main stack.
  void run(Fiber& fiber);
  // World time of the earliest timer that may matter, int64 max when there is none.
  int64_t next_timer_ns();
  // Wakes every fiber whose deadline is at or before `world_ns`, by deadline and then in the order
  // in which the waits began: nothing else in the world may decide it.
  void fire_timers(int64_t world_ns);

 private:
  struct Timer {
    int64_t at_ns;
    uint64_t sequence;
    uint32_t slot;
  };
  struct Later {
    bool operator()(const Timer& a, const Timer& b) const {
      return a.at_ns != b.at_ns ? a.at_ns > b.at_ns : a.sequence > b.sequence;
    }
  };
  // Stale entries are swept out whenever the heap has doubled since the last time.
  static constexpr size_t kTimersTidyMin = 1024;
  static void entry(void* fiber);
  Fiber& allocate(Tasks& tasks, Fiber* parent, std::string_view name,
                  base::UniqueFunction<void()> body);
  void reclaim(Fiber& fiber);
  void arm(Fiber& fiber, int64_t at_ns);
  bool stale(const Timer& timer) const;
  void pop_timer();
  void drop_stale_timers();
  void detach(Fiber& fiber);
  void unwind(Fiber& fiber);
  static void unlink_waits(Fiber& fiber);

  Fiber* current_ = nullptr;
  FiberContext main_;
  StackPool stacks_;
  std::vector<std::unique_ptr<Fiber>> fibers_;  // by slot
  std::vector<uint32_t> free_slots_;
  std::vector<Timer> timers_;  // heap, earliest first
  std::vector<Fiber*> due_;    // by fire_timers(), empty between calls
  size_t timers_tidy_at_ = kTimersTidyMin;
  uint64_t timer_sequence_ = 0;
  uint64_t wait_sequence_ = 0;
  size_t live_ = 0;
};

// The fibers that one owner started and must see end. Its owner is the fiber that made it; that is
// the parent of every fiber spawned into it, whoever spawns. Declared last in a class, so that it
// dies first.
class Nursery {
 public:
  explicit Nursery(Tasks& tasks);
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;
  // All fibers must have ended: stop() first.
  ~Nursery();

  FiberId spawn(std::string_view name, base::UniqueFunction<void()> body);
  size_t size() const { return count_; }
  // Asks all fibers to stop, and those they started.
  void cancel_all();
  // Waits until all fibers have ended: notified. Can be cancelled.
  Wake join_all(Instant deadline);
  // cancel_all(), then a join that cannot be cancelled.
  void stop();

 private:
  friend class Scheduler;
  Tasks& tasks_;
  Fiber& owner_;
  size_t count_ = 0;
  std::unique_ptr<WaitQueue> ended_;
};

// Base of an object that belongs to one shard. Its public methods call check_shard().
class ShardBound {
 public:
  explicit ShardBound(const Tasks& tasks) : tasks_(&tasks) {}
  // The running fiber belongs to this object's shard of this object's node (or there is none: the
  // main stack inspects and destroys).
  void check_shard() const {
    const Tasks* running = tasks_->scheduler().current_tasks();
    CHECK(running == nullptr || running == tasks_);
  }

 private:
  const Tasks* tasks_;
};

}  // namespace verdict::runtime
