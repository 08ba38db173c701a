#include "scenarios/host/sweep.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "broker/base/check.h"
#include "scenarios/scenario.h"
#include "scenarios/trial.h"

namespace verdict::scenarios::host {
namespace {

constexpr size_t kOutputBytesMax = 64 << 10;
constexpr int64_t kPageBytes = 4096;

int64_t wall_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

// One trial under way in a child.
struct Child {
  pid_t pid = -1;
  uint64_t seed = 0;
  std::string scenario;
  int report_fd = -1;
  int output_fd = -1;
  std::string report;
  std::string output;
  int64_t deadline_ms = 0;
  bool timed_out = false;
};

void write_fully(int fd, const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
}

// False at the end of the stream.
bool drain(int fd, std::string& into, size_t limit) {
  std::array<char, 16'384> buffer{};
  ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (into.size() < limit) into.append(buffer.data(), static_cast<size_t>(n));
  return n > 0;
}

uint64_t cpu_ns(const rusage& usage) {
  auto ns = [](const timeval& t) { return t.tv_sec * 1'000'000'000LL + t.tv_usec * 1'000LL; };
  return static_cast<uint64_t>(ns(usage.ru_utime) + ns(usage.ru_stime));
}

// What a trial frees it needs again at once: pages that go back to the kernel come back by faults.
void keep_heap() {
  constexpr int kKeepBytes = 64 << 20;
  constexpr int kGrowBytes = 1 << 20;
  mallopt(M_TRIM_THRESHOLD, kKeepBytes);
  mallopt(M_MMAP_THRESHOLD, kKeepBytes);
  mallopt(M_TOP_PAD, kGrowBytes);
}

class Sweep {
 public:
  explicit Sweep(const SweepOptions& options) : options_(options), next_(options.first_seed) {}

  uint64_t run() {
    while (!done()) {
      while (!stopped_ && children_.size() < options_.jobs && more()) start();
      wait_a_little();
      reap();
    }
    return ended_;
  }

 private:
  bool more() const { return !exhausted_ && next_ <= options_.last_seed; }
  bool done() const { return children_.empty() && (stopped_ || !more()); }

  void start() {
    std::array<int, 2> report{};
    std::array<int, 2> output{};
    CHECK(pipe2(report.data(), O_CLOEXEC) == 0);
    CHECK(pipe2(output.data(), O_CLOEXEC) == 0);
    uint64_t seed = next_;
    if (next_ == UINT64_MAX) {
      exhausted_ = true;
    } else {
      ++next_;
    }
    proto::Scenario picked;
    const proto::Scenario* scenario = options_.scenario;
    if (scenario == nullptr) {
      picked = scenario_of_seed(seed);
      scenario = &picked;
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      dup2(output[1], STDERR_FILENO);
#if !defined(__SANITIZE_ADDRESS__)
      rlimit limit{options_.trial_bytes_max, options_.trial_bytes_max};
      setrlimit(RLIMIT_AS, &limit);
#endif
      keep_heap();
      rlimit core{0, 0};
      setrlimit(RLIMIT_CORE, &core);
      write_fully(report[1], run_seed(*scenario, seed, options_.exhibit).SerializeAsString());
      _exit(0);  // no destructors: the pages go with the process
    }
    close(report[1]);
    close(output[1]);
    Child child;
    child.pid = pid;
    child.seed = seed;
    child.scenario = scenario->name();
    child.report_fd = report[0];
    child.output_fd = output[0];
    child.deadline_ms = wall_ms() + options_.trial_wall_ms_max;
    children_.push_back(std::move(child));
  }

