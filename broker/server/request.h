#pragma once
// What a handler gets and gives: one request of one connection, and the frame that answers it.

#include <cstdint>
#include <memory>
#include <string>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/server/shard.h"
#include "broker/wire/frame.h"

namespace verdict::server {

// Where a request came from. Outlives the request.
struct Caller {
  BrokerShard& shard;
  const BoundListener& listener;
  runtime::Endpoint local;  // the address at which the client reached this broker
  runtime::Endpoint peer;
  // Set when the connection ends: whoever waits for its sake stops.
  runtime::Event& closing;
};

struct Request {
  const Caller& caller;
  wire::RequestFrame frame;
  runtime::Instant arrived;

  BrokerShard& shard() const { return caller.shard; }
  int16_t version() const { return frame.version(); }
  int32_t correlation_id() const { return frame.header.correlation_id; }
};

// The whole frame to send; empty when the request wants no answer. An error closes the connection,
// as Kafka does with what it cannot read.
using Answer = base::Result<base::Slices>;

// The second stage of a request whose first one was done by the reader.
class SecondStage {
 public:
  virtual ~SecondStage() = default;
  // Whether finish() has to wait as things are; without, answers can leave together.
  virtual bool would_wait() const = 0;
  // Waits, and makes the answer. Called once.
  virtual Answer finish() = 0;
};

template <class Message>
Answer answer_with(const Request& request, const Message& message) {
  return wire::response_frame(message, request.version(), request.correlation_id());
}

constexpr int16_t code(wire::ErrorCode error) { return static_cast<int16_t>(error); }

// ---- one per API key, each in a file of its name in handlers/
Answer handle_api_versions(const Request& request);
Answer handle_metadata(const Request& request);
Answer handle_fetch(const Request& request);
Answer handle_list_offsets(const Request& request);
Answer handle_create_topics(const Request& request);
Answer handle_delete_topics(const Request& request);
Answer handle_describe_configs(const Request& request);
Answer handle_init_producer_id(const Request& request);
// The first stage of Produce: everything is written, in order. The second waits for the commit.
// The request outlives it.
base::Result<std::unique_ptr<SecondStage>> begin_produce(const Request& request);

// The handler of an API that is served whole in the second stage, null for others.
using Handler = Answer (*)(const Request&);
Handler find_handler(int16_t api_key);

}  // namespace verdict::server
