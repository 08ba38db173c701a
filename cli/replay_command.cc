#include <cinttypes>
#include <cstdio>

#include "cli/run_command.h"
#include "scenarios/host/trace_file.h"

namespace verdict::cli {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitDidNotReproduce = 6;

// Whether the run failed in the way that the trace holds.
bool same_failure(const proto::Trace& trace, const scenarios::TrialResult& result) {
  if (static_cast<uint32_t>(result.exit_code()) != trace.exit_code()) return false;
  if (trace.anomalies().empty()) return result.anomalies.empty();
  for (const scenarios::Anomaly& anomaly : result.anomalies) {
    if (scenarios::host::signature(anomaly) == trace.anomalies(0)) return true;
  }
  return false;
}

// The same kind of anomaly, when offsets moved because the code changed.
bool same_kind(const proto::Trace& trace, const scenarios::TrialResult& result) {
  if (static_cast<uint32_t>(result.exit_code()) != trace.exit_code()) return false;
  for (const scenarios::Anomaly& anomaly : result.anomalies) {
    for (const std::string& wanted : trace.anomalies()) {
      if (wanted.starts_with(std::string(anomaly.check) + ": ")) return true;
    }
  }
  return false;
}

int replay(const std::string& path) {
  auto trace = scenarios::host::read_trace(path);
  if (!trace) {
    std::fprintf(stderr, "verdict replay: %s\n", trace.error().detail.c_str());
    return kExitUsage;
  }
#if !VERDICT_EXHIBITS
  if (!trace->exhibit().empty()) {
    std::fprintf(stderr,
                 "verdict replay: %s needs exhibit %s, which is not compiled into this "
                 "binary; use build/exhibits/verdict\n",
                 path.c_str(), trace->exhibit().c_str());
    return kExitUsage;
  }
#endif
  auto plan = fault::parse_plan(trace->plan());
  if (!plan) {
    std::fprintf(stderr, "verdict replay: %s: plan: %s\n", path.c_str(),
                 plan.error().detail.c_str());
    return kExitUsage;
  }
  std::vector<sim::Choice> choices = scenarios::host::choices_of(*trace);
  scenarios::TrialOptions options;
  options.plan = std::move(*plan);
  options.choices = &choices;
  options.exhibit = trace->exhibit();
  scenarios::TrialResult result = scenarios::run_trial(trace->scenario(), trace->seed(), options);
  std::printf("scenario %s, recorded with seed %" PRIu64 "\n", trace->scenario().name().c_str(),
              trace->seed());
  for (const scenarios::Anomaly& anomaly : result.anomalies) {
    std::printf("  %s: %s: %s\n", std::string(anomaly.check).c_str(), anomaly.where.c_str(),
                anomaly.what.c_str());
  }
  std::printf("hash %016" PRIx64 ", %" PRIu64 " events\n", result.hash, result.events);
  if (result.hash == trace->hash() && same_failure(*trace, result)) {
    std::printf("reproduced: the same events\n");
    return static_cast<int>(trace->exit_code());
  }
  if (!result.divergence.empty()) {
    std::printf("first choice that diverged: %s\n", result.divergence.c_str());
  }
  if (same_failure(*trace, result) || same_kind(*trace, result)) {
    std::printf("reproduced: the same anomaly, recorded hash %016" PRIx64 "\n", trace->hash());
    return static_cast<int>(trace->exit_code());
  }
  if (result.divergence.empty()) std::printf("every choice was taken as recorded\n");
  std::printf("did not reproduce: recorded exit code %u and %s\n", trace->exit_code(),
              trace->anomalies().empty() ? "no anomaly" : trace->anomalies(0).c_str());
  return kExitDidNotReproduce;
}

}  // namespace

void add_replay_command(CLI::App& app, int* exit_code) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("replay", "Runs a recorded trial again");
  command->add_option("trace", *path, "A .trace file that `verdict run` wrote")->required();
  command->callback([path, exit_code] { *exit_code = replay(*path); });
}

}  // namespace verdict::cli
