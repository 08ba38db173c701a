#include "broker/log/log.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/file_names.h"
#include "broker/log/knobs.h"
#include "broker/log/probes.h"
#include "broker/log/segment.h"

namespace verdict::log {

using base::Errc;
using base::Error;
using base::fail;
using base::Result;
using base::Slice;
using base::Slices;

namespace {

constexpr size_t kTailBatchesMax = 256;
constexpr runtime::Duration kExpiryInterval = runtime::seconds(600);

AppendError failed(Error error) { return {AppendError::Kind::failed, {}, std::move(error)}; }

AppendError refused(ProducerRefusal refusal, std::string why) {
  return {AppendError::Kind::refused, refusal, Error{Errc::invalid, std::move(why)}};
}

std::string describe(const record::BatchHeader& header) {
  return "producer " + std::to_string(header.producer_id) + " epoch " +
         std::to_string(header.producer_epoch) + " sequence " +
         std::to_string(header.base_sequence);
}

}  // namespace

Log::Log(runtime::Node& node, std::unique_ptr<runtime::Directory> directory, OpenOptions options)
    : ShardBound(node.tasks),
      node_(node),
      directory_(std::move(directory)),
      options_(std::move(options)),
      append_mutex_(node.tasks),
      sync_done_(node.tasks),
      expire_at_(node.clock.after(kExpiryInterval)) {
  CHECK(directory_ != nullptr);
}

Log::~Log() = default;

Result<> Log::usable() const {
  if (offline_) return std::unexpected(*offline_);
  if (closed_) return fail(Errc::wrong_state, options_.name + ": closed");
  return {};
}

Error Log::go_offline(const Error& why, std::string_view doing) {
  node_.observer.reached(probe(ProbeId::offline));
  if (!offline_) {
    // Whatever failed, what is on the device is unknown from now on: a full disk too.
    offline_ = Error{Errc::io, options_.name + ": offline since " + std::string(doing) +
                                   " failed: " + why.to_string()};
    node_.observer.error("log offline",
                         {{"log", options_.name}, {"doing", doing}, {"error", why.to_string()}});
    sync_done_.notify_all();
  }
  CHECK(offline_.has_value());
  return *offline_;
}

int64_t Log::segment_bytes_max() const {
  return std::min(options_.config.segment_bytes, node_.knobs.get(kSegmentBytesCap));
}

bool Log::must_roll(const record::BatchHeader& header) const {
  const Segment& segment = active();
  if (segment.size_bytes() == 0) return false;
  const LogConfig& config = options_.config;
  auto size = static_cast<int64_t>(segment.size_bytes());
  if (size > segment_bytes_max() - static_cast<int64_t>(header.total_bytes())) return true;
  if (header.last_offset() - segment.base().value > INT32_MAX) return true;
  // A full index is one entry short of its room, as Kafka has it.
  auto offset_entries = config.segment_index_bytes / static_cast<int64_t>(OffsetIndex::kEntryBytes);
  auto time_entries = config.segment_index_bytes / static_cast<int64_t>(TimeIndex::kEntryBytes);
  if (static_cast<int64_t>(segment.offsets().size()) >= offset_entries) return true;
  if (static_cast<int64_t>(segment.times().size()) >= time_entries - 1) return true;
  // The age counts in the records' own time where they have one.
  bool stamped = segment.first_timestamp_ms() && header.max_timestamp_ms >= 0;
  int64_t from = stamped ? *segment.first_timestamp_ms() : segment.created_ms();
  int64_t to = stamped ? header.max_timestamp_ms : node_.clock.wall().ms();
  int64_t age_ms = 0;
  return !__builtin_sub_overflow(to, from, &age_ms) && age_ms > config.segment_ms;
}

Result<> Log::roll() {
  CHECK(append_mutex_.locked());
  CHECK(active().size_bytes() > 0);
  node_.observer.reached(probe(ProbeId::roll));
  active().seal();
  // The folder's change is noted before anything is in the new file: no sync may call its records
  // durable without syncing the folder.
  TRY(write_snapshot(next_));
  SegmentRef fresh = TRY(Segment::create(*directory_, next_, node_.clock.wall().ms()));
  names_dirty_ = true;
  segments_.push_back(std::move(fresh));
  if (EXHIBIT(node_, dedup_forgotten_at_roll)) producers_.clear();
  CHECK(active().base() == next_);
  return {};
}

Result<> Log::write_snapshot(Offset at) {
  std::string name = offset_file_name(at, kSnapshotSuffix);
  if (auto removed = directory_->remove(name);
      !removed && removed.error().code != Errc::not_found) {
    return removed;
  }
  std::unique_ptr<runtime::File> file =
      TRY(directory_->open(name, runtime::OpenMode::create_exclusive));
  Slice bytes = producers_.to_snapshot();
  TRY(file->write_at(0, {&bytes, 1}));
  names_dirty_ = true;
  unsynced_snapshots_.push_back(at);
  return {};
}

// The answer without writing: the place of a duplicate, or why it is refused.
std::optional<Appended> Log::refuse_or_find(const record::ValidatedBatch& batch,
                                            std::optional<AppendError>& why) const {
  SequenceCheck check = producers_.check(batch.header);
  switch (check.verdict) {
    case SequenceVerdict::next:
      return std::nullopt;
    case SequenceVerdict::duplicate: {
      node_.observer.reached(probe(ProbeId::duplicate));
      Offset base{check.original.base_offset};
      int64_t timestamp_ms = batch.header.log_append_time() ? check.original.timestamp_ms : -1;
      return Appended{base, Offset{check.original.last_offset}, epochs_.at(base), timestamp_ms,
                      true};
    }
    case SequenceVerdict::out_of_order:
      node_.observer.reached(probe(ProbeId::out_of_order));
      why = refused(ProducerRefusal::out_of_order_sequence,
                    options_.name + ": out of order: " + describe(batch.header));
      return std::nullopt;
    case SequenceVerdict::stale_epoch:
      node_.observer.reached(probe(ProbeId::stale_epoch));
      why = refused(ProducerRefusal::invalid_producer_epoch,
                    options_.name + ": stale epoch: " + describe(batch.header));
      return std::nullopt;
  }
  return std::nullopt;
}

std::expected<Appended, AppendError> Log::append(const record::ValidatedBatch& batch,
                                                 LeaderEpoch epoch) {
  check_shard();
  CHECK(batch.body.size() + record::kHeaderBytes == batch.header.total_bytes());
  runtime::LockGuard lock(append_mutex_);
  if (auto ok = usable(); !ok) return std::unexpected(failed(ok.error()));
  if (epoch < epochs_.last()) {
    return std::unexpected(failed({Errc::wrong_state, options_.name + ": a newer epoch began"}));
  }
  std::optional<AppendError> why;
  if (std::optional<Appended> found = refuse_or_find(batch, why)) return *found;
  if (why) return std::unexpected(std::move(*why));
  record::BatchHeader header = batch.header;
  header.base_offset = next_.value;
  header.leader_epoch = epoch.value;
  Offset base = next_;
  if (auto ok = write(batch.with_position(next_.value, epoch.value), header); !ok) {
    return std::unexpected(failed(ok.error()));
  }
  CHECK(next_.value == header.next_offset());
  return Appended{base, next_ - 1, epoch, header.log_append_time() ? header.max_timestamp_ms : -1,
                  false};
}

Result<> Log::append_as_is(const Slices& batch) {
  check_shard();
  if (batch.size() < record::kHeaderBytes) {
    return fail(Errc::invalid, options_.name + ": shorter than a batch header");
  }
  std::byte bytes[record::kHeaderBytes];
  batch.copy_to(0, bytes);
  record::BatchHeader header = record::read_header(bytes);
  TRY(record::check_header(header, batch.size()));
  if (header.total_bytes() != batch.size()) {
    return fail(Errc::invalid, options_.name + ": not exactly one batch");
  }
  runtime::LockGuard lock(append_mutex_);
  TRY(usable());
  if (header.base_offset != next_.value) {
    return fail(Errc::invalid, options_.name + ": batch of offset " +
                                   std::to_string(header.base_offset) + " where " +
                                   std::to_string(next_.value) + " is next");
  }
  if (header.leader_epoch < epochs_.last().value) {
    return fail(Errc::invalid, options_.name + ": batch of epoch " +
                                   std::to_string(header.leader_epoch) + " after " +
                                   std::to_string(epochs_.last().value));
  }
  return write(batch, header);
}

Result<> Log::write(const Slices& bytes, const record::BatchHeader& header) {
  CHECK(header.base_offset == next_.value);
  if (must_roll(header)) {
    if (auto rolled = roll(); !rolled) {
      return std::unexpected(go_offline(rolled.error(), "a roll"));
    }
  }
  if (active().size_bytes() + bytes.size() > INT32_MAX) {
    return fail(Errc::too_large, options_.name + ": batch larger than any segment");
  }
  if (auto written = active().append(bytes, header, options_.config.index_interval_bytes);
      !written) {
    return std::unexpected(go_offline(written.error(), "a write"));
  }
  if (epochs_.assign(LeaderEpoch{header.leader_epoch}, next_)) epochs_dirty_ = true;
  if (unsynced_bytes_ == 0) first_unsynced_ = node_.clock.now();
  unsynced_bytes_ += bytes.size();
  producers_.update(header);
  remember(bytes, header);
  next_ = Offset{header.next_offset()};
  CHECK(active().next() == next_);
  return {};
}

void Log::remember(const Slices& bytes, const record::BatchHeader& header) {
  auto limit = static_cast<size_t>(node_.knobs.get(kTailBytes));
  TailBatch batch{Offset{header.base_offset}, Offset{header.next_offset()}, {}, 0};
  for (const Slice& slice : bytes) {
    batch.bytes.push_back(slice.compact());
    batch.charge += batch.bytes.span().back().buffer_bytes();
  }
  tail_charge_ += batch.charge;
  tail_.push_back(std::move(batch));
  while (!tail_.empty() && (tail_charge_ > limit || tail_.size() > kTailBatchesMax)) {
    CHECK(tail_charge_ >= tail_.front().charge);
    tail_charge_ -= tail_.front().charge;
    tail_.pop_front();
  }
}

void Log::forget_tail() {
  tail_.clear();
  tail_charge_ = 0;
}

Result<> Log::begin_epoch(LeaderEpoch epoch) {
  check_shard();
  runtime::LockGuard lock(append_mutex_);
  TRY(usable());
  if (epoch < epochs_.last()) {
    return fail(Errc::wrong_state, options_.name + ": epoch " + std::to_string(epoch.value) +
                                       " after " + std::to_string(epochs_.last().value));
  }
  if (epochs_.assign(epoch, next_)) epochs_dirty_ = true;
  CHECK(epochs_.last() == epoch || epoch.value < 0);
  return {};
}

std::optional<EpochEnd> Log::end_of_epoch(LeaderEpoch epoch) const {
  check_shard();
  return epochs_.end_of(epoch, next_);
}

void Log::set_config(const LogConfig& config) {
  check_shard();
  options_.config = config;
}

uint64_t Log::size_bytes() const {
  uint64_t total = 0;
  for (const SegmentRef& segment : segments_) total += segment->size_bytes();
  return total;
}

void Log::check_invariants() const {
  CHECK(!segments_.empty());
  CHECK(segments_.front()->base() <= start_);
  CHECK(start_ <= next_);
  CHECK(durable_ <= next_);
  for (size_t i = 0; i < segments_.size(); ++i) {
    segments_[i]->check_invariants();
    bool last = i + 1 == segments_.size();
    CHECK(segments_[i]->sealed() != last || closed_);
    if (!last) CHECK(segments_[i]->next() <= segments_[i + 1]->base());
  }
  CHECK(active().next() == next_);
  if (!epochs_.entries().empty()) CHECK(epochs_.entries().back().start <= next_);
  producers_.check_invariants();
  size_t charge = 0;
  for (size_t i = 0; i < tail_.size(); ++i) {
    charge += tail_[i].charge;
    CHECK(tail_[i].next == (i + 1 < tail_.size() ? tail_[i + 1].base : next_));
  }
  CHECK(charge == tail_charge_);
}

}  // namespace verdict::log
