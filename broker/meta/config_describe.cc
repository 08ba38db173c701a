// Where a config's value comes from: what DescribeConfigs says.

#include <algorithm>
#include <charconv>
#include <limits>

#include "broker/base/check.h"
#include "broker/meta/configs.h"

namespace verdict::meta {
namespace {

// A name of the broker's that sets a topic's config, and what one of its units is worth there.
struct BrokerName {
  std::string_view name;
  int64_t factor = 1;
};

// In order of precedence.
std::vector<BrokerName> broker_names(std::string_view broker_name) {
  constexpr int64_t kMinuteMs = 60'000;
  constexpr int64_t kHourMs = 60 * kMinuteMs;
  if (broker_name.empty()) return {};
  if (broker_name == "log.retention.ms") {
    return {{broker_name}, {"log.retention.minutes", kMinuteMs}, {"log.retention.hours", kHourMs}};
  }
  if (broker_name == "log.roll.ms") return {{broker_name}, {"log.roll.hours", kHourMs}};
  if (broker_name == "log.roll.jitter.ms") {
    return {{broker_name}, {"log.roll.jitter.hours", kHourMs}};
  }
  if (broker_name == "log.flush.interval.ms") {
    return {{broker_name}, {"log.flush.scheduler.interval.ms"}};
  }
  return {{broker_name}};
}

// `value` of a synonym, in the unit of the topic's config. Negative times mean "never": -1.
std::string converted(const std::string& value, const BrokerName& name) {
  if (name.factor == 1) return value;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size()) return value;
  if (number < 0) return "-1";
  int64_t product = 0;
  if (__builtin_mul_overflow(number, name.factor, &product)) {
    product = std::numeric_limits<int64_t>::max();
  }
  return std::to_string(product);
}

ConfigResource broker_resource(std::optional<NodeId> broker) {
  return {ResourceType::broker, broker ? std::to_string(broker->value) : std::string()};
}

// The places that can set a broker's config, first one first.
struct Places {
  std::pair<const ConfigMap*, ConfigSource> list[3];
  explicit Places(const ConfigScope& scope)
      : list{{&scope.image.configs(broker_resource(scope.broker)), ConfigSource::dynamic_broker},
             {&scope.image.configs(broker_resource({})), ConfigSource::dynamic_default_broker},
             {&scope.server_properties, ConfigSource::static_broker}} {}
};

// Everything but the topic's own value. Values are as given under their names; `first_value` is
// the one that applies, in the topic's unit.
struct Inherited {
  std::vector<ConfigSynonym> synonyms;
  std::optional<std::string> first_value;
};

Inherited inherited(const Places& places, std::string_view broker_name) {
  Inherited result;
  const std::vector<BrokerName> names = broker_names(broker_name);
  for (const auto& [map, source] : places.list) {
    for (const BrokerName& name : names) {
      const auto at = map->find(name.name);
      if (at == map->end()) continue;
      if (!result.first_value) result.first_value = converted(at->second, name);
      result.synonyms.push_back({std::string(name.name), at->second, source});
    }
  }
  // As Kafka: the default is told under the main name, when that has one.
  if (const BrokerConfigRule* rule = find_broker_config(broker_name);
      rule != nullptr && rule->rule.standard) {
    result.synonyms.push_back(
        {std::string(broker_name), std::string(*rule->rule.standard), ConfigSource::standard});
  }
  return result;
}

ConfigEntry topic_entry(const Places& places, const TopicConfigRule& rule, const ConfigMap& set) {
  CHECK(rule.rule.standard.has_value());
  ConfigEntry entry;
  entry.name = rule.rule.name;
  entry.type = rule.rule.type;
  Inherited from_broker = inherited(places, rule.broker_name);
  entry.value = from_broker.first_value.value_or(std::string(*rule.rule.standard));
  entry.synonyms = std::move(from_broker.synonyms);
  if (const auto at = set.find(rule.rule.name); at != set.end()) {
    entry.value = at->second;
    entry.synonyms.insert(entry.synonyms.begin(),
                          {entry.name, at->second, ConfigSource::dynamic_topic});
  }
  entry.source = entry.synonyms.empty() ? ConfigSource::standard : entry.synonyms.front().source;
  return entry;
}

ConfigEntry broker_entry(const Places& places, const BrokerConfigRule& rule) {
  ConfigEntry entry;
  entry.name = rule.rule.name;
  entry.type = rule.rule.type;
  entry.read_only = rule.change == BrokerConfigRule::Change::read_only;
  entry.sensitive = rule.rule.type == ConfigType::password;
  for (const auto& [map, source] : places.list) {
    const auto at = map->find(rule.rule.name);
    if (at == map->end()) continue;
    entry.synonyms.push_back({entry.name, at->second, source});
  }
  if (rule.rule.standard) {
    entry.synonyms.push_back(
        {entry.name, std::string(*rule.rule.standard), ConfigSource::standard});
  }
  if (!entry.synonyms.empty()) {
    entry.source = entry.synonyms.front().source;
    entry.value = entry.synonyms.front().value;
  }
  if (entry.sensitive) {
    entry.value.reset();
    for (ConfigSynonym& synonym : entry.synonyms) synonym.value.reset();
  }
  return entry;
}

// A setting that this broker does not know might be a secret: its value is not told.
ConfigEntry unknown_broker_entry(const std::string& name) {
  ConfigEntry entry;
  entry.name = name;
  entry.source = ConfigSource::static_broker;
  entry.read_only = true;
  entry.sensitive = true;
  entry.synonyms.push_back({name, std::nullopt, ConfigSource::static_broker});
  return entry;
}

// The defaults for all brokers, alone.
std::vector<ConfigEntry> describe_default_broker(const MetadataImage& image) {
  std::vector<ConfigEntry> entries;
  for (const auto& [name, value] : image.configs(broker_resource({}))) {
    const BrokerConfigRule* rule = find_broker_config(name);
    ConfigEntry entry;
    entry.name = name;
    entry.source = ConfigSource::dynamic_default_broker;
    entry.sensitive = rule == nullptr;
    entry.type = rule == nullptr ? ConfigType::unknown : rule->rule.type;
    if (!entry.sensitive) entry.value = value;
    entry.synonyms.push_back({name, entry.value, entry.source});
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

std::vector<ConfigEntry> describe_topic_configs(const ConfigScope& scope, const ConfigMap& set) {
  const Places places(scope);
  std::vector<ConfigEntry> entries;
  for (const TopicConfigRule& rule : topic_config_rules()) {
    // Kafka's internal configs have no default and are not shown.
    if (rule.rule.standard) entries.push_back(topic_entry(places, rule, set));
  }
  return entries;
}

std::vector<ConfigEntry> describe_topic_configs(const ConfigScope& scope, std::string_view topic) {
  return describe_topic_configs(scope, scope.image.topic_configs(topic));
}

std::vector<ConfigEntry> describe_broker_configs(const ConfigScope& scope,
                                                 std::optional<NodeId> broker) {
  if (!broker) return describe_default_broker(scope.image);
  const Places places(scope);
  std::vector<ConfigEntry> entries;
  for (const BrokerConfigRule& rule : broker_config_rules()) {
    entries.push_back(broker_entry(places, rule));
  }
  for (const auto& [name, value] : scope.server_properties) {
    if (find_broker_config(name) == nullptr) entries.push_back(unknown_broker_entry(name));
  }
  std::ranges::sort(entries, {}, &ConfigEntry::name);
  return entries;
}

}  // namespace verdict::meta
