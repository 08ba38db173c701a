#include "scenarios/trial.h"

#include <algorithm>
#include <array>

#include "broker/base/check.h"
#include "broker/base/hash.h"
#include "broker/client/probes.h"
#include "broker/rpc/probes.h"
#include "fault/swarm.h"
#include "scenarios/broker_program.h"
#include "scenarios/loss.h"
#include "scenarios/proto/verdict.pb.h"
#include "scenarios/workload.h"
#include "sim/world.h"

namespace verdict::scenarios {
namespace {

// After one of these the broker may rightly miss what it once had.
bool takes_bytes(fault::Kind kind) {
  constexpr std::array kKinds = {fault::Kind::power_loss, fault::Kind::disk_full,
                                 fault::Kind::sync_fails, fault::Kind::io_errors,
                                 fault::Kind::bit_rot};
  return std::find(kKinds.begin(), kKinds.end(), kind) != kKinds.end();
}

constexpr sim::ChoiceStream kTrialStream{"trial"};
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSetUpNs = 2 * kSecond;    // faults begin after that
constexpr int64_t kSettleNs = 10 * kSecond;  // from healing until clients are no longer waited for
constexpr uint64_t kDiskBytes = 64ULL << 30;
constexpr uint64_t kWindowMinBytes = 2 * 1024;  // below a full batch: writes are taken in parts
constexpr uint64_t kEventsMax = 20'000'000;     // an endless loop of events is no verdict

// Draws of the trial itself, by name, so that one more of them moves no other.
uint64_t draw(sim::Choices& choices, std::string_view name, uint64_t bound) {
  sim::ChoicePoint point(choices, kTrialStream, base::hash_text(name));
  choices.name_entity(base::hash_text(name), name);
  return choices.draw(point, bound);
}

class Trial final : public fault::Stage, public sim::Watcher {
 public:
  Trial(const proto::Scenario& scenario, uint64_t seed, const TrialOptions& options)
      : scenario_(scenario),
        options_(options),
        world_(world_options(seed)),
        load_{.scenario = scenario,
              .history = history_,
              .choices = world_.kernel().choices(),
              .bootstrap_host = "broker-1"} {}

  TrialResult run();

  // ---- Stage
  std::optional<uint32_t> node(std::string_view name) const override {
    for (uint32_t i = 0; i < world_.node_count(); ++i) {
      if (world_.name(i) == name) return i;
    }
    return std::nullopt;
  }
  void boot(uint32_t node) override;
  bool busy(uint32_t) const override { return load_.open_requests > 0; }
  void before_power_loss(uint32_t node) override {
    if (node == broker_) mark_undurable(world_.disk(node), history_);
  }

  // ---- Watcher
  void on_log(uint32_t node, runtime::Severity, std::string_view event,
              std::span<const runtime::Field> fields) override {
    options_.log(world_.now_ns(), world_.name(node), event, fields);
  }
  bool wants_log(runtime::Severity severity) const override {
    return options_.log != nullptr && severity != runtime::Severity::debug;
  }

 private:
  static sim::WorldOptions world_options(uint64_t seed);
  void prepare_choices();
  void build();
  void add_client(std::string name, std::function<void(runtime::Node&)> program,
                  Load::Client* client);
  runtime::KnobValues draw_knobs();
  fault::Plan draw_plan();
  bool clients_ended() const;
  // Connections of all clients together that ended with requests open; a time-out ends one too.
  uint64_t unanswered() const { return world_.probe_count(rpc::kProbeLostWithOpenRequests); }
  void run_safety();
  void run_liveness();
  TrialResult judge();

