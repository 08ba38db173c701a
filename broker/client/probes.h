#pragma once
// Rare places of this room.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::client {

inline constexpr runtime::Probe kProbeEpochBumped{"client.producer-epoch-bumped"};
inline constexpr runtime::Probe kProbeBatchRetried{"client.batch-retried"};
inline constexpr runtime::Probe kProbeDeliveryTimedOut{"client.delivery-timed-out"};
inline constexpr runtime::Probe kProbeBufferFull{"client.buffer-full"};
inline constexpr runtime::Probe kProbeSequenceRefused{"client.sequence-refused"};
inline constexpr runtime::Probe kProbeTruncated{"client.truncated"};
inline constexpr runtime::Probe kProbePositionReset{"client.position-reset"};

inline constexpr std::array kProbes = {
    kProbeEpochBumped,     kProbeBatchRetried, kProbeDeliveryTimedOut, kProbeBufferFull,
    kProbeSequenceRefused, kProbeTruncated,    kProbePositionReset,
};

}  // namespace verdict::client
