#pragma once
// The rare places of the server.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::server {

using runtime::Probe;

// An answer was handed to the network.
inline constexpr Probe kProbeReplySent{"server.reply_sent"};
// A produce is written and its answer is still to be made.
inline constexpr Probe kProbeProduceAppended{"server.produce_appended"};
// A produce was appended while the answer to an earlier one was still open.
inline constexpr Probe kProbeRunAhead{"server.run_ahead"};
inline constexpr Probe kProbeFetchParked{"server.fetch_parked"};
inline constexpr Probe kProbeFetchWoken{"server.fetch_woken"};
inline constexpr Probe kProbeFetchTimedOut{"server.fetch_timed_out"};
inline constexpr Probe kProbeAutoCreated{"server.auto_created"};
inline constexpr Probe kProbeTopicDeleted{"server.topic_deleted"};
inline constexpr Probe kProbeConnectionRefused{"server.bad_request"};
inline constexpr Probe kProbeIdleClosed{"server.idle_closed"};
inline constexpr Probe kProbeCheckpoint{"server.checkpoint"};
inline constexpr Probe kProbeStopping{"server.stopping"};
inline constexpr Probe kProbeStoppedCleanly{"server.stopped_cleanly"};
inline constexpr Probe kProbeDirectoryFailed{"server.directory_failed"};

inline constexpr std::array kProbes = {
    kProbeReplySent,         kProbeProduceAppended, kProbeRunAhead,    kProbeFetchParked,
    kProbeFetchWoken,        kProbeFetchTimedOut,   kProbeAutoCreated, kProbeTopicDeleted,
    kProbeConnectionRefused, kProbeIdleClosed,      kProbeCheckpoint,  kProbeStopping,
    kProbeStoppedCleanly,    kProbeDirectoryFailed,
};

}  // namespace verdict::server
