// Metadata: brokers and topics as the image says, and the creation of topics that are asked for.

#include "broker/wire/metadata.h"
#include "broker/server/broker_core.h"
#include "broker/server/probes.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::ErrorCode;
using wire::MetadataRequest;
using wire::MetadataResponse;
using Topic = MetadataResponse::MetadataResponseTopic;

// Of this broker: as configured, else as the client found it.
runtime::Endpoint own_endpoint(const Caller& caller) {
  runtime::Endpoint endpoint = caller.listener.config.advertised;
  if (endpoint.host.empty()) endpoint.host = caller.local.host;
  if (endpoint.port == 0) endpoint.port = caller.listener.bound.port;
  return endpoint;
}

void add_brokers(const Request& request, const meta::MetadataImage& image,
                 MetadataResponse& response) {
  const base::NodeId self = request.shard().config().node_id;
  for (const auto& [id, registration] : image.brokers()) {
    if (registration.fenced) continue;
    MetadataResponse::MetadataResponseBroker broker;
    broker.node_id = id;
    broker.rack = registration.rack;
    if (id == self.value) {
      const runtime::Endpoint endpoint = own_endpoint(request.caller);
      broker.host = endpoint.host;
      broker.port = endpoint.port;
    } else {
      const meta::Endpoint* endpoint = registration.listener(request.caller.listener.config.name);
      if (endpoint == nullptr) continue;
      broker.host = endpoint->host;
      broker.port = endpoint->port;
    }
    response.brokers.push_back(std::move(broker));
  }
}

Topic describe(const meta::TopicState& state) {
  Topic topic;
  topic.name = state.name;
  topic.topic_id = state.id;
  topic.is_internal = state.name == "__consumer_offsets" || state.name == "__transaction_state";
  for (const auto& [number, partition] : state.partitions) {
    MetadataResponse::MetadataResponsePartition out;
    out.partition_index = number;
    out.leader_id = partition.leader.value;
    out.leader_epoch = partition.leader_epoch.value;
    out.replica_nodes = partition.replicas;
    out.isr_nodes = partition.isr;
    if (partition.leader == meta::kNoLeader) {
      out.error_code = code(ErrorCode::leader_not_available);
    }
    topic.partitions.push_back(std::move(out));
  }
  return topic;
}

Topic failed_topic(std::optional<std::string> name, const base::Uuid& id, ErrorCode error) {
  Topic topic;
  topic.name = std::move(name);
  topic.topic_id = id;
  topic.error_code = code(error);
  return topic;
}

// Creates the topics of these names with the broker's defaults. By name: the error, if any.
base::OrderedMap<std::string, ErrorCode> create_missing(const Request& request,
                                                        std::vector<std::string> names) {
  base::OrderedMap<std::string, ErrorCode> errors;
  if (names.empty()) return errors;
  request.shard().node().observer.reached(kProbeAutoCreated);
  using Created = std::vector<meta::CreatedTopic>;
  std::vector<meta::NewTopic> topics;
  for (const std::string& name : names) topics.emplace_back().name = name;
  auto answer = request.shard().call<Created>(
      base::ShardId{0}, [wanted = std::move(topics)](BrokerShard& first) -> Created {
        if (first.core() == nullptr) return {};
        return first.core()->create_topics(wanted, false);
      });
  auto created = answer.wait(runtime::Instant::never());
  for (const std::string& name : names) errors[name] = ErrorCode::leader_not_available;
  if (!created) return errors;
  for (const meta::CreatedTopic& topic : *created) {
    const auto error = static_cast<ErrorCode>(topic.error.code);
    // Somebody else was faster: it is there, or will be in a moment.
    const bool there = topic.error.ok() || error == ErrorCode::topic_already_exists;
    errors[topic.name] = there ? ErrorCode::leader_not_available : error;
  }
  return errors;
}

// What the request names but the image does not have, and may be created.
std::vector<std::string> missing_names(const Request& request, const MetadataRequest& asked) {
  std::vector<std::string> names;
  if (!asked.topics || !asked.allow_auto_topic_creation) return names;
  if (!request.shard().config().auto_create_topics) return names;
  base::OrderedMap<std::string, bool> seen;
  for (const auto& topic : *asked.topics) {
    if (!topic.name || request.shard().image()->topic(*topic.name) != nullptr) continue;
    if (seen.emplace(*topic.name, true).second) names.push_back(*topic.name);
  }
  return names;
}

void add_topics(const Request& request, const MetadataRequest& asked, MetadataResponse& response) {
  const bool all = !asked.topics || (request.version() == 0 && asked.topics->empty());
  if (all) {
    const meta::ImagePointer image = request.shard().image();
    for (const auto& [name, id] : image->topic_names()) {
      const meta::TopicState* state = image->topic(id);
      CHECK(state != nullptr);
      response.topics.push_back(describe(*state));
    }
    return;
  }
  const auto errors = create_missing(request, missing_names(request, asked));
  const meta::ImagePointer image = request.shard().image();
  for (const auto& topic : *asked.topics) {
    const bool by_id = !topic.name.has_value();
    if (by_id && request.version() < 12) {
      // Kafka answers to ids from version 12 on; before, a name has to be there.
      response.topics.push_back(failed_topic("", topic.topic_id, ErrorCode::invalid_request));
      continue;
    }
    const meta::TopicState* state =
        by_id ? image->topic(topic.topic_id) : image->topic(*topic.name);
    if (state != nullptr) {
      response.topics.push_back(describe(*state));
      continue;
    }
    ErrorCode error = by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
    if (!by_id) {
      if (!meta::check_topic_name(*topic.name).ok()) error = ErrorCode::invalid_topic_exception;
      if (const auto at = errors.find(*topic.name); at != errors.end()) error = at->second;
    }
    response.topics.push_back(failed_topic(topic.name, topic.topic_id, error));
  }
}

}  // namespace

Answer handle_metadata(const Request& request) {
  const auto asked = TRY(MetadataRequest::decode(request.frame.body, request.version()));
  MetadataResponse response;
  add_topics(request, asked, response);
  add_brokers(request, *request.shard().image(), response);
  response.cluster_id = request.shard().cluster_id();
  response.controller_id = request.shard().config().node_id.value;
  return answer_with(request, response);
}

}  // namespace verdict::server
