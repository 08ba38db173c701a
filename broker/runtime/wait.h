#pragma once
// WaitQueue: the one primitive under every wait, and the wait over several conditions at once.

#include <span>

#include "broker/base/result.h"
#include "broker/runtime/scheduler.h"

namespace verdict::runtime {

// Fibers waiting for one thing, first come first served. The queue knows nothing of the thing: a
// woken fiber looks for itself.
class WaitQueue {
 public:
  explicit WaitQueue(Tasks& tasks) : tasks_(tasks) {}
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // `tag` can be read by front_tag() while this fiber waits longest.
  Wake wait(Instant deadline, uint64_t tag = 0);
  // For waits that cancel must not end: file calls, Mutex::lock.
  void wait_uncancellable();
  // Wakes the fiber that waits longest; false when nobody waits.
  bool notify_one();
  void notify_all();
  bool has_waiters() { return !nodes_.empty(); }
  uint64_t front_tag() { return nodes_.front()->tag; }
  Tasks& tasks() const { return tasks_; }

 private:
  friend base::Result<size_t> wait_any(Tasks&, std::span<class Waitable* const>, Instant);
  Tasks& tasks_;
  base::IntrusiveList<WaitNode> nodes_;
};

// A condition that can be waited for together with others. Level-triggered: it is ready as long
// as its condition holds, for any number of fibers.
class Waitable {
 public:
  explicit Waitable(Tasks& tasks) : queue(tasks) {}
  virtual ~Waitable() = default;
  virtual bool ready() const = 0;
  // Notified by whoever makes the condition true.
  WaitQueue queue;
};

inline constexpr size_t kWaitAnyMax = 16;

// Index of the first ready one of at most kWaitAnyMax conditions; timed_out or cancelled otherwise.
base::Result<size_t> wait_any(Tasks& tasks, std::span<Waitable* const> conditions,
                              Instant deadline);

// Ok when ready; timed_out or cancelled otherwise.
base::Result<> wait_for(Waitable& condition, Instant deadline);

// notified becomes ok, the others their Errc.
base::Result<> to_result(Wake wake, const char* what);

}  // namespace verdict::runtime
