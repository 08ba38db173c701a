#pragma once
// Checks: what must hold of a history, whatever happened. Names are Jepsen's where it has one.
//
// A check sees the history and nothing of the broker, so no helper that both share can hide a bug.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "scenarios/history.h"

namespace verdict::scenarios {

enum class Severity : uint8_t { safety, liveness };

struct Anomaly {
  std::string_view check;  // name of the check
  Severity severity = Severity::safety;
  std::string where;  // "orders-0 offset 131"
  std::string what;   // a sentence or several
  int64_t at_ns = 0;  // when it became visible, 0 when only the end showed it
};

struct CheckRules {
  // Under the policy in force a power loss may take acknowledged records that never were durable.
  bool unsynced_may_be_lost = false;
};

struct Check {
  std::string_view name;
  std::string_view text;
  void (*run)(const History& history, const CheckRules& rules, std::vector<Anomaly>& out);
};

inline constexpr size_t kAnomaliesPerCheckMax = 20;  // reported; the rest is counted

std::span<const Check> checks();
// All checks, worst first. Records that the policy allowed to be lost are counted in `*excused`.
std::vector<Anomaly> run_checks(const History& history, const CheckRules& rules, uint64_t* excused);

}  // namespace verdict::scenarios
