// The table of Kafka's broker settings.

#include <algorithm>
#include <array>
#include <vector>

#include "broker/server/config.h"

namespace verdict::server {

namespace {

constexpr int64_t kInt32Max = INT32_MAX;
constexpr bool kWithoutEffect = true;

constexpr auto kSettings = std::to_array<Setting>({
    {"advertised.listeners", ValueType::list, ""},
    {"auto.create.topics.enable", ValueType::boolean, "true"},
    {"auto.leader.rebalance.enable", ValueType::boolean, "true", 0, 0, {}, kWithoutEffect},
    {"background.threads", ValueType::int32, "10", 1, kInt32Max, {}, kWithoutEffect},
    {"broker.heartbeat.interval.ms", ValueType::int32, "2000", 1, kInt32Max, {}, kWithoutEffect},
    {"broker.id", ValueType::int32, "-1", -1, kInt32Max},
    {"broker.rack", ValueType::text, ""},
    {"broker.session.timeout.ms", ValueType::int32, "9000", 1, kInt32Max, {}, kWithoutEffect},
    {"cluster.id", ValueType::text, ""},
    {"compression.gzip.level", ValueType::int32, "-1", -1, 9},
    {"compression.lz4.level", ValueType::int32, "9", 1, 17},
    {"compression.type", ValueType::text, "producer", 0, 0,
     "uncompressed|zstd|lz4|snappy|gzip|producer"},
    {"compression.zstd.level", ValueType::int32, "3", -131072, 22},
    {"connections.max.idle.ms", ValueType::int64, "600000", -1},
    {"controlled.shutdown.enable", ValueType::boolean, "true", 0, 0, {}, kWithoutEffect},
    {"controller.listener.names", ValueType::list, ""},
    {"controller.quorum.bootstrap.servers", ValueType::list, "", 0, 0, {}, kWithoutEffect},
    {"controller.quorum.election.timeout.ms",
     ValueType::int32,
     "1000",
     1,
     kInt32Max,
     {},
     kWithoutEffect},
    {"controller.quorum.fetch.timeout.ms",
     ValueType::int32,
     "2000",
     1,
     kInt32Max,
     {},
     kWithoutEffect},
    {"controller.quorum.voters", ValueType::list, "", 0, 0, {}, kWithoutEffect},
    {"default.replication.factor", ValueType::int16, "1", 1, INT16_MAX},
    {"delete.topic.enable", ValueType::boolean, "true"},
    {"fetch.max.bytes", ValueType::int32, "57671680", 1024, kInt32Max},
    {"group.initial.rebalance.delay.ms",
     ValueType::int32,
     "3000",
     0,
     kInt32Max,
     {},
     kWithoutEffect},
    {"group.max.session.timeout.ms", ValueType::int32, "1800000", 1, kInt32Max, {}, kWithoutEffect},
    {"group.min.session.timeout.ms", ValueType::int32, "6000", 1, kInt32Max, {}, kWithoutEffect},
    {"initial.broker.registration.timeout.ms",
     ValueType::int32,
     "60000",
     1,
     kInt32Max,
     {},
     kWithoutEffect},
    {"inter.broker.listener.name", ValueType::text, ""},
    {"listener.security.protocol.map", ValueType::list,
     "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"},
    {"listeners", ValueType::list, "PLAINTEXT://:9092"},
    {"log.cleaner.delete.retention.ms", ValueType::int64, "86400000", 0},
    {"log.cleaner.enable", ValueType::boolean, "true", 0, 0, {}, kWithoutEffect},
    {"log.cleaner.max.compaction.lag.ms", ValueType::int64, "9223372036854775807", 1},
    {"log.cleaner.min.cleanable.ratio", ValueType::floating, "0.5", 0, 1},
    {"log.cleaner.min.compaction.lag.ms", ValueType::int64, "0", 0},
    {"log.cleaner.threads", ValueType::int32, "1", 0, kInt32Max, {}, kWithoutEffect},
    {"log.cleanup.policy", ValueType::list, "delete", 0, 0, "delete|compact"},
    {"log.dir", ValueType::text, "/tmp/kafka-logs"},
    {"log.dir.failure.timeout.ms", ValueType::int64, "30000", 1, INT64_MAX, {}, kWithoutEffect},
    {"log.dirs", ValueType::list, ""},
    {"log.flush.interval.messages", ValueType::int64, "9223372036854775807", 1},
    {"log.flush.interval.ms", ValueType::int64, "", 0},
    {"log.flush.offset.checkpoint.interval.ms", ValueType::int32, "60000", 0, kInt32Max},
    {"log.flush.scheduler.interval.ms", ValueType::int64, "9223372036854775807", 1},
    {"log.flush.start.offset.checkpoint.interval.ms", ValueType::int32, "60000", 0, kInt32Max},
    {"log.index.interval.bytes", ValueType::int32, "4096", 0, kInt32Max},
    {"log.index.size.max.bytes", ValueType::int32, "10485760", 4, kInt32Max},
    {"log.message.timestamp.after.max.ms", ValueType::int64, "3600000", 0},
    {"log.message.timestamp.before.max.ms", ValueType::int64, "9223372036854775807", 0},
    {"log.message.timestamp.type", ValueType::text, "CreateTime", 0, 0, "CreateTime|LogAppendTime"},
    {"log.preallocate", ValueType::boolean, "false"},
    {"log.retention.bytes", ValueType::int64, "-1", -1},
    {"log.retention.check.interval.ms",
     ValueType::int64,
     "300000",
     1,
     INT64_MAX,
     {},
     kWithoutEffect},
    {"log.retention.hours", ValueType::int32, "168", -1, kInt32Max},
    {"log.retention.minutes", ValueType::int32, "", -1, kInt32Max},
    {"log.retention.ms", ValueType::int64, "", -1},
    {"log.roll.hours", ValueType::int32, "168", 1, kInt32Max},
    {"log.roll.jitter.hours", ValueType::int32, "0", 0, kInt32Max},
    {"log.roll.jitter.ms", ValueType::int64, "", 0},
    {"log.roll.ms", ValueType::int64, "", 1},
    {"log.segment.bytes", ValueType::int32, "1073741824", 1048576, kInt32Max},
    {"log.segment.delete.delay.ms", ValueType::int64, "60000", 0},
    {"max.connection.creation.rate",
     ValueType::int32,
     "2147483647",
     0,
     kInt32Max,
     {},
     kWithoutEffect},
    {"max.connections", ValueType::int32, "2147483647", 0, kInt32Max},
    {"max.connections.per.ip", ValueType::int32, "2147483647", 0, kInt32Max, {}, kWithoutEffect},
    {"max.incremental.fetch.session.cache.slots",
     ValueType::int32,
     "1000",
     0,
     kInt32Max,
     {},
     kWithoutEffect},
    {"message.max.bytes", ValueType::int32, "1048588", 0, kInt32Max},
    {"metadata.log.dir", ValueType::text, ""},
    {"metadata.log.segment.bytes",
     ValueType::int32,
     "1073741824",
     8388608,
     kInt32Max,
     {},
     kWithoutEffect},
    {"metric.reporters", ValueType::list, "", 0, 0, {}, kWithoutEffect},
    {"min.insync.replicas", ValueType::int32, "1", 1, kInt32Max},
    {"node.id", ValueType::int32, "", 0, kInt32Max},
    {"num.io.threads", ValueType::int32, "8", 1, kInt32Max, {}, kWithoutEffect},
    {"num.network.threads", ValueType::int32, "3", 1, kInt32Max, {}, kWithoutEffect},
    {"num.partitions", ValueType::int32, "1", 1, kInt32Max},
    {"num.recovery.threads.per.data.dir", ValueType::int32, "2", 1, kInt32Max, {}, kWithoutEffect},
    {"num.replica.fetchers", ValueType::int32, "1", 0, kInt32Max, {}, kWithoutEffect},
    {"offsets.retention.minutes", ValueType::int32, "10080", 1, kInt32Max, {}, kWithoutEffect},
    {"offsets.topic.num.partitions", ValueType::int32, "50", 1, kInt32Max, {}, kWithoutEffect},
    {"offsets.topic.replication.factor", ValueType::int16, "3", 1, INT16_MAX, {}, kWithoutEffect},
    {"process.roles", ValueType::list, "", 0, 0, "broker|controller"},
    {"producer.id.expiration.check.interval.ms", ValueType::int32, "600000", 1, kInt32Max},
    {"producer.id.expiration.ms", ValueType::int32, "86400000", 1, kInt32Max},
    {"queued.max.request.bytes", ValueType::int64, "-1", -1, INT64_MAX, {}, kWithoutEffect},
    {"queued.max.requests", ValueType::int32, "500", 1, kInt32Max},
    {"replica.fetch.max.bytes", ValueType::int32, "1048576", 0, kInt32Max, {}, kWithoutEffect},
    {"replica.high.watermark.checkpoint.interval.ms", ValueType::int64, "5000", 1},
    {"replica.lag.time.max.ms", ValueType::int64, "30000", 1, INT64_MAX, {}, kWithoutEffect},
    {"request.timeout.ms", ValueType::int32, "30000", 1, kInt32Max, {}, kWithoutEffect},
    {"security.inter.broker.protocol", ValueType::text, "PLAINTEXT"},
    {"socket.listen.backlog.size", ValueType::int32, "50", 1, kInt32Max, {}, kWithoutEffect},
    {"socket.receive.buffer.bytes", ValueType::int32, "102400", -1, kInt32Max, {}, kWithoutEffect},
    {"socket.request.max.bytes", ValueType::int32, "104857600", 1, kInt32Max},
    {"socket.send.buffer.bytes", ValueType::int32, "102400", -1, kInt32Max, {}, kWithoutEffect},
    {"transaction.state.log.min.isr", ValueType::int32, "2", 1, kInt32Max, {}, kWithoutEffect},
    {"transaction.state.log.num.partitions",
     ValueType::int32,
     "50",
     1,
     kInt32Max,
     {},
     kWithoutEffect},
    {"transaction.state.log.replication.factor",
     ValueType::int16,
     "3",
     1,
     INT16_MAX,
     {},
     kWithoutEffect},
    {"unclean.leader.election.enable", ValueType::boolean, "false"},
});

constexpr size_t kEditsMax = 4;

// Levenshtein distance, given up above `limit`.
size_t edits(std::string_view a, std::string_view b, size_t limit) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    size_t best = row[0];
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
      best = std::min(best, row[j]);
    }
    if (best > limit) return best;
  }
  return row[b.size()];
}

}  // namespace

std::span<const Setting> known_settings() { return kSettings; }

const Setting* find_setting(std::string_view name) {
  const auto at = std::ranges::lower_bound(kSettings, name, {}, &Setting::name);
  return at != kSettings.end() && at->name == name ? &*at : nullptr;
}

std::string_view nearest_setting(std::string_view name) {
  constexpr size_t kNameBytesMax = 100;
  if (name.size() > kNameBytesMax) return {};
  std::string_view best;
  size_t best_edits = kEditsMax + 1;
  for (const Setting& setting : kSettings) {
    const size_t count = edits(name, setting.name, kEditsMax);
    if (count < best_edits) {
      best = setting.name;
      best_edits = count;
    }
  }
  return best;
}

static_assert(std::ranges::is_sorted(kSettings, {}, &Setting::name));

}  // namespace verdict::server
