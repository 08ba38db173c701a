#pragma once
// What stands around the body of a request or response: a length and a header.
//
// A frame on the wire is an int32 length and that many bytes: the header, then the body. The
// functions that make frames write the length too; those that parse take the bytes behind it.

#include <optional>
#include <string>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/wire/api_table.h"
#include "broker/wire/codec.h"
#include "broker/wire/headers.h"

namespace verdict::wire {

inline constexpr size_t kFrameLengthBytes = 4;

// 2 with tagged fields in flexible versions, else 1.
int16_t request_header_version(const Api& api, int16_t version);
// 1 with tagged fields in flexible versions, else 0. Always 0 for ApiVersions, so that a client
// that asked in a version unknown here can read the answer.
int16_t response_header_version(const Api& api, int16_t version);

struct RequestFrame {
  RequestHeader header;
  const Api* api = nullptr;  // nothing for a key that Kafka does not have
  base::Slices body;         // a cut of the frame; empty unless version_known()

  int16_t version() const { return header.request_api_version; }
  // Whether the body can be decoded. If not, nothing can be said about the bytes behind the client
  // id; an ApiVersions request is answered with api_versions_fallback() then, others not at all.
  bool version_known() const { return api != nullptr && api->valid.contains(version()); }
};

// Errc::invalid when the bytes are no request header.
base::Result<RequestFrame> parse_request(const base::Slices& frame);

struct ResponseFrame {
  int32_t correlation_id = 0;
  base::Slices body;  // a cut of the frame
};

// The response to a request of this API and version.
base::Result<ResponseFrame> parse_response(const base::Slices& frame, const Api& api,
                                           int16_t version);

// A writer with the length, still open, and the header. end_frame() fills the length in.
Writer begin_request(const Api& api, int16_t version, int32_t correlation_id,
                     const std::optional<std::string>& client_id);
Writer begin_response(const Api& api, int16_t version, int32_t correlation_id);
base::Slices end_frame(Writer&& frame);

// A whole frame in one buffer, but for large payload, which is referred to.
template <class Message>
base::Slices request_frame(const Message& body, int16_t version, int32_t correlation_id,
                           const std::optional<std::string>& client_id) {
  const Api* api = find_api(Message::kApiKey);
  CHECK(api != nullptr);
  Writer out = begin_request(*api, version, correlation_id, client_id);
  body.encode(out, version);
  return end_frame(std::move(out));
}
template <class Message>
base::Slices response_frame(const Message& body, int16_t version, int32_t correlation_id) {
  const Api* api = find_api(Message::kApiKey);
  CHECK(api != nullptr);
  Writer out = begin_response(*api, version, correlation_id);
  body.encode(out, version);
  return end_frame(std::move(out));
}

// The whole frame that answers an ApiVersions request of a version unknown here: a version 0 body
// with error 35 and the range of ApiVersions itself, with which the client asks again.
base::Slices api_versions_fallback(int32_t correlation_id);

}  // namespace verdict::wire
