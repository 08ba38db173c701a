#pragma once
// BrokerProgram: the broker as a trial boots it: the same code and configuration text as in
// production, on a machine of the world.

#include <string>
#include <vector>

#include "broker/runtime/knob.h"
#include "broker/runtime/observer.h"
#include "sim/world.h"

namespace verdict::proto {
class Scenario;
}

namespace verdict::scenarios {

class BrokerProgram {
 public:
  BrokerProgram() = default;
  BrokerProgram(const proto::Scenario& scenario, uint32_t node);
  // A program for one incarnation.
  sim::Program make() const;
  const std::string& properties() const { return properties_; }

 private:
  std::string properties_;  // server.properties
};

// Everything that the broker's rooms declare.
std::vector<const runtime::Knob*> broker_knobs();
// Those of the clients too: what a trial runs.
std::vector<const runtime::Probe*> declared_probes();
// Probes at which a crash is worth more than at a random time.
std::vector<std::string> aim_probes();

}  // namespace verdict::scenarios
