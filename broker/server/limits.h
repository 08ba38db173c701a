#pragma once
// The limits of the server that are not settings of Kafka.

#include <array>
#include <cstddef>
#include <cstdint>

#include "broker/runtime/knob.h"
#include "broker/runtime/time.h"

namespace verdict::server {

inline constexpr size_t kShardsMax = 64;
// Requests of one connection that were read and not answered; queued.max.requests lowers it.
inline constexpr size_t kInFlightMax = 64;
// Answers that leave in one write, when nobody has to wait for any of them but the first.
inline constexpr size_t kAnswersTogether = 32;
// Bytes asked of a stream at once: small for the first ones of a frame, more once it is long.
inline constexpr size_t kReadBytes = 16U << 10;
inline constexpr size_t kReadBytesLarge = 1U << 20;
// How long a connection may wait for the memory of others before it is closed: connections that
// each hold half a request would otherwise wait for each other for ever.
inline constexpr runtime::Duration kMemoryWait = runtime::seconds(10);
// How long a stop in good order waits for requests that are being answered.
inline constexpr runtime::Duration kDrainWait = runtime::seconds(5);
// How long after the peer's end its last answers may take.
inline constexpr runtime::Duration kLastAnswersWait = runtime::seconds(5);
inline constexpr runtime::Duration kAcceptRetry = runtime::milliseconds(100);
inline constexpr int32_t kFetchWaitMsMax = 600'000;
// Partitions that are opened at the same time on one shard: their disk waits overlap.
inline constexpr size_t kOpenTogether = 16;

// Bytes of requests that one broker holds at most; each shard has its part.
inline constexpr runtime::Knob kInFlightBytes{"server.in_flight.bytes", 256LL << 20, 1 << 20,
                                              256LL << 20};
// How often a shard looks after partitions that were written since.
inline constexpr runtime::Knob kHouseIntervalMs{"server.house.interval.ms", 500, 20, 2'000};

inline constexpr std::array kKnobs = {&kInFlightBytes, &kHouseIntervalMs};

}  // namespace verdict::server
