#pragma once
// Sweep: runs each seed in a process of its own, so that an abort, an endless loop or a runaway
// allocation is one named verdict. Forks from a single-threaded parent that keeps few pages.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios::host {

struct SweepOptions {
  // The scenario of every seed, or null: `all`, by weight.
  const proto::Scenario* scenario = nullptr;
  uint64_t first_seed = 1;
  uint64_t last_seed = 1;
  uint32_t jobs = 1;
  bool stop_at_first = false;
  std::string exhibit;
  int64_t trial_wall_ms_max = 120'000;
  uint64_t trial_bytes_max = 4ULL << 30;  // of address space
  // After every seed, in the order in which they end. False stops the sweep.
  std::function<bool(const proto::SeedReport&)> on_report;
};

inline constexpr int kExitCrashed = 4;
inline constexpr int kExitNoVerdict = 125;

// Returns the number of seeds that were run.
uint64_t sweep(const SweepOptions& options);

// One seed, in this process.
proto::SeedReport run_seed(const proto::Scenario& scenario, uint64_t seed,
                           const std::string& exhibit);

}  // namespace verdict::scenarios::host
