#include "broker/client/admin.h"

#include <algorithm>
#include <utility>

#include "broker/wire/create_topics.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/errors.h"

namespace verdict::client {

using base::Errc;
using base::Result;
using runtime::Instant;

namespace {
constexpr int64_t kTimeoutMaxMs = 60'000;
}  // namespace

Admin::Admin(runtime::Node& node, ClusterOptions options)
    : node_(node), cluster_(node, std::move(options)) {}

int32_t Admin::timeout_ms(Instant deadline) {
  const int64_t left_ms = (deadline - node_.clock.now()).ms();
  return static_cast<int32_t>(std::clamp<int64_t>(left_ms, 1, kTimeoutMaxMs));
}

Result<rpc::Peer*> Admin::controller(Instant deadline) {
  for (uint32_t attempt = 1;; ++attempt) {
    rpc::Peer* peer = cluster_.peer(cluster_.controller());
    if (peer == nullptr) {
      TRY(cluster_.refresh({}, deadline));
      peer = cluster_.peer(cluster_.controller());
    }
    if (peer != nullptr) {
      const auto connected = peer->wait_connected(deadline);
      if (connected) return peer;
      if (connected.error().code == Errc::cancelled) return std::unexpected(connected.error());
    }
    TRY(cluster_.pause(attempt, deadline));
    TRY(cluster_.refresh({}, deadline));
  }
}

template <class Response, class Request>
Result<Response> Admin::call_controller(const Request& request, SpokenVersions spoken,
                                        Instant deadline) {
  for (uint32_t attempt = 1;; ++attempt) {
    rpc::Peer* peer = TRY(controller(deadline));
    Response response = TRY(
        peer->call<Response>(request, spoken.min, spoken.max, cluster_.request_deadline(deadline)));
    if (!refused_as_not_controller(response)) return response;
    TRY(cluster_.pause(attempt, deadline));
    TRY(cluster_.refresh({}, deadline));
  }
}

namespace {

constexpr auto kNotController = static_cast<int16_t>(wire::ErrorCode::not_controller);

}  // namespace

bool Admin::refused_as_not_controller(const wire::CreateTopicsResponse& response) {
  return !response.topics.empty() && response.topics.front().error_code == kNotController;
}

bool Admin::refused_as_not_controller(const wire::DeleteTopicsResponse& response) {
  return !response.responses.empty() && response.responses.front().error_code == kNotController;
}

Result<std::vector<TopicResult>> Admin::create_topics(const std::vector<NewTopic>& topics,
                                                      bool validate_only, Instant deadline) {
  wire::CreateTopicsRequest request;
  request.timeout_ms = timeout_ms(deadline);
  request.validate_only = validate_only;
  for (const NewTopic& topic : topics) {
    request.topics.push_back({.name = topic.name,
                              .num_partitions = topic.partitions,
                              .replication_factor = topic.replication_factor});
    for (const auto& [name, value] : topic.configs) {
      request.topics.back().configs.push_back({.name = name, .value = value});
    }
  }
  const auto response =
      TRY(call_controller<wire::CreateTopicsResponse>(request, kSpeakCreateTopics, deadline));
  std::vector<TopicResult> results;
  for (const auto& topic : response.topics) {
    results.push_back({.name = topic.name,
                       .error_code = topic.error_code,
                       .message = topic.error_message.value_or(""),
                       .id = topic.topic_id});
  }
  return results;
}

Result<std::vector<TopicResult>> Admin::delete_topics(const std::vector<std::string>& names,
                                                      Instant deadline) {
  wire::DeleteTopicsRequest request;
  request.timeout_ms = timeout_ms(deadline);
  request.topic_names = names;
  const auto response =
      TRY(call_controller<wire::DeleteTopicsResponse>(request, kSpeakDeleteTopics, deadline));
  std::vector<TopicResult> results;
  for (const auto& topic : response.responses) {
    results.push_back({.name = topic.name.value_or(""),
                       .error_code = topic.error_code,
                       .message = topic.error_message.value_or("")});
  }
  return results;
}

Result<std::vector<TopicDescription>> Admin::describe_topics(
    const std::optional<std::vector<std::string>>& names, Instant deadline) {
  const auto response = TRY(cluster_.metadata(names, deadline));
  std::vector<TopicDescription> topics;
  for (const auto& topic : response.topics) {
    topics.push_back({.name = topic.name.value_or(""),
                      .error_code = topic.error_code,
                      .id = topic.topic_id,
                      .internal = topic.is_internal});
    auto& partitions = topics.back().partitions;
    for (const auto& partition : topic.partitions) {
      partitions.push_back({.partition = partition.partition_index,
                            .error_code = partition.error_code,
                            .leader = partition.leader_id,
                            .leader_epoch = partition.leader_epoch,
                            .replicas = partition.replica_nodes,
                            .isr = partition.isr_nodes});
    }
    std::sort(partitions.begin(), partitions.end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
  }
  return topics;
}

Result<std::vector<ResourceConfigs>> Admin::describe_configs(ResourceType type,
                                                             const std::vector<std::string>& names,
                                                             Instant deadline) {
  wire::DescribeConfigsRequest request;
  for (const std::string& name : names) {
    request.resources.push_back({.resource_type = static_cast<int8_t>(type),
                                 .resource_name = name,
                                 .configuration_keys = std::nullopt});
  }
  const auto response = TRY(
      cluster_.call_any<wire::DescribeConfigsResponse>(request, kSpeakDescribeConfigs, deadline));
  std::vector<ResourceConfigs> resources;
  for (const auto& resource : response.results) {
    resources.push_back({.name = resource.resource_name,
                         .error_code = resource.error_code,
                         .message = resource.error_message.value_or("")});
    for (const auto& config : resource.configs) {
      resources.back().entries.push_back({.name = config.name,
                                          .value = config.value,
                                          .source = config.config_source,
                                          .read_only = config.read_only,
                                          .sensitive = config.is_sensitive});
    }
  }
  return resources;
}

Result<std::vector<ListedOffset>> Admin::list_offsets(const std::vector<OffsetQuery>& queries,
                                                      Instant deadline) {
  return cluster_.list_offsets(queries, 0, deadline);
}

Result<std::vector<ListedOffset>> Admin::list_offsets_once(const std::vector<OffsetQuery>& queries,
                                                           Instant deadline) {
  return cluster_.list_offsets_once(queries, 0, deadline);
}

Result<std::vector<BrokerInfo>> Admin::brokers(Instant deadline) {
  TRY(cluster_.refresh({}, deadline));
  return cluster_.brokers();
}

}  // namespace verdict::client
