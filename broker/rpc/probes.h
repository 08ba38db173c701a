#pragma once
// Rare places of this room.

#include <array>

#include "broker/runtime/observer.h"

namespace verdict::rpc {

inline constexpr runtime::Probe kProbeRequestTimedOut{"rpc.request-timed-out"};
inline constexpr runtime::Probe kProbeConnectFailed{"rpc.connect-failed"};
inline constexpr runtime::Probe kProbeLostWithOpenRequests{"rpc.lost-with-open-requests"};
inline constexpr runtime::Probe kProbeSendBufferFull{"rpc.send-buffer-full"};

inline constexpr std::array kProbes = {
    kProbeRequestTimedOut,
    kProbeConnectFailed,
    kProbeLostWithOpenRequests,
    kProbeSendBufferFull,
};

}  // namespace verdict::rpc
