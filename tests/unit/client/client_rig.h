#pragma once
// A world with a model broker and a machine for clients.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "broker/client/producer.h"
#include "sim/world.h"
#include "tests/unit/client/model_broker.h"

namespace verdict::client {

struct ClientRig {
  explicit ClientRig(uint64_t seed = 1) : world(options(seed)) {
    server = world.add_node({.name = "server"});
    client = world.add_node({.name = "client"});
    broker.advertised = {world.address(server), rpc::kScriptedPort};
    broker.add_topic("t", 2);
    boot_server();
  }
  static sim::WorldOptions options(uint64_t seed) {
    sim::WorldOptions made;
    made.kernel.seed = seed;
    return made;
  }
  void boot_server() {
    world.boot(server, rpc::scripted_program([this](const auto& r) { return broker(r); }));
  }
  ClusterOptions cluster() {
    return {.bootstrap = {broker.advertised}, .request_timeout = runtime::seconds(2)};
  }
  ModelPartition& log(int32_t partition = 0) { return broker.partitions.at({"t", partition}); }
  // Runs `body` on the client's machine to its end.
  void run(std::function<void(runtime::Node&)> body, int64_t seconds = 600) {
    world.boot(client, [this, body = std::move(body)](runtime::Node& node) {
      body(node);
      ++ended;
    });
    world.run_until(world.now_ns() + seconds * 1'000'000'000,
                    [this] { return !world.running(client); });
  }
  sim::World world;
  uint32_t server = 0;
  uint32_t client = 0;
  ModelBroker broker;
  int ended = 0;
};

inline runtime::Instant in_seconds(runtime::Node& node, int64_t seconds) {
  return node.clock.after(runtime::seconds(seconds));
}

inline Outgoing outgoing(const std::string& value, int32_t partition = 0) {
  return {.topic = "t", .partition = partition, .value = base::Slice::copy_of(value)};
}

}  // namespace verdict::client
