// DescribeConfigs: of topics and brokers, with where each value comes from.

#include <algorithm>
#include <charconv>

#include "broker/server/request.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::DescribeConfigsRequest;
using wire::DescribeConfigsResponse;
using wire::ErrorCode;
using Result = DescribeConfigsResponse::DescribeConfigsResult;

DescribeConfigsResponse::DescribeConfigsResourceResult entry_of(const meta::ConfigEntry& entry,
                                                                bool synonyms) {
  DescribeConfigsResponse::DescribeConfigsResourceResult out;
  out.name = entry.name;
  out.value = entry.value;
  out.read_only = entry.read_only;
  out.config_source = static_cast<int8_t>(entry.source);
  out.is_sensitive = entry.sensitive;
  out.config_type = static_cast<int8_t>(entry.type);
  if (!synonyms) return out;
  for (const meta::ConfigSynonym& synonym : entry.synonyms) {
    DescribeConfigsResponse::DescribeConfigsSynonym one;
    one.name = synonym.name;
    one.value = synonym.value;
    one.source = static_cast<int8_t>(synonym.source);
    out.synonyms.push_back(std::move(one));
  }
  return out;
}

void fail(Result& result, ErrorCode error, std::string message) {
  result.error_code = code(error);
  result.error_message = std::move(message);
}

std::vector<meta::ConfigEntry> topic_entries(const meta::ConfigScope& scope,
                                             const std::string& name, Result& result) {
  if (const auto bad = meta::check_topic_name(name); !bad.ok()) {
    fail(result, ErrorCode::invalid_topic_exception, bad.message);
    return {};
  }
  if (scope.image.topic(name) == nullptr) {
    fail(result, ErrorCode::unknown_topic_or_partition, "There is no topic " + name);
    return {};
  }
  return meta::describe_topic_configs(scope, name);
}

std::vector<meta::ConfigEntry> broker_entries(const meta::ConfigScope& scope,
                                              const std::string& name, Result& result) {
  if (name.empty()) return meta::describe_broker_configs(scope, std::nullopt);
  int32_t id = -1;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc{} || stop != name.data() + name.size() || id != scope.broker.value) {
    fail(result, ErrorCode::invalid_request,
         "Unexpected broker id, expected " + std::to_string(scope.broker.value) +
             " or empty string, but received " + name);
    return {};
  }
  return meta::describe_broker_configs(scope, base::NodeId{id});
}

}  // namespace

Answer handle_describe_configs(const Request& request) {
  const auto asked = TRY(DescribeConfigsRequest::decode(request.frame.body, request.version()));
  const meta::ImagePointer image = request.shard().image();
  const Config& config = request.shard().config();
  const meta::ConfigScope scope{*image, config.given, config.node_id};
  DescribeConfigsResponse response;
  for (const auto& resource : asked.resources) {
    Result& result = response.results.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    std::vector<meta::ConfigEntry> entries;
    switch (static_cast<meta::ResourceType>(resource.resource_type)) {
      case meta::ResourceType::topic:
        entries = topic_entries(scope, resource.resource_name, result);
        break;
      case meta::ResourceType::broker:
        entries = broker_entries(scope, resource.resource_name, result);
        break;
      default:
        fail(result, ErrorCode::invalid_request,
             "Unsupported resource type: " + std::to_string(resource.resource_type));
        break;
    }
    for (const meta::ConfigEntry& entry : entries) {
      const auto& keys = resource.configuration_keys;
      if (keys && std::ranges::find(*keys, entry.name) == keys->end()) continue;
      result.configs.push_back(entry_of(entry, asked.include_synonyms));
    }
  }
  return answer_with(request, response);
}

}  // namespace verdict::server
