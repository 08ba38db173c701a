#include "broker/replica/partition.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/replica/probes.h"

namespace verdict::replica {

Partition::Partition(runtime::Node& node, PartitionHost& host, PartitionOptions options)
    : ShardBound(node.tasks),
      node_(node),
      host_(host),
      key_(options.key),
      name_(std::move(options.name)),
      leader_epoch_(options.leader_epoch),
      rules_(options.rules),
      flush_ms_(options.log.config.flush_ms),
      log_free_(node.tasks),
      moved_(node.tasks) {
  CHECK(!key_.topic.is_zero());
  CHECK(key_.partition >= 0);
}

Partition::~Partition() = default;

std::shared_ptr<Partition> Partition::open(runtime::Node& node, PartitionHost& host,
                                           std::unique_ptr<runtime::Directory> folder,
                                           PartitionOptions options) {
  log::OpenOptions log_options = std::move(options.log);
  log_options.name = options.name;
  log_options.topic_id = options.key.topic;
  std::shared_ptr<Partition> partition(new Partition(node, host, std::move(options)));
  auto opened = log::Log::open(node, std::move(folder), std::move(log_options));
  if (!opened) {
    partition->fail(opened.error());
    return partition;
  }
  partition->log_ = std::move(*opened);
  partition->high_watermark_ = partition->log_->next();
  const log::RecoveryReport& recovery = partition->log_->recovery();
  if (!recovery.what.empty()) {
    node.observer.warning("log recovered",
                          {{"partition", partition->name_}, {"what", recovery.what}});
  }
  partition->lead(partition->leader_epoch_);
  return partition;
}

std::shared_ptr<Partition> Partition::make_offline(runtime::Node& node, PartitionHost& host,
                                                   PartitionOptions options, base::Error reason) {
  std::shared_ptr<Partition> partition(new Partition(node, host, std::move(options)));
  partition->fail(reason);
  return partition;
}

Offset Partition::log_start() const { return log_ == nullptr ? Offset{-1} : log_->start(); }
Offset Partition::log_end() const { return log_ == nullptr ? Offset{-1} : log_->next(); }
Offset Partition::recovery_point() const {
  return log_ == nullptr ? Offset{0} : log_->recovery_point();
}

void Partition::lead(LeaderEpoch epoch) {
  check_shard();
  CHECK(epoch >= leader_epoch_);
  leader_epoch_ = epoch;
  if (offline_ || removed_) return;
  CHECK(log_ != nullptr);
  if (log_->last_epoch() == epoch) return;
  if (auto begun = log_->begin_epoch(epoch); !begun) fail(begun.error());
  wake_all();  // a fetch that waits has to hear of the new epoch
}

void Partition::set_config(const log::LogConfig& config, const record::AppendRules& rules) {
  check_shard();
  rules_ = rules;
  flush_ms_ = config.flush_ms;
  if (log_ != nullptr) log_->set_config(config);
}

// ---------------------------------------------------------------- produce

AppendRefusal Partition::storage_refusal() {
  if (removed_) return {gone_, name_ + " is gone", {}};
  return {ErrorCode::kafka_storage_error, name_ + " is offline", {}};
}

std::expected<AppendTicket, AppendRefusal> Partition::append(const base::Slices& records) {
  check_shard();
  if (offline_ || removed_) return std::unexpected(storage_refusal());
  auto valid = record::validate_for_append(records, rules_, node_.clock.wall().ms());
  if (!valid) {
    record::Refused refused = std::move(valid).error();
    return std::unexpected(AppendRefusal{static_cast<ErrorCode>(refused.code),
                                         std::move(refused.message), std::move(refused.records)});
  }
#if VERDICT_EXHIBITS
  if (EXHIBIT(node_, ack_before_write)) {
    if (auto promised = acknowledge_first(*valid)) return *promised;
  }
#endif
  return write(*valid);
}

std::expected<AppendTicket, AppendRefusal> Partition::write(const record::ValidatedBatch& batch) {
  InLog in_log(*this);
  auto appended = log_->append(batch, leader_epoch_);
  if (!appended) {
    log::AppendError error = std::move(appended).error();
    if (error.kind == log::AppendError::Kind::failed) {
      fail(error.error);
      return std::unexpected(storage_refusal());
    }
    return std::unexpected(
        AppendRefusal{static_cast<ErrorCode>(error.refusal), std::move(error.error.detail), {}});
  }
  node_.observer.reached(appended->duplicate ? kProbeDuplicate : kProbeAppended);
  const Offset through = appended->last + 1;
  CHECK(through <= log_->next());
  if (removed_ || offline_) return std::unexpected(storage_refusal());
  // A duplicate may be of a batch that is not committed yet, so it waits like the original.
  if (log_->needs_sync_before_ack()) {
    start_commit();
  } else if (!committing_) {
    raise_high_watermark(log_->next());
  }
  if (!appended->duplicate) mark_dirty();
  return AppendTicket{appended->base, through, appended->timestamp_ms, log_->start()};
}

ErrorCode Partition::wait_committed(const AppendTicket& ticket, runtime::Instant deadline) {
  check_shard();
#if VERDICT_EXHIBITS
  if (EXHIBIT(node_, ack_before_write)) return ErrorCode::none;
  if (EXHIBIT(node_, ack_before_sync) && acknowledge_early(ticket)) return ErrorCode::none;
#endif
  if (high_watermark_ < ticket.through) node_.observer.reached(kProbeSyncAwaited);
  while (high_watermark_ < ticket.through) {
    if (removed_) return gone_;
    if (offline_) return ErrorCode::kafka_storage_error;
    const runtime::Wake wake = moved_.wait(deadline);
    if (wake != runtime::Wake::notified && high_watermark_ < ticket.through) {
      return ErrorCode::request_timed_out;
    }
  }
  return ErrorCode::none;
}

void Partition::start_commit() {
  if (committing_) return node_.observer.reached(kProbeSyncAgain);
  committing_ = true;
  host_.nursery().spawn("commit", [self = shared_from_this()] { self->commit(); });
}

void Partition::commit() {
  CHECK(committing_);
  CHECK(log_ != nullptr);
  InLog in_log(*this);
  while (!offline_ && !removed_ && high_watermark_ < log_->next()) {
    // Everything that was written by now shares this sync.
    const Offset through = log_->next();
#if VERDICT_EXHIBITS
    sync_started_ = node_.clock.now();
    sync_through_ = through;
    if (EXHIBIT(node_, ack_before_sync)) moved_.notify_all();
#endif
    auto synced = log_->sync_through(through);
#if VERDICT_EXHIBITS
    last_sync_ = node_.clock.now() - sync_started_;
#endif
    if (!synced) {
      fail(synced.error());
      break;
    }
    node_.observer.reached(kProbeCommittedBySync);
    if (removed_) break;
    raise_high_watermark(through);
  }
  committing_ = false;
}

void Partition::raise_high_watermark(Offset to) {
  CHECK(log_ != nullptr);
  CHECK(to <= log_->next());
  if (to <= high_watermark_) return;
  high_watermark_ = to;
  wake_all();
}

void Partition::wake_all() {
  moved_.notify_all();
  for (ProgressWatcher* at = watchers_.front(); at != nullptr;) {
    ProgressWatcher* next = watchers_.next(*at);
    at->on_progress();
    at = next;
  }
}

void Partition::watch(ProgressWatcher& watcher) {
  check_shard();
  CHECK(!watcher.linked());
  watchers_.push_back(watcher);
}

// ---------------------------------------------------------------- fetch

ErrorCode Partition::check_epoch(LeaderEpoch current_epoch) const {
  if (current_epoch.value < 0 || current_epoch == leader_epoch_) return ErrorCode::none;
  if (current_epoch > leader_epoch_) return ErrorCode::unknown_leader_epoch;
  node_.observer.reached(kProbeFencedEpoch);
  return ErrorCode::fenced_leader_epoch;
}

std::optional<log::EpochEnd> Partition::divergence(const FetchPosition& position, ErrorCode& code) {
  if (position.last_fetched_epoch.value < 0) return std::nullopt;
  const auto end = log_->end_of_epoch(position.last_fetched_epoch);
  if (!end || end->epoch.value < 0 || position.from < log_->start()) {
    code = ErrorCode::offset_out_of_range;
    return std::nullopt;
  }
  if (end->epoch < position.last_fetched_epoch || end->end < position.from) {
    node_.observer.reached(kProbeDiverged);
    return end;
  }
  return std::nullopt;
}

FetchPart Partition::fetch(const FetchPosition& position) {
  check_shard();
  FetchPart part;
  part.leader_epoch = leader_epoch_;
  if (removed_) part.code = gone_;
  if (!removed_ && offline_) part.code = ErrorCode::kafka_storage_error;
  if (part.code == ErrorCode::none) part.code = check_epoch(position.current_epoch);
  if (part.code != ErrorCode::none) return part;
  part.diverging = divergence(position, part.code);
  if (part.code != ErrorCode::none) return part;
  part.high_watermark = high_watermark_;
  part.log_start = log_->start();
  if (part.diverging) return part;
  if (position.from < log_->start() || position.from > log_->next()) {
    node_.observer.reached(kProbeOffsetOutOfRange);
    return {.code = ErrorCode::offset_out_of_range, .leader_epoch = leader_epoch_};
  }
  if (position.from >= high_watermark_) return part;
  if (position.bytes_max == 0 && !position.at_least_one) return part;
  InLog in_log(*this);
  auto read = log_->read(position.from, high_watermark_, position.bytes_max);
  if (!read) {
    // The log was cut, removed or taken offline while the read was under way, or the disk failed.
    if (read.error().code == base::Errc::invalid) {
      return {.code = ErrorCode::offset_out_of_range, .leader_epoch = leader_epoch_};
    }
    fail(read.error());
    return {.code = ErrorCode::kafka_storage_error, .leader_epoch = leader_epoch_};
  }
  const bool fits = read->batches.size() <= position.bytes_max;
  if (fits || position.at_least_one) part.records = std::move(read->batches);
  return part;
}

TimestampAnswer Partition::find_offset(int64_t timestamp_ms, LeaderEpoch current_epoch) {
  check_shard();
  if (removed_) return {.code = gone_};
  if (offline_) return {.code = ErrorCode::kafka_storage_error};
  if (ErrorCode code = check_epoch(current_epoch); code != ErrorCode::none) return {.code = code};
  TimestampAnswer answer;
  switch (timestamp_ms) {
    case kLatestOffset:
      answer.offset = high_watermark_;
      answer.epoch = leader_epoch_;
      return answer;
    case kEarliestOffset:
    case kEarliestLocalOffset:
      answer.offset = log_->start();
      if (auto end = log_->end_of_epoch({0}); end && end->end > log_->start()) {
        answer.epoch = end->epoch;
      }
      return answer;
    case kLatestTieredOffset:
      return answer;
    default:
      break;
  }
  if (timestamp_ms < kLatestTieredOffset) return {.code = ErrorCode::unsupported_version};
  auto found =
      timestamp_ms == kMaxTimestamp ? log_->max_timestamp() : log_->find_timestamp(timestamp_ms);
  if (!found) {
    fail(found.error());
    return {.code = ErrorCode::kafka_storage_error};
  }
  if (found->offset.value < 0 || found->offset >= high_watermark_) return answer;
  answer.timestamp_ms = found->timestamp_ms;
  answer.offset = found->offset;
  answer.epoch = found->epoch;
  return answer;
}

// ---------------------------------------------------------------- housekeeping and ends

void Partition::mark_dirty() {
  if (dirty_) return;
  dirty_ = true;
  host_.became_dirty(*this);
}

bool Partition::keep_house() {
  check_shard();
  if (offline_ || removed_) return false;
  CHECK(log_ != nullptr);
  InLog in_log(*this);
  if (auto synced = log_->background_sync(); !synced) {
    fail(synced.error());
    return false;
  }
  return flush_ms_ != INT64_MAX && log_->recovery_point() < log_->next();
}

base::Result<> Partition::close_cleanly() {
  check_shard();
  if (offline_) return std::unexpected(*offline_);
  if (removed_) return {};
  CHECK(log_ != nullptr);
  InLog in_log(*this);
  auto closed = log_->close_cleanly();
  if (!closed) fail(closed.error());
  // Nothing is taken any more; a late request hears that this broker does not lead it.
  gone_ = ErrorCode::not_leader_or_follower;
  removed_ = true;
  wake_all();
  return closed;
}

void Partition::remove() {
  check_shard();
  if (!watchers_.empty() || moved_.has_waiters()) {
    node_.observer.reached(kProbeRemovedWithWaiters);
  }
  removed_ = true;
  wake_all();
  while (in_log_ > 0) log_free_.wait_uncancellable();
  log_.reset();
}

void Partition::go_offline(const base::Error& reason) {
  check_shard();
  if (offline_) return;
  offline_ = reason;
  node_.observer.reached(kProbeOffline);
  wake_all();
}

void Partition::fail(const base::Error& error) {
  if (offline_ || removed_) return;
  node_.observer.error("partition offline", {{"partition", name_}, {"why", error.to_string()}});
  go_offline(error);
  host_.storage_failed(*this, error);
}

void Partition::check_invariants() const {
  if (log_ == nullptr) {
    CHECK(offline_.has_value() || removed_);
    return;
  }
  CHECK(log_->start() <= high_watermark_);
  CHECK(high_watermark_ <= log_->next());
  log_->check_invariants();
}

}  // namespace verdict::replica
