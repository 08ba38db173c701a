// How a log makes its records durable: group commit, background sync, the stop in good order.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/checkpoint_file.h"
#include "broker/log/file_names.h"
#include "broker/log/knobs.h"
#include "broker/log/log.h"
#include "broker/log/probes.h"
#include "broker/log/segment.h"

namespace verdict::log {

using base::Errc;
using base::fail;
using base::Result;

namespace {
constexpr runtime::Duration kExpiryInterval = runtime::seconds(600);
}

Result<> Log::sync_through(Offset through) {
  check_shard();
  CHECK(through.value >= 0);
  while (durable_ < through) {
    if (offline_) return std::unexpected(*offline_);
    if (through > next_) {
      return fail(Errc::wrong_state, options_.name + ": ends at " + std::to_string(next_.value) +
                                         " before " + std::to_string(through.value));
    }
    if (!syncing_) {
      TRY(sync_round());
    } else {
      // That round may have begun before our records; then the next one covers them.
      node_.observer.reached(probe(ProbeId::sync_shared));
      sync_done_.wait_uncancellable();
    }
  }
  return {};
}

// One sync for everything that was appended before now.
Result<> Log::sync_round() {
  lock_syncs();
  Offset target = next_;
  uint64_t covered_bytes = unsynced_bytes_;
  runtime::Instant began = node_.clock.now();
  std::vector<SegmentRef> dirty;
  for (const SegmentRef& segment : segments_) {
    if (segment->dirty()) dirty.push_back(segment);
  }
  Result<> synced = sync_files(dirty);
  if (!synced) {
    node_.observer.reached(probe(ProbeId::sync_failed));
    synced = std::unexpected(go_offline(synced.error(), "a sync"));
  } else {
    CHECK(target <= next_);  // a truncation waits for the end of the round
    durable_ = std::max(durable_, target);
    CHECK(unsynced_bytes_ >= covered_bytes);
    unsynced_bytes_ -= covered_bytes;
    first_unsynced_ = began;
  }
  unlock_syncs();
  return synced;
}

Result<> Log::sync_files(const std::vector<SegmentRef>& segments) {
  // What is flagged is cleared before its sync: what comes meanwhile sets it again.
  bool names = std::exchange(names_dirty_, false);
  bool epochs = std::exchange(epochs_dirty_, false);
  std::vector<Offset> snapshots = std::exchange(unsynced_snapshots_, {});
  std::string epochs_text = epochs ? epochs_.encode() : std::string();
  for (const SegmentRef& segment : segments) {
    names = names || segment->sealed();  // its index files may be new
    TRY(sync_segment(*segment));
  }
  for (Offset at : snapshots) {
    auto file =
        directory_->open(offset_file_name(at, kSnapshotSuffix), runtime::OpenMode::open_existing);
    if (!file) return std::unexpected(std::move(file).error());
    TRY((*file)->sync());
  }
  if (epochs) {
    TRY(replace_file(*directory_, kEpochCheckpointName, epochs_text, SyncDirectory::no));
    names = true;
  }
  if (names && !EXHIBIT(node_, segment_directory_not_synced)) TRY(directory_->sync());
  return {};
}

Result<> Log::sync_segment(Segment& segment) {
  Result<> synced = segment.sync(*directory_);
  if (!synced && EXHIBIT(node_, ack_after_failed_sync)) synced = segment.file().sync();
  return synced;
}

void Log::lock_syncs() {
  CHECK(!syncing_);
  syncing_ = true;
}

void Log::unlock_syncs() {
  CHECK(syncing_);
  syncing_ = false;
  sync_done_.notify_all();
}

bool Log::needs_sync_before_ack() const {
  check_shard();
  return next_ - durable_ >= options_.config.flush_messages;
}

bool Log::sync_is_due() const {
  if (durable_ == next_) return false;
  int64_t bytes_max =
      std::min(options_.config.background_sync_bytes, node_.knobs.get(kBackgroundSyncBytes));
  if (static_cast<int64_t>(unsynced_bytes_) >= bytes_max) return true;
  if ((node_.clock.now() - first_unsynced_).ms() >= options_.config.flush_ms) return true;
  // A sealed segment is synced soon, so that the recovery point leaves it behind.
  return segments_.size() > 1 && segments_[segments_.size() - 2]->dirty();
}

Result<> Log::background_sync() {
  check_shard();
  TRY(usable());
  if (node_.clock.now() >= expire_at_) {
    expire_at_ = node_.clock.after(kExpiryInterval);
    producers_.expire(node_.clock.wall().ms(), options_.config.producer_expiry_ms);
  }
  if (!sync_is_due()) return {};
  node_.observer.reached(probe(ProbeId::sync_background));
  return sync_through(next_);
}

// Everything into files and onto the device; all segments are sealed.
Result<> Log::settle() {
  CHECK(append_mutex_.locked());
  CHECK(syncing_);
  std::vector<SegmentRef> all = segments_;
  TRY(sync_files(all));
  CHECK(!active().dirty());
  CHECK(!names_dirty_);
  return {};
}

Result<> Log::close_cleanly() {
  check_shard();
  runtime::LockGuard lock(append_mutex_);
  TRY(usable());
  while (syncing_) sync_done_.wait_uncancellable();
  TRY(usable());
  lock_syncs();
  active().seal();
  Result<> done = write_snapshot(next_);
  if (done) done = settle();
  if (done) {
    durable_ = next_;
    unsynced_bytes_ = 0;
    closed_ = true;
  } else {
    done = std::unexpected(go_offline(done.error(), "the stop"));
  }
  unlock_syncs();
  CHECK(closed_ || offline_);
  return done;
}

}  // namespace verdict::log
