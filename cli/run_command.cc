#include "cli/run_command.h"

#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "broker/runtime/exhibit.h"
#include "scenarios/broker_program.h"
#include "scenarios/host/sweep.h"
#include "scenarios/host/trace_file.h"
#include "scenarios/scenario.h"

namespace verdict::cli {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using scenarios::host::kExitCrashed;
using scenarios::host::kExitNoVerdict;

constexpr int kExitUsage = 2;
constexpr size_t kFailuresPrintedMax = 10;
constexpr uint64_t kAckFloor = 200;  // acked records that a trial should have

struct RunArguments {
  std::vector<std::string> scenarios;
  std::string seeds;
  uint32_t jobs = 1;
  bool stop_at_first = false;
  std::string exhibit;
  std::string format = "text";
  std::string out = "runs";
};

// What a summary says of one scenario.
struct Totals {
  uint64_t trials = 0, passed = 0, failed = 0, no_verdict = 0;
  uint64_t acked = 0, events = 0, cpu_ns = 0, faults = 0, fired = 0, effective = 0, excused = 0;
  uint64_t enough_acks = 0, with_faults = 0, with_effect = 0, two_kills = 0, sharded = 0;
  uint64_t touched_bytes = 0;
  int64_t simulated_ns = 0;

  void add(const proto::SeedReport& r) {
    ++trials;
    passed += r.exit_code() == 0;
    no_verdict += r.exit_code() == kExitNoVerdict;
    failed += r.exit_code() != 0 && r.exit_code() != kExitNoVerdict;
    acked += r.acked();
    events += r.events();
    cpu_ns += r.cpu_ns();
    faults += r.faults();
    fired += r.fired();
    effective += r.effective();
    excused += r.excused();
    enough_acks += r.acked() >= kAckFloor;
    with_faults += r.faults() > 0;
    with_effect += r.effective() > 0;
    two_kills += r.kills() >= 2;
    sharded += r.shards() > 1;
    touched_bytes += r.touched_bytes();
    simulated_ns += r.simulated_ns();
  }
};

double ratio(uint64_t a, uint64_t b) {
  return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
}

bool parse_seeds(const std::string& text, uint64_t* first, uint64_t* last) {
  auto number = [](const std::string& part, uint64_t* value) {
    char* end = nullptr;
    errno = 0;
    *value = std::strtoull(part.c_str(), &end, 0);
    return !part.empty() && part[0] != '-' && *end == '\0' && errno == 0;
  };
  size_t dots = text.find("..");
  if (dots == std::string::npos) {
    if (!number(text, first)) return false;
    *last = *first;
    return true;
  }
  return number(text.substr(0, dots), first) && number(text.substr(dots + 2), last) &&
         *first <= *last;
}

// The scenario of a name of the catalogue or of a file.
base::Result<proto::Scenario> load_scenario(const std::string& name) {
  if (!name.ends_with(".txtpb")) return scenarios::find_scenario(name);
  std::ifstream file(name);
  if (!file) return base::fail(base::Errc::not_found, name + ": cannot be opened");
  std::stringstream text;
  text << file.rdbuf();
  return scenarios::parse_scenario(text.str(), name);
}

// Says why when it does not.
bool knows_exhibit(const std::string& name) {
#if VERDICT_EXHIBITS
  std::string names;
  for (const runtime::ExhibitInfo& info : runtime::kExhibits) {
    if (info.name == name) return true;
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  }
  std::fprintf(stderr, "verdict run: no exhibit '%s'; there are %s\n", name.c_str(), names.c_str());
#else
  std::fprintf(stderr,
               "verdict run: exhibit %s: exhibits are not compiled into this binary; build it with "
               "`./dev build exhibits` and use build/exhibits/verdict\n",
               name.c_str());
#endif
  return false;
}

class Run {
 public:
  explicit Run(const RunArguments& arguments) : arguments_(arguments) {}

