#pragma once
// What the programs of all clients of a trial share: draws that are stable by name and boot, and
// small words for time and places.

#include <string>
#include <vector>

#include "broker/client/cluster.h"
#include "scenarios/workload.h"

namespace verdict::client {
class Admin;
struct NewTopic;
}  // namespace verdict::client

namespace verdict::scenarios {

inline constexpr int64_t kSecond = 1'000'000'000;  // in ns

// What one life of one client does, drawn by its name and boot: stable however others behave.
class ClientDice {
 public:
  ClientDice(Load& load, const Load::Client& client);
  uint64_t below(uint64_t bound) { return choices_.draw(point_, bound); }
  bool permille(uint64_t chance) { return choices_.happens(point_, chance); }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

 private:
  sim::Choices& choices_;
  sim::ChoicePoint point_;
};

client::ClusterOptions cluster_options(const Load& load, const std::string& client_id);
runtime::Instant in(runtime::Node& node, int64_t ns);
// Of the topics of the scenario.
std::vector<PartitionName> all_partitions(const Load& load);
// Creates one topic; true when it is there now, by this call or an earlier one, and noted.
bool create_topic(runtime::Node& node, Load& load, client::Admin& admin,
                  const client::NewTopic& topic);

}  // namespace verdict::scenarios
