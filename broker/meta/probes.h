#pragma once
// The rare places of the metadata log and the controller.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::meta {

using runtime::Probe;

// Between the append of a commit and its sync.
inline constexpr Probe kProbeCommitAppended{"meta.commit_appended"};
// A commit is durable and not yet published.
inline constexpr Probe kProbeCommitSynced{"meta.commit_synced"};
inline constexpr Probe kProbeCommitFailed{"meta.commit_failed"};
// A start wrote quorum-state but no LeaderChange batch yet.
inline constexpr Probe kProbeEpochClaimed{"meta.epoch_claimed"};
inline constexpr Probe kProbeBootstrapped{"meta.bootstrapped"};
inline constexpr Probe kProbeLeaderEpochsBumped{"meta.leader_epochs_bumped"};
inline constexpr Probe kProbePreviousUnclean{"meta.previous_stop_unclean"};
inline constexpr Probe kProbeProducerIdsAllocated{"meta.producer_ids_allocated"};
inline constexpr Probe kProbeTopicRefused{"meta.topic_refused"};
inline constexpr Probe kProbeTopicDeleted{"meta.topic_deleted"};

inline constexpr std::array kProbes = {
    kProbeCommitAppended,  kProbeCommitSynced,         kProbeCommitFailed,
    kProbeEpochClaimed,    kProbeBootstrapped,         kProbeLeaderEpochsBumped,
    kProbePreviousUnclean, kProbeProducerIdsAllocated, kProbeTopicRefused,
    kProbeTopicDeleted,
};

}  // namespace verdict::meta
