#pragma once
// The rare places of a partition.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::replica {

using runtime::Probe;

// A batch is written and nobody was told yet.
inline constexpr Probe kProbeAppended{"replica.appended"};
// A produce that must be durable waits for its sync.
inline constexpr Probe kProbeSyncAwaited{"replica.sync_awaited"};
// More records came while a sync was under way: the next one covers them all.
inline constexpr Probe kProbeSyncAgain{"replica.sync_again"};
// The high watermark moved after a sync.
inline constexpr Probe kProbeCommittedBySync{"replica.committed_by_sync"};
inline constexpr Probe kProbeDuplicate{"replica.duplicate"};
inline constexpr Probe kProbeOffline{"replica.offline"};
inline constexpr Probe kProbeRemovedWithWaiters{"replica.removed_with_waiters"};
inline constexpr Probe kProbeDiverged{"replica.diverged"};
inline constexpr Probe kProbeFencedEpoch{"replica.fenced_epoch"};
inline constexpr Probe kProbeOffsetOutOfRange{"replica.offset_out_of_range"};

inline constexpr std::array kProbes = {
    kProbeAppended,    kProbeSyncAwaited,      kProbeSyncAgain,          kProbeCommittedBySync,
    kProbeDuplicate,   kProbeOffline,          kProbeRemovedWithWaiters, kProbeDiverged,
    kProbeFencedEpoch, kProbeOffsetOutOfRange,
};

}  // namespace verdict::replica
