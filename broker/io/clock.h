#pragma once
// LoopClock: the kernel's clocks as one node reads them.

#include "broker/runtime/clock.h"
#include "broker/runtime/scheduler.h"

namespace verdict::io {

// CLOCK_MONOTONIC, now.
int64_t monotonic_ns();

class LoopClock final : public runtime::Clock {
 public:
  explicit LoopClock(runtime::Tasks& tasks) : tasks_(tasks) {}
  runtime::Instant now() override;
  runtime::WallTime wall() override;
  base::Result<> sleep_until(runtime::Instant at) override;

 private:
  runtime::Tasks& tasks_;
};

}  // namespace verdict::io