  const proto::Scenario& scenario_;
  const TrialOptions& options_;
  History history_;
  sim::World world_;
  Load load_;
  BrokerProgram broker_program_;
  uint32_t broker_ = 0;
  uint32_t shards_ = 1;
  struct ClientNode {
    std::function<void(runtime::Node&)> program;
    Load::Client* client;
  };
  base::OrderedMap<uint32_t, ClientNode> clients_;  // by node
  std::optional<fault::Driver> driver_;
  Load::Client setup_{.name = "setup"};
  Load::Client auditor_{.name = "auditor"};
  uint32_t auditor_node_ = 0;
  uint64_t unanswered_excused_ = 0;  // while faults were injected
};

sim::WorldOptions Trial::world_options(uint64_t seed) {
  sim::WorldOptions options;
  options.kernel.seed = seed;
  options.net.window_min_bytes = kWindowMinBytes;
  return options;
}

void Trial::prepare_choices() {
  if (options_.choices != nullptr) world_.kernel().choices().replay(*options_.choices);
  if (options_.record_choices) world_.kernel().choices().record();
  if (options_.keep_trace) world_.kernel().keep_trace();
  constexpr int64_t kWindows[] = {0, 20'000, kMillisecond};
  world_.kernel().set_shuffle_window(
      kWindows[draw(world_.kernel().choices(), "shuffle window", 3)]);
}

runtime::KnobValues Trial::draw_knobs() {
  runtime::KnobValues values;
  if (!scenario_.cluster().randomize_knobs()) return values;
  sim::Choices& choices = world_.kernel().choices();
  for (const runtime::Knob* knob : broker_knobs()) {
    std::string name = "knob " + std::string(knob->name);
    if (draw(choices, name, 2) == 0) continue;
    auto range = static_cast<uint64_t>(knob->trial_max - knob->trial_min) + 1;
    // Small values are where the rare paths are: every halving of the range is as likely.
    uint64_t halvings = draw(choices, name + " size", 16);
    values.set(*knob, knob->trial_min +
                          static_cast<int64_t>(draw(choices, name + " value",
                                                    std::max<uint64_t>(1, range >> halvings))));
  }
  return values;
}

void Trial::build() {
  sim::Choices& choices = world_.kernel().choices();
  uint32_t shards_max = std::max<uint32_t>(1, scenario_.cluster().shards_max());
  if (shards_max > 1 && draw(choices, "sharded", 5) >= 3) {
    shards_ = 2 + static_cast<uint32_t>(draw(choices, "shards", shards_max - 1));
  }
  sim::NodeOptions broker;
  broker.name = "broker-1";
  broker.shards = shards_;
  broker.knobs = draw_knobs();
  broker.disk.capacity_bytes =
      scenario_.cluster().disk_bytes() > 0 ? scenario_.cluster().disk_bytes() : kDiskBytes;
  broker_ = world_.add_node(std::move(broker));
  broker_program_ = BrokerProgram(scenario_, broker_);
#if VERDICT_EXHIBITS
  if (!options_.exhibit.empty()) {
    for (const runtime::ExhibitInfo& info : runtime::kExhibits) {
      if (info.name == options_.exhibit) world_.set_exhibit(broker_, info.id);
    }
  }
#endif
  const proto::Workload& w = scenario_.workload();
  load_.safety_ns = static_cast<int64_t>(scenario_.phases().safety_s()) * kSecond;
  load_.world_now_ns = [this] { return world_.now_ns(); };
  load_.producers.resize(w.producers());
  load_.consumers.resize(w.consumers());
  load_.admins.resize(w.admins());
  auto set_up = [this](runtime::Node& n) {
    run_setup(n, load_);
    setup_.ended = load_.topics_ready;
  };
  add_client("setup", set_up, &setup_);
  for (size_t i = 0; i < load_.producers.size(); ++i) {
    load_.producers[i].records_left = w.records() / w.producers();
    add_client(
        "producer-" + std::to_string(i + 1),
        [this, i](runtime::Node& n) { run_producer(n, load_, i); }, &load_.producers[i]);
  }
  for (size_t i = 0; i < load_.consumers.size(); ++i) {
    add_client(
        "consumer-" + std::to_string(i + 1),
        [this, i](runtime::Node& n) { run_consumer(n, load_, i); }, &load_.consumers[i]);
  }
  for (size_t i = 0; i < load_.admins.size(); ++i) {
    add_client(
        "admin-" + std::to_string(i + 1), [this, i](runtime::Node& n) { run_admin(n, load_, i); },
        &load_.admins[i]);
  }
  auditor_node_ = world_.add_node({.name = "auditor"});
}

void Trial::add_client(std::string name, std::function<void(runtime::Node&)> program,
                       Load::Client* client) {
  client->name = name;
  uint32_t node = world_.add_node({.name = std::move(name)});
  clients_[node] = {std::move(program), client};
}

void Trial::boot(uint32_t node) {
  if (node == broker_) {
    world_.boot(node, broker_program_.make());
    return;
  }
  auto at = clients_.find(node);
  if (at == clients_.end() || at->second.client->ended) return;
  ++at->second.client->boots;
  world_.boot(node, at->second.program);
}

fault::Plan Trial::draw_plan() {
  if (!scenario_.faults().plan().empty()) {
    std::string lines;
    for (const std::string& line : scenario_.faults().plan()) lines += line + "\n";
    auto parsed = fault::parse_plan(lines);
    CHECK(parsed.has_value());  // parse_scenario() has looked at it
    return std::move(*parsed);
  }
  fault::Budget budget;
  for (const std::string& name : scenario_.faults().kinds()) {
    for (const fault::KindInfo& kind : fault::kinds()) {
      if (kind.name == name) budget.kinds.push_back(kind.kind);
    }
  }
  budget.from_ns = kSetUpNs;
  budget.to_ns = load_.safety_ns;
  budget.faults_min = scenario_.faults().min();
  budget.faults_max = scenario_.faults().max();
  budget.aimed_permille = scenario_.faults().aimed_permille();
  budget.brokers = {"broker-1"};
  for (const auto& list : {load_.producers, load_.consumers, load_.admins}) {
    for (const Load::Client& client : list) budget.clients.push_back(client.name);
  }
  budget.aim_probes = aim_probes();
  budget.aim_paths = {"*.log", "*.log", "*.snapshot", "*checkpoint*", "__cluster_metadata-0/*"};
  return fault::draw_plan(world_.kernel().choices(), budget);
}

bool Trial::clients_ended() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& entry) { return entry.second.client->ended; });
}

