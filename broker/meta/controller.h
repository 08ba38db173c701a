#pragma once
// Controller: decides about brokers, topics and producer ids, and commits each decision to the
// metadata log before anybody acts on it. Lives on shard 0.
//
// Invariants: whatever a call returned as done is durable; decisions are made one at a time on the
// image that they will change; topic ids and producer ids are never given twice, also across
// crashes; after a failed commit every call says wrong_state or io and nothing is promised.
//
// Order of a start: open, register_broker, bump_leader_epochs, unfence, then serve.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/meta/configs.h"
#include "broker/meta/image.h"
#include "broker/meta/metadata_log.h"
#include "broker/runtime/node.h"

namespace verdict::meta {

inline constexpr int32_t kPartitionsPerRequestMax = 10'000;  // Kafka's
inline constexpr size_t kLeaderChangesPerCommit = 10'000;
inline constexpr int32_t kProducerIdsPerBlock = 1000;  // Kafka's
inline constexpr size_t kTopicNameBytesMax = 249;      // Kafka's
inline constexpr int16_t kMetadataVersion = 29;        // feature level 4.2-IV1
inline constexpr int16_t kMetadataVersionMin = 7;

// Kafka's error code and sentence; code 0 is success.
struct ApiError {
  int16_t code = 0;
  std::string message;
  bool ok() const { return code == 0; }
  bool operator==(const ApiError&) const = default;
};

// Says what is wrong with the name of a topic: code 17 in Kafka's words.
ApiError check_topic_name(std::string_view name);

struct NewTopic {
  std::string name;
  int32_t partitions = -1;          // -1: num.partitions
  int16_t replication_factor = -1;  // -1: default.replication.factor
  // Manual assignment: partition and its replicas; then the two above must be -1.
  struct Assignment {
    int32_t partition = 0;
    std::vector<int32_t> replicas;
  };
  std::vector<Assignment> assignments;
  // A name that comes twice is refused.
  std::vector<std::pair<std::string, std::optional<std::string>>> configs;
};

struct CreatedTopic {
  std::string name;
  ApiError error;
  Uuid id;  // zero with validate_only or an error
  int32_t partitions = -1;
  int16_t replication_factor = -1;
  std::vector<ConfigEntry> configs;  // what applies to it; empty with an error
};

struct DeletedTopic {
  std::optional<std::string> name;
  Uuid id;
  ApiError error;
};

// Names a topic by one of the two.
struct TopicKey {
  std::optional<std::string> name;
  Uuid id;
};

struct ProducerIdBlock {
  int64_t first = 0;
  int32_t count = 0;
  // The next id that was not taken yet; nothing when all are.
  std::optional<int64_t> take();
};

struct BrokerStart {
  std::vector<Endpoint> listeners;
  std::vector<Endpoint> controller_listeners;
  std::optional<std::string> rack;
  std::vector<Uuid> directories;
  // From the clean-shutdown file, when the last stop was clean.
  std::optional<BrokerEpoch> previous_epoch;
};

struct BrokerStarted {
  BrokerEpoch epoch;
  Uuid incarnation;
  // Whether the last incarnation stopped in good order: its epoch is the one of previous_epoch.
  bool previous_was_clean = false;
};

class Controller : public runtime::ShardBound {
 public:
  struct Options {
    NodeId node_id;
    StaticConfigs server_properties;  // num.partitions, default.replication.factor, topic defaults
    // Called with each new image after it is durable, on shard 0 under the commit's lock: it hands
    // the image on and returns without suspending.
    std::function<void(const ImagePointer&)> on_image;
  };

  // Writes Kafka's bootstrap records when the log holds none.
  static base::Result<std::unique_ptr<Controller>> open(runtime::Node& node,
                                                        std::unique_ptr<MetadataLog> log,
                                                        Options options);
  ~Controller();

  ImagePointer image() const;
  const MetadataLog& log() const;
  // Why no decision is taken any more.
  const std::optional<base::Error>& offline() const;

  // A new incarnation, fenced. Its epoch is the offset of its RegisterBrokerRecord.
  base::Result<BrokerStarted> register_broker(const BrokerStart& start);
  // Every partition led by this broker (or by nobody, with this broker in its ISR) gets a new
  // leader epoch. Returns how many.
  base::Result<size_t> bump_leader_epochs();
  base::Result<> unfence();
  // Last act of a stop in good order: fenced and in controlled shutdown, so that the image says it.
  base::Result<> fence_for_shutdown();

  // One answer per topic, in order; a name that comes twice is refused and answered once. Code 56
  // for what could not be committed.
  std::vector<CreatedTopic> create_topics(const std::vector<NewTopic>& topics, bool validate_only);
  std::vector<DeletedTopic> delete_topics(const std::vector<TopicKey>& topics);

  // kProducerIdsPerBlock ids that nobody ever had; durable before it returns.
  base::Result<ProducerIdBlock> allocate_producer_ids();

  base::Result<> close_cleanly();
  void check_invariants() const;

  struct State;  // for controller*.cc

 private:
  std::unique_ptr<State> state_;
  explicit Controller(runtime::Node& node, std::unique_ptr<State> state);
};

}  // namespace verdict::meta
