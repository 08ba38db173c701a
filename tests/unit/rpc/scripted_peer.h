#pragma once
// The other end of a connection, as a program of a world: answers each request as a script says.

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "broker/runtime/node.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/frame.h"

namespace verdict::rpc {

inline constexpr uint16_t kScriptedPort = 9092;

// What the script does with one request.
struct Reply {
  base::Slices frame;  // empty: no answer
  bool close = false;  // end the connection, after the frame
  runtime::Duration delay;
};
using Script = std::function<Reply(const wire::RequestFrame&)>;

inline base::Slices versions_answer(const wire::RequestFrame& request) {
  if (!request.version_known()) return wire::api_versions_fallback(request.header.correlation_id);
  wire::ApiVersionsResponse response;
  for (const wire::Api& api : wire::api_table()) {
    if (api.valid.empty()) continue;
    response.api_keys.push_back(
        {.api_key = api.key, .min_version = api.valid.min, .max_version = api.valid.max});
  }
  return wire::response_frame(response, request.version(), request.header.correlation_id);
}

inline void serve_scripted(runtime::Node& node, runtime::Stream& stream, const Script& script) {
  const auto never = runtime::Instant::never();
  for (;;) {
    const auto length = stream.read_exact(wire::kFrameLengthBytes, never);
    if (!length) return;
    const auto size = base::load_be<int32_t>(length->flatten().data());
    const auto frame = stream.read_exact(static_cast<size_t>(size), never);
    if (!frame) return;
    const auto request = wire::parse_request(*frame);
    if (!request) return;
    const Reply reply = script(*request);
    if (reply.delay.ns > 0 && !node.clock.sleep(reply.delay)) return;
    if (!reply.frame.empty() && !stream.write_all(reply.frame.span(), never)) return;
    if (reply.close) return;
  }
}

// `script` is shared by all connections and called in the order of arrival.
inline std::function<void(runtime::Node&)> scripted_program(Script script) {
  return [script = std::move(script)](runtime::Node& node) {
    auto listener = node.network.listen({"0.0.0.0", kScriptedPort}, {});
    if (!listener) return;
    runtime::Nursery connections(node.tasks);
    for (;;) {
      auto stream = (*listener)->accept(runtime::Instant::never());
      if (!stream) break;
      connections.spawn("connection", [&node, &script, s = std::move(*stream)] {
        serve_scripted(node, *s, script);
      });
    }
    connections.stop();
  };
}

}  // namespace verdict::rpc
