#include "broker/meta/controller.h"

#include <algorithm>
#include <charconv>

#include "broker/base/check.h"
#include "broker/meta/controller_state.h"
#include "broker/meta/probes.h"
#include "broker/meta/records.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {

using base::Errc;
using base::fail;
using base::Result;

namespace {

inline constexpr std::string_view kMetadataVersionFeature = "metadata.version";
// The record versions that belong to kMetadataVersion.
inline constexpr int16_t kRegisterBrokerVersion = 3;

RecordValues bootstrap_records() {
  wire::BeginTransactionRecord begin;
  begin.name = "Bootstrap records";
  wire::FeatureLevelRecord version;
  version.name = kMetadataVersionFeature;
  version.feature_level = kMetadataVersion;
  return {frame(begin), frame(version), frame(wire::EndTransactionRecord{})};
}

template <class WireEndpoint>
std::vector<WireEndpoint> wire_endpoints(const std::vector<Endpoint>& list) {
  std::vector<WireEndpoint> result;
  for (const Endpoint& e : list) {
    WireEndpoint& out = result.emplace_back();
    out.name = e.name;
    out.host = e.host;
    out.port = e.port;
    out.security_protocol = e.security_protocol;
  }
  return result;
}

template <class WireFeature>
std::vector<WireFeature> supported_features() {
  WireFeature version;
  version.name = kMetadataVersionFeature;
  version.min_supported_version = kMetadataVersionMin;
  version.max_supported_version = kMetadataVersion;
  return {version};
}

}  // namespace

int64_t Controller::State::setting(std::string_view name, int64_t min, int64_t max) const {
  const BrokerConfigRule* rule = find_broker_config(name);
  CHECK(rule != nullptr && rule->rule.standard.has_value());
  const auto given = options.server_properties.find(name);
  const std::string_view text =
      given == options.server_properties.end() ? *rule->rule.standard : given->second;
  int64_t value = min;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return std::clamp(value, min, max);
}

bool Controller::State::enabled(std::string_view name) const {
  const auto given = options.server_properties.find(name);
  return given == options.server_properties.end() || given->second != "false";
}

base::Result<Committed> Controller::State::commit(const RecordValues& values) {
  auto committed = log->commit(values);
  if (committed && options.on_image) options.on_image(committed->image);
  return committed;
}

Uuid Controller::State::new_id(std::string_view stream) {
  constexpr int kAttemptsMax = 1'000;  // one in 64 begins with '-', which tools read as an option
  for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
    const uint64_t high = node.random.next(stream);
    const uint64_t low = node.random.next(stream);
    const Uuid id = Uuid::from_random(high, low);
    if (!id.to_string().starts_with('-') && log->image()->topic(id) == nullptr) return id;
  }
  CHECK(false);  // the source of randomness repeats itself
}

base::Result<BrokerEpoch> Controller::State::broker_epoch() const {
  const BrokerRegistration* broker = log->image()->broker(self());
  if (broker == nullptr) return fail(Errc::wrong_state, "this broker is not registered");
  return broker->epoch;
}

Controller::Controller(runtime::Node& node, std::unique_ptr<State> state)
    : ShardBound(node.tasks), state_(std::move(state)) {}

Controller::~Controller() = default;

base::Result<std::unique_ptr<Controller>> Controller::open(runtime::Node& node,
                                                           std::unique_ptr<MetadataLog> log,
                                                           Options options) {
  CHECK(log != nullptr);
  CHECK(options.node_id.value >= 0);
  auto state = std::make_unique<State>(node, std::move(log), std::move(options));
  {
    const runtime::LockGuard lock(state->log->mutex());
    if (state->log->image()->in_transaction()) {
      // Whoever began it died before its end.
      wire::AbortTransactionRecord abort;
      abort.reason = "the controller that began it is gone";
      TRY(state->commit({frame(abort)}));
    }
    if (state->log->image()->features().empty()) {
      TRY(state->commit(bootstrap_records()));
      node.observer.reached(kProbeBootstrapped);
    }
  }
  return std::unique_ptr<Controller>(new Controller(node, std::move(state)));
}

ImagePointer Controller::image() const {
  check_shard();
  return state_->log->image();
}

const MetadataLog& Controller::log() const { return *state_->log; }

const std::optional<base::Error>& Controller::offline() const { return state_->log->offline(); }

