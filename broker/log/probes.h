#pragma once
// The rare places of this room.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::log {

inline constexpr std::array kProbes = {
    runtime::Probe("log.roll"),
    runtime::Probe("log.recovery.torn_tail_cut"),
    runtime::Probe("log.recovery.segment_dropped"),
    runtime::Probe("log.recovery.index_rebuilt"),
    runtime::Probe("log.recovery.tail_rewritten"),
    runtime::Probe("log.recovery.snapshot_refused"),
    runtime::Probe("log.producer.duplicate"),
    runtime::Probe("log.producer.out_of_order"),
    runtime::Probe("log.producer.stale_epoch"),
    runtime::Probe("log.sync.shared"),
    runtime::Probe("log.sync.background"),
    runtime::Probe("log.sync.failed"),
    runtime::Probe("log.offline"),
    runtime::Probe("log.read.from_file"),
};

enum class ProbeId : size_t {
  roll,
  torn_tail_cut,
  segment_dropped,
  index_rebuilt,
  tail_rewritten,
  snapshot_refused,
  duplicate,
  out_of_order,
  stale_epoch,
  sync_shared,
  sync_background,
  sync_failed,
  offline,
  read_from_file,
};

constexpr const runtime::Probe& probe(ProbeId id) { return kProbes[static_cast<size_t>(id)]; }
static_assert(kProbes.size() == static_cast<size_t>(ProbeId::read_from_file) + 1);

}  // namespace verdict::log
