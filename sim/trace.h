#pragma once
// The trace of a world: one entry per event, always hashed, kept only when somebody asks.
//
// Invariant: each node has a hash of its own over its entries in order; the hash of the world joins
// them. So an entry elsewhere never changes a node's hash, and a divergence names its node.

#include <cstdint>
#include <string_view>
#include <vector>

#include "broker/base/int128.h"

namespace verdict::sim {

enum class EventKind : uint8_t {
  boot = 1,  // a: incarnation, b: shards
  stop,      // asked to stop in good order
  crash,     // process crash
  power_off,
  power_on,
  pause,
  resume_node,
  clock_step,    // a: nanoseconds
  clock_freeze,  // a: 1 frozen, 0 running
  spawn,         // entity: fiber path
  run,           // entity: fiber path, a: resume ordinal, b: wake reason
  end,           // entity: fiber path
  post,          // a: to shard
  net_listen,    // a: port
  net_connect,   // entity: connection, a: to node, b: port
  net_established,
  net_accept,
  net_refused,
  net_write,    // entity: connection side, a: position, b: length xor payload fingerprint
  net_deliver,  // entity: connection side, a: position, b: length
  net_read,     // entity: connection side, a: position, b: length
  net_fin,
  net_reset,
  net_stall,   // bytes or a connect held by a cut
  disk_write,  // entity: file, a: offset, b: length xor payload fingerprint
  disk_read,   // entity: file, a: offset, b: length
  disk_truncate,
  disk_sync,  // entity: file or directory, a: ordinal, b: 1 ok, 0 failed
  disk_name,  // a: kind of the name operation, b: hash of the name
  disk_lost,  // at a power loss: entity: file, a: bytes lost
  disk_fault,
  entropy,  // entity: stream, a: value
  log,      // a: hash of the event's text
  probe,    // entity: probe
  fault,    // a fault of the plan fired
  mark,     // free for users of the world
};

std::string_view to_string(EventKind kind);

struct TraceEvent {
  int64_t at_ns = 0;  // world time
  EventKind kind{};
  uint32_t node = 0;
  uint64_t entity = 0;
  uint64_t a = 0;
  uint64_t b = 0;
  auto operator<=>(const TraceEvent&) const = default;
};

// A running hash over entries: 64 bits, one multiplication per two words.
class TraceHash {
 public:
  void add(int64_t at_ns, EventKind kind, uint64_t entity, uint64_t a, uint64_t b) {
    state_ = fold(state_ ^ static_cast<uint64_t>(at_ns) ^ (static_cast<uint64_t>(kind) << 56),
                  entity ^ 0x9e3779b97f4a7c15ULL);
    state_ = fold(state_ ^ a, b ^ 0xe7037ed1a0b428dbULL);
  }
  uint64_t value() const { return state_; }

 private:
  static uint64_t fold(uint64_t x, uint64_t y) {
    base::uint128 product = static_cast<base::uint128>(x | 1) * (y ^ 0xa0761d6478bd642fULL);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64) ^ x;
  }
  uint64_t state_ = 0x2545f4914f6cdd1dULL;
};

}  // namespace verdict::sim
