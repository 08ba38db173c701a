#pragma once
// Configs of topics and brokers: Kafka's names, types, defaults and rules, what applies to a topic
// in the end, and what DescribeConfigs says of it.
//
// A topic's value comes from the first of: set on the topic; set dynamically for this broker; for
// all brokers; server.properties (under the broker's name for it: a synonym); the default.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/log/log.h"
#include "broker/meta/image.h"
#include "broker/record/validate.h"

namespace verdict::meta {

// Kafka's numbers in DescribeConfigs.
enum class ConfigType : int8_t {
  unknown = 0,
  boolean = 1,
  string = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  float64 = 6,
  list = 7,
  class_name = 8,
  password = 9,
};

enum class ConfigSource : int8_t {
  unknown = 0,
  dynamic_topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  standard = 5,
};

struct ConfigSynonym {
  std::string name;
  std::optional<std::string> value;
  ConfigSource source = ConfigSource::standard;
  bool operator==(const ConfigSynonym&) const = default;
};

// One line of a DescribeConfigs answer.
struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;  // absent when sensitive
  ConfigSource source = ConfigSource::standard;
  bool read_only = false;
  bool sensitive = false;
  ConfigType type = ConfigType::unknown;
  std::vector<ConfigSynonym> synonyms;  // what would apply, first one first
  bool operator==(const ConfigEntry&) const = default;
  bool is_default() const { return source == ConfigSource::standard; }
};

// How one config's text is judged. Kafka's ConfigDef, as data.
struct ConfigRule {
  std::string_view name;
  ConfigType type = ConfigType::string;
  std::optional<std::string_view> standard = {};  // default; none: null
  std::optional<int64_t> min = {};
  std::optional<int64_t> max = {};                 // numbers
  std::span<const std::string_view> allowed = {};  // strings and lists
};

// A config of a topic and what the broker calls it.
struct TopicConfigRule {
  ConfigRule rule;
  std::string_view broker_name;  // "log.segment.bytes"; empty when the broker has none
};

// A setting of the broker.
struct BrokerConfigRule {
  enum class Change : uint8_t { read_only, per_broker, cluster_wide };
  ConfigRule rule;
  Change change = Change::read_only;
};

// All configs of topics, by name.
std::span<const TopicConfigRule> topic_config_rules();
const TopicConfigRule* find_topic_config(std::string_view name);
// The settings of a broker that this broker knows, by name.
std::span<const BrokerConfigRule> broker_config_rules();
const BrokerConfigRule* find_broker_config(std::string_view name);

// Judges one value; invalid says so in Kafka's words: "Invalid value x for configuration y: ...".
base::Result<> check_config(const ConfigRule& rule, std::string_view value);
// Judges what a request sets on a topic, as a whole: names, values, and rules that span several.
// invalid with Kafka's sentence.
base::Result<> check_topic_configs(const ConfigMap& configs);

// What was given in server.properties: names as written there, only what is there.
using StaticConfigs = ConfigMap;

// Where configs come from on one broker.
struct ConfigScope {
  const MetadataImage& image;
  const StaticConfigs& server_properties;
  NodeId broker;
};

// What applies to one topic, parsed.
struct TopicSettings {
  bool compact = false;
  bool remove = true;  // cleanup.policy has delete
  int64_t retention_ms = 604'800'000;
  int64_t retention_bytes = -1;
  int64_t segment_bytes = 1'073'741'824;
  int64_t segment_ms = 604'800'000;
  int64_t segment_jitter_ms = 0;
  int64_t segment_index_bytes = 10'485'760;
  int64_t index_interval_bytes = 4096;
  int64_t flush_messages = INT64_MAX;
  int64_t flush_ms = INT64_MAX;
  int64_t max_message_bytes = 1'048'588;
  int64_t min_insync_replicas = 1;
  int64_t file_delete_delay_ms = 60'000;
  std::string compression_type = "producer";
  int compression_gzip_level = -1;
  int compression_lz4_level = 9;
  int compression_zstd_level = 3;
  bool log_append_time = false;
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = 3'600'000;
  bool unclean_leader_election = false;
  bool preallocate = false;
  bool operator==(const TopicSettings&) const = default;

  // What log and record room need of it; other fields of theirs keep their defaults.
  log::LogConfig log_config() const;
  record::AppendRules append_rules() const;
};

// `topic` need not exist: then the defaults for a new one.
TopicSettings topic_settings(const ConfigScope& scope, std::string_view topic);

// All entries, by name. Of a topic that does not exist: what a new one would have.
std::vector<ConfigEntry> describe_topic_configs(const ConfigScope& scope, std::string_view topic);
// What a topic with exactly these configs says; for the answer to CreateTopics.
std::vector<ConfigEntry> describe_topic_configs(const ConfigScope& scope, const ConfigMap& set);
// `broker` absent: only what is set for all brokers, as Kafka does for the resource "".
std::vector<ConfigEntry> describe_broker_configs(const ConfigScope& scope,
                                                 std::optional<NodeId> broker);

}  // namespace verdict::meta
