// How a log is cut: what followers of a new leader do.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/file_names.h"
#include "broker/log/log.h"
#include "broker/log/probes.h"
#include "broker/log/segment.h"

namespace verdict::log {

using base::Errc;
using base::fail;
using base::Result;

Result<> Log::remove_snapshots_above(Offset end) {
  std::vector<runtime::DirectoryEntry> entries = TRY(directory_->list());
  for (const runtime::DirectoryEntry& entry : entries) {
    auto at = parse_offset_file_name(entry.name, kSnapshotSuffix);
    if (at && *at > end) TRY(directory_->remove(entry.name));
  }
  std::erase_if(unsynced_snapshots_, [&](Offset at) { return at > end; });
  return {};
}

Result<> Log::truncate(Offset at) {
  check_shard();
  runtime::LockGuard lock(append_mutex_);
  TRY(usable());
  if (at < start_) {
    return fail(Errc::invalid, options_.name + ": cut at " + std::to_string(at.value) +
                                   " before the start " + std::to_string(start_.value));
  }
  if (at >= next_) return {};
  while (syncing_) sync_done_.wait_uncancellable();
  TRY(usable());
  lock_syncs();
  Result<> done = truncate_locked(at);
  if (!done) done = std::unexpected(go_offline(done.error(), "a truncation"));
  unlock_syncs();
  return done;
}

Result<> Log::truncate_locked(Offset at) {
  CHECK(syncing_);
  CHECK(start_ <= at);
  ++truncations_;
  forget_tail();
  // The newest first: a crash in between leaves a log without holes.
  while (segments_.size() > 1 && active().base() >= at) {
    SegmentRef last = segments_.back();
    segments_.pop_back();
    active().unseal();
    next_ = active().next();
    durable_ = std::min(durable_, next_);
    TRY(last->remove(*directory_));
  }
  std::optional<BatchWalker::Step> step = TRY(active().locate(std::max(at, active().base())));
  if (step) TRY(active().truncate(*step, options_.config.index_interval_bytes));
  next_ = active().next();
  start_ = std::min(start_, next_);
  durable_ = std::min(durable_, next_);
  CHECK(next_ <= at);
  if (epochs_.truncate_end(next_)) epochs_dirty_ = true;
  TRY(remove_snapshots_above(next_));
  TRY(rebuild_producers());
  names_dirty_ = true;
  std::vector<SegmentRef> all = segments_;
  TRY(sync_files(all));
  durable_ = next_;
  unsynced_bytes_ = 0;
  return {};
}

}  // namespace verdict::log
