#pragma once
// Trial: one run of one scenario with one seed. A pure function: no I/O, no exit, no state of the
// process; command line, tests and bindings all call it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/hash_map.h"
#include "fault/driver.h"
#include "fault/plan.h"
#include "scenarios/checks.h"
#include "sim/choices.h"
#include "sim/trace.h"

namespace verdict::proto {
class Scenario;
}

namespace verdict::scenarios {

enum class Verdict : uint8_t { pass, fail, none };

struct TrialOptions {
  // Instead of the plan that the seed draws.
  std::optional<fault::Plan> plan;
  // Replays these choices; others are 0 and the first of them is reported.
  const std::vector<sim::Choice>* choices = nullptr;
  bool record_choices = false;
  bool keep_trace = false;
  std::string exhibit;  // name; only in trees with exhibits
  // Gets every log event of the programs; may be null.
  std::function<void(int64_t at_ns, const std::string& node, std::string_view event,
                     std::span<const runtime::Field>)>
      log;
};

struct ProbeCount {
  std::string_view name;
  uint64_t count = 0;
};

struct TrialResult {
  Verdict verdict = Verdict::none;
  std::string why_none;  // what was missing for a verdict
  std::vector<Anomaly> anomalies;
  uint64_t hash = 0;
  uint64_t events = 0;
  int64_t simulated_ns = 0;
  uint64_t sent = 0;
  uint64_t acked = 0;
  uint64_t reads = 0;
  uint64_t excused = 0;  // lost as the policy allows
  uint32_t shards = 1;
  fault::Plan plan;
  std::vector<fault::Outcome> outcomes;  // one per fault of the plan
  uint32_t kills = 0;                    // crashes and power losses that hit a running node
  uint32_t effective = 0;                // faults that changed something
  std::vector<ProbeCount> probes;        // all declared ones
  // The first choice of a replay that the recording does not hold, in words; empty: none.
  std::string divergence;
  std::vector<sim::Choice> choices;
  std::vector<sim::TraceEvent> trace;
  base::OrderedMap<uint64_t, std::string> entity_names;  // of the trace, where there is one
  std::vector<std::string> node_names;

  // 0 pass, 1 safety, 3 liveness, 125 no verdict.
  int exit_code() const;
};

// The scenario has passed parse_scenario().
TrialResult run_trial(const proto::Scenario& scenario, uint64_t seed, const TrialOptions& options);

}  // namespace verdict::scenarios
