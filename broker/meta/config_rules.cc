// The configs of topics and brokers as data: names, types, defaults, bounds.

#include <algorithm>
#include <array>

#include "broker/meta/configs.h"

namespace verdict::meta {
namespace {

using enum ConfigType;
using Change = BrokerConfigRule::Change;
using Text = std::string_view;

inline constexpr std::optional<Text> kNull = std::nullopt;

constexpr auto kCleanupPolicys = std::to_array<Text>({"compact", "delete"});
constexpr auto kCompressionTypes =
    std::to_array<Text>({"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"});
constexpr auto kMessageTimestampTypes = std::to_array<Text>({"CreateTime", "LogAppendTime"});

constexpr auto kTopicRules = std::to_array<TopicConfigRule>({
    {{"cleanup.policy", list, "delete", {}, {}, kCleanupPolicys}, "log.cleanup.policy"},
    {{"compression.gzip.level", int32, "-1"}, "compression.gzip.level"},
    {{"compression.lz4.level", int32, "9", 1, 17}, "compression.lz4.level"},
    {{"compression.type", string, "producer", {}, {}, kCompressionTypes}, "compression.type"},
    {{"compression.zstd.level", int32, "3", -131072, 22}, "compression.zstd.level"},
    {{"delete.retention.ms", int64, "86400000", 0}, "log.cleaner.delete.retention.ms"},
    {{"file.delete.delay.ms", int64, "60000", 0}, "log.segment.delete.delay.ms"},
    {{"flush.messages", int64, "9223372036854775807", 1}, "log.flush.interval.messages"},
    {{"flush.ms", int64, "9223372036854775807", 0}, "log.flush.interval.ms"},
    {{"follower.replication.throttled.replicas", list, ""}, ""},
    {{"index.interval.bytes", int32, "4096", 0}, "log.index.interval.bytes"},
    {{"internal.segment.bytes", int32, kNull, 1}, ""},
    {{"leader.replication.throttled.replicas", list, ""}, ""},
    {{"local.retention.bytes", int64, "-2", -2}, "log.local.retention.bytes"},
    {{"local.retention.ms", int64, "-2", -2}, "log.local.retention.ms"},
    {{"max.compaction.lag.ms", int64, "9223372036854775807", 1},
     "log.cleaner.max.compaction.lag.ms"},
    {{"max.message.bytes", int32, "1048588", 0}, "message.max.bytes"},
    {{"message.timestamp.after.max.ms", int64, "3600000", 0}, "log.message.timestamp.after.max.ms"},
    {{"message.timestamp.before.max.ms", int64, "9223372036854775807", 0},
     "log.message.timestamp.before.max.ms"},
    {{"message.timestamp.type", string, "CreateTime", {}, {}, kMessageTimestampTypes},
     "log.message.timestamp.type"},
    {{"min.cleanable.dirty.ratio", float64, "0.5", 0, 1}, "log.cleaner.min.cleanable.ratio"},
    {{"min.compaction.lag.ms", int64, "0", 0}, "log.cleaner.min.compaction.lag.ms"},
    {{"min.insync.replicas", int32, "1", 1}, "min.insync.replicas"},
    {{"preallocate", boolean, "false"}, "log.preallocate"},
    {{"remote.log.copy.disable", boolean, "false"}, ""},
    {{"remote.log.delete.on.disable", boolean, "false"}, ""},
    {{"remote.storage.enable", boolean, "false"}, ""},
    {{"retention.bytes", int64, "-1"}, "log.retention.bytes"},
    {{"retention.ms", int64, "604800000", -1}, "log.retention.ms"},
    {{"segment.bytes", int32, "1073741824", 1048576}, "log.segment.bytes"},
    {{"segment.index.bytes", int32, "10485760", 4}, "log.index.size.max.bytes"},
    {{"segment.jitter.ms", int64, "0", 0}, "log.roll.jitter.ms"},
    {{"segment.ms", int64, "604800000", 1}, "log.roll.ms"},
    {{"unclean.leader.election.enable", boolean, "false"}, "unclean.leader.election.enable"},
});

constexpr auto kBrokerRules = std::to_array<BrokerConfigRule>({
    {{"advertised.listeners", list, kNull}, Change::per_broker},
    {{"auto.create.topics.enable", boolean, "true"}, Change::read_only},
    {{"auto.leader.rebalance.enable", boolean, "true"}, Change::read_only},
    {{"background.threads", int32, "10", 1}, Change::cluster_wide},
    {{"broker.heartbeat.interval.ms", int32, "2000"}, Change::read_only},
    {{"broker.id", int32, "-1"}, Change::read_only},
    {{"broker.rack", string, kNull}, Change::read_only},
    {{"broker.session.timeout.ms", int32, "9000"}, Change::read_only},
    {{"compression.gzip.level", int32, "-1"}, Change::cluster_wide},
    {{"compression.lz4.level", int32, "9", 1, 17}, Change::cluster_wide},
    {{"compression.type", string, "producer", {}, {}, kCompressionTypes}, Change::cluster_wide},
    {{"compression.zstd.level", int32, "3", -131072, 22}, Change::cluster_wide},
    {{"connections.max.idle.ms", int64, "600000"}, Change::read_only},
    {{"controlled.shutdown.enable", boolean, "true"}, Change::read_only},
    {{"controller.listener.names", list, kNull}, Change::read_only},
    {{"controller.quorum.bootstrap.servers", list, ""}, Change::read_only},
    {{"controller.quorum.election.timeout.ms", int32, "1000"}, Change::read_only},
    {{"controller.quorum.fetch.timeout.ms", int32, "2000"}, Change::read_only},
    {{"controller.quorum.voters", list, ""}, Change::read_only},
    {{"default.replication.factor", int32, "1"}, Change::read_only},
    {{"delete.topic.enable", boolean, "true"}, Change::read_only},
    {{"fetch.max.bytes", int32, "57671680", 1024}, Change::read_only},
    {{"group.initial.rebalance.delay.ms", int32, "3000"}, Change::read_only},
    {{"group.max.session.timeout.ms", int32, "1800000"}, Change::read_only},
    {{"group.min.session.timeout.ms", int32, "6000"}, Change::read_only},
    {{"initial.broker.registration.timeout.ms", int32, "60000"}, Change::read_only},
    {{"inter.broker.listener.name", string, kNull}, Change::read_only},
    {{"listener.security.protocol.map", string,
      "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"},
     Change::per_broker},
    {{"listeners", list, "PLAINTEXT://:9092"}, Change::per_broker},
    {{"log.cleaner.delete.retention.ms", int64, "86400000", 0}, Change::cluster_wide},
    {{"log.cleaner.enable", boolean, "true"}, Change::read_only},
    {{"log.cleaner.max.compaction.lag.ms", int64, "9223372036854775807", 1}, Change::cluster_wide},
    {{"log.cleaner.min.cleanable.ratio", float64, "0.5", 0, 1}, Change::cluster_wide},
    {{"log.cleaner.min.compaction.lag.ms", int64, "0", 0}, Change::cluster_wide},
    {{"log.cleaner.threads", int32, "1", 0}, Change::cluster_wide},
    {{"log.cleanup.policy", list, "delete", {}, {}, kCleanupPolicys}, Change::cluster_wide},
    {{"log.dir", string, "/tmp/kafka-logs"}, Change::read_only},
    {{"log.dir.failure.timeout.ms", int64, "30000", 1}, Change::read_only},
    {{"log.dirs", string, kNull}, Change::read_only},
    {{"log.flush.interval.messages", int64, "9223372036854775807", 1}, Change::cluster_wide},
    {{"log.flush.interval.ms", int64, kNull, 0}, Change::cluster_wide},
    {{"log.flush.offset.checkpoint.interval.ms", int32, "60000", 0}, Change::read_only},
    {{"log.flush.scheduler.interval.ms", int64, "9223372036854775807"}, Change::read_only},
    {{"log.flush.start.offset.checkpoint.interval.ms", int32, "60000", 0}, Change::read_only},
    {{"log.index.interval.bytes", int32, "4096", 0}, Change::cluster_wide},
    {{"log.index.size.max.bytes", int32, "10485760", 4}, Change::cluster_wide},
    {{"log.local.retention.bytes", int64, "-2", -2}, Change::cluster_wide},
    {{"log.local.retention.ms", int64, "-2", -2}, Change::cluster_wide},
    {{"log.message.timestamp.after.max.ms", int64, "3600000", 0}, Change::cluster_wide},
    {{"log.message.timestamp.before.max.ms", int64, "9223372036854775807", 0},
     Change::cluster_wide},
    {{"log.message.timestamp.type", string, "CreateTime", {}, {}, kMessageTimestampTypes},
     Change::cluster_wide},
    {{"log.preallocate", boolean, "false"}, Change::cluster_wide},
    {{"log.retention.bytes", int64, "-1"}, Change::cluster_wide},
    {{"log.retention.check.interval.ms", int64, "300000", 1}, Change::read_only},
    {{"log.retention.hours", int32, "168"}, Change::read_only},
    {{"log.retention.minutes", int32, kNull}, Change::read_only},
    {{"log.retention.ms", int64, kNull, -1}, Change::cluster_wide},
    {{"log.roll.hours", int32, "168", 1}, Change::read_only},
    {{"log.roll.jitter.hours", int32, "0", 0}, Change::read_only},
    {{"log.roll.jitter.ms", int64, kNull, 0}, Change::cluster_wide},
    {{"log.roll.ms", int64, kNull, 1}, Change::cluster_wide},
    {{"log.segment.bytes", int32, "1073741824", 1048576}, Change::cluster_wide},
    {{"log.segment.delete.delay.ms", int64, "60000", 0}, Change::cluster_wide},
    {{"max.connection.creation.rate", int32, "2147483647", 0}, Change::cluster_wide},
    {{"max.connections", int32, "2147483647", 0}, Change::cluster_wide},
    {{"max.connections.per.ip", int32, "2147483647", 0}, Change::cluster_wide},
    {{"max.incremental.fetch.session.cache.slots", int32, "1000", 0}, Change::read_only},
    {{"message.max.bytes", int32, "1048588", 0}, Change::cluster_wide},
    {{"metadata.log.dir", string, kNull}, Change::read_only},
    {{"metadata.log.segment.bytes", int32, "1073741824", 8388608}, Change::read_only},
    {{"metric.reporters", list, ""}, Change::cluster_wide},
    {{"min.insync.replicas", int32, "1", 1}, Change::cluster_wide},
    {{"node.id", int32, kNull, 0}, Change::read_only},
    {{"num.io.threads", int32, "8", 1}, Change::cluster_wide},
    {{"num.network.threads", int32, "3", 1}, Change::cluster_wide},
    {{"num.partitions", int32, "1", 1}, Change::read_only},
    {{"num.recovery.threads.per.data.dir", int32, "2", 1}, Change::cluster_wide},
    {{"num.replica.fetchers", int32, "1"}, Change::cluster_wide},
    {{"offsets.retention.minutes", int32, "10080", 1}, Change::read_only},
    {{"offsets.topic.num.partitions", int32, "50", 1}, Change::read_only},
    {{"offsets.topic.replication.factor", int16, "3", 1}, Change::read_only},
    {{"process.roles", list, kNull}, Change::read_only},
    {{"producer.id.expiration.check.interval.ms", int32, "600000", 1}, Change::read_only},
    {{"producer.id.expiration.ms", int32, "86400000", 1}, Change::cluster_wide},
    {{"queued.max.request.bytes", int64, "-1"}, Change::read_only},
    {{"queued.max.requests", int32, "500", 1}, Change::read_only},
    {{"replica.fetch.backoff.ms", int32, "1000", 0}, Change::read_only},
    {{"replica.fetch.max.bytes", int32, "1048576", 0}, Change::read_only},
    {{"replica.fetch.min.bytes", int32, "1"}, Change::read_only},
    {{"replica.fetch.response.max.bytes", int32, "10485760", 0}, Change::read_only},
    {{"replica.fetch.wait.max.ms", int32, "500"}, Change::read_only},
    {{"replica.high.watermark.checkpoint.interval.ms", int64, "5000"}, Change::read_only},
    {{"replica.lag.time.max.ms", int64, "30000"}, Change::read_only},
    {{"request.timeout.ms", int32, "30000"}, Change::read_only},
    {{"security.inter.broker.protocol", string, "PLAINTEXT"}, Change::read_only},
    {{"socket.listen.backlog.size", int32, "50", 1}, Change::read_only},
    {{"socket.receive.buffer.bytes", int32, "102400"}, Change::read_only},
    {{"socket.request.max.bytes", int32, "104857600", 1}, Change::read_only},
    {{"socket.send.buffer.bytes", int32, "102400"}, Change::read_only},
    {{"transaction.state.log.min.isr", int32, "2", 1}, Change::read_only},
    {{"transaction.state.log.num.partitions", int32, "50", 1}, Change::read_only},
    {{"transaction.state.log.replication.factor", int16, "3", 1}, Change::read_only},
    {{"unclean.leader.election.enable", boolean, "false"}, Change::cluster_wide},
    {{"unclean.leader.election.interval.ms", int64, "300000", 1}, Change::read_only},
});

// Look-ups are binary searches.
constexpr auto kTopicName = [](const TopicConfigRule& rule) { return rule.rule.name; };
constexpr auto kBrokerName = [](const BrokerConfigRule& rule) { return rule.rule.name; };
static_assert(std::ranges::is_sorted(kTopicRules, {}, kTopicName));
static_assert(std::ranges::is_sorted(kBrokerRules, {}, kBrokerName));

}  // namespace

std::span<const TopicConfigRule> topic_config_rules() { return kTopicRules; }

const TopicConfigRule* find_topic_config(std::string_view name) {
  const auto* at = std::ranges::lower_bound(kTopicRules, name, {}, kTopicName);
  return at != kTopicRules.end() && at->rule.name == name ? at : nullptr;
}

std::span<const BrokerConfigRule> broker_config_rules() { return kBrokerRules; }

const BrokerConfigRule* find_broker_config(std::string_view name) {
  const auto* at = std::ranges::lower_bound(kBrokerRules, name, {}, kBrokerName);
  return at != kBrokerRules.end() && at->rule.name == name ? at : nullptr;
}

}  // namespace verdict::meta
