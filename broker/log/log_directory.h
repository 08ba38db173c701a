#pragma once
// LogDirectory: one log.dirs entry: meta.properties, the checkpoints, the clean-shutdown file, and
// one folder per partition. Belongs to shard 0; the partitions' folders are opened by their shards.
//
// Invariant: the clean-shutdown file is deleted right after it was read, so that a crash during
// start is unclean.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/uuid.h"
#include "broker/runtime/node.h"

namespace verdict::log {

using base::Offset;

struct MetaProperties {
  std::string cluster_id;
  base::NodeId node_id;
  base::Uuid directory_id;
};

struct PartitionKey {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const PartitionKey&) const = default;
  std::string directory_name() const;                        // "orders-0"
  static std::optional<PartitionKey> parse(std::string_view directory_name);
};

class LogDirectory : public runtime::ShardBound {
 public:
  struct Identity {
    base::NodeId node_id;
    std::optional<std::string> cluster_id;  // when configured: must agree
  };
  // Formats an empty directory, or reads it. invalid when node.id or cluster.id disagree: names
  // file, what is there and what was asked for.
  static base::Result<std::unique_ptr<LogDirectory>> open(runtime::Node& node, Identity identity);

  const MetaProperties& meta() const;
  // Broker epoch of the last clean shutdown, when the last stop was clean.
  std::optional<base::BrokerEpoch> clean_shutdown_epoch() const;
  // The partition folders that are there now, sorted; unknown names are reported and left alone.
  const std::vector<PartitionKey>& found() const;
  // For Log::open of that partition.
  std::optional<Offset> recovery_point(const PartitionKey& key) const;
  std::optional<Offset> start_offset(const PartitionKey& key) const;
  std::optional<Offset> high_watermark(const PartitionKey& key) const;

  // Rewrites a checkpoint atomically: tmp, sync, rename, directory sync.
  base::Result<> write_recovery_points(const std::map<PartitionKey, Offset>& offsets);
  base::Result<> write_start_offsets(const std::map<PartitionKey, Offset>& offsets);
  base::Result<> write_high_watermarks(const std::map<PartitionKey, Offset>& offsets);
  // Last act of a stop in good order.
  base::Result<> write_clean_shutdown(base::BrokerEpoch epoch);

  // Renames the folder to Kafka's "<name>.<uuid>-delete"; removal follows in the background.
  base::Result<> mark_deleted(const PartitionKey& key);
  base::Result<> remove_marked();
};

}  // namespace verdict::log
