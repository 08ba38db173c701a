#pragma once
// BrokerCore: what a broker has once: its log directory, the metadata log and the controller. Lives
// on shard 0 and leads the other shards through start, changes of topics, checkpoints and stop.
//
// Invariants:
//   a change of topics is durable, known to all shards and served before it is answered;
//   a folder of a deleted topic is out of the way, and out of the checkpoints, before its name can
//   be given again;
//   the clean-shutdown file is written last, after everything that it vouches for.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/log/log_directory.h"
#include "broker/meta/controller.h"
#include "broker/server/shard.h"

namespace verdict::server {

class BrokerCore final : public runtime::ShardBound {
 public:
  explicit BrokerCore(BrokerShard& shard);
  ~BrokerCore();

  // Opens everything in order; the broker serves when this returns.
  base::Result<> start();
  // Waits until the node is asked to stop or the directory failed; the reason of the latter.
  std::optional<base::Error> wait_for_end();
  // In good order. An error means that the next start will recover.
  base::Result<> stop_cleanly();
  // The log directory is lost: the broker has to end. From any fiber of shard 0.
  void fail(base::Error reason);

  const std::vector<BoundListener>& listeners() const { return listeners_; }

  // ---- what requests ask for, on shard 0
  std::vector<meta::CreatedTopic> create_topics(const std::vector<meta::NewTopic>& topics,
                                                bool validate_only);
  std::vector<meta::DeletedTopic> delete_topics(const std::vector<meta::TopicKey>& topics);
  base::Result<meta::ProducerIdBlock> allocate_producer_ids();

 private:
  void load_checkpoints();
  // The topics whose removal stands in the metadata log.
  base::Result<std::set<base::Uuid>> open_metadata();
  base::Result<> register_broker();
  bool was_deleted(const log::PartitionKey& key, const std::set<base::Uuid>& removed_topics);
  base::Result<> remove_strays(const std::set<base::Uuid>& removed_topics);
  base::Result<> open_all_partitions();
  base::Result<> listen_everywhere();
  PartitionPlan plan(const meta::TopicState& topic, int32_t partition,
                     const meta::PartitionState& state) const;
  // Hands the image to all shards, with the partitions that each has to open.
  void publish(std::vector<PartitionPlan> plans);
  void withdraw(const std::vector<replica::PartitionKey>& keys);
  enum class Fate : uint8_t { removed, set_aside };
  base::Result<> forget_folders(const std::vector<log::PartitionKey>& folders, Fate fate);
  // Asks every shard and waits for all.
  template <class T>
  std::vector<T> ask_all(
      const std::function<base::UniqueFunction<T(BrokerShard&)>(base::ShardId)>&);
  void take(const std::vector<PartitionOffsets>& offsets);
  base::Result<> write_checkpoints(bool recovery_points);
  void checkpoint_loop();
  void removal_loop();

  BrokerShard& shard_;
  runtime::Node& node_;
  std::unique_ptr<log::LogDirectory> directory_;
  std::unique_ptr<meta::Controller> controller_;
  base::BrokerEpoch epoch_;
  std::vector<BoundListener> listeners_;
  runtime::Mutex topics_;           // one change at a time, from decision to answer
  runtime::Mutex directory_mutex_;  // one writer of checkpoints and folders
  std::map<log::PartitionKey, base::Offset> recovery_points_;
  std::map<log::PartitionKey, base::Offset> starts_;
  std::map<log::PartitionKey, base::Offset> high_watermarks_;
  runtime::Event marked_;  // folders wait to be removed
  runtime::Event failed_;
  std::optional<base::Error> failure_;
};

}  // namespace verdict::server
