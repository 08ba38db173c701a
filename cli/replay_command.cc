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

// One line of a program of the trial: when, who, what.
void print_log(int64_t at_ns, const std::string& node, std::string_view event,
               std::span<const runtime::Field> fields) {
  std::string line(event);
  for (const runtime::Field& field : fields) {
    line += "  " + std::string(field.name) + "=" + field.value;
  }
  std::printf("%12.6f  %-12s %s\n", static_cast<double>(at_ns) / 1e9, node.c_str(), line.c_str());
}

// One line per event of the world, with the numbers that sim/trace.h explains.
void print_events(const scenarios::TrialResult& result) {
  for (const sim::TraceEvent& event : result.trace) {
    auto name = result.entity_names.find(event.entity);
    char number[20];
    std::snprintf(number, sizeof number, "%016" PRIx64, event.entity);
    std::printf(
        "%15.9f  %-12s %-16s %s  %" PRIu64 " %" PRIu64 "\n", static_cast<double>(event.at_ns) / 1e9,
        result.node_names[event.node].c_str(), std::string(sim::to_string(event.kind)).c_str(),
        name == result.entity_names.end() ? number : name->second.c_str(), event.a, event.b);
  }
}

struct ReplayArguments {
  std::string path;
  bool log = false;
  bool events = false;
};

int replay(const ReplayArguments& arguments) {
  const std::string& path = arguments.path;
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
  if (arguments.log) options.log = print_log;
  options.keep_trace = arguments.events;
  scenarios::TrialResult result = scenarios::run_trial(trace->scenario(), trace->seed(), options);
  if (arguments.events) print_events(result);
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
  auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* command = app.add_subcommand("replay", "Runs a recorded trial again");
  command->add_option("trace", arguments->path, "A .trace file that `verdict run` wrote")
      ->required();
  command->add_flag("--log", arguments->log, "Print what the programs log on their way");
  command->add_flag("--events", arguments->events, "Print every event of the world");
  command->callback([arguments, exit_code] { *exit_code = replay(*arguments); });
}

}  // namespace verdict::cli
