#pragma once
// One machine whose processes open the metadata log, and what they need to say about brokers.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/meta/controller.h"
#include "sim/world.h"

namespace verdict::meta {

inline constexpr int64_t kSecondNs = 1'000'000'000;
inline constexpr Uuid kDirectory{0x1234, 0x5678};

inline BrokerStart broker_start(std::optional<BrokerEpoch> previous = {}) {
  BrokerStart start;
  start.listeners = {{"PLAINTEXT", "host", 9092, 0}};
  start.directories = {kDirectory};
  start.previous_epoch = previous;
  return start;
}

inline base::Result<std::unique_ptr<MetadataLog>> open_log(runtime::Node& node, NodeId id = {1}) {
  MetadataLog::Options options;
  options.node_id = id;
  return MetadataLog::open(node, node.data, std::move(options));
}

inline base::Result<std::unique_ptr<Controller>> open_controller(runtime::Node& node,
                                                                 StaticConfigs file = {}) {
  auto log = TRY(open_log(node));
  Controller::Options options;
  options.node_id = NodeId{1};
  options.server_properties = std::move(file);
  return Controller::open(node, std::move(log), std::move(options));
}

// Opened, registered, epochs bumped, unfenced.
inline base::Result<std::unique_ptr<Controller>> start_controller(runtime::Node& node,
                                                                  StaticConfigs file = {}) {
  auto controller = TRY(open_controller(node, std::move(file)));
  TRY(controller->register_broker(broker_start()));
  const size_t bumped = TRY(controller->bump_leader_epochs());
  CHECK(bumped == controller->image()->partition_count());
  TRY(controller->unfence());
  return controller;
}

inline NewTopic topic_named(std::string name, int32_t partitions = 1) {
  NewTopic topic;
  topic.name = std::move(name);
  topic.partitions = partitions;
  topic.replication_factor = 1;
  return topic;
}

class MetaRig {
 public:
  using Body = std::function<void(runtime::Node&)>;

  explicit MetaRig(uint64_t seed = 1, runtime::KnobValues knobs = {}) : world(options(seed)) {
    world.add_node({.name = "a", .knobs = std::move(knobs)});
  }

  // Boots a process that runs `body`; ends with it, or with the power, or with the process.
  void run(Body body) {
    constexpr int64_t kLimitNs = 3600 * kSecondNs;
    finished = false;
    if (!world.powered(0)) world.power_on(0);
    world.boot(0, [this, body = std::move(body)](runtime::Node& node) {
      body(node);
      finished = true;
    });
    world.run_until(world.now_ns() + kLimitNs, [this] { return !world.running(0); });
    ASSERT_FALSE(world.running(0)) << "the process never ended";
  }
  // run() of a body that must come to its end.
  void finish(Body body) {
    run(std::move(body));
    EXPECT_TRUE(finished);
  }
  std::string content(std::string_view path) {
    auto bytes = world.disk(0).content(path);
    return bytes ? std::string(bytes->text()) : "(absent)";
  }

  sim::World world;
  bool finished = false;

 private:
  static sim::WorldOptions options(uint64_t seed) {
    sim::WorldOptions result;
    result.kernel.seed = seed;
    return result;
  }
};

// Takes the power or the life of node 0 when it stands at a probe for the n-th time.
class ProbeKiller final : public sim::Watcher {
 public:
  ProbeKiller(sim::World& world, const runtime::Probe& probe, uint64_t nth, bool power)
      : world_(world), probe_(probe), left_(nth), power_(power) {
    world_.set_watcher(this);
  }
  ~ProbeKiller() override { world_.set_watcher(nullptr); }
  bool on_probe(uint32_t, const runtime::Probe& probe, uint64_t) override {
    if (probe.hash != probe_.hash || left_ == 0 || --left_ > 0) return false;
    struck = true;
    if (power_) {
      world_.power_off(0);
    } else {
      world_.crash(0);
    }
    return false;
  }
  bool struck = false;

 private:
  sim::World& world_;
  runtime::Probe probe_;
  uint64_t left_;
  bool power_;
};

}  // namespace verdict::meta
