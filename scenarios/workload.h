#pragma once
// Workloads: the programs of the clients of a trial. Each runs on a node of its own, on the same
// seam and with the same client library as any other user; a crash ends it anywhere, and it goes on
// with what is left when it boots again.

#include <string>
#include <vector>

#include "broker/runtime/node.h"
#include "scenarios/history.h"
#include "sim/choices.h"

namespace verdict::proto {
class Scenario;
}

namespace verdict::scenarios {

// What the programs of one trial share. It stands outside of the world and survives every crash.
struct Load {
  const proto::Scenario& scenario;
  History& history;
  sim::Choices& choices;
  std::string bootstrap_host;
  uint16_t bootstrap_port = 9092;

  bool topics_ready = false;      // the scenario's topics are acknowledged
  bool finish = false;            // the safety phase is over: send no more
  bool audit_done = false;        // the final re-read is complete
  int64_t safety_ns = 0;          // length of the safety phase, from the start of the world
  int64_t audit_deadline_ns = 0;  // in world time; filled when the audit starts

  struct Client {
    std::string name;
    uint32_t boots = 0;
    uint32_t records_left = 0;  // producers
    bool ended = false;         // the program came to its end
  };
  std::vector<Client> producers;
  std::vector<Client> consumers;
  std::vector<Client> admins;
  uint64_t open_requests = 0;  // records sent and not answered
  uint32_t admin_topics = 0;   // names given out

  // World time for the history: the clock of a node may drift.
  std::function<int64_t()> world_now_ns;
};

void run_setup(runtime::Node& node, Load& load);
void run_producer(runtime::Node& node, Load& load, size_t index);
void run_consumer(runtime::Node& node, Load& load, size_t index);
void run_admin(runtime::Node& node, Load& load, size_t index);
// Describes all topics, sends a last record to each partition and reads every partition from its
// start with a fresh client.
void run_auditor(runtime::Node& node, Load& load);

}  // namespace verdict::scenarios
