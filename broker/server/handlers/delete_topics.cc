// DeleteTopics: by name, from version 6 on also by id.

#include "broker/wire/delete_topics.h"
#include "broker/server/broker_core.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::DeleteTopicsRequest;
using wire::DeleteTopicsResponse;

std::vector<meta::TopicKey> keys_of(const DeleteTopicsRequest& asked, int16_t version) {
  std::vector<meta::TopicKey> keys;
  if (version >= 6) {
    for (const auto& topic : asked.topics) keys.push_back({topic.name, topic.topic_id});
  } else {
    for (const std::string& name : asked.topic_names) keys.push_back({name, {}});
  }
  return keys;
}

}  // namespace

Answer handle_delete_topics(const Request& request) {
  const auto asked = TRY(DeleteTopicsRequest::decode(request.frame.body, request.version()));
  const auto keys = keys_of(asked, request.version());
  DeleteTopicsResponse response;
  const auto& given = request.shard().config().given;
  const auto enabled = given.find("delete.topic.enable");
  if (enabled != given.end() && enabled->second == "false") {
    for (const meta::TopicKey& key : keys) {
      auto& out = response.responses.emplace_back();
      out.name = key.name;
      out.topic_id = key.id;
      out.error_code = code(request.version() < 3 ? wire::ErrorCode::invalid_request
                                                  : wire::ErrorCode::topic_deletion_disabled);
    }
    return answer_with(request, response);
  }
  using Deleted = std::vector<meta::DeletedTopic>;
  auto future =
      request.shard().call<Deleted>(base::ShardId{0}, [list = keys](BrokerShard& first) -> Deleted {
        if (first.core() == nullptr) return {};
        return first.core()->delete_topics(list);
      });
  const Deleted deleted = TRY(future.wait(runtime::Instant::never()));
  for (const meta::DeletedTopic& gone : deleted) {
    auto& out = response.responses.emplace_back();
    out.name = gone.name;
    if (request.version() < 6 && !out.name) out.name = "";
    out.topic_id = gone.id;
    out.error_code = gone.error.code;
    if (!gone.error.message.empty() && request.version() >= 5) {
      out.error_message = gone.error.message;
    }
  }
  return answer_with(request, response);
}

}  // namespace verdict::server
