#include "broker/meta/configs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "broker/meta/records.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {
namespace {

// What is wrong with one config, empty when nothing is.
std::string verdict_on(const std::string& name, const std::string& value) {
  auto judged = check_topic_configs({{name, value}});
  return judged ? "" : judged.error().detail;
}

const ConfigEntry& entry(const std::vector<ConfigEntry>& entries, std::string_view name) {
  const auto at = std::ranges::find(entries, name, &ConfigEntry::name);
  CHECK(at != entries.end());
  return *at;
}

MetadataImage image_with(const std::vector<wire::ConfigRecord>& records) {
  MetadataImage image;
  for (const wire::ConfigRecord& record : records) {
    CHECK(image.apply(image.offset() + 1, frame(record)).has_value());
  }
  return image;
}

wire::ConfigRecord config(ResourceType type, std::string resource, std::string name,
                          std::string value) {
  wire::ConfigRecord record;
  record.resource_type = static_cast<int8_t>(type);
  record.resource_name = std::move(resource);
  record.name = std::move(name);
  record.value = std::move(value);
  return record;
}

TEST(Configs, bad_values_are_refused_in_kafkas_words) {
  EXPECT_EQ(verdict_on("retention.minutes", "1"), "Unknown topic config name: retention.minutes");
  EXPECT_EQ(verdict_on("retention.ms", "soon"),
            "Invalid value soon for configuration retention.ms: Not a number of type LONG");
  EXPECT_EQ(verdict_on("segment.bytes", "3000000000"),
            "Invalid value 3000000000 for configuration segment.bytes: Not a number of type INT");
  EXPECT_EQ(verdict_on("retention.ms", "-2"),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1");
  EXPECT_EQ(verdict_on("compression.lz4.level", "18"),
            "Invalid value 18 for configuration compression.lz4.level: Value must be no more than "
            "17");
  EXPECT_EQ(verdict_on("compression.gzip.level", "0"),
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and "
            "9 or equal to -1");
  EXPECT_EQ(verdict_on("preallocate", "yes"),
            "Invalid value yes for configuration preallocate: Expected value to be either true or "
            "false");
  EXPECT_EQ(verdict_on("message.timestamp.type", "createtime"),
            "Invalid value createtime for configuration message.timestamp.type: String must be one "
            "of: CreateTime, LogAppendTime");
  EXPECT_EQ(verdict_on("cleanup.policy", "compact,keep"),
            "Invalid value keep for configuration cleanup.policy: String must be one of: compact, "
            "delete");
  EXPECT_EQ(verdict_on("cleanup.policy", "delete,delete"),
            "Configuration 'cleanup.policy' values must not be duplicated.");
  EXPECT_EQ(verdict_on("min.cleanable.dirty.ratio", "1.5"),
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more "
            "than 1");
  EXPECT_EQ(verdict_on("min.insync.replicas", "0"),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1");
  EXPECT_EQ(verdict_on("leader.replication.throttled.replicas", "1:2,3"),
            "Invalid value 1:2,3 for configuration leader.replication.throttled.replicas: "
            "leader.replication.throttled.replicas must be the literal '*' or a list of replicas "
            "in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...");
}

TEST(Configs, decimal_bounds_hold_to_the_last_digit) {
  for (const char* good : {"0", "1", "0.5", ".5", "1.", "1.000", "-0.0", "10e-1", "0.1e1", "5E-1",
                           "0.0000000000000000000000000000001", "000.9", "+0.25", "1e-400"}) {
    EXPECT_EQ(verdict_on("min.cleanable.dirty.ratio", good), "") << good;
  }
  for (const char* bad :
       {"1.0000000000000000000000000001", "-0.0000000000000000000000000001", "2", "1e1", "1e400",
        "99999999999999999999999", "", ".", "e5", "0x1", "NaN", "1e", "1e9999", "1.2.3", "- 1"}) {
    EXPECT_NE(verdict_on("min.cleanable.dirty.ratio", bad), "") << bad;
  }
}

TEST(Configs, good_values_are_taken_with_javas_spaces_and_signs) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"retention.ms", " 5 "},
           {"retention.ms", "+5"},
           {"retention.ms", "-1"},
           {"preallocate", "TRUE"},
           {"cleanup.policy", "compact, delete"},
           {"cleanup.policy", ""},
           {"compression.gzip.level", "-1"},
           {"compression.zstd.level", "-131072"},
           {"min.cleanable.dirty.ratio", "1"},
           {"leader.replication.throttled.replicas", "*"},
           {"follower.replication.throttled.replicas", "1:2,3:4"},
           {"min.insync.replicas", "99"}}) {
    EXPECT_EQ(verdict_on(name, value), "") << name << "=" << value;
  }
}

