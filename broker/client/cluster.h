#pragma once
// Cluster: what a client knows of the brokers: who they are, who leads what, and the connections.
//
// Belongs to one client object, made and stopped by one fiber. A leader epoch never goes backwards
// while the topic id stays the same (KIP-320).

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/base/function.h"
#include "broker/base/hash_map.h"
#include "broker/base/result.h"
#include "broker/base/uuid.h"
#include "broker/rpc/connection.h"
#include "broker/runtime/node.h"
#include "broker/wire/metadata.h"

namespace verdict::client {

struct ClusterOptions {
  std::vector<runtime::Endpoint> bootstrap;
  std::string client_id = "verdict";
  runtime::Duration request_timeout = runtime::seconds(30);
  runtime::Duration connect_timeout = runtime::seconds(10);
  runtime::Duration reconnect_backoff_min = runtime::milliseconds(50);
  runtime::Duration reconnect_backoff_max = runtime::milliseconds(1'000);
  runtime::Duration retry_backoff_min = runtime::milliseconds(100);
  runtime::Duration retry_backoff_max = runtime::milliseconds(1'000);
  // Kafka's allow.auto.create.topics: a look at a topic that is not there asks for its creation.
  bool create_missing_topics = false;
};

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
  std::string to_string() const { return topic + "-" + std::to_string(partition); }
};

struct BrokerInfo {
  int32_t id = -1;
  runtime::Endpoint endpoint;
};

struct Leader {
  int32_t node = -1;
  int32_t epoch = -1;
};

struct OffsetQuery {
  static constexpr int64_t kLatest = -1;
  static constexpr int64_t kEarliest = -2;
  static constexpr int64_t kMaxTimestamp = -3;
  TopicPartition at;
  int64_t timestamp_ms = kLatest;  // or a point in time
};

struct ListedOffset {
  TopicPartition at;
  int16_t error_code = 0;
  int64_t offset = -1;
  int64_t timestamp_ms = -1;
  int32_t leader_epoch = -1;
};

// Versions that this client writes: names instead of topic ids in Produce and Fetch.
struct SpokenVersions {
  int16_t min;
  int16_t max;
};
inline constexpr SpokenVersions kSpeakProduce{3, 12};
inline constexpr SpokenVersions kSpeakFetch{4, 12};
inline constexpr SpokenVersions kSpeakListOffsets{2, 9};
inline constexpr SpokenVersions kSpeakMetadata{4, 12};
inline constexpr SpokenVersions kSpeakInitProducerId{0, 4};
inline constexpr SpokenVersions kSpeakCreateTopics{2, 7};
inline constexpr SpokenVersions kSpeakDeleteTopics{1, 5};
inline constexpr SpokenVersions kSpeakDescribeConfigs{1, 4};

// Whether a request that got this error may be sent again, after a look at the metadata or not.
bool retriable(int16_t error_code);
// Whether this error says that the metadata here are old.
bool metadata_is_stale(int16_t error_code);

class Cluster {
 public:
  static constexpr size_t kPeersMax = 1'024;
  static constexpr size_t kTopicsMax = 100'000;

  // `on_change` is called when a connection came or went or could not be made. It must not suspend.
  Cluster(runtime::Node& node, ClusterOptions options,
          base::UniqueFunction<void()> on_change = nullptr);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  const ClusterOptions& options() const { return options_; }
  // For the fibers of the client.
  runtime::Nursery& nursery() { return nursery_; }
  // Ends the client's fibers and connections; before destruction.
  void stop() { nursery_.stop(); }

  // Asks the brokers it knows, then the bootstrap ones, until one answers; with back-off between
  // rounds. timed_out, cancelled.
  base::Result<> refresh(const std::vector<std::string>& topics, runtime::Instant deadline);
  // The same with one request to one broker, the next one after a failure; no longer than the
  // request's time-out.
  base::Result<> refresh_once(const std::vector<std::string>& topics);
  // The whole answer to a Metadata request (nothing: all topics), and what refresh() does.
  base::Result<wire::MetadataResponse> metadata(
      const std::optional<std::vector<std::string>>& topics, runtime::Instant deadline);

