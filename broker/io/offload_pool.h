#pragma once
// OffloadPool: threads for work that would keep the loop waiting, and the fibers that wait for it.
//
// Invariants: only the loop's thread touches fibers and calls the methods here; a pool thread runs
// the function that it was given and nothing else. Threads are started when they are first needed.
// A job is shared by the queue, the thread and the waiting fiber, so that it outlives any of them.

#include <memory>

#include "broker/base/function.h"
#include "broker/base/result.h"
#include "broker/io/descriptor.h"
#include "broker/io/poller.h"
#include "broker/runtime/scheduler.h"

namespace verdict::io {

class OffloadPool final : private Pollable {
 public:
  using Work = base::UniqueFunction<void()>;
  static constexpr int kThreadsMax = 64;

  enum class AtEnd : uint8_t {
    join,     // the destructor waits for the work that is running
    abandon,  // it does not: that work ends on its own, some time
  };

  static base::Result<std::unique_ptr<OffloadPool>> create(Poller& poller, int threads,
                                                           AtEnd at_end);
  // Work that has not begun is dropped.
  ~OffloadPool();

  // Runs `work` while the fiber waits; cannot be cancelled. `work` may use the fiber's stack,
  // because a kill is preceded by quiesce().
  void run(runtime::Tasks& tasks, Work work);
  // Runs `work`, but the fiber waits no longer than `deadline`: then, or when cancelled or killed,
  // the work goes on by itself, so it must own all that it touches.
  runtime::Wake run_until(runtime::Tasks& tasks, Work work, runtime::Instant deadline);
  // Runs `work` some time. It must own all that it touches.
  void start(Work work);
  // Drops what has not begun and waits for what runs. Waiting fibers are not told: they are about
  // to be killed.
  void quiesce();

  // Jobs that have not ended.
  size_t pending() const { return pending_; }

 private:
  struct Job;
  struct Shared;

  OffloadPool(std::shared_ptr<Shared> shared, int threads, AtEnd at_end);
  static void* thread_main(void* argument);
  void on_events(uint32_t events) override;
  void submit(std::shared_ptr<Job> job);
  bool start_thread();
  void finish(Job& job);

  std::shared_ptr<Shared> shared_;  // with the threads, which may outlive the pool
  std::vector<pthread_t> threads_;
  size_t threads_max_;
  AtEnd at_end_;
  size_t pending_ = 0;
};

}  // namespace verdict::io