  int run() {
    if (!parse_seeds(arguments_.seeds, &first_, &last_)) {
      std::fprintf(stderr, "verdict run: --seeds %s: write one seed or A..B with A <= B\n",
                   arguments_.seeds.c_str());
      return kExitUsage;
    }
    if (!arguments_.exhibit.empty() && !knows_exhibit(arguments_.exhibit)) return kExitUsage;
    started_ = Clock::now();
    for (const std::string& name : arguments_.scenarios) {
      if (!run_one(name)) return kExitUsage;
      if (arguments_.stop_at_first && worst() != 0) break;
    }
    end_progress();
    print_summary();
    return worst();
  }

 private:
  bool run_one(const std::string& name) {
    scenarios::host::SweepOptions options;
    options.first_seed = first_;
    options.last_seed = last_;
    options.jobs = arguments_.jobs;
    options.stop_at_first = arguments_.stop_at_first;
    options.exhibit = arguments_.exhibit;
    proto::Scenario scenario;
    if (name != "all") {
      auto loaded = load_scenario(name);
      if (!loaded) {
        std::fprintf(stderr, "verdict run: %s\n", loaded.error().detail.c_str());
        return false;
      }
      scenario = std::move(*loaded);
      options.scenario = &scenario;
    }
    options.on_report = [&](const proto::SeedReport& report) {
      totals_[report.scenario()].add(report);
      all_.add(report);
      ++codes_[static_cast<int>(report.exit_code())];
      probes_.resize(static_cast<size_t>(report.probe_counts_size()) > probes_.size()
                         ? static_cast<size_t>(report.probe_counts_size())
                         : probes_.size());
      for (int i = 0; i < report.probe_counts_size(); ++i) {
        probes_[static_cast<size_t>(i)] += report.probe_counts(i);
      }
      hash_ ^= report.hash() * 0x9e3779b97f4a7c15ULL + report.seed();
      if (report.exit_code() != 0) tell_failure(report, name);
      show_progress();
      return true;
    };
    scenarios::host::sweep(options);
    return true;
  }

  // Runs the seed again with a recording, so that the sweep itself pays nothing for it.
  std::string keep_trace(const proto::SeedReport& report, const std::string& name) {
    if (report.exit_code() == kExitCrashed || report.exit_code() == kExitNoVerdict) return "";
    auto scenario =
        name == "all" ? scenarios::find_scenario(report.scenario()) : load_scenario(name);
    if (!scenario) return "";
    scenarios::TrialOptions options;
    options.exhibit = arguments_.exhibit;
    options.record_choices = true;
    scenarios::TrialResult result = scenarios::run_trial(*scenario, report.seed(), options);
    if (result.hash != report.hash()) {
      std::fprintf(stderr,
                   "seed %" PRIu64 ": not deterministic: hash %016" PRIx64 " became %016" PRIx64
                   "\n",
                   report.seed(), report.hash(), result.hash);
      ++codes_[5];
    }
    std::string path = arguments_.out + "/failures/" + report.scenario() + "-" +
                       std::to_string(report.seed()) +
                       (arguments_.exhibit.empty() ? "" : "-" + arguments_.exhibit) + ".trace";
    auto written = scenarios::host::write_trace(
        scenarios::host::make_trace(*scenario, report.seed(), arguments_.exhibit, result), path);
    if (!written) {
      std::fprintf(stderr, "verdict run: %s\n", written.error().detail.c_str());
      return "";
    }
    plan_lines_ = fault_lines(result);
    return path;
  }

  static std::vector<std::string> fault_lines(const scenarios::TrialResult& result) {
    std::vector<std::string> lines;
    for (size_t i = 0; i < result.plan.faults.size(); ++i) {
      const fault::Outcome& outcome = result.outcomes[i];
      if (!outcome.fired) continue;
      char when[32];
      std::snprintf(when, sizeof when, "%10.6f", static_cast<double>(outcome.at_ns) / 1e9);
      lines.push_back(std::string(when) + "  " + fault::print(result.plan.faults[i]) +
                      (outcome.effective ? "   (" + outcome.what + ")" : "   (no effect)"));
    }
    return lines;
  }

