#pragma once
// ShardScheduler: the fibers of the one shard, first come first served, in real time.

#include <deque>

#include "broker/io/offload_pool.h"
#include "broker/runtime/scheduler.h"

namespace verdict::io {

class ShardScheduler final : public runtime::Scheduler {
 public:
  explicit ShardScheduler(OffloadPool& pool) : pool_(pool) {}

  // Constant while a fiber runs.
  runtime::Instant now(const runtime::Tasks& tasks) override;
  void post(runtime::Tasks& from, base::ShardId to, base::UniqueFunction<void()> fn) override;
  void offload(runtime::Tasks& tasks, base::UniqueFunction<void()> pure) override;
  void charge(runtime::Tasks& tasks, int64_t ns) override;

  bool has_ready() const { return !ready_.empty(); }
  // Continues at most `resumes_max` fibers. Stops early when one of them asked for the kill.
  void run_ready(size_t resumes_max);
  // Wakes the fibers whose time has come.
  void run_timers();
  // Monotonic time at which run_timers() has something to do; int64 max: never.
  int64_t next_timer_at() { return next_timer_ns(); }

  // Of the running fiber: it goes no further, and the loop kills the node.
  [[noreturn]] void ask_for_kill();
  bool kill_asked() const { return kill_asked_; }
  // Unwinds all fibers of `tasks`. From the main stack.
  void kill_node(runtime::Tasks& tasks);

 protected:
  void enqueue(runtime::Fiber& fiber) override;
  void remove_ready(runtime::Fiber& fiber) override;
  int64_t world_deadline(const runtime::Tasks& tasks, runtime::Instant deadline) override;

 private:
  OffloadPool& pool_;
  std::deque<runtime::Fiber*> ready_;
  int64_t now_ns_ = 0;  // what the running fiber was told; 0: it has not asked yet
  bool kill_asked_ = false;
};

}  // namespace verdict::io
