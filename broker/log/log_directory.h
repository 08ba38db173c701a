#pragma once
// LogDirectory: one log.dirs entry: meta.properties, the checkpoints, the clean-shutdown file, and
// one folder per partition. Belongs to shard 0; the partitions' folders are opened by their shards.
//
// Invariants: the clean-shutdown file is deleted right after it was read, so that a crash during
// start is unclean; no checkpoint knows a partition whose folder was marked deleted, so that a new
// one of that name begins without a past.

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
  std::string directory_name() const;  // "orders-0"
  static std::optional<PartitionKey> parse(std::string_view directory_name);
};

// The folder of a partition, made when absent. Its name is durable when this returns.
base::Result<std::unique_ptr<runtime::Directory>> open_partition_folder(runtime::Node& node,
                                                                        const PartitionKey& key);

// What partition.metadata in the folder says; nothing when the file is not there. corrupt.
base::Result<std::optional<base::Uuid>> read_topic_id(runtime::Directory& folder);

class LogDirectory final : public runtime::ShardBound {
 public:
  struct Identity {
    base::NodeId node_id;
    std::optional<std::string> cluster_id;  // when configured: must agree
  };
  using Offsets = std::map<PartitionKey, Offset>;

  // Formats an empty directory, or reads it. invalid when node.id or cluster.id disagree: names
  // file, what is there and what was asked for. corrupt when a checkpoint is damaged.
  static base::Result<std::unique_ptr<LogDirectory>> open(runtime::Node& node, Identity identity);
  LogDirectory(const LogDirectory&) = delete;
  LogDirectory& operator=(const LogDirectory&) = delete;

  const MetaProperties& meta() const { return meta_; }
  // Broker epoch of the last clean shutdown, when the last stop was clean.
  std::optional<base::BrokerEpoch> clean_shutdown_epoch() const { return clean_epoch_; }
  // The partition folders that are there now, sorted; unknown names are reported and left alone.
  const std::vector<PartitionKey>& found() const { return found_; }
  // For Log::open of that partition.
  std::optional<Offset> recovery_point(const PartitionKey& key) const;
  std::optional<Offset> start_offset(const PartitionKey& key) const;
  std::optional<Offset> high_watermark(const PartitionKey& key) const;

  // Rewrites a checkpoint as a whole: a crash leaves the old or the new one.
  base::Result<> write_recovery_points(const Offsets& offsets);
  base::Result<> write_start_offsets(const Offsets& offsets);
  base::Result<> write_high_watermarks(const Offsets& offsets);
  // Last act of a stop in good order, after the recovery points of the closed logs.
  base::Result<> write_clean_shutdown(base::BrokerEpoch epoch);

  // Renames the folder to Kafka's "<name>.<uuid>-delete"; removal follows in the background. The
  // partition's log is destroyed before.
  base::Result<> mark_deleted(const PartitionKey& key);
  // Renames the folder to Kafka's "<name>.<uuid>-stray": kept, and nobody's.
  base::Result<> set_aside(const PartitionKey& key);
  base::Result<> remove_marked();

 private:
  struct Checkpoint {
    std::string_view name;
    Offsets offsets;
  };

  explicit LogDirectory(runtime::Node& node);
  base::Result<> list();
  // The folder's new name, which ends with `suffix`.
  base::Result<std::string> rename_away(const PartitionKey& key, std::string_view suffix);
  base::Result<> read_meta(const Identity& identity);
  base::Result<> parse_meta(std::string_view text);
  base::Result<> write_meta();
  base::Result<> read_clean_shutdown();
  base::Result<> read_checkpoint(Checkpoint& checkpoint);
  base::Result<> write_checkpoint(Checkpoint& checkpoint, Offsets offsets);
  base::Result<> remove_empty_folders();

  runtime::Node& node_;
  MetaProperties meta_;
  std::optional<base::BrokerEpoch> clean_epoch_;
  std::vector<PartitionKey> found_;
  std::vector<std::string> marked_;
  bool has_meta_ = false;
  Checkpoint recovery_points_{"recovery-point-offset-checkpoint", {}};
  Checkpoint start_offsets_{"log-start-offset-checkpoint", {}};
  Checkpoint high_watermarks_{"replication-offset-checkpoint", {}};
  runtime::Mutex write_mutex_;
};

}  // namespace verdict::log