  void tell_failure(const proto::SeedReport& report, const std::string& name) {
    if (failures_told_++ >= kFailuresPrintedMax) return;
    end_progress();
    plan_lines_.clear();
    std::string trace = keep_trace(report, name);
    if (arguments_.format != "text") return;
    std::printf("\n%s seed %" PRIu64 "   %s%s\n",
                report.exit_code() == kExitNoVerdict ? "NONE" : "FAIL", report.seed(),
                report.scenario().c_str(),
                arguments_.exhibit.empty() ? "" : ("   exhibit " + arguments_.exhibit).c_str());
    if (!report.why_none().empty()) std::printf("  no verdict: %s\n", report.why_none().c_str());
    constexpr int kAnomaliesPrinted = 5;
    for (int i = 0; i < std::min(kAnomaliesPrinted, report.anomalies_size()); ++i) {
      std::printf("  %s\n", report.anomalies(i).c_str());
    }
    if (report.anomalies_size() > kAnomaliesPrinted) {
      std::printf("  and %d more anomalies\n", report.anomalies_size() - kAnomaliesPrinted);
    }
    if (!plan_lines_.empty()) std::printf("  faults that fired:\n");
    for (const std::string& line : plan_lines_) std::printf("  %s\n", line.c_str());
    if (!trace.empty()) std::printf("  replay:  verdict replay %s\n", trace.c_str());
    std::printf("  or:      verdict run %s --seeds %" PRIu64 "%s\n",
                name == "all" ? report.scenario().c_str() : name.c_str(), report.seed(),
                arguments_.exhibit.empty() ? "" : (" --exhibit " + arguments_.exhibit).c_str());
    if (!report.output().empty()) std::printf("%s\n", report.output().c_str());
    std::fflush(stdout);
  }

  // ---- progress, on stderr and only for a person
  void show_progress() {
    if (isatty(STDERR_FILENO) == 0) return;
    constexpr int kWidth = 36;
    uint64_t total = (last_ - first_ + 1) * arguments_.scenarios.size();
    auto filled = static_cast<int>(ratio(all_.trials, total) * kWidth);
    std::fprintf(stderr, "\r[%-*.*s] %" PRIu64 "/%" PRIu64 "  %" PRIu64 " failed  %.1f trials/s ",
                 kWidth, filled, "####################################", all_.trials, total,
                 all_.failed, static_cast<double>(all_.trials) / seconds());
    shown_ = true;
  }
  void end_progress() {
    if (shown_) std::fprintf(stderr, "\n");
    shown_ = false;
  }
  double seconds() const {
    return std::max(1e-3, std::chrono::duration<double>(Clock::now() - started_).count());
  }

  int worst() const {
    for (int code : {5, kExitCrashed, 1, 3, kExitNoVerdict}) {
      if (codes_.contains(code)) return code;
    }
    return 0;
  }

  void print_summary() {
    if (arguments_.format == "json") {
      print_json();
      return;
    }
    std::printf("\n%-32s %7s %6s %5s %8s %9s %8s %9s %8s %9s %8s %8s %7s\n", "scenario", "trials",
                "failed", "none", "trials/s", "events/s", "us/acked", "acks", "enough", "effective",
                "effect", "2 kills", "shards");
    for (const auto& [name, t] : totals_) print_row(name, t);
    if (totals_.size() > 1) print_row("all", all_);
    std::printf("per CPU second and core; enough: share of trials with %" PRIu64
                " acked records; effective: faults that changed something; effect: share of the "
                "trials with faults in which one did; 2 kills: share with two or more crashes or "
                "power losses of a running broker; shards: share with two or more\n",
                kAckFloor);
    if (all_.excused > 0) {
      std::printf("%" PRIu64
                  " acknowledged records were lost at power losses, as the policy of "
                  "their scenario allows: none of them was ever synced\n",
                  all_.excused);
    }
    auto declared = scenarios::declared_probes();
    std::string unreached;
    for (size_t i = 0; i < declared.size() && i < probes_.size(); ++i) {
      if (probes_[i] == 0) unreached += " " + std::string(declared[i]->name);
    }
    // Fewer trials are not expected to reach them all.
    constexpr uint64_t kTrialsForAllProbes = 500;
    if (!unreached.empty() && all_.trials >= kTrialsForAllProbes)
      std::printf("probes never reached:%s\n", unreached.c_str());
    std::printf("hash of all %016" PRIx64 ", %.1f s, %.1f MB touched per trial\n", hash_, seconds(),
                ratio(all_.touched_bytes, all_.trials) / 1e6);
    std::printf("%" PRIu64 " passed, %" PRIu64 " failed\n", all_.passed,
                all_.failed + all_.no_verdict);
  }

