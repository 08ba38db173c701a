#include "sim/trace.h"

#include <array>

#include "broker/base/check.h"

namespace verdict::sim {
namespace {

// In the order of EventKind, which starts at 1.
constexpr auto kNames = std::to_array<std::string_view>(
    {"boot",        "stop",        "crash",         "power_off",       "power_on",   "pause",
     "resume_node", "clock_step",  "clock_freeze",  "spawn",           "run",        "end",
     "post",        "net_listen",  "net_connect",   "net_established", "net_accept", "net_refused",
     "net_write",   "net_deliver", "net_read",      "net_fin",         "net_reset",  "net_stall",
     "disk_write",  "disk_read",   "disk_truncate", "disk_sync",       "disk_name",  "disk_lost",
     "disk_fault",  "entropy",     "log",           "probe",           "fault",      "mark"});
static_assert(kNames.size() == static_cast<size_t>(EventKind::mark));

}  // namespace

std::string_view to_string(EventKind kind) {
  auto index = static_cast<size_t>(kind);
  CHECK(index >= 1);
  CHECK(index <= kNames.size());
  return kNames[index - 1];
}

}  // namespace verdict::sim