TEST(Configs, a_segment_below_one_mebibyte_is_refused_and_allowed_under_the_internal_name) {
  EXPECT_EQ(verdict_on("segment.bytes", "1048575"),
            "Invalid value 1048575 for configuration segment.bytes: Value must be at least "
            "1048576");
  EXPECT_EQ(verdict_on("segment.bytes", "1048576"), "");
  EXPECT_EQ(verdict_on("internal.segment.bytes", "1024"), "");
  const MetadataImage image =
      image_with({config(ResourceType::topic, "t", "internal.segment.bytes", "1024")});
  const TopicSettings settings = topic_settings({image, {}, NodeId{1}}, "t");
  EXPECT_EQ(settings.segment_bytes, 1024);
  EXPECT_EQ(settings.log_config().segment_bytes, 1024);
}

TEST(Configs, rules_over_several_configs_hold) {
  const ConfigMap lags{{"min.compaction.lag.ms", "10"}, {"max.compaction.lag.ms", "9"}};
  EXPECT_EQ(check_topic_configs(lags).error().detail,
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (9)");
  EXPECT_EQ(verdict_on("remote.storage.enable", "true"),
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured "
            "with remote log storage.");
  EXPECT_EQ(verdict_on("remote.storage.enable", "false"), "");
}

TEST(Configs, every_rule_judges_its_own_default_good) {
  for (const TopicConfigRule& rule : topic_config_rules()) {
    if (!rule.rule.standard) continue;
    EXPECT_TRUE(check_config(rule.rule, *rule.rule.standard).has_value()) << rule.rule.name;
    EXPECT_EQ(find_topic_config(rule.rule.name), &rule);
    if (rule.broker_name.empty()) continue;
    EXPECT_NE(find_broker_config(rule.broker_name), nullptr) << rule.broker_name;
  }
  for (const BrokerConfigRule& rule : broker_config_rules()) {
    if (rule.rule.standard) {
      EXPECT_TRUE(check_config(rule.rule, *rule.rule.standard).has_value()) << rule.rule.name;
    }
    EXPECT_EQ(find_broker_config(rule.rule.name), &rule);
  }
  EXPECT_EQ(find_topic_config("zzz"), nullptr);
  EXPECT_EQ(find_broker_config(""), nullptr);
}

TEST(Configs, the_topic_wins_over_the_broker_the_broker_over_all_brokers_and_those_over_the_file) {
  const StaticConfigs file{{"min.insync.replicas", "2"}};
  const MetadataImage all =
      image_with({config(ResourceType::broker, "", "min.insync.replicas", "3"),
                  config(ResourceType::broker, "2", "min.insync.replicas", "9")});
  const MetadataImage one =
      image_with({config(ResourceType::broker, "", "min.insync.replicas", "3"),
                  config(ResourceType::broker, "1", "min.insync.replicas", "4"),
                  config(ResourceType::topic, "t", "min.insync.replicas", "5")});
  const MetadataImage empty;
  EXPECT_EQ(topic_settings({empty, {}, NodeId{1}}, "t").min_insync_replicas, 1);
  EXPECT_EQ(topic_settings({empty, file, NodeId{1}}, "t").min_insync_replicas, 2);
  EXPECT_EQ(topic_settings({all, file, NodeId{1}}, "t").min_insync_replicas, 3);
  EXPECT_EQ(topic_settings({one, file, NodeId{1}}, "u").min_insync_replicas, 4);
  EXPECT_EQ(topic_settings({one, file, NodeId{1}}, "t").min_insync_replicas, 5);

  const ConfigEntry told =
      entry(describe_topic_configs({one, file, NodeId{1}}, "t"), "min.insync.replicas");
  EXPECT_EQ(told.source, ConfigSource::dynamic_topic);
  EXPECT_EQ(told.value, "5");
  EXPECT_EQ(told.synonyms, (std::vector<ConfigSynonym>{
                               {"min.insync.replicas", "5", ConfigSource::dynamic_topic},
                               {"min.insync.replicas", "4", ConfigSource::dynamic_broker},
                               {"min.insync.replicas", "3", ConfigSource::dynamic_default_broker},
                               {"min.insync.replicas", "2", ConfigSource::static_broker},
                               {"min.insync.replicas", "1", ConfigSource::standard}}));
}

TEST(Configs, hours_and_minutes_of_the_file_are_synonyms_that_apply_in_order) {
  const MetadataImage empty;
  const StaticConfigs hours{{"log.retention.hours", "2"}};
  const StaticConfigs both{{"log.retention.hours", "2"}, {"log.retention.minutes", "3"}};
  EXPECT_EQ(topic_settings({empty, hours, NodeId{1}}, "t").retention_ms, 7'200'000);
  EXPECT_EQ(topic_settings({empty, both, NodeId{1}}, "t").retention_ms, 180'000);
  EXPECT_EQ(topic_settings({empty, {{"log.retention.hours", "-1"}}, NodeId{1}}, "t").retention_ms,
            -1);
  const ConfigEntry told =
      entry(describe_topic_configs({empty, both, NodeId{1}}, "t"), "retention.ms");
  EXPECT_EQ(told.source, ConfigSource::static_broker);
  EXPECT_EQ(told.value, "180000");
  EXPECT_EQ(told.synonyms, (std::vector<ConfigSynonym>{
                               {"log.retention.minutes", "3", ConfigSource::static_broker},
                               {"log.retention.hours", "2", ConfigSource::static_broker}}));
}

TEST(Configs, settings_reach_the_log_and_the_validation) {
  const StaticConfigs file{
      {"log.flush.interval.messages", "1"}, {"message.max.bytes", "2000"}, {"log.roll.hours", "1"}};
  const MetadataImage image =
      image_with({config(ResourceType::topic, "t", "compression.type", "lz4"),
                  config(ResourceType::topic, "t", "cleanup.policy", "compact,delete"),
                  config(ResourceType::topic, "t", "message.timestamp.type", "LogAppendTime")});
  const TopicSettings settings = topic_settings({image, file, NodeId{1}}, "t");
  EXPECT_EQ(settings.log_config().flush_messages, 1);
  EXPECT_EQ(settings.log_config().segment_ms, 3'600'000);
  EXPECT_EQ(settings.log_config().flush_ms, INT64_MAX);
  const record::AppendRules rules = settings.append_rules();
  EXPECT_EQ(rules.message_bytes_max, 2000);
  EXPECT_EQ(rules.compression, record::Codec::lz4);
  EXPECT_EQ(rules.compression_level, 9);
  EXPECT_TRUE(rules.compacted);
  EXPECT_TRUE(rules.log_append_time);
  EXPECT_TRUE(settings.remove);
  EXPECT_EQ(topic_settings({image, {}, NodeId{1}}, "other"), TopicSettings());
  EXPECT_EQ(topic_settings({image, {}, NodeId{1}}, "other").append_rules().compression,
            std::nullopt);
}

TEST(Configs, an_unreadable_stored_value_falls_back_to_the_default) {
  const MetadataImage image =
      image_with({config(ResourceType::topic, "t", "retention.ms", "rubbish")});
  EXPECT_EQ(topic_settings({image, {}, NodeId{1}}, "t").retention_ms, 604'800'000);
}

TEST(Configs, the_broker_tells_its_file_and_hides_what_it_does_not_know) {
  const MetadataImage image =
      image_with({config(ResourceType::broker, "", "log.segment.bytes", "2097152")});
  const StaticConfigs file{{"num.partitions", "3"}, {"my.secret", "s3cr3t"}};
  const std::vector<ConfigEntry> told =
      describe_broker_configs({image, file, NodeId{1}}, NodeId{1});
  EXPECT_EQ(entry(told, "num.partitions").value, "3");
  EXPECT_EQ(entry(told, "num.partitions").source, ConfigSource::static_broker);
  EXPECT_TRUE(entry(told, "num.partitions").read_only);
  EXPECT_EQ(entry(told, "log.segment.bytes").value, "2097152");
  EXPECT_EQ(entry(told, "log.segment.bytes").source, ConfigSource::dynamic_default_broker);
  EXPECT_FALSE(entry(told, "log.segment.bytes").read_only);
  EXPECT_EQ(entry(told, "broker.rack").value, std::nullopt);
  EXPECT_TRUE(entry(told, "broker.rack").is_default());
  EXPECT_TRUE(entry(told, "my.secret").sensitive);
  EXPECT_EQ(entry(told, "my.secret").value, std::nullopt);
  EXPECT_TRUE(std::ranges::is_sorted(told, {}, &ConfigEntry::name));

  const std::vector<ConfigEntry> all = describe_broker_configs({image, file, NodeId{1}}, {});
  ASSERT_EQ(all.size(), size_t{1});
  EXPECT_EQ(all[0].name, "log.segment.bytes");
}

}  // namespace
}  // namespace verdict::meta
