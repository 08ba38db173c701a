#pragma once
// Admin: what an operator asks of a cluster, one request per call.
//
// Made, stopped and destroyed by one fiber. A call that fails with timed_out or reset may have been
// carried out all the same; look before you repeat it.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/uuid.h"
#include "broker/client/cluster.h"
#include "broker/runtime/node.h"

namespace verdict::wire {
struct CreateTopicsResponse;
struct DeleteTopicsResponse;
}  // namespace verdict::wire

namespace verdict::client {

struct NewTopic {
  std::string name;
  int32_t partitions = 1;          // -1: the broker's default
  int16_t replication_factor = 1;  // -1: the broker's default
  std::vector<std::pair<std::string, std::string>> configs;
};

// The broker's verdict on one topic; error_code 0 is success (Kafka's codes).
struct TopicResult {
  std::string name;
  int16_t error_code = 0;
  std::string message;
  base::Uuid id;
};

struct PartitionDescription {
  int32_t partition = 0;
  int16_t error_code = 0;
  int32_t leader = -1;
  int32_t leader_epoch = -1;
  std::vector<int32_t> replicas;
  std::vector<int32_t> isr;
};

struct TopicDescription {
  std::string name;
  int16_t error_code = 0;
  base::Uuid id;
  bool internal = false;
  std::vector<PartitionDescription> partitions;  // by index
};

enum class ResourceType : int8_t { topic = 2, broker = 4 };

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;
  int8_t source = -1;
  bool read_only = false;
  bool sensitive = false;
};

struct ResourceConfigs {
  std::string name;
  int16_t error_code = 0;
  std::string message;
  std::vector<ConfigEntry> entries;
};

class Admin {
 public:
  Admin(runtime::Node& node, ClusterOptions options);
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  base::Result<std::vector<TopicResult>> create_topics(const std::vector<NewTopic>& topics,
                                                       bool validate_only,
                                                       runtime::Instant deadline);
  base::Result<std::vector<TopicResult>> delete_topics(const std::vector<std::string>& names,
                                                       runtime::Instant deadline);
  // Nothing as `names`: all topics. A topic that does not exist has an error_code.
  base::Result<std::vector<TopicDescription>> describe_topics(
      const std::optional<std::vector<std::string>>& names, runtime::Instant deadline);
  base::Result<std::vector<ResourceConfigs>> describe_configs(ResourceType type,
                                                              const std::vector<std::string>& names,
                                                              runtime::Instant deadline);
  base::Result<std::vector<ListedOffset>> list_offsets(const std::vector<OffsetQuery>& queries,
                                                       runtime::Instant deadline);
  // The same with one attempt at the leaders that describe_topics() told of: what has no answer has
  // leader_not_available.
  base::Result<std::vector<ListedOffset>> list_offsets_once(const std::vector<OffsetQuery>& queries,
                                                            runtime::Instant deadline);
  base::Result<std::vector<BrokerInfo>> brokers(runtime::Instant deadline);

  // Closes the connections; before destruction.
  void stop() { cluster_.stop(); }

 private:
  // Kafka's timeout_ms of a request that must be answered before `deadline`.
  int32_t timeout_ms(runtime::Instant deadline);
  // Waits for a connection to the controller; safe to repeat, unlike what is asked of it then.
  base::Result<rpc::Peer*> controller(runtime::Instant deadline);
  // Asks the controller once; again only when it says that it is not the controller.
  template <class Response, class Request>
  base::Result<Response> call_controller(const Request& request, SpokenVersions spoken,
                                         runtime::Instant deadline);
  static bool refused_as_not_controller(const wire::CreateTopicsResponse& response);
  static bool refused_as_not_controller(const wire::DeleteTopicsResponse& response);

  runtime::Node& node_;
  Cluster cluster_;
};

}  // namespace verdict::client
