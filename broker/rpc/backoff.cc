#include "broker/rpc/backoff.h"

#include <algorithm>

#include "broker/base/check.h"

namespace verdict::rpc {

namespace {
constexpr uint32_t kDoublingsMax = 20;
constexpr int64_t kJitterPermille = 200;
}  // namespace

runtime::Duration backoff(runtime::Random& random, uint32_t attempt, runtime::Duration min,
                          runtime::Duration max) {
  CHECK(attempt > 0);
  CHECK(runtime::Duration{} < min && min <= max);
  CHECK(max <= runtime::seconds(3'600));
  const uint32_t doublings = std::min(attempt - 1, kDoublingsMax);
  const int64_t units = std::min(int64_t{1} << doublings, max.ns / min.ns + 1);
  const int64_t plain_ns = std::min(min.ns * units, max.ns);
  const uint64_t draw = random.below("rpc.backoff", 2 * kJitterPermille + 1);
  const int64_t permille = 1'000 - kJitterPermille + static_cast<int64_t>(draw);
  return {plain_ns / 1'000 * permille};
}

}  // namespace verdict::rpc
