// Judging config values, and what applies to a topic.

#include "broker/meta/configs.h"

#include <algorithm>
#include <charconv>

#include "broker/base/check.h"

namespace verdict::meta {
namespace {

using base::Errc;
using base::fail;
using base::Result;

// What Java's String.trim() takes away.
std::string_view trim(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

std::optional<int64_t> parse_integer(std::string_view text) {
  text = trim(text);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// A decimal number as far as its bounds ask: no rounding.
struct Decimal {
  bool negative = false;
  int64_t whole = 0;  // saturates
  bool has_fraction = false;

  // Sign of this number minus `other`.
  int compared_to(int64_t other) const {
    const int64_t signed_whole = negative ? -whole : whole;
    if (signed_whole != other) return signed_whole < other ? -1 : 1;
    if (!has_fraction) return 0;
    return negative ? -1 : 1;
  }
};

// "0.5", "-1", ".5", "5e-1".
std::optional<Decimal> parse_decimal(std::string_view text) {
  constexpr int64_t kExponentMax = 400;
  text = trim(text);
  Decimal number;
  if (text.starts_with('+') || text.starts_with('-')) {
    number.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    const std::optional<int64_t> given = parse_integer(text.substr(e + 1));
    if (!given || *given > kExponentMax || *given < -kExponentMax) return std::nullopt;
    exponent = *given;
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (digits.empty() || !std::ranges::all_of(digits, digit)) return std::nullopt;
  const int64_t whole_digits = static_cast<int64_t>(point) + exponent;
  for (int64_t i = 0; i < std::max(whole_digits, static_cast<int64_t>(digits.size())); ++i) {
    const bool given = i < static_cast<int64_t>(digits.size());
    const int64_t value = given ? digits[static_cast<size_t>(i)] - '0' : 0;
    if (i >= whole_digits) {
      number.has_fraction = number.has_fraction || value != 0;
    } else if (__builtin_mul_overflow(number.whole, 10, &number.whole) ||
               __builtin_add_overflow(number.whole, value, &number.whole)) {
      number.whole = INT64_MAX;
      return number;
    }
  }
  return number;
}

std::optional<bool> parse_boolean(std::string_view text) {
  std::string lower(trim(text));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (lower == "true") return true;
  if (lower == "false") return false;
  return std::nullopt;
}

std::vector<std::string_view> parse_list(std::string_view text) {
  std::vector<std::string_view> items;
  text = trim(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    items.push_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) items.emplace_back();
  }
  return items;
}

base::Result<> refuse(const ConfigRule& rule, std::string_view value, const std::string& why) {
  return fail(Errc::invalid, "Invalid value " + std::string(value) + " for configuration " +
                                 std::string(rule.name) + ": " + why);
}

std::string joined(std::span<const std::string_view> words) {
  std::string text;
  for (std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

std::string_view java_name(ConfigType type) {
  switch (type) {
    case ConfigType::int16:
      return "SHORT";
    case ConfigType::int32:
      return "INT";
    case ConfigType::int64:
      return "LONG";
    default:
      return "DOUBLE";
  }
}

bool fits(ConfigType type, int64_t value) {
  if (type == ConfigType::int16) return value >= INT16_MIN && value <= INT16_MAX;
  if (type == ConfigType::int32) return value >= INT32_MIN && value <= INT32_MAX;
  return true;
}

Result<> check_number(const ConfigRule& rule, std::string_view value) {
  const std::optional<int64_t> number = parse_integer(value);
  if (!number || !fits(rule.type, *number)) {
    return refuse(rule, value, "Not a number of type " + std::string(java_name(rule.type)));
  }
  const std::string shown = std::to_string(*number);
  if (rule.name == "compression.gzip.level" && *number != -1 && (*number < 1 || *number > 9)) {
    return refuse(rule, shown, "Value must be between 1 and 9 or equal to -1");
  }
  if (rule.min && *number < *rule.min) {
    return refuse(rule, shown, "Value must be at least " + std::to_string(*rule.min));
  }
  if (rule.max && *number > *rule.max) {
    return refuse(rule, shown, "Value must be no more than " + std::to_string(*rule.max));
  }
  return {};
}

Result<> check_decimal(const ConfigRule& rule, std::string_view value) {
  const std::optional<Decimal> number = parse_decimal(value);
  if (!number) return refuse(rule, value, "Not a number of type DOUBLE");
  if (rule.min && number->compared_to(*rule.min) < 0) {
    return refuse(rule, value, "Value must be at least " + std::to_string(*rule.min));
  }
  if (rule.max && number->compared_to(*rule.max) > 0) {
    return refuse(rule, value, "Value must be no more than " + std::to_string(*rule.max));
  }
  return {};
}

// "" or "7:1".
bool is_throttled_replica(std::string_view item) {
  if (item.empty()) return true;
  const size_t colon = item.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == item.size()) return false;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return std::ranges::all_of(item.substr(0, colon), digit) &&
         std::ranges::all_of(item.substr(colon + 1), digit);
}

Result<> check_list(const ConfigRule& rule, std::string_view value) {
  const std::vector<std::string_view> items = parse_list(value);
  if (rule.name.ends_with(".replication.throttled.replicas")) {
    if (trim(value) == "*" || std::ranges::all_of(items, is_throttled_replica)) return {};
    return refuse(rule, value,
                  std::string(rule.name) +
                      " must be the literal '*' or a list of replicas in the following format: "
                      "[partitionId]:[brokerId],[partitionId]:[brokerId],...");
  }
  if (rule.allowed.empty()) return {};
  for (size_t i = 0; i < items.size(); ++i) {
    if (std::ranges::find(rule.allowed, items[i]) == rule.allowed.end()) {
      return refuse(rule, items[i], "String must be one of: " + joined(rule.allowed));
    }
    if (std::find(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), items[i]) !=
        items.begin() + static_cast<std::ptrdiff_t>(i)) {
      return fail(Errc::invalid,
                  "Configuration '" + std::string(rule.name) + "' values must not be duplicated.");
    }
  }
  return {};
}

int64_t integer_of(const ConfigMap& configs, std::string_view name) {
  const TopicConfigRule* rule = find_topic_config(name);
  CHECK(rule != nullptr && rule->rule.standard.has_value());
  const auto at = configs.find(name);
  const std::string_view text = at == configs.end() ? *rule->rule.standard : at->second;
  const std::optional<int64_t> value = parse_integer(text);
  // Stored values were judged before they were committed; a foreign log may hold others.
  return value ? *value : *parse_integer(*rule->rule.standard);
}

}  // namespace

base::Result<> check_config(const ConfigRule& rule, std::string_view value) {
  switch (rule.type) {
    case ConfigType::boolean:
      if (parse_boolean(value)) return {};
      return refuse(rule, value, "Expected value to be either true or false");
    case ConfigType::int16:
    case ConfigType::int32:
    case ConfigType::int64:
      return check_number(rule, value);
    case ConfigType::float64:
      return check_decimal(rule, value);
    case ConfigType::list:
      return check_list(rule, value);
    default:
      if (rule.allowed.empty() ||
          std::ranges::find(rule.allowed, trim(value)) != rule.allowed.end())
        return {};
      return refuse(rule, value, "String must be one of: " + joined(rule.allowed));
  }
}

base::Result<> check_topic_configs(const ConfigMap& configs) {
  for (const auto& [name, value] : configs) {
    if (find_topic_config(name) == nullptr) {
      return fail(Errc::invalid, "Unknown topic config name: " + name);
    }
  }
  for (const auto& [name, value] : configs) {
    TRY(check_config(find_topic_config(name)->rule, value));
  }
  const int64_t min_lag_ms = integer_of(configs, "min.compaction.lag.ms");
  const int64_t max_lag_ms = integer_of(configs, "max.compaction.lag.ms");
  if (min_lag_ms > max_lag_ms) {
    return fail(Errc::invalid, "conflict topic config setting min.compaction.lag.ms (" +
                                   std::to_string(min_lag_ms) + ") > max.compaction.lag.ms (" +
                                   std::to_string(max_lag_ms) + ")");
  }
  const auto remote = configs.find("remote.storage.enable");
  if (remote != configs.end() && parse_boolean(remote->second) == true) {
    return fail(Errc::invalid,
                "Tiered Storage functionality is disabled in the broker. Topic cannot be "
                "configured with remote log storage.");
  }
  return {};
}

namespace {

// One topic's values as text, with the default where nothing else is set.
class Values {
 public:
  Values(const ConfigScope& scope, std::string_view topic) {
    for (ConfigEntry& entry : describe_topic_configs(scope, topic)) {
      if (entry.value) values_.emplace(std::move(entry.name), std::move(*entry.value));
    }
    // Not shown by DescribeConfigs, but obeyed.
    const ConfigMap& set = scope.image.topic_configs(topic);
    if (const auto at = set.find("internal.segment.bytes"); at != set.end()) {
      values_["segment.bytes"] = at->second;
    }
  }
  int64_t integer(std::string_view name) const { return integer_of(values_, name); }
  bool boolean(std::string_view name) const { return parse_boolean(text(name)) == true; }
  std::string_view text(std::string_view name) const {
    const auto at = values_.find(name);
    CHECK(at != values_.end());
    return trim(at->second);
  }
  bool list_has(std::string_view name, std::string_view item) const {
    const std::vector<std::string_view> items = parse_list(text(name));
    return std::ranges::find(items, item) != items.end();
  }

 private:
  ConfigMap values_;
};

}  // namespace

TopicSettings topic_settings(const ConfigScope& scope, std::string_view topic) {
  const Values values(scope, topic);
  TopicSettings settings;
  settings.compact = values.list_has("cleanup.policy", "compact");
  settings.remove = values.list_has("cleanup.policy", "delete");
  settings.retention_ms = values.integer("retention.ms");
  settings.retention_bytes = values.integer("retention.bytes");
  settings.segment_bytes = values.integer("segment.bytes");
  settings.segment_ms = values.integer("segment.ms");
  settings.segment_jitter_ms = values.integer("segment.jitter.ms");
  settings.segment_index_bytes = values.integer("segment.index.bytes");
  settings.index_interval_bytes = values.integer("index.interval.bytes");
  settings.flush_messages = values.integer("flush.messages");
  settings.flush_ms = values.integer("flush.ms");
  settings.max_message_bytes = values.integer("max.message.bytes");
  settings.min_insync_replicas = values.integer("min.insync.replicas");
  settings.file_delete_delay_ms = values.integer("file.delete.delay.ms");
  settings.compression_type = values.text("compression.type");
  settings.compression_gzip_level = static_cast<int>(values.integer("compression.gzip.level"));
  settings.compression_lz4_level = static_cast<int>(values.integer("compression.lz4.level"));
  settings.compression_zstd_level = static_cast<int>(values.integer("compression.zstd.level"));
  settings.log_append_time = values.text("message.timestamp.type") == "LogAppendTime";
  settings.timestamp_before_max_ms = values.integer("message.timestamp.before.max.ms");
  settings.timestamp_after_max_ms = values.integer("message.timestamp.after.max.ms");
  settings.unclean_leader_election = values.boolean("unclean.leader.election.enable");
  settings.preallocate = values.boolean("preallocate");
  return settings;
}

log::LogConfig TopicSettings::log_config() const {
  log::LogConfig config;
  config.segment_bytes = segment_bytes;
  config.segment_ms = segment_ms;
  config.index_interval_bytes = index_interval_bytes;
  config.segment_index_bytes = segment_index_bytes;
  config.flush_messages = flush_messages;
  config.flush_ms = flush_ms;
  return config;
}

record::AppendRules TopicSettings::append_rules() const {
  using record::Codec;
  record::AppendRules rules;
  rules.message_bytes_max = max_message_bytes;
  rules.segment_bytes = segment_bytes;
  rules.log_append_time = log_append_time;
  rules.timestamp_before_max_ms = timestamp_before_max_ms;
  rules.timestamp_after_max_ms = timestamp_after_max_ms;
  rules.compacted = compact;
  if (compression_type == "uncompressed") rules.compression = Codec::none;
  if (compression_type == "gzip") {
    rules.compression = Codec::gzip;
    rules.compression_level = compression_gzip_level == -1 ? 0 : compression_gzip_level;
  }
  if (compression_type == "snappy") rules.compression = Codec::snappy;
  if (compression_type == "lz4") {
    rules.compression = Codec::lz4;
    rules.compression_level = compression_lz4_level;
  }
  if (compression_type == "zstd") {
    rules.compression = Codec::zstd;
    rules.compression_level = compression_zstd_level;
  }
  return rules;
}

}  // namespace verdict::meta
