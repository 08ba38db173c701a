#pragma once
// MetadataImage: what the records of __cluster_metadata-0 up to one offset say: brokers, topics,
// partitions, configs, features, producer ids. A value; published images are never changed and
// cross shards as shared_ptr<const MetadataImage>.
//
// Invariants: equal to a replay of the log up to offset(); leader epochs, partition epochs and the
// next producer id never go back; copies share what they have in common, so a copy costs nothing.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/meta/persistent_map.h"

namespace verdict::meta {

using base::BrokerEpoch;
using base::LeaderEpoch;
using base::NodeId;
using base::Offset;
using base::Uuid;

inline constexpr std::string_view kMetadataTopic = "__cluster_metadata";
inline constexpr Uuid kMetadataTopicId{0, 1};
inline constexpr NodeId kNoLeader{-1};

struct Endpoint {
  std::string name;  // of the listener
  std::string host;
  uint16_t port = 0;
  int16_t security_protocol = 0;  // Kafka's: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
  auto operator<=>(const Endpoint&) const = default;
};

struct FeatureRange {
  std::string name;
  int16_t min = 0;
  int16_t max = 0;
  auto operator<=>(const FeatureRange&) const = default;
};

struct BrokerRegistration {
  NodeId id;
  BrokerEpoch epoch;
  Uuid incarnation;
  std::vector<Endpoint> listeners;
  std::vector<FeatureRange> features;
  std::optional<std::string> rack;
  bool fenced = true;
  bool in_controlled_shutdown = false;
  std::vector<Uuid> directories;
  bool operator==(const BrokerRegistration&) const = default;
  // The listener of that name, null when there is none.
  const Endpoint* listener(std::string_view name) const;
};

struct ControllerRegistration {
  NodeId id;
  Uuid incarnation;
  std::vector<Endpoint> listeners;
  std::vector<FeatureRange> features;
  bool operator==(const ControllerRegistration&) const = default;
};

struct PartitionState {
  std::vector<int32_t> replicas;  // in order of preference
  std::vector<int32_t> isr;
  std::vector<int32_t> removing;
  std::vector<int32_t> adding;
  std::vector<int32_t> eligible_leaders;  // ELR
  std::vector<int32_t> last_known_eligible;
  std::vector<Uuid> directories;  // of each replica
  NodeId leader = kNoLeader;
  LeaderEpoch leader_epoch{0};
  int32_t partition_epoch = 0;
  bool recovering = false;  // from an unclean election
  bool operator==(const PartitionState&) const = default;
};

struct TopicState {
  std::string name;
  Uuid id;
  PersistentMap<int32_t, PartitionState> partitions;
};

// Kafka's config resource types.
enum class ResourceType : int8_t {
  unknown = 0,
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32,
};

struct ConfigResource {
  ResourceType type = ResourceType::unknown;
  std::string name;  // of a broker: its id in decimal, "" for the default of all brokers
  auto operator<=>(const ConfigResource&) const = default;
  uint64_t hash() const {
    return base::combine(static_cast<uint64_t>(type), base::hash_text(name));
  }
};

using ConfigMap = base::OrderedMap<std::string, std::string>;

class MetadataImage {
 public:
  // The last record that went in; -1 in an empty image.
  Offset offset() const { return offset_; }

  const PersistentMap<int32_t, BrokerRegistration>& brokers() const { return brokers_; }
  const PersistentMap<int32_t, ControllerRegistration>& controllers() const { return controllers_; }
  const BrokerRegistration* broker(NodeId id) const { return brokers_.find(id.value); }

  // By id. Names in order: topic_names().
  const PersistentMap<Uuid, TopicState>& topics() const { return topics_; }
  const PersistentMap<std::string, Uuid>& topic_names() const { return topic_names_; }
  const TopicState* topic(std::string_view name) const;
  const TopicState* topic(const Uuid& id) const { return topics_.find(id); }
  const PartitionState* partition(const Uuid& topic, int32_t partition) const;
  // A topic whose name is the same once '.' is read as '_'; null when there is none.
  const std::string* colliding_topic(std::string_view name) const;
  size_t partition_count() const { return partition_count_; }

  // What was set for the resource, without defaults. Empty when nothing was.
  const ConfigMap& configs(const ConfigResource& resource) const;
  const ConfigMap& topic_configs(std::string_view topic) const;

  // Finalized feature levels; those that are not there are at 0.
  const base::OrderedMap<std::string, int16_t>& features() const { return features_; }
  int64_t next_producer_id() const { return next_producer_id_; }

  // Records of types that Kafka has and this broker does not build yet: counted and passed over.
  uint64_t skipped_records() const { return skipped_records_; }

  // Between the begin and the end of a metadata transaction: what it did may still be undone.
  bool in_transaction() const { return before_transaction_ != nullptr; }

  // Applies one record value (Kafka's frame around a metadata record) that stands at `at`. corrupt
  // names the offset and what does not fit; unsupported a record type that nobody knows. The image
  // is unchanged then.
  base::Result<> apply(Offset at, const base::Slice& value);
  // A control record at `at` carries no metadata, but moves offset().
  void pass(Offset at);

  void check_invariants() const;

 private:
  friend class ImageWriter;  // image_records.cc: one function per record type

  Offset offset_{-1};
  PersistentMap<int32_t, BrokerRegistration> brokers_;
  PersistentMap<int32_t, ControllerRegistration> controllers_;
  PersistentMap<Uuid, TopicState> topics_;
  PersistentMap<std::string, Uuid> topic_names_;
  // Names that contain '.' or '_', by the name with '.' read as '_'.
  PersistentMap<std::string, std::vector<std::string>> collisions_;
  PersistentMap<ConfigResource, ConfigMap> configs_;
  base::OrderedMap<std::string, int16_t> features_;
  size_t partition_count_ = 0;
  int64_t next_producer_id_ = 0;
  uint64_t skipped_records_ = 0;
  std::shared_ptr<const MetadataImage> before_transaction_;
};

using ImagePointer = std::shared_ptr<const MetadataImage>;

}  // namespace verdict::meta
