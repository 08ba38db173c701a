#include "scenarios/broker_program.h"

#include <memory>

#include "broker/base/check.h"
#include "broker/client/probes.h"
#include "broker/log/knobs.h"
#include "broker/log/probes.h"
#include "broker/meta/probes.h"
#include "broker/replica/probes.h"
#include "broker/rpc/probes.h"
#include "broker/server/broker.h"
#include "broker/server/limits.h"
#include "broker/server/probes.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {

BrokerProgram::BrokerProgram(const proto::Scenario& scenario, uint32_t node) {
  std::string id = std::to_string(node + 1);
  base::OrderedMap<std::string, std::string> settings = {
      {"process.roles", "broker,controller"},
      {"node.id", id},
      {"listeners", "PLAINTEXT://0.0.0.0:9092"},
      {"advertised.listeners", "PLAINTEXT://broker-" + id + ":9092"},
      {"log.dirs", "/data"},
  };
  for (const auto& [key, value] : scenario.cluster().config()) settings[key] = value;
  for (const auto& [key, value] : settings) properties_ += key + "=" + value + "\n";
}

sim::Program BrokerProgram::make() const {
  auto parsed = server::parse_config("server.properties", properties_, {});
  CHECK(parsed.has_value());
  // Shared by the shards of one incarnation; the last copy of the program ends it.
  auto broker = std::make_shared<server::Broker>(
      server::BrokerOptions{std::move(parsed->config), std::move(parsed->warnings)});
  return [broker](runtime::Node& node) { broker->run(node); };
}

std::vector<const runtime::Knob*> broker_knobs() {
  std::vector<const runtime::Knob*> all(log::kKnobs.begin(), log::kKnobs.end());
  all.insert(all.end(), server::kKnobs.begin(), server::kKnobs.end());
  return all;
}

std::vector<const runtime::Probe*> declared_probes() {
  std::vector<const runtime::Probe*> all;
  for (const runtime::Probe& probe : log::kProbes) all.push_back(&probe);
  for (const runtime::Probe& probe : meta::kProbes) all.push_back(&probe);
  for (const runtime::Probe& probe : replica::kProbes) all.push_back(&probe);
  for (const runtime::Probe& probe : server::kProbes) all.push_back(&probe);
  for (const runtime::Probe& probe : rpc::kProbes) all.push_back(&probe);
  for (const runtime::Probe& probe : client::kProbes) all.push_back(&probe);
  return all;
}

std::vector<std::string> aim_probes() {
  std::vector<std::string> names;
  for (const runtime::Probe& probe :
       {server::kProbeReplySent, server::kProbeReplySent, server::kProbeProduceAppended,
        meta::kProbeCommitAppended, meta::kProbeCommitSynced, meta::kProbeEpochClaimed,
        log::probe(log::ProbeId::roll), log::probe(log::ProbeId::tail_rewritten)}) {
    names.emplace_back(probe.name);
  }
  return names;
}

}  // namespace verdict::scenarios
