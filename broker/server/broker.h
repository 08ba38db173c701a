#pragma once
// Broker: the program. run() is called once on every shard of a node and returns when the broker
// has ended; what it serves lies on the node's disk.
//
// Invariants: shard 0 leads: the others serve after it said so and end after it said so.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/runtime/node.h"
#include "broker/server/config.h"
#include "broker/server/shard.h"

namespace verdict::server {

struct BrokerOptions {
  Config config;
  std::vector<std::string> warnings;  // of the config, for the log of events
};

// How a broker ended.
inline constexpr int kExitStopped = 0;
inline constexpr int kExitFailed = 1;

class Broker {
 public:
  explicit Broker(BrokerOptions options);
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;
  ~Broker();

  // The root fiber of a shard of `node`.
  void run(runtime::Node& node);

  // After run() returned on shard 0: kExitStopped, or kExitFailed and why.
  int exit_status() const { return failure_ ? kExitFailed : kExitStopped; }
  const std::optional<base::Error>& failure() const { return failure_; }

 private:
  void lead(runtime::Node& node, BrokerShard& shard);
  void follow(BrokerShard& shard);
  void end_others(runtime::Node& node);

  BrokerOptions options_;
  ShardTable table_;
  // Only fibers of shard 0 touch these.
  uint32_t arrived_ = 0;
  std::unique_ptr<runtime::WaitQueue> arrivals_;
  std::optional<base::Error> failure_;
};

}  // namespace verdict::server
