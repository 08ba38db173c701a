#pragma once
// BrokerRig: one broker on one machine of a world, and clients on another that speak the protocol
// by hand.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/endian.h"
#include "broker/record/batch.h"
#include "broker/server/broker.h"
#include "broker/server/config.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/fetch.h"
#include "broker/wire/frame.h"
#include "broker/wire/metadata.h"
#include "broker/wire/produce.h"
#include "sim/world.h"

namespace verdict::server {

inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr uint16_t kPort = 9092;

// The value of a call that has to succeed for the test to make sense.
template <class T>
T must(base::Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().to_string();
  CHECK(result.has_value());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// One connection of a client.
class Client {
 public:
  Client(runtime::Node& node, const std::string& address) : node_(node), address_(address) {
    reconnect();
  }

  void reconnect() {
    stream_.reset();
    stream_ = must(node_.network.connect({address_, kPort}, soon()));
  }
  runtime::Node& node() { return node_; }
  runtime::Stream& stream() { return *stream_; }
  runtime::Instant soon() { return node_.clock.after(runtime::seconds(60)); }

  base::Result<> send_bytes(const base::Slices& bytes) {
    return stream_->write_all(bytes.span(), soon());
  }
  base::Result<> send_text(std::string_view text) { return send_bytes(base::Slice::copy_of(text)); }
  template <class Request>
  int32_t send(const Request& request, int16_t version) {
    const int32_t id = ++correlation_;
    EXPECT_TRUE(send_bytes(wire::request_frame(request, version, id, "test")).has_value());
    return id;
  }
  // The next frame without its length; closed or reset when the broker ended the connection.
  base::Result<base::Slices> receive_frame() {
    const base::Slices length = TRY(stream_->read_exact(4, soon()));
    const auto size = base::load_be<int32_t>(length.flatten().data());
    CHECK(size >= 0);
    if (size == 0) return base::Slices{};
    return stream_->read_exact(static_cast<size_t>(size), soon());
  }
  template <class Response>
  Response receive(int16_t version, int32_t correlation_id) {
    const wire::Api* api = wire::find_api(Response::kApiKey);
    const base::Slices frame = must(receive_frame());
    const wire::ResponseFrame response = must(wire::parse_response(frame, *api, version));
    EXPECT_EQ(response.correlation_id, correlation_id);
    return must(Response::decode(response.body, version));
  }
  template <class Response, class Request>
  Response ask(const Request& request, int16_t version) {
    const int32_t id = send(request, version);
    return receive<Response>(version, id);
  }
  // Whether the broker has ended the connection, and sent nothing before.
  bool is_closed() {
    auto got = stream_->read_some(1, soon());
    return !got ? got.error().code != base::Errc::timed_out : got->empty();
  }

  // ---- short forms
  void create(const std::string& topic, int32_t partitions = 1,
              std::vector<std::pair<std::string, std::string>> configs = {}) {
    wire::CreateTopicsRequest request;
    auto& wanted = request.topics.emplace_back();
    wanted.name = topic;
    wanted.num_partitions = partitions;
    wanted.replication_factor = 1;
    for (auto& [name, value] : configs) {
      auto& config = wanted.configs.emplace_back();
      config.name = name;
      config.value = value;
    }
    const auto response = ask<wire::CreateTopicsResponse>(request, 7);
    ASSERT_EQ(response.topics.size(), 1U);
    ASSERT_EQ(response.topics[0].error_code, 0) << response.topics[0].error_message.value_or("");
  }
  wire::ProduceResponse produce(const std::string& topic, int32_t partition,
                                const base::Slices& records, int16_t version = 9,
                                int16_t acks = -1) {
    return ask<wire::ProduceResponse>(produce_request(topic, partition, records, acks), version);
  }
  static wire::ProduceRequest produce_request(const std::string& topic, int32_t partition,
                                              const base::Slices& records, int16_t acks = -1) {
    wire::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = 30'000;
    auto& data = request.topic_data.emplace_back();
    data.name = topic;
    auto& part = data.partition_data.emplace_back();
    part.index = partition;
    part.records = records;
    return request;
  }
  static wire::FetchRequest fetch_request(const std::string& topic, int32_t partition, int64_t from,
                                          int32_t wait_ms = 0) {
    wire::FetchRequest request;
    request.max_wait_ms = wait_ms;
    request.min_bytes = 1;
    request.max_bytes = 50 << 20;
    request.session_epoch = -1;
    auto& wanted = request.topics.emplace_back();
    wanted.topic = topic;
    auto& part = wanted.partitions.emplace_back();
    part.partition = partition;
    part.fetch_offset = from;
    part.partition_max_bytes = 1 << 20;
    return request;
  }
  wire::FetchResponse::PartitionData fetch(const std::string& topic, int32_t partition,
                                           int64_t from, int32_t wait_ms = 0,
                                           int16_t version = 12) {
    const auto response =
        ask<wire::FetchResponse>(fetch_request(topic, partition, from, wait_ms), version);
    CHECK(response.responses.size() == 1);
    CHECK(response.responses[0].partitions.size() == 1);
    return response.responses[0].partitions[0];
  }

 private:
  runtime::Node& node_;
  std::string address_;
  std::unique_ptr<runtime::Stream> stream_;
  int32_t correlation_ = 100;
};

// One batch with these values.
inline base::Slice batch_of(const std::vector<std::string>& values,
                            record::BatchBuilder::Options options = {},
                            int64_t timestamp_ms = 1'767'225'600'000) {
  record::BatchBuilder builder(options);
  for (const std::string& value : values) {
    builder.add(timestamp_ms, std::nullopt, std::as_bytes(std::span(value)));
  }
  return builder.build();
}

struct Fetched {
  int64_t offset;
  std::string value;
  bool operator==(const Fetched&) const = default;
};

// All records in a run of batches.
inline std::vector<Fetched> records_of(const base::Slices& run) {
  std::vector<Fetched> all;
  size_t at = 0;
  while (at < run.size()) {
    const base::Slice head = run.cut(at, record::kHeaderBytes).flatten();
    const record::BatchHeader header = record::read_header(head.bytes());
    const base::Slices batch = run.cut(at, header.total_bytes());
    for (const record::Record& r : must(record::read_records(header, batch, 64U << 20))) {
      all.push_back({header.base_offset + r.offset_delta,
                     r.value ? std::string(r.value->text()) : std::string("(null)")});
    }
    at += header.total_bytes();
  }
  return all;
}

struct RigOptions {
  uint64_t seed = 1;
  uint32_t shards = 1;
  std::vector<std::string> settings = {};  // "key=value"
};

class BrokerRig {
 public:
  explicit BrokerRig(RigOptions options = {})
      : options_(std::move(options)), world(world_options(options_.seed)) {
    sim::NodeOptions machine;
    machine.name = "broker";
    machine.shards = options_.shards;
    broker_node = world.add_node(machine);
    machine.name = "client";
    machine.shards = 1;
    client_node = world.add_node(machine);
  }

  Broker& broker() { return *broker_; }
  void start() {
    auto parsed = parse_config("server.properties", "node.id=1\n", options_.settings);
    CHECK(parsed.has_value());
    broker_ = std::make_shared<Broker>(
        BrokerOptions{std::move(parsed->config), std::move(parsed->warnings)});
    world.boot(broker_node, [broker = broker_](runtime::Node& node) { broker->run(node); });
    world.run_until(world.now_ns() + 2 * kSecond);
  }
  void stop() {
    world.stop(broker_node);
    world.run_until(world.now_ns() + 60 * kSecond, [&] { return !world.running(broker_node); });
    EXPECT_FALSE(world.running(broker_node)) << "the broker did not stop";
  }
  void crash() { world.crash(broker_node); }
  void lose_power() {
    world.power_off(broker_node);
    world.power_on(broker_node);
  }
  std::string address() const { return world.address(broker_node); }

  // Runs `body` on the client's machine to its end.
  void run(std::function<void(Client&)> body, int64_t limit_s = 600) {
    bool done = false;
    world.boot(client_node, [&, body](runtime::Node& node) {
      Client client(node, address());
      body(client);
      done = true;
    });
    world.run_until(world.now_ns() + limit_s * kSecond, [&] { return done; });
    EXPECT_TRUE(done) << "the client did not come to an end";
    world.crash(client_node);
  }

 private:
  static sim::WorldOptions world_options(uint64_t seed) {
    sim::WorldOptions options;
    options.kernel.seed = seed;
    return options;
  }
  RigOptions options_;
  std::shared_ptr<Broker> broker_;  // also held by the program that runs it

 public:
  sim::World world;
  uint32_t broker_node = 0;
  uint32_t client_node = 0;
};

}  // namespace verdict::server
