#pragma once
// FetchWaits: the long polls of one shard: those of its connections that wait, and the partitions
// of this shard that such connections, here or on other shards, watch.
//
// Invariant: a poll costs something only when one of its own partitions moves.

#include <cstdint>
#include <memory>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/replica/partition.h"
#include "broker/runtime/sync.h"

namespace verdict::server {

// What a reader saw of a partition: anything else is progress.
struct SeenPartition {
  replica::PartitionKey key;
  base::Offset high_watermark;
  base::LeaderEpoch leader_epoch;
};

// Names a waiting fetch all over the broker.
struct PollId {
  base::ShardId origin;
  uint64_t number = 0;
  auto operator<=>(const PollId&) const = default;
};

class FetchWaits {
 public:
  // Tells the poll's shard that it may read again.
  using Tell = base::UniqueFunction<void(const PollId&)>;

  FetchWaits(runtime::Tasks& tasks, Tell tell);
  ~FetchWaits();

  // ---- on the shard of the connection
  // shared_ptr: the fiber that waits and this table end in either order when a node is killed.
  struct Poll {
    PollId id;
    std::shared_ptr<runtime::Event> progress;
  };
  Poll open();
  void close(const PollId& id) { polls_.erase(id.number); }
  // False when that poll is over.
  bool progress(const PollId& id);
  // All may read again: the broker stops.
  void wake_all();

  // ---- on the shard of the partitions
  // Tells at once when one of them has moved on already.
  void watch(const PollId& id, const std::vector<SeenPartition>& seen,
             const std::vector<std::shared_ptr<replica::Partition>>& partitions);
  void unwatch(const PollId& id);
  size_t watched() const { return watches_.size(); }

 private:
  class Watch;
  runtime::Tasks& tasks_;
  Tell tell_;
  uint64_t last_number_ = 0;
  base::OrderedMap<uint64_t, std::shared_ptr<runtime::Event>> polls_;
  base::OrderedMap<PollId, std::unique_ptr<Watch>> watches_;
};

}  // namespace verdict::server
