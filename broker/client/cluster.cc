#include "broker/client/cluster.h"

#include <algorithm>
#include <set>
#include <utility>

#include "broker/base/check.h"
#include "broker/rpc/backoff.h"
#include "broker/wire/errors.h"
#include "broker/wire/list_offsets.h"

namespace verdict::client {

using base::Errc;
using base::fail;
using base::Result;
using runtime::Instant;
using wire::ErrorCode;

bool metadata_is_stale(int16_t error_code) {
  switch (static_cast<ErrorCode>(error_code)) {
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::leader_not_available:
    case ErrorCode::not_leader_or_follower:
    case ErrorCode::replica_not_available:
    case ErrorCode::not_controller:
    case ErrorCode::kafka_storage_error:
    case ErrorCode::listener_not_found:
    case ErrorCode::fenced_leader_epoch:
    case ErrorCode::unknown_topic_id:
    case ErrorCode::inconsistent_topic_id:
      return true;
    default:
      return false;
  }
}

bool retriable(int16_t error_code) {
  if (metadata_is_stale(error_code)) return true;
  switch (static_cast<ErrorCode>(error_code)) {
    case ErrorCode::unknown_leader_epoch:
    case ErrorCode::request_timed_out:
    case ErrorCode::network_exception:
    case ErrorCode::corrupt_message:
    case ErrorCode::not_enough_replicas:
    case ErrorCode::not_enough_replicas_after_append:
    case ErrorCode::coordinator_load_in_progress:
    case ErrorCode::coordinator_not_available:
    case ErrorCode::not_coordinator:
    case ErrorCode::offset_not_available:
    case ErrorCode::concurrent_transactions:
    case ErrorCode::throttling_quota_exceeded:
      return true;
    default:
      return false;
  }
}

Cluster::Cluster(runtime::Node& node, ClusterOptions options,
                 base::UniqueFunction<void()> on_change)
    : node_(node),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      nursery_(node.tasks) {
  CHECK(!options_.bootstrap.empty());
  CHECK(options_.retry_backoff_min <= options_.retry_backoff_max);
  next_any_ = node_.random.below("client.bootstrap", options_.bootstrap.size());
}

Instant Cluster::request_deadline(Instant deadline) {
  return std::min(deadline, node_.clock.after(options_.request_timeout));
}

Result<> Cluster::pause(uint32_t attempt, Instant deadline) {
  const Instant until = node_.clock.after(
      rpc::backoff(node_.random, attempt, options_.retry_backoff_min, options_.retry_backoff_max));
  TRY(node_.clock.sleep_until(std::min(until, deadline)));
  if (until >= deadline) return fail(Errc::timed_out, "no broker answered in time");
  return {};
}

rpc::Peer& Cluster::peer_at(const runtime::Endpoint& endpoint) {
  std::unique_ptr<rpc::Peer>& peer = peers_[endpoint];
  if (peer == nullptr) {
    const rpc::PeerOptions options{.client_id = options_.client_id,
                                   .connect_timeout = options_.connect_timeout,
                                   .request_timeout = options_.request_timeout,
                                   .backoff_min = options_.reconnect_backoff_min,
                                   .backoff_max = options_.reconnect_backoff_max};
    peer = std::make_unique<rpc::Peer>(node_, nursery_, endpoint, options, [this] {
      if (on_change_) on_change_();
    });
  }
  return *peer;
}

rpc::Peer* Cluster::peer(int32_t node) {
  const auto at = brokers_.find(node);
  return at == brokers_.end() ? nullptr : &peer_at(at->second);
}

rpc::Peer& Cluster::any_peer() {
  std::vector<const runtime::Endpoint*> known;
  for (const auto& [id, endpoint] : brokers_) known.push_back(&endpoint);
  for (const runtime::Endpoint& endpoint : options_.bootstrap) known.push_back(&endpoint);
  for (const runtime::Endpoint* endpoint : known) {
    const auto at = peers_.find(*endpoint);
    if (at != peers_.end() && at->second->connected()) return *at->second;
  }
  return peer_at(*known[next_any_ % known.size()]);
}

std::optional<Leader> Cluster::leader(const TopicPartition& at) const {
  const auto topic = topics_.find(at.topic);
  if (topic == topics_.end()) return std::nullopt;
  const auto partition = topic->second.partitions.find(at.partition);
  if (partition == topic->second.partitions.end()) return std::nullopt;
  const Leader& leader = partition->second;
  if (leader.node < 0 || !brokers_.contains(leader.node)) return std::nullopt;
  return leader;
}

int16_t Cluster::topic_error(const std::string& topic) const {
  const auto at = topics_.find(topic);
  if (at == topics_.end()) return static_cast<int16_t>(ErrorCode::unknown_topic_or_partition);
  return at->second.error_code;
}

std::optional<base::Uuid> Cluster::topic_id(const std::string& topic) const {
  const auto at = topics_.find(topic);
  if (at == topics_.end() || at->second.error_code != 0) return std::nullopt;
  return at->second.id;
}

std::vector<BrokerInfo> Cluster::brokers() const {
  std::vector<BrokerInfo> all;
  for (const auto& [id, endpoint] : brokers_) all.push_back({.id = id, .endpoint = endpoint});
  return all;
}

namespace {

wire::MetadataRequest metadata_request(const std::optional<std::vector<std::string>>& topics,
                                       bool create_missing) {
  wire::MetadataRequest request;
  request.allow_auto_topic_creation = create_missing;
  if (topics) {
    request.topics.emplace();
    for (const std::string& name : *topics) request.topics->push_back({.name = name});
  }
  return request;
}

}  // namespace

Result<> Cluster::refresh(const std::vector<std::string>& topics, Instant deadline) {
  TRY(metadata(topics, deadline));
  return {};
}

Result<> Cluster::refresh_once(const std::vector<std::string>& topics) {
  const auto response = any_peer().call<wire::MetadataResponse>(
      metadata_request(topics, options_.create_missing_topics), kSpeakMetadata.min,
      kSpeakMetadata.max, request_deadline(Instant::never()));
  if (!response) {
    ++next_any_;
    return std::unexpected(response.error());
  }
  learn(*response);
  return {};
}

Result<wire::MetadataResponse> Cluster::metadata(
    const std::optional<std::vector<std::string>>& topics, Instant deadline) {
  auto response = TRY(call_any<wire::MetadataResponse>(
      metadata_request(topics, options_.create_missing_topics), kSpeakMetadata, deadline));
  learn(response);
  return response;
}

void Cluster::learn(const wire::MetadataResponse& response) {
  // A broker that knows none yet is starting: what was known stays.
  if (!response.brokers.empty()) {
    brokers_.clear();
    for (const auto& broker : response.brokers) {
      if (broker.port <= 0 || broker.port > UINT16_MAX) continue;
      const runtime::Endpoint endpoint{broker.host, static_cast<uint16_t>(broker.port)};
      if (peers_.size() >= kPeersMax && !peers_.contains(endpoint)) continue;
      brokers_[broker.node_id] = endpoint;
    }
  }
  controller_ = response.controller_id;
  for (const auto& topic : response.topics) {
    if (topic.name) learn_topic(topic);
  }
}

void Cluster::learn_topic(const wire::MetadataResponse::MetadataResponseTopic& topic) {
  if (topics_.size() >= kTopicsMax && !topics_.contains(*topic.name)) return;
  TopicInfo& info = topics_[*topic.name];
  if (info.id != topic.topic_id) info.partitions.clear();
  info.id = topic.topic_id;
  info.error_code = topic.error_code;
  for (const auto& seen : topic.partitions) {
    Leader& known = info.partitions[seen.partition_index];
    // An old answer of a broker that is behind.
    if (seen.leader_epoch >= 0 && seen.leader_epoch < known.epoch) continue;
    known = {.node = seen.leader_id, .epoch = seen.leader_epoch};
  }
}

namespace {

using Pending = base::OrderedMap<size_t, OffsetQuery>;  // by place in the answer

wire::ListOffsetsRequest offsets_request(const Pending& pending, const std::set<size_t>& places,
                                         int8_t isolation, const Cluster& cluster) {
  wire::ListOffsetsRequest request;
  request.replica_id = -1;
  request.isolation_level = isolation;
  for (const size_t place : places) {
    const OffsetQuery& query = pending.at(place);
    const std::optional<Leader> leader = cluster.leader(query.at);
    CHECK(leader.has_value());
    request.topics.push_back({.name = query.at.topic,
                              .partitions = {{.partition_index = query.at.partition,
                                              .current_leader_epoch = leader->epoch,
                                              .timestamp = query.timestamp_ms}}});
  }
  return request;
}

// Moves what has its answer from `pending` to `listed`.
void take_offsets(const wire::ListOffsetsResponse& response, const std::set<size_t>& places,
                  Pending& pending, std::vector<ListedOffset>& listed) {
  std::set<size_t> open = places;
  for (const auto& topic : response.topics) {
    for (const auto& seen : topic.partitions) {
      const auto at = std::find_if(open.begin(), open.end(), [&](size_t place) {
        const TopicPartition& asked = pending.at(place).at;
        return asked.topic == topic.name && asked.partition == seen.partition_index;
      });
      if (at == open.end()) continue;
      const size_t place = *at;
      open.erase(at);
      if (retriable(seen.error_code)) continue;
      listed[place].error_code = seen.error_code;
      listed[place].offset = seen.offset;
      listed[place].timestamp_ms = seen.timestamp;
      listed[place].leader_epoch = seen.leader_epoch;
      pending.erase(place);
    }
  }
}

}  // namespace

Result<> Cluster::ask_offsets(base::OrderedMap<size_t, OffsetQuery>& pending, int8_t isolation,
                              Instant deadline, std::vector<ListedOffset>& listed) {
  const auto by_leader = places_by_leader(pending);
  for (const auto& [node, places] : by_leader) {
    const auto request = offsets_request(pending, places, isolation, *this);
    auto response = peer(node)->call<wire::ListOffsetsResponse>(
        request, kSpeakListOffsets.min, kSpeakListOffsets.max, request_deadline(deadline));
    if (response) take_offsets(*response, places, pending, listed);
    if (!response && response.error().code == Errc::cancelled) {
      return std::unexpected(std::move(response).error());
    }
  }
  return {};
}

namespace {

Pending numbered(const std::vector<OffsetQuery>& queries, std::vector<ListedOffset>& listed) {
  Pending pending;
  for (const OffsetQuery& query : queries) {
    const auto not_yet = static_cast<int16_t>(ErrorCode::leader_not_available);
    listed.push_back({.at = query.at, .error_code = not_yet});
    pending[pending.size()] = query;
  }
  return pending;
}

}  // namespace

Result<std::vector<ListedOffset>> Cluster::list_offsets_once(
    const std::vector<OffsetQuery>& queries, int8_t isolation, Instant deadline) {
  std::vector<ListedOffset> listed;
  Pending pending = numbered(queries, listed);
  TRY(ask_offsets(pending, isolation, deadline, listed));
  return listed;
}

Result<std::vector<ListedOffset>> Cluster::list_offsets(const std::vector<OffsetQuery>& queries,
                                                        int8_t isolation, Instant deadline) {
  std::vector<ListedOffset> listed;
  Pending pending = numbered(queries, listed);
  std::set<std::string> names;
  for (const OffsetQuery& query : queries) names.insert(query.at.topic);
  const std::vector<std::string> topics(names.begin(), names.end());
  bool asked = false;
  for (uint32_t attempt = 1; !pending.empty(); ++attempt) {
    const size_t before = pending.size();
    TRY(ask_offsets(pending, isolation, deadline, listed));
    if (pending.size() < before) continue;
    // The first look at the metadata needs no pause.
    if (std::exchange(asked, true)) TRY(pause(attempt, deadline));
    TRY(refresh(topics, deadline));
  }
  return listed;
}

base::OrderedMap<int32_t, std::set<size_t>> Cluster::places_by_leader(
    const base::OrderedMap<size_t, OffsetQuery>& pending) const {
  base::OrderedMap<int32_t, std::set<size_t>> by_leader;
  std::set<TopicPartition> taken;
  for (const auto& [place, query] : pending) {
    const std::optional<Leader> at = leader(query.at);
    // A request may name a partition only once.
    if (at && taken.insert(query.at).second) by_leader[at->node].insert(place);
  }
  return by_leader;
}

}  // namespace verdict::client
