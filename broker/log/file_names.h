#pragma once
// Kafka's names of the files in a partition's folder.

#include <optional>
#include <string>
#include <string_view>

#include "broker/base/ids.h"

namespace verdict::log {

inline constexpr std::string_view kLogSuffix = ".log";
inline constexpr std::string_view kIndexSuffix = ".index";
inline constexpr std::string_view kTimeIndexSuffix = ".timeindex";
inline constexpr std::string_view kSnapshotSuffix = ".snapshot";
inline constexpr std::string_view kDeletedSuffix = ".deleted";
inline constexpr std::string_view kTemporarySuffix = ".tmp";
inline constexpr std::string_view kEpochCheckpointName = "leader-epoch-checkpoint";
inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";
inline constexpr std::string_view kTopicIdKey = "topic_id: ";  // in that file

// 20 digits and the suffix: "00000000000000000042.log".
std::string offset_file_name(base::Offset offset, std::string_view suffix);
// The offset in such a name; nothing when it has another form.
std::optional<base::Offset> parse_offset_file_name(std::string_view name, std::string_view suffix);

// The whole of `text` as a decimal number.
std::optional<int64_t> parse_int64(std::string_view text);

}  // namespace verdict::log
