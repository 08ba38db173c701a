#include "broker/wire/frame.h"

#include "broker/wire/api_versions.h"
#include "broker/wire/errors.h"

namespace verdict::wire {

int16_t request_header_version(const Api& api, int16_t version) {
  return api.flexible(version) ? 2 : 1;
}

int16_t response_header_version(const Api& api, int16_t version) {
  return api.flexible(version) && api.key != kApiVersionsKey ? 1 : 0;
}

base::Result<RequestFrame> parse_request(const base::Slices& frame) {
  RequestFrame request;
  Reader in(frame);
  // Both versions of the header are the same up to the client id.
  RequestHeader::decode(in, 1, request.header);
  request.api = find_api(request.header.request_api_key);
  if (!in.ok()) return std::unexpected(in.error(RequestHeader::kName, 1));
  if (!request.version_known()) return request;
  if (request_header_version(*request.api, request.version()) == 2) {
    in.unknown_tags(request.header.unknown_tags, "(tagged fields)");
    if (!in.ok()) return std::unexpected(in.error(RequestHeader::kName, 2));
  }
  request.body = in.take(in.remaining(), "(body)");
  return request;
}

base::Result<ResponseFrame> parse_response(const base::Slices& frame, const Api& api,
                                           int16_t version) {
  const int16_t header_version = response_header_version(api, version);
  ResponseHeader header;
  Reader in(frame);
  ResponseHeader::decode(in, header_version, header);
  if (!in.ok()) return std::unexpected(in.error(ResponseHeader::kName, header_version));
  ResponseFrame response;
  response.correlation_id = header.correlation_id;
  response.body = in.take(in.remaining(), "(body)");
  return response;
}

Writer begin_request(const Api& api, int16_t version, int32_t correlation_id,
                     const std::optional<std::string>& client_id) {
  Writer out;
  out.value(int32_t{0});
  const RequestHeader header{.request_api_key = api.key,
                             .request_api_version = version,
                             .correlation_id = correlation_id,
                             .client_id = client_id};
  header.encode(out, request_header_version(api, version));
  return out;
}

Writer begin_response(const Api& api, int16_t version, int32_t correlation_id) {
  Writer out;
  out.value(int32_t{0});
  const ResponseHeader header{.correlation_id = correlation_id};
  header.encode(out, response_header_version(api, version));
  return out;
}

base::Slices end_frame(Writer&& frame) {
  CHECK(frame.size() >= kFrameLengthBytes);
  CHECK(frame.size() - kFrameLengthBytes <= INT32_MAX);
  frame.patch_int32(0, static_cast<int32_t>(frame.size() - kFrameLengthBytes));
  return std::move(frame).finish();
}

base::Slices api_versions_fallback(int32_t correlation_id) {
  const Api* api = find_api(kApiVersionsKey);
  CHECK(api != nullptr);
  ApiVersionsResponse body;
  body.error_code = static_cast<int16_t>(ErrorCode::unsupported_version);
  body.api_keys.push_back({.api_key = api->key,
                           .min_version = api->advertised.min,
                           .max_version = api->advertised.max});
  return response_frame(body, 0, correlation_id);
}

}  // namespace verdict::wire