void Trial::run_safety() {
  boot(broker_);
  for (const auto& [node, client] : clients_) boot(node);
  world_.run_until(load_.safety_ns, [this] { return world_.event_count() > kEventsMax; });
  driver_->heal();
  load_.finish = true;
  // From here on no power fails, so what is durable now has to stay.
  if (scenario_.promise() == proto::SYNCED_SURVIVES) clear_durable(world_.disk(broker_), history_);
}

void Trial::run_liveness() {
  int64_t bound = static_cast<int64_t>(scenario_.phases().liveness_s()) * kSecond;
  int64_t deadline = load_.safety_ns + bound;
  world_.run_until(std::min(deadline, load_.safety_ns + kSettleNs),
                   [this] { return clients_ended() || world_.event_count() > kEventsMax; });
  // Who still waits for an answer now is gone for the rest: what it sent stays unknown.
  for (auto& [node, client] : clients_) {
    client.client->ended = true;
    world_.crash(node);
  }
  if (!driver_->plan().faults.empty()) unanswered_excused_ = unanswered();
  load_.audit_deadline_ns = deadline;
  world_.boot(auditor_node_, [this](runtime::Node& n) { run_auditor(n, load_); });
  world_.run_until(deadline,
                   [this] { return load_.audit_done || world_.event_count() > kEventsMax; });
  history_.note_unanswered(unanswered() - unanswered_excused_);
  if (!load_.audit_done) {
    history_.note_stuck("the final re-read was not complete " + std::to_string(bound / kSecond) +
                        " s after healing");
  }
}

TrialResult Trial::judge() {
  driver_->finish();
  TrialResult result;
  result.hash = world_.trace_hash();
  result.events = world_.event_count();
  result.simulated_ns = world_.now_ns();
  result.sent = history_.sent().size();
  result.acked = history_.acked_count();
  result.reads = history_.reads().size();
  result.shards = shards_;
  result.plan = driver_->plan();
  result.outcomes = driver_->outcomes();
  result.kills = driver_->kills();
  for (const fault::Outcome& outcome : result.outcomes) result.effective += outcome.effective;
  for (const runtime::Probe* probe : declared_probes()) {
    result.probes.push_back({probe->name, world_.probe_count(*probe)});
  }
  const auto& faults = result.plan.faults;
  if (std::none_of(faults.begin(), faults.end(),
                   [](const fault::Fault& fault) { return takes_bytes(fault.kind); })) {
    history_.note_refused_sequences(world_.probe_count(client::kProbeSequenceRefused));
  }
  CheckRules rules;
  rules.unsynced_may_be_lost = scenario_.promise() == proto::SYNCED_SURVIVES;
  result.anomalies = run_checks(history_, rules, &result.excused);
  sim::Choices& choices = world_.kernel().choices();
  if (choices.divergence()) result.divergence = choices.describe(*choices.divergence());
  if (options_.record_choices) result.choices = world_.kernel().choices().recorded();
  if (options_.keep_trace) {
    result.trace = world_.kernel().trace();
    result.entity_names = choices.entity_names();
    for (const runtime::Probe* probe : declared_probes()) {
      result.entity_names.try_emplace(probe->hash, probe->name);
    }
    for (uint32_t i = 0; i < world_.node_count(); ++i) result.node_names.push_back(world_.name(i));
  }
  if (!result.anomalies.empty()) {
    result.verdict = Verdict::fail;
  } else if (result.events > kEventsMax) {
    result.why_none = "more than " + std::to_string(kEventsMax) + " events";
  } else if (result.acked == 0 || result.reads == 0) {
    result.why_none = result.acked == 0 ? "nothing was acknowledged" : "nothing was read";
  } else {
    result.verdict = Verdict::pass;
  }
  return result;
}

TrialResult Trial::run() {
  prepare_choices();
  build();
  driver_.emplace(world_, *this, options_.plan ? *options_.plan : draw_plan(), this);
  driver_->start();
  run_safety();
  if (!history_.partition_count()) history_.note_stuck("the topics were never created");
  run_liveness();
  return judge();
}

}  // namespace

int TrialResult::exit_code() const {
  constexpr int kSafety = 1;
  constexpr int kLiveness = 3;
  constexpr int kNoVerdict = 125;
  if (verdict == Verdict::pass) return 0;
  if (verdict == Verdict::none) return kNoVerdict;
  CHECK(!anomalies.empty());
  return anomalies.front().severity == Severity::safety ? kSafety : kLiveness;
}

TrialResult run_trial(const proto::Scenario& scenario, uint64_t seed, const TrialOptions& options) {
  Trial trial(scenario, seed, options);
  return trial.run();
}

}  // namespace verdict::scenarios