  // Nothing when unknown or without a leader at the moment.
  std::optional<Leader> leader(const TopicPartition& at) const;
  // Kafka's error of the last look at this topic; unknown_topic_or_partition before.
  int16_t topic_error(const std::string& topic) const;
  std::optional<base::Uuid> topic_id(const std::string& topic) const;
  std::vector<BrokerInfo> brokers() const;
  int32_t controller() const { return controller_; }

  // The connection to a broker of the last metadata; null when there is none of this id.
  rpc::Peer* peer(int32_t node);
  // Some broker that may answer requests that any can: a connected one if possible.
  rpc::Peer& any_peer();

  // Sleeps the back-off before attempt `attempt` (from 1): timed_out when `deadline` comes first.
  base::Result<> pause(uint32_t attempt, runtime::Instant deadline);
  // The end of one request: the request's time-out, or `deadline` if that is earlier.
  runtime::Instant request_deadline(runtime::Instant deadline);

  // Sends to any broker until one answers; back-off between rounds. For what may be asked twice.
  template <class Response, class Request>
  base::Result<Response> call_any(const Request& request, SpokenVersions spoken,
                                  runtime::Instant deadline);
  // ListOffsets at the leaders, with retries within the deadline.
  base::Result<std::vector<ListedOffset>> list_offsets(const std::vector<OffsetQuery>& queries,
                                                       int8_t isolation, runtime::Instant deadline);
  // The same with one attempt at the leaders known now; what got no answer has
  // leader_not_available, what got a retriable error too.
  base::Result<std::vector<ListedOffset>> list_offsets_once(const std::vector<OffsetQuery>& queries,
                                                            int8_t isolation,
                                                            runtime::Instant deadline);

 private:
  struct TopicInfo {
    base::Uuid id;
    int16_t error_code = 0;
    base::OrderedMap<int32_t, Leader> partitions;
  };

  // Places of the queries that each leader can answer in one request.
  base::OrderedMap<int32_t, std::set<size_t>> places_by_leader(
      const base::OrderedMap<size_t, OffsetQuery>& pending) const;
  // Asks the leaders once; what is answered leaves `pending`.
  base::Result<> ask_offsets(base::OrderedMap<size_t, OffsetQuery>& pending, int8_t isolation,
                             runtime::Instant deadline, std::vector<ListedOffset>& listed);
  rpc::Peer& peer_at(const runtime::Endpoint& endpoint);
  void learn(const wire::MetadataResponse& response);
  void learn_topic(const wire::MetadataResponse::MetadataResponseTopic& topic);

  runtime::Node& node_;
  const ClusterOptions options_;
  base::UniqueFunction<void()> on_change_;
  base::OrderedMap<runtime::Endpoint, std::unique_ptr<rpc::Peer>> peers_;
  base::OrderedMap<int32_t, runtime::Endpoint> brokers_;
  base::OrderedMap<std::string, TopicInfo> topics_;
  int32_t controller_ = -1;
  uint64_t next_any_ = 0;
  runtime::Nursery nursery_;  // last: dies first
};

template <class Response, class Request>
base::Result<Response> Cluster::call_any(const Request& request, SpokenVersions spoken,
                                         runtime::Instant deadline) {
  const size_t round = brokers_.size() + options_.bootstrap.size();
  for (uint32_t attempt = 1;; ++attempt) {
    auto response =
        any_peer().call<Response>(request, spoken.min, spoken.max, request_deadline(deadline));
    if (response) return response;
    const base::Errc code = response.error().code;
    if (code == base::Errc::cancelled || code == base::Errc::unsupported) return response;
    if (node_.clock.now() >= deadline) return response;
    ++next_any_;
    if (attempt % round == 0) TRY(pause(attempt / static_cast<uint32_t>(round), deadline));
  }
}

}  // namespace verdict::client