  static void print_row(const std::string& name, const Totals& t) {
    double cpu_s = static_cast<double>(t.cpu_ns) / 1e9;
    std::printf("%-32s %7" PRIu64 " %6" PRIu64 " %5" PRIu64 " %8.1f %9.0f %8.1f %9" PRIu64
                " %7.1f%% %9" PRIu64 " %7.1f%% %7.1f%% %6.1f%%\n",
                name.c_str(), t.trials, t.failed, t.no_verdict,
                static_cast<double>(t.trials) / cpu_s, static_cast<double>(t.events) / cpu_s,
                cpu_s * 1e6 / static_cast<double>(std::max<uint64_t>(1, t.acked)), t.acked,
                100 * ratio(t.enough_acks, t.trials), t.effective,
                100 * ratio(t.with_effect, t.with_faults), 100 * ratio(t.two_kills, t.trials),
                100 * ratio(t.sharded, t.trials));
  }

  static json to_json(const Totals& t) {
    return {{"trials", t.trials},
            {"passed", t.passed},
            {"failed", t.failed},
            {"no_verdict", t.no_verdict},
            {"acked", t.acked},
            {"events", t.events},
            {"cpu_ns", t.cpu_ns},
            {"faults", t.faults},
            {"fired", t.fired},
            {"effective", t.effective},
            {"excused", t.excused},
            {"trials_with_200_acks", t.enough_acks},
            {"trials_with_faults", t.with_faults},
            {"trials_with_effect", t.with_effect},
            {"trials_with_two_kills", t.two_kills},
            {"trials_with_shards", t.sharded},
            {"touched_bytes", t.touched_bytes},
            {"simulated_ns", t.simulated_ns}};
  }

  void print_json() {
    json out = {{"schema", "verdict.sweep/1"}, {"exit_code", worst()}, {"seconds", seconds()}};
    out["all"] = to_json(all_);
    for (const auto& [name, t] : totals_) out["scenarios"][name] = to_json(t);
    auto declared = scenarios::declared_probes();
    for (size_t i = 0; i < declared.size() && i < probes_.size(); ++i) {
      out["probes"][std::string(declared[i]->name)] = probes_[i];
    }
    char text[20];
    std::snprintf(text, sizeof text, "%016" PRIx64, hash_);
    out["hash"] = text;
    std::printf("%s\n", out.dump(2).c_str());
  }

  const RunArguments& arguments_;
  uint64_t first_ = 1;
  uint64_t last_ = 1;
  Clock::time_point started_;
  std::map<std::string, Totals> totals_;
  Totals all_;
  std::map<int, uint64_t> codes_;
  std::vector<uint64_t> probes_;
  std::vector<std::string> plan_lines_;
  uint64_t hash_ = 0;
  size_t failures_told_ = 0;
  bool shown_ = false;
};

}  // namespace

void add_run_command(CLI::App& app, int* exit_code) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* run = app.add_subcommand("run", "Runs scenarios with seeds");
  run->add_option("scenario", arguments->scenarios,
                  "Names of scenarios (see: verdict list scenarios), .txtpb files, or all: each "
                  "seed picks its scenario by weight")
      ->required();
  run->add_option("--seeds,--seed", arguments->seeds, "One seed or A..B")->default_val("1");
  run->add_option("-j,--jobs", arguments->jobs, "Trials side by side")->check(CLI::Range(1, 256));
  run->add_flag("--stop-at-first", arguments->stop_at_first, "Stop at the first failure");
  run->add_option("--exhibit", arguments->exhibit, "Switch a historical bug on");
  run->add_option("--format", arguments->format)->check(CLI::IsMember({"text", "json"}));
  run->add_option("--out", arguments->out, "Folder for traces of failures");
  run->callback([arguments, exit_code] { *exit_code = Run(*arguments).run(); });
}

}  // namespace verdict::cli
