#pragma once
// BrokerShard: what one shard of the broker owns: its partitions, its connections, its part of the
// limits, and its view of the metadata. Shards talk by posts alone, see call().

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/meta/controller.h"
#include "broker/meta/image.h"
#include "broker/replica/partition.h"
#include "broker/runtime/node.h"
#include "broker/server/calls.h"
#include "broker/server/config.h"
#include "broker/server/fetch_waits.h"
#include "broker/server/limits.h"

namespace verdict::server {

class Broker;
class BrokerCore;
class BrokerShard;

// Where each shard stands. A slot is written by its own shard and read only by fibers of it.
struct ShardTable {
  std::array<BrokerShard*, kShardsMax> shards{};
  BrokerShard* at(base::ShardId id) const { return shards[id.value]; }
};

// For the checkpoints.
struct PartitionOffsets {
  std::string topic;
  int32_t partition = 0;
  base::Offset recovery_point;
  base::Offset start;
  base::Offset high_watermark;
};

// How the partitions of a shard were closed.
struct ClosedPartitions {
  std::vector<PartitionOffsets> offsets;
  bool damaged = false;  // one was offline: nothing may vouch for it
};

// A partition that a shard shall serve.
struct PartitionPlan {
  std::string topic;
  replica::PartitionOptions options;
};

// A listener as it is bound, on every shard alike.
struct BoundListener {
  ListenerConfig config;
  runtime::Endpoint bound;
};

class BrokerShard final : public runtime::ShardBound, public replica::PartitionHost {
 public:
  BrokerShard(runtime::Node& node, const Config& config, ShardTable& table);
  ~BrokerShard() override;

  runtime::Node& node() { return node_; }
  const Config& config() const { return config_; }
  base::ShardId id() const { return node_.tasks.shard(); }
  // Only on shard 0, between start and end.
  BrokerCore* core() { return core_; }
  void set_core(BrokerCore* core) { core_ = core; }

  // ---- metadata
  const meta::ImagePointer& image() const { return image_; }
  void set_image(meta::ImagePointer image);
  const std::string& cluster_id() const { return cluster_id_; }
  void set_cluster_id(std::string id) { cluster_id_ = std::move(id); }

  // ---- other shards
  // Runs `fn` on shard `to`; the answer comes as a future of this shard. It never comes when that
  // shard has ended: then the future says closed.
  template <class T>
  runtime::Future<T> call(base::ShardId to, base::UniqueFunction<T(BrokerShard&)> fn);
  // Runs `fn` on shard `to`, at once when it is this one; nobody waits. `fn` does not suspend.
  void tell(base::ShardId to, base::UniqueFunction<void(BrokerShard&)> fn);
  base::ShardId shard_of(const replica::PartitionKey& key) const {
    return {static_cast<uint32_t>(key.hash() % node_.tasks.shard_count())};
  }

  // ---- partitions of this shard
  std::shared_ptr<replica::Partition> find(const replica::PartitionKey& key) const;
  // Opens all of them, then makes the names of their folders durable.
  void open_partitions(std::vector<PartitionPlan> plans);
  void remove_partitions(const std::vector<replica::PartitionKey>& keys);
  size_t partition_count() const { return partitions_.size(); }
  // What the checkpoints should say of partitions that were written since the last call.
  std::vector<PartitionOffsets> take_changed_offsets();
  // Whether take_changed_offsets() would give something.
  bool has_changed_offsets() const { return !changed_.empty() || !dirty_.empty(); }
  // In good order: everything is durable. All partitions, also those that were idle. An error when
  // one of them could not be closed.
  base::Result<ClosedPartitions> close_partitions();
  FetchWaits& fetch_waits() { return fetch_waits_; }

  // ---- connections
  // Opens listeners at these places, port 0 taking a free one, and says where they are. Shards
  // of one broker share a port.
  base::Result<std::vector<BoundListener>> listen(const std::vector<BoundListener>& at);
  // Stops accepting and reading; requests that are being answered are, within kDrainWait.
  void drain();
  bool draining() const { return draining_.ready(); }
  runtime::Event& draining_event() { return draining_; }
  runtime::Semaphore& in_flight_bytes() { return in_flight_bytes_; }
  size_t connection_count() const { return connections_open_; }

  // A producer id that nobody ever had.
  base::Result<int64_t> next_producer_id();

  // ---- life
  // Looks after partitions until the shard is ended.
  void start_housekeeping();
  runtime::Event& ended() { return ended_; }
  // Whatever still runs is cancelled and awaited.
  void stop_all();

  // ---- PartitionHost
  runtime::Nursery& nursery() override { return nursery_; }
  void became_dirty(replica::Partition& partition) override;
  void storage_failed(replica::Partition& partition, const base::Error& error) override;

 private:
  struct Served {
    std::string topic;
    std::shared_ptr<replica::Partition> partition;
  };
  // A question of another shard is being answered: the shard stays until it is.
  class Serving {
   public:
    explicit Serving(BrokerShard& shard) : shard_(shard) { ++shard_.serving_; }
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;
    ~Serving() {
      if (--shard_.serving_ == 0) shard_.idle_.notify_all();
    }

   private:
    BrokerShard& shard_;
  };
  void tell_poll(const PollId& poll);
  void open_one(PartitionPlan plan);
  void keep_house();
  void accept_loop(runtime::Listener& listener, const BoundListener& at);
  PartitionOffsets offsets_of(const Served& served) const;

  runtime::Node& node_;
  const Config& config_;
  ShardTable& table_;
  BrokerCore* core_ = nullptr;
  meta::ImagePointer image_;
  std::string cluster_id_;
  Calls calls_;
  FetchWaits fetch_waits_;
  base::OrderedMap<replica::PartitionKey, Served> partitions_;
  std::vector<replica::PartitionKey> dirty_;  // written since the last look
  // Looked after since the last checkpoint.
  base::OrderedMap<replica::PartitionKey, bool> changed_;
  runtime::Event dirty_event_;
  runtime::Event draining_;
  runtime::Event ended_;
  runtime::Semaphore in_flight_bytes_;
  runtime::Semaphore connection_slots_;
  size_t connections_open_ = 0;
  size_t serving_ = 0;
  bool stopping_ = false;
  runtime::WaitQueue idle_;
  meta::ProducerIdBlock producer_ids_;
  runtime::Mutex producer_ids_mutex_;
  std::vector<std::unique_ptr<runtime::Listener>> listeners_;
  runtime::Nursery acceptors_;
  runtime::Nursery connections_;
  runtime::Nursery nursery_;
};

template <class T>
runtime::Future<T> BrokerShard::call(base::ShardId to, base::UniqueFunction<T(BrokerShard&)> fn) {
  check_shard();
  auto opened = calls_.open<T>(node_.tasks);
  if (stopping_) {
    calls_.abandon(opened.id);
    return opened.answer;
  }
  if (to == id()) {
    calls_.answer<T>(opened.id, fn(*this));
    return opened.answer;
  }
  node_.tasks.post(to, [&table = table_, to, origin = id(), number = opened.id,
                        question = std::move(fn)]() mutable {
    BrokerShard* there = table.at(to);
    if (there == nullptr) return;  // it has ended, and the asking one is about to
    Serving serving(*there);
    T value = question(*there);
    there->node_.tasks.post(origin, [&table, origin, number, v = std::move(value)]() mutable {
      BrokerShard* here = table.at(origin);
      if (here != nullptr) here->calls_.answer<T>(number, std::move(v));
    });
  });
  return opened.answer;
}

// A value for calls that have nothing to say.
struct Done {};

}  // namespace verdict::server
