#pragma once
// What Kafka asks of a topic that is to be created: its name, its size, its replicas. Pure.

#include <optional>
#include <string_view>
#include <vector>

#include "broker/meta/controller.h"
#include "broker/meta/image.h"
#include "broker/wire/errors.h"

namespace verdict::meta {

using Code = wire::ErrorCode;

inline ApiError error_of(Code code, std::string message) {
  return {static_cast<int16_t>(code), std::move(message)};
}

// The replicas of each partition, in order.
using Placement = std::vector<std::vector<int32_t>>;

struct PlacementRules {
  int32_t partitions_standard = 1;
  int16_t replication_factor_standard = 1;
  uint64_t first_broker = 0;  // where the round starts; any number
};

// Where the partitions of `topic` go, or why it cannot be.
struct PlacementResult {
  ApiError error;
  Placement placement;
};
PlacementResult place(const MetadataImage& image, const NewTopic& topic,
                      const PlacementRules& rules);

// The configs of a new topic as a map, or why they are refused.
struct ConfigResult {
  ApiError error;
  ConfigMap configs;
};
ConfigResult configs_of(const NewTopic& topic);

// Brokers of `replicas` that may be in an ISR: unfenced and not shutting down.
std::vector<int32_t> active(const MetadataImage& image, const std::vector<int32_t>& replicas);

// How many partitions a request asks for, as far as can be said before its topics are judged.
int64_t partitions_asked(const std::vector<NewTopic>& topics, int32_t partitions_standard);

}  // namespace verdict::meta
