#include "broker/io/clock.h"

#include <ctime>

#include "broker/base/check.h"

namespace verdict::io {
namespace {

int64_t read_clock(clockid_t which) {
  timespec time{};
  CHECK(clock_gettime(which, &time) == 0);
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  return time.tv_sec * kNsPerSecond + time.tv_nsec;
}

}  // namespace

int64_t monotonic_ns() { return read_clock(CLOCK_MONOTONIC); }

runtime::Instant LoopClock::now() { return tasks_.scheduler().now(tasks_); }

runtime::WallTime LoopClock::wall() { return {read_clock(CLOCK_REALTIME)}; }

base::Result<> LoopClock::sleep_until(runtime::Instant at) {
  runtime::Wake wake = tasks_.scheduler().suspend(nullptr, 0, at, true);
  CHECK(wake != runtime::Wake::notified);  // nobody knows of this wait
  if (wake == runtime::Wake::cancelled) return base::fail(base::Errc::cancelled, "sleep");
  return {};
}

}  // namespace verdict::io