base::Result<BrokerStarted> Controller::register_broker(const BrokerStart& start) {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const ImagePointer image = state_->log->image();
  const NodeId self = state_->self();
  BrokerStarted started;
  started.incarnation = state_->new_id("meta.incarnation");

  wire::RegisterControllerRecord controller;
  controller.controller_id = self.value;
  controller.incarnation_id = started.incarnation;
  controller.end_points = wire_endpoints<wire::RegisterControllerRecord::ControllerEndpoint>(
      start.controller_listeners);
  controller.features = supported_features<wire::RegisterControllerRecord::ControllerFeature>();

  wire::RegisterBrokerRecord broker;
  started.epoch = BrokerEpoch{state_->log->next().value + 1};
  broker.broker_id = self.value;
  broker.incarnation_id = started.incarnation;
  broker.broker_epoch = started.epoch.value;
  broker.end_points = wire_endpoints<wire::RegisterBrokerRecord::BrokerEndpoint>(start.listeners);
  broker.features = supported_features<wire::RegisterBrokerRecord::BrokerFeature>();
  broker.rack = start.rack;
  broker.fenced = true;
  broker.log_dirs = start.directories;

  if (const BrokerRegistration* previous = image->broker(self); previous != nullptr) {
    started.previous_was_clean = start.previous_epoch == previous->epoch;
    if (!started.previous_was_clean) state_->node.observer.reached(kProbePreviousUnclean);
  }
  const Committed committed =
      TRY(state_->commit({frame(controller), frame(broker, kRegisterBrokerVersion)}));
  CHECK(committed.last.value == started.epoch.value);
  state_->node.observer.info("broker registered",
                             {{"epoch", started.epoch.value},
                              {"incarnation", started.incarnation.to_string()},
                              {"previous stop", started.previous_was_clean ? "clean" : "unclean"}});
  return started;
}

base::Result<size_t> Controller::bump_leader_epochs() {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const int32_t self = state_->self().value;
  const ImagePointer image = state_->log->image();
  RecordValues values;
  size_t bumped = 0;
  for (const auto& [topic_id, topic] : image->topics()) {
    for (const auto& [number, partition] : topic.partitions) {
      const bool orphan = partition.leader == kNoLeader &&
                          std::ranges::find(partition.isr, self) != partition.isr.end();
      if (partition.leader.value != self && !orphan) continue;
      wire::PartitionChangeRecord change;
      change.partition_id = number;
      change.topic_id = topic_id;
      change.leader = self;
      values.push_back(frame(change));
      ++bumped;
      if (values.size() < kLeaderChangesPerCommit) continue;
      TRY(state_->commit(values));
      values.clear();
    }
  }
  if (!values.empty()) TRY(state_->commit(values));
  if (bumped > 0) state_->node.observer.reached(kProbeLeaderEpochsBumped);
  return bumped;
}

base::Result<> Controller::unfence() {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const BrokerEpoch epoch = TRY(state_->broker_epoch());
  wire::BrokerRegistrationChangeRecord change;
  change.broker_id = state_->self().value;
  change.broker_epoch = epoch.value;
  change.fenced = -1;
  TRY(state_->commit({frame(change, 0)}));
  return {};
}

base::Result<> Controller::fence_for_shutdown() {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const BrokerEpoch epoch = TRY(state_->broker_epoch());
  wire::BrokerRegistrationChangeRecord leaving;
  leaving.broker_id = state_->self().value;
  leaving.broker_epoch = epoch.value;
  leaving.in_controlled_shutdown = 1;
  wire::BrokerRegistrationChangeRecord fenced;
  fenced.broker_id = leaving.broker_id;
  fenced.broker_epoch = leaving.broker_epoch;
  fenced.fenced = 1;
  TRY(state_->commit({frame(leaving, 1), frame(fenced, 0)}));
  return {};
}

std::optional<int64_t> ProducerIdBlock::take() {
  if (count <= 0) return std::nullopt;
  --count;
  return first++;
}

base::Result<ProducerIdBlock> Controller::allocate_producer_ids() {
  check_shard();
  const runtime::LockGuard lock(state_->log->mutex());
  const BrokerEpoch epoch = TRY(state_->broker_epoch());
  const int64_t first = state_->log->image()->next_producer_id();
  if (first > INT64_MAX - kProducerIdsPerBlock) {
    return fail(Errc::exhausted, "the producer ids are used up");
  }
  wire::ProducerIdsRecord record;
  record.broker_id = state_->self().value;
  record.broker_epoch = epoch.value;
  record.next_producer_id = first + kProducerIdsPerBlock;
  TRY(state_->commit({frame(record)}));
  CHECK(state_->log->image()->next_producer_id() == first + kProducerIdsPerBlock);
  state_->node.observer.reached(kProbeProducerIdsAllocated);
  return ProducerIdBlock{first, kProducerIdsPerBlock};
}

base::Result<> Controller::close_cleanly() {
  check_shard();
  return state_->log->close_cleanly();
}

void Controller::check_invariants() const {
  const ImagePointer image = state_->log->image();
  image->check_invariants();
  CHECK(image->offset() + 1 == state_->log->committed());
}

}  // namespace verdict::meta
