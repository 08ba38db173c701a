#pragma once
// Plan: every hardship of a run as data, one editable line each.
//
//   at 12.345s power_loss broker-1 for 800ms
//   at probe server.reply_sent 17 power_loss broker-1 for 2s
//   at sync 5 of *.log before crash broker-1 for 300ms
//   at write 9 of *.log power_loss broker-1 for 1s
//   at 3s cut client-2 broker-1 for 5s
//   at 4s disk_slow broker-1 factor 40 for 10s
//
// Invariant: parse_plan(print(plan)) == plan.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"

namespace verdict::fault {

enum class Kind : uint8_t {
  crash,
  power_loss,
  stop,
  pause,
  slow_node,
  cut,
  cut_one_way,
  slow_link,
  reset_connections,
  half_open,
  refuse_connects,
  hang_connects,
  accept_overflow,
  short_reads,
  disk_full,
  disk_slow,
  disk_stall,
  sync_fails,
  io_errors,
  bit_rot,
  clock_step,
  clock_freeze,
  clock_drift,
};

enum class Amount : uint8_t { none, factor, bytes, time, permille, ppm, count };

// One word of the vocabulary.
struct KindInfo {
  Kind kind;
  std::string_view name;
  std::string_view text;    // what happens
  std::string_view effect;  // what must have changed for the fault to count
  bool lasts;               // has a duration: the hardship ends, or the node comes back, after it
  bool second;              // takes a second node
  bool path;                // takes a file pattern
  Amount amount;
};

// Sorted as in Kind.
std::span<const KindInfo> kinds();
const KindInfo& info(Kind kind);

struct Trigger {
  enum class On : uint8_t { time, probe, sync, write };
  On on = On::time;
  int64_t at_ns = 0;    // time
  std::string name;     // probe: its name; sync, write: a path pattern, '*' for any text
  uint64_t k = 1;       // fires the k-th time, counted from the start of the run on the target
  bool before = false;  // sync: when it is about to start, otherwise when it is done
  auto operator<=>(const Trigger&) const = default;
};

struct Fault {
  Trigger trigger;
  Kind kind = Kind::crash;
  std::string target;  // name of a node, looked up when the fault fires
  std::string second;
  int64_t duration_ns = 0;
  int64_t amount = 0;  // in the unit of the kind; time in ns
  std::string path;    // empty: every path
  auto operator<=>(const Fault&) const = default;
};

struct Plan {
  std::vector<Fault> faults;
  auto operator<=>(const Plan&) const = default;
};

std::string print(const Fault& fault);
std::string print(const Plan& plan);
// Lines as above; empty lines and what follows '#' are skipped. invalid names line, column, what is
// wrong there and what could stand there.
base::Result<Plan> parse_plan(std::string_view text);

// "800ms", "12.345s", "250us", "17ns"; exact.
std::string print_duration(int64_t ns);
base::Result<int64_t> parse_duration(std::string_view text);

}  // namespace verdict::fault
