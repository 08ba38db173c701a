// What each type of metadata record does to the image. A record is judged whole before the image
// is touched.

#include <algorithm>
#include <array>

#include "broker/base/check.h"
#include "broker/meta/image.h"
#include "broker/wire/metadata_record.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {

using base::Errc;
using base::fail;
using base::Result;

// Applies records to one image; its friend.
class ImageWriter {
 public:
  explicit ImageWriter(MetadataImage& image) : image_(image) {}

  Result<> dispatch(Offset at, const wire::MetadataRecord& frame);

 private:
  Result<> apply(const wire::RegisterBrokerRecord& record);
  Result<> apply(const wire::UnregisterBrokerRecord& record);
  Result<> apply(const wire::TopicRecord& record);
  Result<> apply(const wire::PartitionRecord& record);
  Result<> apply(const wire::ConfigRecord& record);
  Result<> apply(const wire::PartitionChangeRecord& record);
  Result<> apply(const wire::FenceBrokerRecord& record);
  Result<> apply(const wire::UnfenceBrokerRecord& record);
  Result<> apply(const wire::RemoveTopicRecord& record);
  Result<> apply(const wire::FeatureLevelRecord& record);
  Result<> apply(const wire::ProducerIdsRecord& record);
  Result<> apply(const wire::BrokerRegistrationChangeRecord& record);
  Result<> apply(const wire::NoOpRecord& record);
  Result<> apply(const wire::BeginTransactionRecord& record);
  Result<> apply(const wire::EndTransactionRecord& record);
  Result<> apply(const wire::AbortTransactionRecord& record);
  Result<> apply(const wire::RegisterControllerRecord& record);
  Result<> apply(const wire::ClearElrRecord& record);

  template <class Record>
  Result<> decode(const wire::MetadataRecord& frame) {
    auto record = Record::decode(frame.body, frame.version);
    if (!record) return fail(Errc::corrupt, std::move(record).error().detail);
    Result<> applied = apply(*record);
    if (!applied)
      applied.error().detail = std::string(Record::kName) + ": " + applied.error().detail;
    return applied;
  }

  Result<BrokerRegistration> registered(int32_t id, int64_t epoch) const;
  Result<> set_fenced(int32_t id, int64_t epoch, bool fenced);
  void clear_elr(const TopicState& topic);

  MetadataImage& image_;
};

namespace {

// Record types of Kafka's that this broker passes over until their feature is built.
bool is_passed_over(int16_t type) {
  constexpr auto kTypes = std::to_array<int16_t>({
      10,  // DelegationToken
      11,  // UserScramCredential
      14,  // ClientQuota
      18,  // AccessControlEntry
      19,  // RemoveAccessControlEntry
      21,  // ZkMigrationState
      22,  // RemoveUserScramCredential
      26,  // RemoveDelegationToken
  });
  return std::ranges::binary_search(kTypes, type);
}

std::string collision_key(std::string_view name) {
  std::string key(name);
  std::ranges::replace(key, '.', '_');
  return key;
}

bool can_collide(std::string_view name) { return name.find_first_of("._") != std::string::npos; }

template <class WireEndpoint>
std::vector<Endpoint> endpoints(const std::vector<WireEndpoint>& list) {
  std::vector<Endpoint> result;
  for (const WireEndpoint& e : list) {
    result.push_back({e.name, e.host, e.port, e.security_protocol});
  }
  return result;
}

template <class WireFeature>
std::vector<FeatureRange> features(const std::vector<WireFeature>& list) {
  std::vector<FeatureRange> result;
  for (const WireFeature& f : list) {
    result.push_back({f.name, f.min_supported_version, f.max_supported_version});
  }
  return result;
}

// Takes over what the record changes. As in Kafka every change counts in the partition epoch, and
// one that names a leader in the leader epoch, also when it is the same leader.
void merge(PartitionState& state, const wire::PartitionChangeRecord& record) {
  constexpr int32_t kLeaderUnchanged = -2;
  if (record.isr) state.isr = *record.isr;
  if (record.replicas) state.replicas = *record.replicas;
  if (record.removing_replicas) state.removing = *record.removing_replicas;
  if (record.adding_replicas) state.adding = *record.adding_replicas;
  if (record.directories && !record.directories->empty()) state.directories = *record.directories;
  if (record.eligible_leader_replicas) state.eligible_leaders = *record.eligible_leader_replicas;
  if (record.last_known_elr) state.last_known_eligible = *record.last_known_elr;
  if (record.leader_recovery_state >= 0) state.recovering = record.leader_recovery_state == 1;
  if (record.leader != kLeaderUnchanged) {
    state.leader = NodeId{record.leader};
    ++state.leader_epoch.value;
  }
  ++state.partition_epoch;
}

}  // namespace

