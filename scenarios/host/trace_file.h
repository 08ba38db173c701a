#pragma once
// Trace files: one run, so that it replays without the seed and after the code changed.

#include <string>

#include "broker/base/result.h"
#include "scenarios/proto/verdict.pb.h"
#include "scenarios/trial.h"

namespace verdict::scenarios::host {

// The trace of a run that recorded its choices.
proto::Trace make_trace(const proto::Scenario& scenario, uint64_t seed, const std::string& exhibit,
                        const TrialResult& result);
std::vector<sim::Choice> choices_of(const proto::Trace& trace);
// "check: where", what makes two anomalies the same one.
std::string signature(const Anomaly& anomaly);

// zstd over the message; written to a temporary name and renamed.
base::Result<> write_trace(const proto::Trace& trace, const std::string& path);
// invalid names the file and what is wrong with it.
base::Result<proto::Trace> read_trace(const std::string& path);

}  // namespace verdict::scenarios::host
