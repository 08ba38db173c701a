#include "broker/io/poller.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>

#include "broker/base/check.h"
#include "broker/io/system_error.h"

namespace verdict::io {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kTimeoutMsMax = 3'600'000;  // wake now and then rather than overflow an int

}  // namespace

base::Result<Poller> Poller::create() {
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return std::unexpected(socket_error(errno, "epoll_create1", ""));
  return Poller(std::move(epoll));
}

base::Result<> Poller::add(int fd, Pollable& what) {
  CHECK(fd >= 0);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &what;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return {};
  CHECK(errno == ENOMEM || errno == ENOSPC);  // anything else is a mistake of ours
  return base::fail(base::Errc::exhausted, "epoll_ctl: no room for one more descriptor");
}

// Rounded up, so that a timer is due when the wait ends.
int Poller::wait(int64_t timeout_ns) {
  CHECK(timeout_ns >= 0);
  constexpr int kMax = static_cast<int>(kEventsPerPoll);
  if (timeout_ns == 0) return epoll_wait(epoll_.get(), events_.data(), kMax, 0);
  if (timeout_ns == kForever) return epoll_wait(epoll_.get(), events_.data(), kMax, -1);
  if (has_nanoseconds_) {
    timespec timeout{timeout_ns / kNsPerSecond, timeout_ns % kNsPerSecond};
    int count = epoll_pwait2(epoll_.get(), events_.data(), kMax, &timeout, nullptr);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_nanoseconds_ = false;
  }
  int64_t timeout_ms = timeout_ns / kNsPerMs + (timeout_ns % kNsPerMs != 0 ? 1 : 0);
  return epoll_wait(epoll_.get(), events_.data(), kMax,
                    static_cast<int>(std::min(timeout_ms, kTimeoutMsMax)));
}

void Poller::poll(int64_t now_ns, int64_t at_ns) {
  int64_t timeout_ns = at_ns == kForever ? kForever : std::max<int64_t>(at_ns - now_ns, 0);
  int count = wait(timeout_ns);
  if (count < 0) {
    CHECK(errno == EINTR);
    return;
  }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    static_cast<Pollable*>(event.data.ptr)->on_events(event.events);
  }
}

}  // namespace verdict::io
