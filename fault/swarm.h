#pragma once
// Swarm: draws the plan of one seed. Each run uses a random subset of the kinds that its scenario
// allows, so that runs differ in kind and not only in number; a fixed share of the crashes and
// power losses is aimed at a point of the code or of the disk, because a window of a millisecond is
// never hit by chance.

#include "fault/plan.h"
#include "sim/choices.h"

namespace verdict::fault {

struct Budget {
  std::vector<Kind> kinds;  // what the system promises to survive here
  int64_t from_ns = 0;      // faults begin in this window
  int64_t to_ns = 0;
  uint32_t faults_min = 1;
  uint32_t faults_max = 12;
  uint32_t aimed_permille = 400;
  std::vector<std::string> brokers;
  std::vector<std::string> clients;
  std::vector<std::string> aim_probes;
  std::vector<std::string> aim_paths;
};

Plan draw_plan(sim::Choices& choices, const Budget& budget);

}  // namespace verdict::fault