  void wait_a_little() {
    constexpr int kTickMs = 200;
    std::vector<pollfd> fds;
    for (const Child& child : children_) {
      fds.push_back({child.report_fd, POLLIN, 0});
      fds.push_back({child.output_fd, POLLIN, 0});
    }
    if (poll(fds.data(), fds.size(), kTickMs) < 0) return;
    for (size_t i = 0; i < children_.size(); ++i) {
      Child& child = children_[i];
      if (fds[2 * i].revents != 0 && child.report_fd >= 0 &&
          !drain(child.report_fd, child.report, SIZE_MAX)) {
        close(child.report_fd);
        child.report_fd = -1;
      }
      if (fds[2 * i + 1].revents != 0 && child.output_fd >= 0 &&
          !drain(child.output_fd, child.output, kOutputBytesMax)) {
        close(child.output_fd);
        child.output_fd = -1;
      }
      if (wall_ms() > child.deadline_ms && !child.timed_out) {
        child.timed_out = true;
        ::kill(child.pid, SIGKILL);
      }
    }
  }

  void reap() {
    for (size_t i = 0; i < children_.size();) {
      if (children_[i].report_fd >= 0 || children_[i].output_fd >= 0) {
        ++i;
        continue;
      }
      int status = 0;
      rusage usage{};
      CHECK(wait4(children_[i].pid, &status, 0, &usage) == children_[i].pid);
      finish(children_[i], status, usage);
      children_.erase(children_.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  void finish(const Child& child, int status, const rusage& usage) {
    proto::SeedReport report;
    bool whole = WIFEXITED(status) && WEXITSTATUS(status) == 0 && !child.report.empty() &&
                 report.ParseFromString(child.report);
    if (!whole) {
      report.Clear();
      report.set_seed(child.seed);
      report.set_scenario(child.scenario);
      report.set_output(child.output);
      if (child.timed_out) {
        report.set_exit_code(kExitNoVerdict);
        report.set_why_none("no end after " + std::to_string(options_.trial_wall_ms_max / 1000) +
                            " s of real time");
      } else {
        report.set_exit_code(kExitCrashed);
        std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                              : "exit code " + std::to_string(WEXITSTATUS(status));
        std::string first = child.output.substr(0, child.output.find('\n'));
        report.add_anomalies("crash: the broker's process: " + how +
                             (first.empty() ? "" : ": " + first));
      }
    }
    report.set_cpu_ns(cpu_ns(usage));
    report.set_touched_bytes(static_cast<uint64_t>(usage.ru_minflt * kPageBytes));
    ++ended_;
    bool go_on = !options_.on_report || options_.on_report(report);
    if (!go_on || (options_.stop_at_first && report.exit_code() != 0)) stopped_ = true;
  }

  const SweepOptions& options_;
  uint64_t next_;
  bool exhausted_ = false;
  bool stopped_ = false;
  uint64_t ended_ = 0;
  std::vector<Child> children_;
};

}  // namespace

proto::SeedReport run_seed(const proto::Scenario& scenario, uint64_t seed,
                           const std::string& exhibit) {
  TrialOptions options;
  options.exhibit = exhibit;
  TrialResult result = run_trial(scenario, seed, options);
  proto::SeedReport report;
  report.set_seed(seed);
  report.set_scenario(scenario.name());
  report.set_exit_code(static_cast<uint32_t>(result.exit_code()));
  for (const Anomaly& anomaly : result.anomalies) {
    report.add_anomalies(std::string(anomaly.check) + ": " + anomaly.where + ": " + anomaly.what);
  }
  report.set_why_none(result.why_none);
  report.set_hash(result.hash);
  report.set_events(result.events);
  report.set_simulated_ns(result.simulated_ns);
  report.set_sent(result.sent);
  report.set_acked(result.acked);
  report.set_reads(result.reads);
  report.set_excused(result.excused);
  report.set_shards(result.shards);
  report.set_faults(static_cast<uint32_t>(result.plan.faults.size()));
  auto fired = std::count_if(result.outcomes.begin(), result.outcomes.end(),
                             [](const fault::Outcome& o) { return o.fired; });
  report.set_fired(static_cast<uint32_t>(fired));
  report.set_effective(result.effective);
  report.set_kills(result.kills);
  for (const ProbeCount& probe : result.probes) report.add_probe_counts(probe.count);
  return report;
}

uint64_t sweep(const SweepOptions& options) {
  CHECK(options.jobs > 0);
  CHECK(options.first_seed <= options.last_seed);
  return Sweep(options).run();
}

}  // namespace verdict::scenarios::host