Result<BrokerRegistration> ImageWriter::registered(int32_t id, int64_t epoch) const {
  const BrokerRegistration* broker = image_.brokers_.find(id);
  if (broker == nullptr) {
    return fail(Errc::corrupt, "broker " + std::to_string(id) + " is not registered");
  }
  if (broker->epoch.value != epoch) {
    return fail(Errc::corrupt, "broker " + std::to_string(id) + " has epoch " +
                                   std::to_string(broker->epoch.value) + ", the record says " +
                                   std::to_string(epoch));
  }
  return *broker;
}

Result<> ImageWriter::apply(const wire::RegisterBrokerRecord& record) {
  BrokerRegistration broker;
  broker.id = NodeId{record.broker_id};
  broker.epoch = BrokerEpoch{record.broker_epoch};
  broker.incarnation = record.incarnation_id;
  broker.listeners = endpoints(record.end_points);
  broker.features = features(record.features);
  broker.rack = record.rack;
  broker.fenced = record.fenced;
  broker.in_controlled_shutdown = record.in_controlled_shutdown;
  broker.directories = record.log_dirs;
  image_.brokers_.set(record.broker_id, std::move(broker));
  return {};
}

Result<> ImageWriter::apply(const wire::UnregisterBrokerRecord& record) {
  TRY(registered(record.broker_id, record.broker_epoch));
  image_.brokers_.erase(record.broker_id);
  return {};
}

Result<> ImageWriter::set_fenced(int32_t id, int64_t epoch, bool fenced) {
  BrokerRegistration broker = TRY(registered(id, epoch));
  broker.fenced = fenced;
  image_.brokers_.set(id, std::move(broker));
  return {};
}

Result<> ImageWriter::apply(const wire::FenceBrokerRecord& record) {
  return set_fenced(record.id, record.epoch, true);
}

Result<> ImageWriter::apply(const wire::UnfenceBrokerRecord& record) {
  return set_fenced(record.id, record.epoch, false);
}

Result<> ImageWriter::apply(const wire::BrokerRegistrationChangeRecord& record) {
  BrokerRegistration broker = TRY(registered(record.broker_id, record.broker_epoch));
  if (record.fenced != 0) broker.fenced = record.fenced > 0;
  if (record.in_controlled_shutdown != 0) broker.in_controlled_shutdown = true;
  if (!record.log_dirs.empty()) broker.directories = record.log_dirs;
  image_.brokers_.set(record.broker_id, std::move(broker));
  return {};
}

Result<> ImageWriter::apply(const wire::RegisterControllerRecord& record) {
  image_.controllers_.set(record.controller_id,
                          {NodeId{record.controller_id}, record.incarnation_id,
                           endpoints(record.end_points), features(record.features)});
  return {};
}

Result<> ImageWriter::apply(const wire::TopicRecord& record) {
  if (image_.topic_names_.contains(record.name)) {
    return fail(Errc::corrupt, "topic " + record.name + " exists already");
  }
  if (image_.topics_.contains(record.topic_id)) {
    return fail(Errc::corrupt, "topic id " + record.topic_id.to_string() + " is taken");
  }
  image_.topics_.set(record.topic_id, {record.name, record.topic_id, {}});
  image_.topic_names_.set(record.name, record.topic_id);
  if (can_collide(record.name)) {
    const std::string key = collision_key(record.name);
    const std::vector<std::string>* present = image_.collisions_.find(key);
    std::vector<std::string> names = present == nullptr ? std::vector<std::string>() : *present;
    names.push_back(record.name);
    image_.collisions_.set(key, std::move(names));
  }
  return {};
}

Result<> ImageWriter::apply(const wire::RemoveTopicRecord& record) {
  const TopicState* found = image_.topics_.find(record.topic_id);
  if (found == nullptr) {
    return fail(Errc::corrupt, "no topic has the id " + record.topic_id.to_string());
  }
  const std::string name = found->name;
  CHECK(image_.partition_count_ >= found->partitions.size());
  image_.partition_count_ -= found->partitions.size();
  image_.topics_.erase(record.topic_id);
  CHECK(image_.topic_names_.erase(name));
  image_.configs_.erase(ConfigResource{ResourceType::topic, name});
  if (!can_collide(name)) return {};
  const std::string key = collision_key(name);
  std::vector<std::string> names = *image_.collisions_.find(key);
  std::erase(names, name);
  if (names.empty()) {
    image_.collisions_.erase(key);
  } else {
    image_.collisions_.set(key, std::move(names));
  }
  return {};
}

