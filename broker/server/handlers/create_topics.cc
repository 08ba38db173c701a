// CreateTopics: the controller decides, and the answer goes out when the topics are served.

#include "broker/wire/create_topics.h"
#include "broker/server/broker_core.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::CreateTopicsRequest;
using wire::CreateTopicsResponse;

meta::NewTopic wanted(const CreateTopicsRequest::CreatableTopic& asked) {
  meta::NewTopic topic;
  topic.name = asked.name;
  topic.partitions = asked.num_partitions;
  topic.replication_factor = asked.replication_factor;
  for (const auto& assignment : asked.assignments) {
    topic.assignments.push_back({assignment.partition_index, assignment.broker_ids});
  }
  for (const auto& config : asked.configs) topic.configs.emplace_back(config.name, config.value);
  return topic;
}

CreateTopicsResponse::CreatableTopicResult result(const meta::CreatedTopic& made) {
  CreateTopicsResponse::CreatableTopicResult out;
  out.name = made.name;
  out.topic_id = made.id;
  out.error_code = made.error.code;
  if (!made.error.message.empty()) out.error_message = made.error.message;
  out.num_partitions = made.partitions;
  out.replication_factor = made.replication_factor;
  out.configs.emplace();
  for (const meta::ConfigEntry& entry : made.configs) {
    CreateTopicsResponse::CreatableTopicConfigs config;
    config.name = entry.name;
    config.value = entry.value;
    config.read_only = entry.read_only;
    config.config_source = static_cast<int8_t>(entry.source);
    config.is_sensitive = entry.sensitive;
    out.configs->push_back(std::move(config));
  }
  return out;
}

}  // namespace

Answer handle_create_topics(const Request& request) {
  const auto asked = TRY(CreateTopicsRequest::decode(request.frame.body, request.version()));
  std::vector<meta::NewTopic> topics;
  for (const auto& topic : asked.topics) topics.push_back(wanted(topic));
  using Created = std::vector<meta::CreatedTopic>;
  auto future = request.shard().call<Created>(
      base::ShardId{0},
      [list = std::move(topics), only = asked.validate_only](BrokerShard& first) -> Created {
        if (first.core() == nullptr) return {};
        return first.core()->create_topics(list, only);
      });
  const Created created = TRY(future.wait(runtime::Instant::never()));
  CreateTopicsResponse response;
  for (const meta::CreatedTopic& made : created) response.topics.push_back(result(made));
  return answer_with(request, response);
}

}  // namespace verdict::server
