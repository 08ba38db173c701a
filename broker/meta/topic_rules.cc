#include "broker/meta/topic_rules.h"

#include <algorithm>

#include "broker/base/check.h"

namespace verdict::meta {
namespace {

// Longest text of the protocol's strings, in which configs travel.
inline constexpr size_t kConfigBytesMax = 32'767;

bool legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

PlacementResult refused(Code code, std::string message) {
  return {error_of(code, std::move(message)), {}};
}

// Judges one partition's replicas as a person gave them.
ApiError check_assignment(const MetadataImage& image, const NewTopic::Assignment& assignment,
                          std::optional<size_t> replication_factor) {
  const auto bad = [](std::string what) {
    return error_of(Code::invalid_replica_assignment,
                    "The manual partition assignment includes " + std::move(what));
  };
  if (assignment.replicas.empty()) return bad("an empty replica list.");
  std::vector<int32_t> sorted = assignment.replicas;
  std::ranges::sort(sorted);
  for (size_t i = 0; i < sorted.size(); ++i) {
    const std::string id = std::to_string(sorted[i]);
    if (image.broker(NodeId{sorted[i]}) == nullptr) {
      return bad("broker " + id + ", but no such broker is registered.");
    }
    if (i > 0 && sorted[i] == sorted[i - 1]) return bad("the broker " + id + " more than once.");
  }
  if (replication_factor && sorted.size() != *replication_factor) {
    return bad("a partition with " + std::to_string(sorted.size()) +
               " replica(s), but this is not consistent with previous partitions, which have " +
               std::to_string(*replication_factor) + " replica(s).");
  }
  return {};
}

PlacementResult place_as_told(const MetadataImage& image, const NewTopic& topic) {
  if (topic.replication_factor != -1) {
    return refused(Code::invalid_request,
                   "A manual partition assignment was specified, but replication factor was not "
                   "set to -1.");
  }
  if (topic.partitions != -1) {
    return refused(Code::invalid_request,
                   "A manual partition assignment was specified, but numPartitions was not set to "
                   "-1.");
  }
  base::OrderedMap<int32_t, std::vector<int32_t>> by_partition;
  std::optional<size_t> replication_factor;
  for (const NewTopic::Assignment& assignment : topic.assignments) {
    const std::string number = std::to_string(assignment.partition);
    if (by_partition.contains(assignment.partition)) {
      return refused(Code::invalid_replica_assignment,
                     "Found multiple manual partition assignments for partition " + number);
    }
    if (ApiError bad = check_assignment(image, assignment, replication_factor); !bad.ok()) {
      return {std::move(bad), {}};
    }
    replication_factor = assignment.replicas.size();
    if (active(image, assignment.replicas).empty()) {
      return refused(Code::invalid_replica_assignment,
                     "All brokers specified in the manual partition assignment for partition " +
                         number + " are fenced or in controlled shutdown.");
    }
    by_partition.emplace(assignment.partition, assignment.replicas);
  }
  PlacementResult result;
  for (auto& [number, replicas] : by_partition) {
    if (number != static_cast<int32_t>(result.placement.size())) {
      return refused(Code::invalid_replica_assignment,
                     "partitions should be a consecutive 0-based integer sequence");
    }
    result.placement.push_back(std::move(replicas));
  }
  return result;
}

// Round robin over the brokers that live, then, where the factor asks for more, over the others:
// every leader lives.
PlacementResult place_freely(const MetadataImage& image, int32_t partitions, int16_t factor,
                             uint64_t first_broker) {
  const std::string prefix =
      "Unable to replicate the partition " + std::to_string(factor) + " time(s): ";
  std::vector<int32_t> live;
  std::vector<int32_t> others;
  for (const auto& [id, broker] : image.brokers()) {
    const bool lives = !broker.fenced && !broker.in_controlled_shutdown;
    (lives ? live : others).push_back(id);
  }
  if (live.empty()) {
    return refused(Code::invalid_replication_factor, prefix + "All brokers are currently fenced.");
  }
  const size_t known = live.size() + others.size();
  const size_t count = static_cast<size_t>(factor);
  if (count > known) {
    return refused(Code::invalid_replication_factor,
                   prefix + "The target replication factor of " + std::to_string(factor) +
                       " cannot be reached because only " + std::to_string(known) +
                       " broker(s) are registered or some brokers have all their log "
                       "directories cordoned.");
  }
  PlacementResult result;
  for (int32_t partition = 0; partition < partitions; ++partition) {
    const uint64_t start = first_broker + static_cast<uint64_t>(partition);
    std::vector<int32_t> replicas;
    for (size_t i = 0; i < std::min(count, live.size()); ++i) {
      replicas.push_back(live[(start + i) % live.size()]);
    }
    for (size_t i = 0; replicas.size() < count; ++i) {
      replicas.push_back(others[(start + i) % others.size()]);
    }
    result.placement.push_back(std::move(replicas));
  }
  return result;
}

}  // namespace

ApiError check_topic_name(std::string_view name) {
  const auto bad = [](std::string why) {
    return error_of(Code::invalid_topic_exception, "Topic name is invalid: " + std::move(why));
  };
  if (name.empty()) return bad("the empty string is not allowed");
  if (name == "." || name == "..") return bad("'" + std::string(name) + "' is not allowed");
  if (name.size() > kTopicNameBytesMax) {
    return bad("the length of '" + std::string(name) + "' is longer than the max allowed length " +
               std::to_string(kTopicNameBytesMax));
  }
  if (!std::ranges::all_of(name, legal)) {
    return bad(
        "'" + std::string(name) +
        "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'");
  }
  return {};
}

std::vector<int32_t> active(const MetadataImage& image, const std::vector<int32_t>& replicas) {
  std::vector<int32_t> result;
  for (const int32_t id : replicas) {
    const BrokerRegistration* broker = image.broker(NodeId{id});
    if (broker != nullptr && !broker->fenced && !broker->in_controlled_shutdown) {
      result.push_back(id);
    }
  }
  return result;
}

PlacementResult place(const MetadataImage& image, const NewTopic& topic,
                      const PlacementRules& rules) {
  if (!topic.assignments.empty()) return place_as_told(image, topic);
  if (topic.replication_factor < -1 || topic.replication_factor == 0) {
    return refused(Code::invalid_replication_factor,
                   "Replication factor must be larger than 0, or -1 to use the default value.");
  }
  if (topic.partitions < -1 || topic.partitions == 0) {
    return refused(Code::invalid_partitions,
                   "Number of partitions was set to an invalid non-positive value.");
  }
  const int32_t partitions = topic.partitions == -1 ? rules.partitions_standard : topic.partitions;
  const int16_t factor =
      topic.replication_factor == -1 ? rules.replication_factor_standard : topic.replication_factor;
  CHECK(partitions > 0 && partitions <= kPartitionsPerRequestMax);
  CHECK(factor > 0);
  return place_freely(image, partitions, factor, rules.first_broker);
}

ConfigResult configs_of(const NewTopic& topic) {
  ConfigResult result;
  std::string nulls;
  for (const auto& [name, value] : topic.configs) {
    if (!value) {
      nulls += nulls.empty() ? name : "," + name;
    } else if (name.size() > kConfigBytesMax || value->size() > kConfigBytesMax) {
      result.error = error_of(Code::invalid_config, "A config is longer than " +
                                                        std::to_string(kConfigBytesMax) + " bytes");
      return result;
    } else if (!result.configs.emplace(name, *value).second) {
      result.error = error_of(Code::invalid_config, "Config " + name + " is given more than once");
      return result;
    }
  }
  if (!nulls.empty()) {
    result.error =
        error_of(Code::invalid_config, "Null value not supported for topic configs: " + nulls);
  } else if (auto judged = check_topic_configs(result.configs); !judged) {
    result.error = error_of(Code::invalid_config, std::move(judged).error().detail);
  }
  return result;
}

int64_t partitions_asked(const std::vector<NewTopic>& topics, int32_t partitions_standard) {
  int64_t total = 0;
  for (const NewTopic& topic : topics) {
    if (!topic.assignments.empty()) {
      total += static_cast<int64_t>(topic.assignments.size());
    } else if (topic.partitions == -1) {
      total += partitions_standard;
    } else if (topic.partitions > 0) {
      total += topic.partitions;
    }
  }
  return total;
}

}  // namespace verdict::meta
