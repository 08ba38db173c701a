#include "broker/server/shard.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/server/broker_core.h"
#include "broker/server/connection.h"
#include "broker/server/probes.h"

namespace verdict::server {

namespace {

uint64_t share_of(int64_t total, uint32_t shards) {
  return std::max<uint64_t>(1, static_cast<uint64_t>(total) / shards);
}

}  // namespace

BrokerShard::BrokerShard(runtime::Node& node, const Config& config, ShardTable& table)
    : ShardBound(node.tasks),
      node_(node),
      config_(config),
      table_(table),
      image_(std::make_shared<const meta::MetadataImage>()),
      fetch_waits_(node.tasks, [this](const PollId& poll) { tell_poll(poll); }),
      dirty_event_(node.tasks),
      draining_(node.tasks),
      ended_(node.tasks),
      in_flight_bytes_(node.tasks,
                       share_of(node.knobs.get(kInFlightBytes), node.tasks.shard_count())),
      connection_slots_(node.tasks, share_of(config.connections_max, node.tasks.shard_count())),
      idle_(node.tasks),
      producer_ids_mutex_(node.tasks),
      acceptors_(node.tasks),
      connections_(node.tasks),
      nursery_(node.tasks) {
  CHECK(node.tasks.shard_count() <= kShardsMax);
  CHECK(table_.at(id()) == nullptr);
  table_.shards[id().value] = this;
}

BrokerShard::~BrokerShard() { table_.shards[node_.tasks.shard().value] = nullptr; }

void BrokerShard::set_image(meta::ImagePointer image) {
  check_shard();
  CHECK(image != nullptr);
  // Two commits may cross on their way here: the newer one stays.
  if (image->offset() >= image_->offset()) image_ = std::move(image);
}

void BrokerShard::tell(base::ShardId to, base::UniqueFunction<void(BrokerShard&)> fn) {
  check_shard();
  if (to == id()) return fn(*this);
  node_.tasks.post(to, [&table = table_, to, message = std::move(fn)]() mutable {
    if (BrokerShard* there = table.at(to)) message(*there);
  });
}

void BrokerShard::tell_poll(const PollId& poll) {
  if (poll.origin == id()) {
    (void)fetch_waits_.progress(poll);  // it hears once, and then stops watching
    return;
  }
  tell(poll.origin, [poll, from = id()](BrokerShard& origin) {
    if (origin.fetch_waits_.progress(poll)) return;
    // Posts may overtake each other: the watch came after the message that ended it.
    origin.tell(from, [poll](BrokerShard& there) { there.fetch_waits_.unwatch(poll); });
  });
}

// ---------------------------------------------------------------- partitions

std::shared_ptr<replica::Partition> BrokerShard::find(const replica::PartitionKey& key) const {
  check_shard();
  CHECK(shard_of(key) == node_.tasks.shard());
  const auto at = partitions_.find(key);
  return at == partitions_.end() ? nullptr : at->second.partition;
}

void BrokerShard::open_one(PartitionPlan plan) {
  const replica::PartitionKey key = plan.options.key;
  CHECK(shard_of(key) == id());
  auto folder = node_.data.subdirectory(plan.options.name, runtime::OpenMode::open_or_create);
  std::shared_ptr<replica::Partition> partition =
      folder
          ? replica::Partition::open(node_, *this, std::move(*folder), std::move(plan.options))
          : replica::Partition::make_offline(node_, *this, std::move(plan.options), folder.error());
  partitions_.insert_or_assign(key, Served{std::move(plan.topic), std::move(partition)});
  changed_[key] = true;
}

void BrokerShard::open_partitions(std::vector<PartitionPlan> plans) {
  check_shard();
  runtime::Nursery openers(node_.tasks);
  size_t next = 0;
  const size_t fibers = std::min(plans.size(), kOpenTogether);
  for (size_t i = 0; i < fibers; ++i) {
    openers.spawn("open", [&] {
      while (next < plans.size()) open_one(std::move(plans[next++]));
    });
  }
  (void)openers.join_all(runtime::Instant::never());  // file calls cannot be cancelled
  openers.stop();
  CHECK(next >= plans.size());
  if (plans.empty()) return;
  if (auto synced = node_.data.sync(); !synced) {
    const auto any = partitions_.begin();
    if (any != partitions_.end()) storage_failed(*any->second.partition, synced.error());
  }
}

void BrokerShard::remove_partitions(const std::vector<replica::PartitionKey>& keys) {
  check_shard();
  for (const replica::PartitionKey& key : keys) {
    CHECK(shard_of(key) == id());
    const auto at = partitions_.find(key);
    if (at == partitions_.end()) continue;
    at->second.partition->remove();
    partitions_.erase(at);
    changed_.erase(key);
  }
}

PartitionOffsets BrokerShard::offsets_of(const Served& served) const {
  const replica::Partition& partition = *served.partition;
  return {served.topic, partition.key().partition, partition.recovery_point(),
          partition.log_start(), partition.high_watermark()};
}

std::vector<PartitionOffsets> BrokerShard::take_changed_offsets() {
  check_shard();
  std::vector<PartitionOffsets> offsets;
  for (const auto& [key, unused] : changed_) {
    const auto at = partitions_.find(key);
    if (at == partitions_.end() || at->second.partition->offline()) continue;
    offsets.push_back(offsets_of(at->second));
  }
  changed_.clear();
  return offsets;
}

base::Result<ClosedPartitions> BrokerShard::close_partitions() {
  check_shard();
  ClosedPartitions closed;
  for (auto& [key, served] : partitions_) {
    if (served.partition->offline()) {
      closed.damaged = true;  // it stays as it is on disk
      continue;
    }
    TRY(served.partition->close_cleanly());
    closed.offsets.push_back(offsets_of(served));
  }
  return closed;
}

void BrokerShard::became_dirty(replica::Partition& partition) {
  dirty_.push_back(partition.key());
  dirty_event_.set();
}

void BrokerShard::storage_failed(replica::Partition& partition, const base::Error& error) {
  // Damage is the trouble of one partition. A device that fails takes the directory with it.
  if (error.code == base::Errc::corrupt || error.code == base::Errc::invalid) return;
  if (error.code == base::Errc::unsupported || error.code == base::Errc::wrong_state) return;
  node_.observer.reached(kProbeDirectoryFailed);
  base::Error reason{error.code, partition.name() + ": " + error.detail};
  if (core_ != nullptr) return core_->fail(std::move(reason));
  node_.tasks.post({0}, [&table = table_, reason = std::move(reason)]() mutable {
    BrokerShard* first = table.at({0});
    if (first != nullptr && first->core() != nullptr) first->core()->fail(std::move(reason));
  });
}

// ---------------------------------------------------------------- housekeeping

void BrokerShard::start_housekeeping() {
  check_shard();
  nursery_.spawn("house", [this] {
    const auto interval = runtime::milliseconds(node_.knobs.get(kHouseIntervalMs));
    // With nothing written nothing is looked at, however many partitions there are.
    while (dirty_event_.wait(runtime::Instant::never()) && node_.clock.sleep(interval)) {
      keep_house();
    }
  });
}

void BrokerShard::keep_house() {
  std::vector<replica::PartitionKey> looked_at;
  std::swap(looked_at, dirty_);
  dirty_event_.reset();
  for (const replica::PartitionKey& key : looked_at) {
    const auto partition = find(key);
    if (partition == nullptr) continue;
    changed_[key] = true;
    partition->clear_dirty();
    // flush.ms may want more of a partition to which nothing is written any more.
    if (partition->keep_house()) partition->stay_dirty();
  }
}

// ---------------------------------------------------------------- connections

base::Result<std::vector<BoundListener>> BrokerShard::listen(const std::vector<BoundListener>& at) {
  check_shard();
  if (stopping_) return base::fail(base::Errc::wrong_state, "stopping");
  std::vector<BoundListener> bound;
  for (const BoundListener& wanted : at) {
    auto listener = node_.network.listen(wanted.bound, {});
    if (!listener) {
      return base::fail(listener.error().code, "listener " + wanted.config.name + " at " +
                                                   wanted.bound.to_string() + ": " +
                                                   listener.error().detail);
    }
    bound.push_back({wanted.config, wanted.bound});
    bound.back().bound.port = (*listener)->local().port;
    listeners_.push_back(std::move(*listener));
  }
  for (size_t i = 0; i < bound.size(); ++i) {
    acceptors_.spawn("accept", [this, &listener = *listeners_[i], place = bound[i]] {
      accept_loop(listener, place);
    });
  }
  return bound;
}

void BrokerShard::accept_loop(runtime::Listener& listener, const BoundListener& at) {
  for (;;) {
    // With all places taken nobody is accepted, as in Kafka: they wait in the backlog.
    if (!connection_slots_.acquire(1, runtime::Instant::never())) return;
    auto stream = listener.accept(runtime::Instant::never());
    while (!stream && stream.error().code == base::Errc::exhausted) {
      node_.observer.warning("no descriptor left", {{"listener", at.config.name}});
      if (!node_.clock.sleep(kAcceptRetry)) return;
      stream = listener.accept(runtime::Instant::never());
    }
    if (!stream) {
      connection_slots_.release(1);
      const base::Errc code = stream.error().code;
      if (code == base::Errc::cancelled || code == base::Errc::closed) return;
      // The peer is gone before it was accepted.
      if (!node_.clock.sleep(kAcceptRetry)) return;
      continue;
    }
    ++connections_open_;
    connections_.spawn("connection", [this, at, s = std::move(*stream)]() mutable {
      Connection(*this, std::move(s), at).run();
      CHECK(connections_open_ > 0);
      --connections_open_;
      connection_slots_.release(1);
    });
  }
}

void BrokerShard::drain() {
  check_shard();
  node_.observer.reached(kProbeStopping);
  draining_.set();
  acceptors_.stop();
  for (auto& listener : listeners_) listener->close();
  fetch_waits_.wake_all();
  (void)connections_.join_all(node_.clock.after(kDrainWait));  // what is left is cut off
  connections_.stop();
}

void BrokerShard::stop_all() {
  check_shard();
  draining_.set();
  // A question of another shard that comes late (listen, above all) may spawn fibers while the ones
  // that are here end, so it is looked again until nothing is left.
  stopping_ = true;
  do {
    acceptors_.stop();
    connections_.stop();
    nursery_.stop();
    // Questions that are being answered here may have asked on: nobody will answer them any more.
    calls_.abandon_all();
    while (serving_ > 0) idle_.wait_uncancellable();
    CHECK(connections_open_ == 0);
    CHECK(calls_.size() == 0);
  } while (acceptors_.size() + connections_.size() + nursery_.size() > 0);
}

base::Result<int64_t> BrokerShard::next_producer_id() {
  check_shard();
  runtime::LockGuard lock(producer_ids_mutex_);
  if (auto id = producer_ids_.take()) return *id;
  using Block = base::Result<meta::ProducerIdBlock>;
  auto answer = call<Block>(base::ShardId{0}, [](BrokerShard& first) -> Block {
    if (first.core() == nullptr) return base::fail(base::Errc::wrong_state, "stopping");
    return first.core()->allocate_producer_ids();
  });
  const Block block = TRY(answer.wait(runtime::Instant::never()));
  producer_ids_ = TRY(Block(block));
  const auto id = producer_ids_.take();
  CHECK(id.has_value());
  return *id;
}

}  // namespace verdict::server
