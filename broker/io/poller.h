#pragma once
// Poller: epoll. Tells objects that something may have changed about their descriptor.
//
// Registration is edge-triggered and made once for all events, so waiting and no longer waiting
// cost no system call. Each object keeps what it knows of its readiness itself.

#include <array>
#include <cstdint>

#include <sys/epoll.h>

#include "broker/base/result.h"
#include "broker/io/descriptor.h"

namespace verdict::io {

class Pollable {
 public:
  // `events` are those of epoll. Called on the main stack; may wake fibers, may not destroy
  // anything.
  virtual void on_events(uint32_t events) = 0;

 protected:
  ~Pollable() = default;
};

class Poller {
 public:
  static constexpr size_t kEventsPerPoll = 128;

  static base::Result<Poller> create();

  // `what` hears of `fd` until that is closed.
  base::Result<> add(int fd, Pollable& what);
  // Waits until something happens or `at_ns` of the monotonic clock is reached, whose present value
  // is `now_ns`, and tells whom it concerns. Does not wait when `at_ns` is in the past.
  void poll(int64_t now_ns, int64_t at_ns);

 private:
  explicit Poller(Descriptor epoll) : epoll_(std::move(epoll)) {}
  int wait(int64_t timeout_ns);

  Descriptor epoll_;
  bool has_nanoseconds_ = true;  // the kernel knows epoll_pwait2
  std::array<epoll_event, kEventsPerPoll> events_{};
};

}  // namespace verdict::io
