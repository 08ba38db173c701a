#pragma once
// The pause between attempts: doubled each time up to a limit, with jitter so that clients that
// failed together do not come back together.

#include <cstdint>

#include "broker/runtime/node.h"

namespace verdict::rpc {

// Before attempt `attempt` + 1, from 1 on: min * 2^(attempt - 1), at most max, times 0.8 to 1.2.
runtime::Duration backoff(runtime::Random& random, uint32_t attempt, runtime::Duration min,
                          runtime::Duration max);

}  // namespace verdict::rpc
