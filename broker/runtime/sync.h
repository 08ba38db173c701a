#pragma once
// Event, Mutex, CondVar, Semaphore, Channel, Future: built once on WaitQueue, so that they behave
// the same on every backend. All belong to one shard.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/result.h"
#include "broker/runtime/wait.h"

namespace verdict::runtime {

// A condition that becomes true once (and may be reset).
class Event final : public Waitable {
 public:
  explicit Event(Tasks& tasks) : Waitable(tasks) {}
  bool ready() const override { return set_; }
  void set() {
    set_ = true;
    queue.notify_all();
  }
  void reset() { set_ = false; }
  base::Result<> wait(Instant deadline) { return wait_for(*this, deadline); }

 private:
  bool set_ = false;
};

// First come first served; handed over, so that nobody overtakes. lock() cannot be cancelled.
class Mutex {
 public:
  explicit Mutex(Tasks& tasks) : queue_(tasks) {}
  void lock();
  bool try_lock();
  void unlock();
  bool locked() const { return locked_; }

 private:
  bool locked_ = false;
  WaitQueue queue_;
};

class [[nodiscard]] LockGuard {
 public:
  explicit LockGuard(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;
  ~LockGuard() { mutex_.unlock(); }

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  explicit CondVar(Tasks& tasks) : queue_(tasks) {}
  // Releases `mutex`, waits, and holds it again however the wait ended.
  Wake wait(Mutex& mutex, Instant deadline);
  void notify_one() { queue_.notify_one(); }
  void notify_all() { queue_.notify_all(); }

 private:
  WaitQueue queue_;
};

// Counts permits. Acquirers are served in order, so a large request is not starved by small ones.
class Semaphore {
 public:
  Semaphore(Tasks& tasks, uint64_t permits) : permits_(permits), queue_(tasks) {}
  // timed_out or cancelled when the permits did not come; then none are held.
  base::Result<> acquire(uint64_t count, Instant deadline);
  bool try_acquire(uint64_t count);
  void release(uint64_t count);
  uint64_t available() const { return permits_; }

 private:
  void grant();
  uint64_t permits_;
  WaitQueue queue_;
};

// A bounded queue between fibers. After close() senders get `closed`, receivers first what is left.
template <class T>
class Channel {
 public:
  Channel(Tasks& tasks, size_t capacity)
      : capacity_(capacity), not_empty_(tasks), not_full_(tasks) {
    CHECK(capacity > 0);
  }

  base::Result<> send(T value, Instant deadline) {
    while (!closed_ && items_.size() >= capacity_) {
      Wake wake = not_full_.wait(deadline);
      if (wake != Wake::notified && (closed_ || items_.size() >= capacity_)) {
        return to_result(wake, "channel send");
      }
    }
    if (!try_send(std::move(value))) return base::fail(base::Errc::closed, "channel");
    return {};
  }
  // False when full or closed.
  bool try_send(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    not_empty_.notify_one();
    return true;
  }
  base::Result<T> receive(Instant deadline) {
    while (items_.empty()) {
      if (closed_) return base::fail(base::Errc::closed, "channel");
      Wake wake = not_empty_.wait(deadline);
      if (wake != Wake::notified && items_.empty()) {
        if (closed_) return base::fail(base::Errc::closed, "channel");
        return std::unexpected(to_result(wake, "channel receive").error());
      }
    }
    return std::move(*try_receive());
  }
  std::optional<T> try_receive() {
    if (items_.empty()) return std::nullopt;
    std::optional<T> value(std::move(items_.front()));
    items_.pop_front();
    // One notify may have gone to a fiber that was beaten to the item, so pass the rest on.
    not_full_.notify_one();
    if (!items_.empty()) not_empty_.notify_one();
    return value;
  }
  void close() {
    closed_ = true;
    not_empty_.notify_all();
    not_full_.notify_all();
  }
  size_t size() const { return items_.size(); }
  bool closed() const { return closed_; }

 private:
  size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  WaitQueue not_empty_;
  WaitQueue not_full_;
};

namespace detail {
template <class T>
struct Shared final : Waitable {
  explicit Shared(Tasks& tasks) : Waitable(tasks) {}
  bool ready() const override { return value.has_value() || broken; }
  std::optional<T> value;
  bool broken = false;
};
}  // namespace detail

// One value that comes later, to one or several fibers of the same shard. The state is shared
// between the two ends, which die in either order.
template <class T>
class Future {
 public:
  Future() = default;
  explicit Future(std::shared_ptr<detail::Shared<T>> state) : state_(std::move(state)) {}
  bool valid() const { return state_ != nullptr; }
  bool ready() const { return state_->ready(); }
  Waitable& waitable() { return *state_; }
  // Takes the value; `closed` when the promise died without one.
  base::Result<T> wait(Instant deadline) {
    if (auto r = wait_for(*state_, deadline); !r) return std::unexpected(std::move(r).error());
    return take();
  }
  // After ready(). The value can be taken once.
  base::Result<T> take() {
    CHECK(state_->ready());
    if (!state_->value) return base::fail(base::Errc::closed, "promise without a value");
    return std::move(*state_->value);
  }

 private:
  std::shared_ptr<detail::Shared<T>> state_;
};

template <class T>
class Promise {
 public:
  explicit Promise(Tasks& tasks) : state_(std::make_shared<detail::Shared<T>>(tasks)) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    abandon();
    state_ = std::move(other.state_);
    return *this;
  }
  ~Promise() { abandon(); }
  Future<T> future() const { return Future<T>(state_); }
  bool is_set() const { return state_->value.has_value(); }
  void set(T value) {
    CHECK(!state_->value.has_value());
    state_->value.emplace(std::move(value));
    state_->queue.notify_all();
  }

 private:
  void abandon() {
    if (state_ == nullptr || state_->value.has_value()) return;
    state_->broken = true;
    state_->queue.notify_all();
  }
  std::shared_ptr<detail::Shared<T>> state_;
};

}  // namespace verdict::runtime
