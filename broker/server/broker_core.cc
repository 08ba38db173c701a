#include "broker/server/broker_core.h"

#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/server/probes.h"

namespace verdict::server {

namespace {

const log::PartitionKey kMetadataFolder{std::string(meta::kMetadataTopic), 0};

// The endpoint of a listener as it stands in the broker's registration.
meta::Endpoint registered(const ListenerConfig& listener) {
  meta::Endpoint endpoint;
  endpoint.name = listener.name;
  endpoint.host = listener.advertised.host.empty() ? "localhost" : listener.advertised.host;
  endpoint.port = listener.advertised.port;
  return endpoint;
}

}  // namespace

BrokerCore::BrokerCore(BrokerShard& shard)
    : ShardBound(shard.node().tasks),
      shard_(shard),
      node_(shard.node()),
      topics_(node_.tasks),
      directory_mutex_(node_.tasks),
      marked_(node_.tasks),
      failed_(node_.tasks) {
  CHECK(shard.id().value == 0);
  shard_.set_core(this);
}

BrokerCore::~BrokerCore() { shard_.set_core(nullptr); }

// Asks every shard and waits for all: those that are far first, so that they work meanwhile.
template <class T>
std::vector<T> BrokerCore::ask_all(
    const std::function<base::UniqueFunction<T(BrokerShard&)>(base::ShardId)>& question) {
  const uint32_t shards = node_.tasks.shard_count();
  std::vector<runtime::Future<T>> futures(shards);
  for (uint32_t i = shards; i-- > 0;) futures[i] = shard_.call<T>({i}, question({i}));
  std::vector<T> answers;
  for (auto& future : futures) {
    // Shards end only after shard 0 has told them to.
    auto answer = future.wait(runtime::Instant::never());
    if (!answer) break;  // this fiber was cancelled, which only a kill does
    answers.push_back(std::move(*answer));
  }
  return answers;
}

// ---------------------------------------------------------------- start

base::Result<> BrokerCore::start() {
  check_shard();
  std::optional<std::string> cluster_id;
  const auto given = shard_.config().given.find("cluster.id");
  if (given != shard_.config().given.end()) cluster_id = given->second;
  directory_ = TRY(log::LogDirectory::open(node_, {shard_.config().node_id, cluster_id}));
  load_checkpoints();
  const std::set<base::Uuid> removed_topics = TRY(open_metadata());
  TRY(register_broker());
  TRY(remove_strays(removed_topics));
  TRY(open_all_partitions());
  if (failure_) return std::unexpected(*failure_);
  TRY(controller_->unfence());
  publish({});
  TRY(listen_everywhere());
  shard_.nursery().spawn("checkpoint", [this] { checkpoint_loop(); });
  shard_.nursery().spawn("removal", [this] { removal_loop(); });
  return {};
}

base::Result<std::set<base::Uuid>> BrokerCore::open_metadata() {
  // The records that name a partition are durable before its folder is made. Without them every
  // folder would look like one of a deleted topic.
  const auto lost = [] {
    return base::fail(base::Errc::corrupt, kMetadataFolder.directory_name() +
                                               " is lost but there are partitions: restore it, or "
                                               "start with an empty log directory");
  };
  const auto& found = directory_->found();
  const auto folders = std::ranges::count(found, kMetadataFolder);
  const bool partitions = std::ssize(found) > folders;
  if (partitions && folders == 0) return lost();
  meta::MetadataLog::Options options;
  options.node_id = shard_.config().node_id;
  options.log.clean_shutdown = directory_->clean_shutdown_epoch().has_value();
  options.log.recovery_point = directory_->recovery_point(kMetadataFolder);
  options.log.start = directory_->start_offset(kMetadataFolder);
  auto metadata = TRY(meta::MetadataLog::open(node_, node_.data, std::move(options)));
  if (partitions && metadata->image()->features().empty()) return lost();
  const std::string recovered = metadata->recovery().what;
  if (!recovered.empty()) node_.observer.warning("metadata log recovered", {{"what", recovered}});
  std::set<base::Uuid> removed_topics = metadata->take_removed_topics();
  meta::Controller::Options controller;
  controller.node_id = shard_.config().node_id;
  controller.server_properties = shard_.config().given;
  controller_ = TRY(meta::Controller::open(node_, std::move(metadata), std::move(controller)));
  return removed_topics;
}

base::Result<> BrokerCore::register_broker() {
  meta::BrokerStart start;
  for (const ListenerConfig& listener : shard_.config().listeners) {
    start.listeners.push_back(registered(listener));
  }
  start.rack = shard_.config().rack;
  start.directories = {directory_->meta().directory_id};
  start.previous_epoch = directory_->clean_shutdown_epoch();
  const meta::BrokerStarted started = TRY(controller_->register_broker(start));
  epoch_ = started.epoch;
  const size_t led = TRY(controller_->bump_leader_epochs());
  node_.observer.info("leader of partitions", {{"count", led}});
  return {};
}

// Whether the metadata say that the folder's topic was deleted: then the stop came before its
// folders were out of the way. Anything else may be a topic of which the metadata were damaged.
bool BrokerCore::was_deleted(const log::PartitionKey& key,
                             const std::set<base::Uuid>& removed_topics) {
  auto folder = node_.data.subdirectory(key.directory_name(), runtime::OpenMode::open_existing);
  if (!folder) return false;
  auto topic = log::read_topic_id(**folder);
  return topic.has_value() && topic->has_value() && removed_topics.contains(**topic);
}

base::Result<> BrokerCore::remove_strays(const std::set<base::Uuid>& removed_topics) {
  const auto image = controller_->image();
  std::vector<log::PartitionKey> deleted;
  std::vector<log::PartitionKey> strays;
  for (const log::PartitionKey& key : directory_->found()) {
    if (key == kMetadataFolder) continue;
    const meta::TopicState* topic = image->topic(key.topic);
    if (topic != nullptr && topic->partitions.contains(key.partition)) continue;
    (was_deleted(key, removed_topics) ? deleted : strays).push_back(key);
  }
  for (const log::PartitionKey& key : deleted) {
    node_.observer.warning("folder of a deleted topic", {{"folder", key.directory_name()}});
  }
  for (const log::PartitionKey& key : strays) {
    node_.observer.warning("folder of a topic that the metadata do not know, set aside as -stray",
                           {{"folder", key.directory_name()}});
  }
  TRY(forget_folders(deleted, Fate::removed));
  TRY(forget_folders(strays, Fate::set_aside));
  TRY(directory_->remove_marked());
  return {};
}

PartitionPlan BrokerCore::plan(const meta::TopicState& topic, int32_t partition,
                               const meta::PartitionState& state) const {
  const meta::ConfigScope scope{*controller_->image(), shard_.config().given,
                                shard_.config().node_id};
  const meta::TopicSettings settings = meta::topic_settings(scope, topic.name);
  CHECK(!topic.id.is_zero());
  CHECK(partition >= 0);
  const log::PartitionKey folder{topic.name, partition};
  PartitionPlan plan;
  plan.topic = topic.name;
  plan.options.key = {topic.id, partition};
  plan.options.name = folder.directory_name();
  plan.options.leader_epoch = state.leader_epoch;
  plan.options.rules = settings.append_rules();
  plan.options.log.config = settings.log_config();
  plan.options.log.config.producer_expiry_ms = shard_.config().producer_expiry_ms;
  return plan;
}

base::Result<> BrokerCore::open_all_partitions() {
  const auto image = controller_->image();
  std::vector<PartitionPlan> plans;
  for (const auto& [id, topic] : image->topics()) {
    for (const auto& [number, state] : topic.partitions) {
      if (state.leader != shard_.config().node_id) continue;
      PartitionPlan opening = plan(topic, number, state);
      const log::PartitionKey folder{topic.name, number};
      opening.options.log.clean_shutdown = directory_->clean_shutdown_epoch().has_value();
      opening.options.log.recovery_point = directory_->recovery_point(folder);
      opening.options.log.start = directory_->start_offset(folder);
      plans.push_back(std::move(opening));
    }
  }
  publish(std::move(plans));
  return {};
}

base::Result<> BrokerCore::listen_everywhere() {
  using Bound = base::Result<std::vector<BoundListener>>;
  std::vector<BoundListener> wanted;
  for (const ListenerConfig& listener : shard_.config().listeners) {
    wanted.push_back({listener, listener.bind});
  }
  listeners_ = TRY(shard_.listen(wanted));
  for (uint32_t i = 1; i < node_.tasks.shard_count(); ++i) {
    auto answer = shard_.call<Bound>(
        {i}, [at = listeners_](BrokerShard& shard) -> Bound { return shard.listen(at); });
    Bound bound = TRY(answer.wait(runtime::Instant::never()));
    if (!bound) return std::unexpected(bound.error());
  }
  for (const BoundListener& listener : listeners_) {
    node_.observer.info("listening",
                        {{"listener", listener.config.name}, {"at", listener.bound.to_string()}});
  }
  return {};
}

// ---------------------------------------------------------------- topics

void BrokerCore::publish(std::vector<PartitionPlan> plans) {
  CHECK(controller_ != nullptr);
  CHECK(directory_ != nullptr);
  std::vector<std::vector<PartitionPlan>> by_shard(node_.tasks.shard_count());
  for (PartitionPlan& plan : plans) {
    by_shard[shard_.shard_of(plan.options.key).value].push_back(std::move(plan));
  }
  using Question = base::UniqueFunction<Done(BrokerShard&)>;
  // The partitions are there before the image says so.
  ask_all<Done>([&](base::ShardId id) -> Question {
    return [image = controller_->image(), cluster = directory_->meta().cluster_id,
            plans = std::move(by_shard[id.value])](BrokerShard& shard) mutable {
      shard.open_partitions(std::move(plans));
      shard.set_cluster_id(cluster);
      shard.set_image(std::move(image));
      return Done{};
    };
  });
}

void BrokerCore::withdraw(const std::vector<replica::PartitionKey>& keys) {
  std::vector<std::vector<replica::PartitionKey>> by_shard(node_.tasks.shard_count());
  for (const replica::PartitionKey& key : keys) by_shard[shard_.shard_of(key).value].push_back(key);
  using Question = base::UniqueFunction<Done(BrokerShard&)>;
  ask_all<Done>([&](base::ShardId id) -> Question {
    return [image = controller_->image(),
            gone = std::move(by_shard[id.value])](BrokerShard& shard) mutable {
      shard.set_image(std::move(image));
      shard.remove_partitions(gone);
      return Done{};
    };
  });
}

std::vector<meta::CreatedTopic> BrokerCore::create_topics(const std::vector<meta::NewTopic>& topics,
                                                          bool validate_only) {
  check_shard();
  runtime::LockGuard lock(topics_);
  auto created = controller_->create_topics(topics, validate_only);
  if (controller_->offline()) fail(*controller_->offline());
  if (validate_only) return created;
  const auto image = controller_->image();
  std::vector<PartitionPlan> plans;
  for (const meta::CreatedTopic& made : created) {
    const meta::TopicState* topic = made.error.ok() ? image->topic(made.id) : nullptr;
    if (topic == nullptr) continue;
    for (const auto& [number, state] : topic->partitions) {
      plans.push_back(plan(*topic, number, state));
    }
  }
  if (!plans.empty()) publish(std::move(plans));
  return created;
}

std::vector<meta::DeletedTopic> BrokerCore::delete_topics(
    const std::vector<meta::TopicKey>& topics) {
  check_shard();
  runtime::LockGuard lock(topics_);
  const auto before = controller_->image();
  auto deleted = controller_->delete_topics(topics);
  if (controller_->offline()) fail(*controller_->offline());
  std::vector<replica::PartitionKey> keys;
  std::vector<log::PartitionKey> folders;
  for (const meta::DeletedTopic& gone : deleted) {
    const meta::TopicState* topic = gone.error.ok() ? before->topic(gone.id) : nullptr;
    if (topic == nullptr) continue;
    for (const auto& [number, state] : topic->partitions) {
      keys.push_back({topic->id, number});
      folders.push_back({topic->name, number});
    }
  }
  if (keys.empty()) return deleted;
  node_.observer.reached(kProbeTopicDeleted);
  withdraw(keys);
  if (auto forgotten = forget_folders(folders, Fate::removed); !forgotten) fail(forgotten.error());
  marked_.set();
  return deleted;
}

base::Result<> BrokerCore::forget_folders(const std::vector<log::PartitionKey>& folders,
                                          Fate fate) {
  if (folders.empty()) return {};
  runtime::LockGuard lock(directory_mutex_);
  for (const log::PartitionKey& folder : folders) {
    recovery_points_.erase(folder);
    starts_.erase(folder);
    high_watermarks_.erase(folder);
  }
  // First the checkpoints, all names at once: what they say of an old topic must not be taken for
  // the next one's. A crash after this leaves folders that the next start finds astray.
  TRY(write_checkpoints(true));
  for (const log::PartitionKey& folder : folders) {
    TRY(fate == Fate::removed ? directory_->mark_deleted(folder) : directory_->set_aside(folder));
  }
  return {};
}

// What the checkpoints say stays in them until a partition has something newer to say.
void BrokerCore::load_checkpoints() {
  for (const log::PartitionKey& key : directory_->found()) {
    if (auto at = directory_->recovery_point(key)) recovery_points_[key] = *at;
    if (auto at = directory_->start_offset(key)) starts_[key] = *at;
    if (auto at = directory_->high_watermark(key)) high_watermarks_[key] = *at;
  }
}

base::Result<meta::ProducerIdBlock> BrokerCore::allocate_producer_ids() {
  check_shard();
  auto block = controller_->allocate_producer_ids();
  if (controller_->offline()) fail(*controller_->offline());
  return block;
}

// ---------------------------------------------------------------- checkpoints

void BrokerCore::take(const std::vector<PartitionOffsets>& offsets) {
  for (const PartitionOffsets& at : offsets) {
    CHECK(at.start.value >= 0);
    CHECK(at.start <= at.high_watermark);
    const log::PartitionKey key{at.topic, at.partition};
    recovery_points_[key] = at.recovery_point;
    starts_[key] = at.start;
    high_watermarks_[key] = at.high_watermark;
  }
}

base::Result<> BrokerCore::write_checkpoints(bool recovery_points) {
  CHECK(directory_mutex_.locked());
  node_.observer.reached(kProbeCheckpoint);
  TRY(directory_->write_high_watermarks(high_watermarks_));
  if (!recovery_points) return {};
  recovery_points_[kMetadataFolder] = controller_->log().committed();
  TRY(directory_->write_recovery_points(recovery_points_));
  // Kafka names only the logs that do not start at their first segment.
  std::map<log::PartitionKey, base::Offset> starts;
  for (const auto& [key, start] : starts_) {
    if (start.value > 0) starts.emplace(key, start);
  }
  return directory_->write_start_offsets(starts);
}

void BrokerCore::checkpoint_loop() {
  const Config& config = shard_.config();
  const auto often = runtime::milliseconds(config.high_watermark_checkpoint_interval_ms);
  const auto seldom =
      runtime::milliseconds(std::max<int64_t>(config.recovery_checkpoint_interval_ms, often.ms()));
  runtime::Instant recovery_due = node_.clock.after(seldom);
  bool recovery_behind = false;
  while (node_.clock.sleep(often)) {
    using Offsets = std::vector<PartitionOffsets>;
    using Question = base::UniqueFunction<Offsets(BrokerShard&)>;
    bool changed = false;
    // The lock comes first: nobody deletes a topic between the question and the file.
    runtime::LockGuard topics(topics_);
    runtime::LockGuard lock(directory_mutex_);
    for (const Offsets& offsets : ask_all<Offsets>([](base::ShardId) -> Question {
           return [](BrokerShard& shard) { return shard.take_changed_offsets(); };
         })) {
      changed = changed || !offsets.empty();
      take(offsets);
    }
    recovery_behind = recovery_behind || changed;
    const bool due = recovery_behind && node_.clock.now() >= recovery_due;
    if (!changed && !due) continue;
    if (auto written = write_checkpoints(due); !written) return fail(written.error());
    if (!due) continue;
    recovery_behind = false;
    recovery_due = node_.clock.after(seldom);
  }
}

// Folders go a while after they were marked, as in Kafka (log.segment.delete.delay.ms).
void BrokerCore::removal_loop() {
  constexpr int64_t kDelayMaxMs = 365LL * 86'400'000;  // a longer one than any clock has to carry
  const runtime::Duration delay =
      runtime::milliseconds(std::min(shard_.config().file_delete_delay_ms, kDelayMaxMs));
  while (marked_.wait(runtime::Instant::never()) && node_.clock.sleep(delay)) {
    marked_.reset();
    runtime::LockGuard lock(directory_mutex_);
    if (auto removed = directory_->remove_marked(); !removed) return fail(removed.error());
  }
}

// ---------------------------------------------------------------- end

void BrokerCore::fail(base::Error reason) {
  check_shard();
  if (failure_) return;
  failure_ = std::move(reason);
  failed_.set();
}

std::optional<base::Error> BrokerCore::wait_for_end() {
  runtime::Waitable* const ends[] = {&failed_, &node_.stop};
  (void)runtime::wait_any(node_.tasks, ends, runtime::Instant::never());
  return failure_;
}

base::Result<> BrokerCore::stop_cleanly() {
  check_shard();
  using DrainQuestion = base::UniqueFunction<Done(BrokerShard&)>;
  ask_all<Done>([](base::ShardId) -> DrainQuestion {
    return [](BrokerShard& shard) {
      shard.drain();
      return Done{};
    };
  });
  runtime::LockGuard topics(topics_);
  runtime::LockGuard lock(directory_mutex_);
  using Closed = base::Result<ClosedPartitions>;
  using CloseQuestion = base::UniqueFunction<Closed(BrokerShard&)>;
  const auto closed = ask_all<Closed>([](base::ShardId) -> CloseQuestion {
    return [](BrokerShard& shard) { return shard.close_partitions(); };
  });
  bool damaged = false;
  for (const Closed& partitions : closed) {
    if (!partitions) return std::unexpected(partitions.error());
    take(partitions->offsets);
    damaged = damaged || partitions->damaged;
  }
  if (failure_) return std::unexpected(*failure_);
  TRY(controller_->fence_for_shutdown());
  TRY(controller_->close_cleanly());
  TRY(write_checkpoints(true));
  if (damaged) {
    // The next start has to look again, or it would serve the damage.
    node_.observer.warning("no clean shutdown", {{"why", "a partition is offline"}});
    return {};
  }
  TRY(directory_->write_clean_shutdown(epoch_));
  node_.observer.reached(kProbeStoppedCleanly);
  return {};
}

}  // namespace verdict::server