Result<> ImageWriter::apply(const wire::PartitionRecord& record) {
  const TopicState* topic = image_.topics_.find(record.topic_id);
  if (topic == nullptr) {
    return fail(Errc::corrupt, "no topic has the id " + record.topic_id.to_string());
  }
  if (record.partition_id < 0) {
    return fail(Errc::corrupt, topic->name + ": partition " + std::to_string(record.partition_id));
  }
  PartitionState state;
  state.replicas = record.replicas;
  state.isr = record.isr;
  state.removing = record.removing_replicas;
  state.adding = record.adding_replicas;
  if (record.eligible_leader_replicas) state.eligible_leaders = *record.eligible_leader_replicas;
  if (record.last_known_elr) state.last_known_eligible = *record.last_known_elr;
  state.directories = record.directories;
  state.leader = NodeId{record.leader};
  state.leader_epoch = LeaderEpoch{record.leader_epoch};
  state.partition_epoch = record.partition_epoch;
  state.recovering = record.leader_recovery_state == 1;
  TopicState changed = *topic;
  if (!changed.partitions.contains(record.partition_id)) ++image_.partition_count_;
  changed.partitions.set(record.partition_id, std::move(state));
  image_.topics_.set(record.topic_id, std::move(changed));
  return {};
}

Result<> ImageWriter::apply(const wire::PartitionChangeRecord& record) {
  const TopicState* topic = image_.topics_.find(record.topic_id);
  if (topic == nullptr) {
    return fail(Errc::corrupt, "no topic has the id " + record.topic_id.to_string());
  }
  const PartitionState* present = topic->partitions.find(record.partition_id);
  if (present == nullptr) {
    return fail(Errc::corrupt,
                "there is no partition " + topic->name + "-" + std::to_string(record.partition_id));
  }
  if (present->leader_epoch.value == INT32_MAX || present->partition_epoch == INT32_MAX) {
    return fail(Errc::corrupt, "the epochs of " + topic->name + "-" +
                                   std::to_string(record.partition_id) + " are used up");
  }
  PartitionState state = *present;
  merge(state, record);
  TopicState changed = *topic;
  changed.partitions.set(record.partition_id, std::move(state));
  image_.topics_.set(record.topic_id, std::move(changed));
  return {};
}

void ImageWriter::clear_elr(const TopicState& topic) {
  wire::PartitionChangeRecord cleared;
  cleared.eligible_leader_replicas.emplace();
  cleared.last_known_elr.emplace();
  TopicState changed = topic;
  for (const auto& [id, present] : topic.partitions) {
    if (present.eligible_leaders.empty() && present.last_known_eligible.empty()) continue;
    PartitionState state = present;
    merge(state, cleared);
    changed.partitions.set(id, std::move(state));
  }
  image_.topics_.set(changed.id, std::move(changed));
}

Result<> ImageWriter::apply(const wire::ClearElrRecord& record) {
  if (record.topic_name.empty()) {
    const PersistentMap<Uuid, TopicState> all = image_.topics_;
    for (const auto& [id, topic] : all) clear_elr(topic);
    return {};
  }
  const TopicState* topic = image_.topic(record.topic_name);
  if (topic == nullptr) return fail(Errc::corrupt, "there is no topic " + record.topic_name);
  const TopicState copy = *topic;
  clear_elr(copy);
  return {};
}

Result<> ImageWriter::apply(const wire::ConfigRecord& record) {
  const ConfigResource resource{static_cast<ResourceType>(record.resource_type),
                                record.resource_name};
  ConfigMap configs = image_.configs(resource);
  if (record.value) {
    configs.insert_or_assign(record.name, *record.value);
  } else {
    configs.erase(record.name);
  }
  if (configs.empty()) {
    image_.configs_.erase(resource);
  } else {
    image_.configs_.set(resource, std::move(configs));
  }
  return {};
}

Result<> ImageWriter::apply(const wire::FeatureLevelRecord& record) {
  if (record.feature_level == 0) {
    image_.features_.erase(record.name);
  } else {
    image_.features_.insert_or_assign(record.name, record.feature_level);
  }
  return {};
}

Result<> ImageWriter::apply(const wire::ProducerIdsRecord& record) {
  if (record.next_producer_id < image_.next_producer_id_) {
    return fail(Errc::corrupt, "next producer id " + std::to_string(record.next_producer_id) +
                                   " is behind " + std::to_string(image_.next_producer_id_));
  }
  image_.next_producer_id_ = record.next_producer_id;
  return {};
}

