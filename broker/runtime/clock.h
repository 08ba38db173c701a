#pragma once
// Time as one node reads it.

#include "broker/base/result.h"
#include "broker/runtime/time.h"

namespace verdict::runtime {

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic; constant while a fiber runs.
  virtual Instant now() = 0;
  // May jump in both directions.
  virtual WallTime wall() = 0;
  // cancelled when the fiber is asked to stop before.
  virtual base::Result<> sleep_until(Instant at) = 0;

  base::Result<> sleep(Duration length) { return sleep_until(now() + length); }
  Instant after(Duration length) { return now() + length; }
};

}  // namespace verdict::runtime
