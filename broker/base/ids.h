#pragma once
// Strong types for the numbers that are easy to mix up. Kafka's own words for Kafka's things.

#include <compare>
#include <cstddef>
#include <cstdint>

#include "broker/base/hash.h"

namespace verdict::base {

// Index of a record in a partition, 0-based. The difference of two offsets is a count.
struct Offset {
  int64_t value = 0;
  constexpr auto operator<=>(const Offset&) const = default;
  constexpr Offset operator+(int64_t count) const { return {value + count}; }
  constexpr Offset operator-(int64_t count) const { return {value - count}; }
  constexpr int64_t operator-(Offset other) const { return value - other.value; }
};

// Number of a leadership of one partition; grows with every new leader or incarnation.
struct LeaderEpoch {
  int32_t value = -1;
  constexpr auto operator<=>(const LeaderEpoch&) const = default;
};

// Id of a node of the cluster (Kafka's node.id).
struct NodeId {
  int32_t value = -1;
  constexpr auto operator<=>(const NodeId&) const = default;
};

// Offset of the RegisterBrokerRecord of a broker's present incarnation in the metadata log.
struct BrokerEpoch {
  int64_t value = -1;
  constexpr auto operator<=>(const BrokerEpoch&) const = default;
};

struct ProducerId {
  int64_t value = -1;
  constexpr auto operator<=>(const ProducerId&) const = default;
  constexpr bool valid() const { return value >= 0; }
  uint64_t hash() const { return mix64(static_cast<uint64_t>(value)); }
};

// One of the single-threaded parts of a node; owns partitions and connections.
struct ShardId {
  uint32_t value = 0;
  constexpr auto operator<=>(const ShardId&) const = default;
};

}  // namespace verdict::base