Result<> ImageWriter::apply(const wire::NoOpRecord&) { return {}; }

Result<> ImageWriter::apply(const wire::BeginTransactionRecord&) {
  if (image_.in_transaction()) return fail(Errc::corrupt, "a transaction is open already");
  image_.before_transaction_ = std::make_shared<const MetadataImage>(image_);
  return {};
}

Result<> ImageWriter::apply(const wire::EndTransactionRecord&) {
  if (!image_.in_transaction()) return fail(Errc::corrupt, "no transaction is open");
  image_.before_transaction_.reset();
  return {};
}

Result<> ImageWriter::apply(const wire::AbortTransactionRecord&) {
  if (!image_.in_transaction()) return fail(Errc::corrupt, "no transaction is open");
  const Offset at = image_.offset_;
  const ImagePointer before = image_.before_transaction_;
  image_ = *before;
  image_.offset_ = at;
  return {};
}

Result<> ImageWriter::dispatch(Offset at, const wire::MetadataRecord& frame) {
  using Decode = Result<> (ImageWriter::*)(const wire::MetadataRecord&);
  struct Type {
    int16_t type;
    Decode decode;
  };
  static constexpr Type kTypes[] = {
      {wire::RegisterBrokerRecord::kApiKey, &ImageWriter::decode<wire::RegisterBrokerRecord>},
      {wire::UnregisterBrokerRecord::kApiKey, &ImageWriter::decode<wire::UnregisterBrokerRecord>},
      {wire::TopicRecord::kApiKey, &ImageWriter::decode<wire::TopicRecord>},
      {wire::PartitionRecord::kApiKey, &ImageWriter::decode<wire::PartitionRecord>},
      {wire::ConfigRecord::kApiKey, &ImageWriter::decode<wire::ConfigRecord>},
      {wire::PartitionChangeRecord::kApiKey, &ImageWriter::decode<wire::PartitionChangeRecord>},
      {wire::FenceBrokerRecord::kApiKey, &ImageWriter::decode<wire::FenceBrokerRecord>},
      {wire::UnfenceBrokerRecord::kApiKey, &ImageWriter::decode<wire::UnfenceBrokerRecord>},
      {wire::RemoveTopicRecord::kApiKey, &ImageWriter::decode<wire::RemoveTopicRecord>},
      {wire::FeatureLevelRecord::kApiKey, &ImageWriter::decode<wire::FeatureLevelRecord>},
      {wire::ProducerIdsRecord::kApiKey, &ImageWriter::decode<wire::ProducerIdsRecord>},
      {wire::BrokerRegistrationChangeRecord::kApiKey,
       &ImageWriter::decode<wire::BrokerRegistrationChangeRecord>},
      {wire::NoOpRecord::kApiKey, &ImageWriter::decode<wire::NoOpRecord>},
      {wire::BeginTransactionRecord::kApiKey, &ImageWriter::decode<wire::BeginTransactionRecord>},
      {wire::EndTransactionRecord::kApiKey, &ImageWriter::decode<wire::EndTransactionRecord>},
      {wire::AbortTransactionRecord::kApiKey, &ImageWriter::decode<wire::AbortTransactionRecord>},
      {wire::RegisterControllerRecord::kApiKey,
       &ImageWriter::decode<wire::RegisterControllerRecord>},
      {wire::ClearElrRecord::kApiKey, &ImageWriter::decode<wire::ClearElrRecord>},
  };
  const auto* known = std::ranges::find(kTypes, frame.type, &Type::type);
  if (known != std::end(kTypes)) {
    TRY((this->*known->decode)(frame));
  } else if (is_passed_over(frame.type)) {
    ++image_.skipped_records_;
  } else {
    return fail(Errc::unsupported, "record type " + std::to_string(frame.type));
  }
  CHECK(at > image_.offset_);
  image_.offset_ = at;
  return {};
}

base::Result<> MetadataImage::apply(Offset at, const base::Slice& value) {
  Result<> applied;
  if (at <= offset_) {
    applied = fail(Errc::corrupt, "it comes after offset " + std::to_string(offset_.value));
  } else if (const auto frame = wire::decode_metadata_record(value); !frame) {
    applied = fail(Errc::corrupt, frame.error().detail);
  } else {
    applied = ImageWriter(*this).dispatch(at, *frame);
  }
  if (!applied) {
    base::Error& error = applied.error();
    error.detail = "metadata record at offset " + std::to_string(at.value) + ": " + error.detail;
  }
  return applied;
}

}  // namespace verdict::meta
