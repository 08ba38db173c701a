#include "broker/runtime/sync.h"

namespace verdict::runtime {

using base::Result;

void Mutex::lock() {
  if (!locked_) {
    locked_ = true;
    return;
  }
  queue_.wait_uncancellable();
  CHECK(locked_);  // unlock() handed it over
}

bool Mutex::try_lock() {
  if (locked_) return false;
  locked_ = true;
  return true;
}

void Mutex::unlock() {
  const Fiber* running = queue_.tasks().scheduler().current();
  if (running != nullptr && running->killed()) {
    // A fiber that is killed in CondVar::wait() unwinds through guards of a mutex that it does not
    // hold, so whoever comes first sets it free. Its waiters are all killed too.
    locked_ = false;
    return;
  }
  CHECK(locked_);
  if (!queue_.notify_one()) locked_ = false;
}

Wake CondVar::wait(Mutex& mutex, Instant deadline) {
  mutex.unlock();
  Wake wake = queue_.wait(deadline);
  mutex.lock();
  return wake;
}

Result<> Semaphore::acquire(uint64_t count, Instant deadline) {
  if (!queue_.has_waiters() && try_acquire(count)) return {};
  Wake wake = queue_.wait(deadline, count);
  // A waiter that leaves may have stood before smaller requests that fit now.
  if (wake != Wake::notified) grant();
  return to_result(wake, "semaphore");
}

bool Semaphore::try_acquire(uint64_t count) {
  if (permits_ < count) return false;
  permits_ -= count;
  return true;
}

void Semaphore::release(uint64_t count) {
  CHECK(permits_ + count >= permits_);
  permits_ += count;
  grant();
}

void Semaphore::grant() {
  while (queue_.has_waiters() && queue_.front_tag() <= permits_) {
    permits_ -= queue_.front_tag();
    queue_.notify_one();
  }
}

}  // namespace verdict::runtime
