// ApiVersions: what this broker speaks, and the features that are finalized.

#include <algorithm>

#include "broker/server/request.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::ApiVersionsRequest;
using wire::ApiVersionsResponse;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Kafka's rule for names and versions of client software.
bool valid_software_text(std::string_view text) {
  if (text.empty() || !is_word(text.front()) || !is_word(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

void add_features(const Request& request, ApiVersionsResponse& response) {
  const meta::MetadataImage& image = *request.shard().image();
  const meta::BrokerRegistration* self = image.broker(request.shard().config().node_id);
  if (self != nullptr) {
    for (const meta::FeatureRange& feature : self->features) {
      // Clients before version 4 cannot read a feature whose lowest level is 0.
      if (feature.min < 1 && request.version() < 4) continue;
      ApiVersionsResponse::SupportedFeatureKey key;
      key.name = feature.name;
      key.min_version = feature.min;
      key.max_version = feature.max;
      response.supported_features.push_back(std::move(key));
    }
  }
  response.finalized_features_epoch = image.offset().value;
  for (const auto& [name, level] : image.features()) {
    ApiVersionsResponse::FinalizedFeatureKey key;
    key.name = name;
    key.max_version_level = level;
    key.min_version_level = level;
    response.finalized_features.push_back(std::move(key));
  }
}

}  // namespace

Answer handle_api_versions(const Request& request) {
  const auto asked = TRY(ApiVersionsRequest::decode(request.frame.body, request.version()));
  ApiVersionsResponse response;
  if (request.version() >= 3 && (!valid_software_text(asked.client_software_name) ||
                                 !valid_software_text(asked.client_software_version))) {
    response.error_code = code(wire::ErrorCode::invalid_request);
    return answer_with(request, response);
  }
  for (const wire::Api& api : wire::api_table()) {
    if (api.advertised.empty()) continue;
    ApiVersionsResponse::ApiVersion version;
    version.api_key = api.key;
    version.min_version = api.advertised.min;
    version.max_version = api.advertised.max;
    response.api_keys.push_back(version);
  }
  if (request.version() >= 3) add_features(request, response);
  return answer_with(request, response);
}

}  // namespace verdict::server
