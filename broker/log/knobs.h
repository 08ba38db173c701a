#pragma once
// Limits of this room that trials vary. Topic settings are in LogConfig; a knob lowers them.

#include <array>
#include <cstdint>

#include "broker/runtime/knob.h"

namespace verdict::log {

inline constexpr int64_t kSegmentBytesMax = INT32_MAX;  // positions in an index are 31 bits

// No segment grows larger than this, whatever segment.bytes says.
inline constexpr runtime::Knob kSegmentBytesCap{"log.segment.bytes.cap", kSegmentBytesMax, 1024,
                                                1 << 20};
// So many bytes may wait for a sync before a background sync is due.
inline constexpr runtime::Knob kBackgroundSyncBytes{"log.background.sync.bytes", 64 << 20, 16 << 10,
                                                    64 << 20};
// Bytes of the newest batches that each log keeps in memory for fetches at the end.
inline constexpr runtime::Knob kTailBytes{"log.tail.bytes", 256 << 10, 0, 256 << 10};

inline constexpr std::array kKnobs = {&kSegmentBytesCap, &kBackgroundSyncBytes, &kTailBytes};

}  // namespace verdict::log
