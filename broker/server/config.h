#pragma once
// Config: what one broker was told by its server.properties and the command line, under Kafka's
// names and with Kafka's defaults.
//
// A value that makes no sense is an error with its place and the remedy; a name that nobody knows
// is a warning with the nearest known one.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/runtime/network.h"
#include "broker/server/properties.h"

namespace verdict::server {

struct ListenerConfig {
  std::string name;  // "PLAINTEXT"
  runtime::Endpoint bind;
  // What Metadata tells clients of this listener. An empty host means the address at which the
  // client came in, port 0 the port that was bound.
  runtime::Endpoint advertised;
};

struct Config {
  // ---- identity
  base::NodeId node_id{1};
  std::optional<std::string> rack;
  std::string log_directory = "/tmp/kafka-logs";

  // ---- network
  std::vector<ListenerConfig> listeners;  // at least one; none of the controller's
  int32_t request_bytes_max = 104'857'600;
  int32_t connections_max = INT32_MAX;
  int64_t connections_idle_max_ms = 600'000;
  int32_t queued_requests_max = 500;
  int32_t fetch_bytes_max = 57'671'680;

  // ---- topics
  int32_t partitions_standard = 1;
  int16_t replication_factor_standard = 1;
  bool auto_create_topics = true;
  int64_t file_delete_delay_ms = 60'000;  // log.segment.delete.delay.ms

  // ---- storage
  int64_t recovery_checkpoint_interval_ms = 60'000;
  int64_t high_watermark_checkpoint_interval_ms = 5'000;
  int64_t start_offset_checkpoint_interval_ms = 60'000;
  int64_t producer_expiry_ms = 86'400'000;
  int64_t producer_expiry_check_interval_ms = 600'000;

  // Every setting that was given, as text, by Kafka's name: the static broker configs, from which
  // the topics' defaults and DescribeConfigs follow.
  base::OrderedMap<std::string, std::string> given;
};

struct ParsedConfig {
  Config config;
  std::vector<std::string> warnings;  // sentences with their place
};

// `file` names the text in messages. Later settings win; those of `overrides` ("key=value") win
// over the file.
base::Result<ParsedConfig> parse_config(const std::string& file, std::string_view text,
                                        const std::vector<std::string>& overrides);

// ---- the table of settings

enum class ValueType : uint8_t { boolean, int16, int32, int64, floating, text, list };

struct Setting {
  std::string_view name;
  ValueType type;
  std::string_view standard;  // Kafka's default; empty when there is none
  int64_t min = INT64_MIN;
  int64_t max = INT64_MAX;
  std::string_view choices = {};  // values that are allowed, separated by '|'
  // Accepted and kept, but nothing depends on it yet.
  bool without_effect = false;
};

// All known settings, by name.
std::span<const Setting> known_settings();
const Setting* find_setting(std::string_view name);
// The known name with the fewest edits from `name`; empty when none is near.
std::string_view nearest_setting(std::string_view name);

}  // namespace verdict::server
