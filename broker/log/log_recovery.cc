// How a log is opened: what the last stop left is judged first, and only then is anything changed.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/checkpoint_file.h"
#include "broker/log/file_names.h"
#include "broker/log/log.h"
#include "broker/log/log_directory.h"
#include "broker/log/probes.h"
#include "broker/log/segment.h"

namespace verdict::log {

using base::Errc;
using base::Error;
using base::fail;
using base::Result;
using base::Slice;

namespace {

constexpr size_t kScanChunkBytes = 1 << 20;
constexpr size_t kHopChunkBytes = 64 << 10;
constexpr size_t kSnapshotBytesMax = kProducersMax * kBatchesRemembered * 64;

}  // namespace

class Recovery {
 public:
  explicit Recovery(Log& log) : log_(log), directory_(*log.directory_) {}

  // All reads and judgements, then all changes.
  Result<> run() {
    TRY(list());
    TRY(check_topic());
    TRY(read_epochs());
    TRY(judge());
    TRY(change());
    return {};
  }

 private:
  using SegmentRef = Log::SegmentRef;

  const OpenOptions& options() const { return log_.options_; }
  RecoveryReport& report() { return log_.report_; }
  std::vector<SegmentRef>& segments() { return log_.segments_; }
  // Everything below was called durable once.
  Offset recovery_point() const { return options().recovery_point.value_or(Offset{0}); }

  Result<> list();
  Result<> check_topic();
  Result<> read_epochs();
  Result<> judge();
  Result<bool> trust();
  Result<> inspect();
  Result<bool> inspect_boundary(size_t i);
  Result<bool> scan(size_t i);
  Result<std::optional<std::string>> whats_wrong(BatchWalker& walker, const Segment& segment,
                                                 std::optional<BatchWalker::Step>& step);
  void drop_from(size_t i, std::string why);
  void tell_rebuilt(const std::string& file, const Error& why);
  Result<> change();
  Result<> clean_folder();
  Result<> begin_anew(Offset at);
  Result<> write_tail_again();
  Result<> settle_epochs();
  Result<> settle_topic_id();

  Log& log_;
  runtime::Directory& directory_;
  std::vector<Offset> snapshots_;
  std::vector<std::string> junk_;
  std::vector<SegmentRef> dropped_;  // oldest first
  bool epochs_read_ = false;
  bool clean_ = false;
  bool topic_id_is_stored_ = false;
};

Result<> Recovery::list() {
  std::vector<runtime::DirectoryEntry> entries = TRY(directory_.list());
  std::vector<Offset> bases;
  for (const runtime::DirectoryEntry& entry : entries) {
    if (entry.is_directory) continue;
    if (auto base = parse_offset_file_name(entry.name, kLogSuffix)) {
      bases.push_back(*base);
    } else if (auto at = parse_offset_file_name(entry.name, kSnapshotSuffix)) {
      snapshots_.push_back(*at);
    } else if (entry.name.ends_with(kTemporarySuffix) || entry.name.ends_with(kDeletedSuffix)) {
      junk_.push_back(entry.name);
    }
  }
  auto has_log = [&](Offset base) { return std::ranges::find(bases, base) != bases.end(); };
  for (const runtime::DirectoryEntry& entry : entries) {
    for (std::string_view suffix : {kIndexSuffix, kTimeIndexSuffix}) {
      auto base = parse_offset_file_name(entry.name, suffix);
      if (base && !has_log(*base)) junk_.push_back(entry.name);
    }
  }
  std::ranges::sort(bases);
  for (Offset base : bases) {
    SegmentRef segment = TRY(Segment::open(directory_, base, log_.node_.clock.wall().ms()));
    segments().push_back(std::move(segment));
  }
  return {};
}

Result<> Recovery::check_topic() {
  std::optional<base::Uuid> stored = TRY(read_topic_id(directory_));
  topic_id_is_stored_ = stored.has_value();
  log_.topic_id_ = stored.value_or(options().topic_id);
  if (stored && !options().topic_id.is_zero() && *stored != options().topic_id) {
    return fail(Errc::invalid, std::string(kPartitionMetadataName) + ": topic id " +
                                   stored->to_string() + ", but the topic has " +
                                   options().topic_id.to_string());
  }
  return {};
}

Result<> Recovery::read_epochs() {
  std::optional<std::string> text = TRY(read_text(directory_, kEpochCheckpointName));
  if (!text) return {};
  Result<EpochCache> decoded = EpochCache::decode(*text);
  if (!decoded) {
    tell_rebuilt(std::string(kEpochCheckpointName), decoded.error());
    return {};
  }
  log_.epochs_ = std::move(*decoded);
  epochs_read_ = true;
  return {};
}

Result<> Recovery::judge() {
  if (options().clean_shutdown) clean_ = TRY(trust());
  report().was_clean = clean_;
  if (!clean_) TRY(inspect());
  if (!segments().empty() && options().start.value_or(Offset{0}) > segments().back()->next()) {
    drop_from(0, "all records are before the log start offset");
  }
  return {};
}

// Whether the log is what a stop in good order leaves. The clean-shutdown file may be of an older
// stop, if a power loss brought it back: then the recovery point is not at the end.
Result<bool> Recovery::trust() {
  for (const SegmentRef& segment : segments()) {
    Result<> loaded = segment->load(directory_);
    if (!loaded && loaded.error().code != Errc::corrupt && loaded.error().code != Errc::not_found) {
      return std::unexpected(std::move(loaded).error());
    }
    if (!loaded) {
      // Those before the last are loaded again, and told then.
      if (segment == segments().back()) tell_rebuilt(segment->file_name(), loaded.error());
      return false;
    }
  }
  for (size_t i = 0; i + 1 < segments().size(); ++i) {
    if (segments()[i]->next() > segments()[i + 1]->base()) return false;
  }
  if (!options().recovery_point) return true;
  Offset end = segments().empty() ? options().start.value_or(Offset{0}) : segments().back()->next();
  return end == *options().recovery_point;
}

// Loads what lies below the recovery point and scans the rest.
Result<> Recovery::inspect() {
  // Strictly before: a segment that ends at the recovery point may have been sealed after the sync
  // that put it there, and then its indexes are of an older past.
  size_t scan_from = 0;
  for (size_t i = 0; i < segments().size(); ++i) {
    if (segments()[i]->base() < recovery_point()) scan_from = i;
  }
  if (epochs_read_ && !segments().empty()) {
    // What follows is found in the batches; the checkpoint may know of more than there is.
    (void)log_.epochs_.truncate_end(segments()[scan_from]->base());
  }
  for (size_t i = 0; i < segments().size(); ++i) {
    bool known = false;
    if (i < scan_from) {
      Result<> loaded = segments()[i]->load(directory_);
      if (!loaded && loaded.error().code != Errc::corrupt &&
          loaded.error().code != Errc::not_found) {
        return std::unexpected(std::move(loaded).error());
      }
      known = loaded.has_value();
      if (!known) tell_rebuilt(segments()[i]->file_name(), loaded.error());
    }
    bool goes_on = true;
    if (!known) goes_on = TRY(scan(i));
    if (goes_on) goes_on = TRY(inspect_boundary(i));
    if (!goes_on) break;
  }
  Offset end = segments().empty() ? Offset{0} : segments().back()->next();
  if (end < recovery_point() && options().start.value_or(Offset{0}) < recovery_point()) {
    return fail(Errc::corrupt, (segments().empty() ? "" : segments().back()->file_name() + ": ") +
                                   "the log ends at offset " + std::to_string(end.value) +
                                   " before its recovery point " +
                                   std::to_string(recovery_point().value));
  }
  return {};
}

// Whether segment i + 1 continues segment i; if not, it is damage or the end of the log.
Result<bool> Recovery::inspect_boundary(size_t i) {
  if (i + 1 >= segments().size()) return true;
  Offset end = segments()[i]->next();
  Offset base = segments()[i + 1]->base();
  if (end == base) return true;
  // Compaction leaves gaps, but only in what was synced long ago.
  if (options().config.compacted && end < base && base <= recovery_point()) return true;
  if (end < recovery_point()) {
    return fail(Errc::corrupt, segments()[i]->file_name() + ": ends at offset " +
                                   std::to_string(end.value) + ", the next segment begins at " +
                                   std::to_string(base.value) + ", below the recovery point " +
                                   std::to_string(recovery_point().value));
  }
  drop_from(i + 1, "the segment before them ends at offset " + std::to_string(end.value));
  return false;
}

// Why the next batch cannot be followed; nothing when it is good. `step` is empty at the end.
Result<std::optional<std::string>> Recovery::whats_wrong(BatchWalker& walker,
                                                         const Segment& segment,
                                                         std::optional<BatchWalker::Step>& step) {
  auto next = walker.next();
  if (!next) {
    if (next.error().code != Errc::corrupt) return std::unexpected(std::move(next).error());
    return std::optional(std::move(next.error().detail));
  }
  step = *next;
  if (!step) return std::optional<std::string>();
  bool fits = TRY(walker.crc_fits());
  if (!fits) return std::optional<std::string>("checksum does not fit");
  if (!segment.fits(step->header)) return std::optional<std::string>("offset does not follow");
  // Above the recovery point a file or a name that a truncation took may be back, if the sync of
  // that truncation failed.
  if (segment.next() >= recovery_point() && step->header.leader_epoch < log_.epochs_.last().value) {
    return std::optional<std::string>("leader epoch goes back");
  }
  // The base offset is outside the checksum; only its neighbours tell whether it is right.
  Offset base{step->header.base_offset};
  bool over_recovery_point = segment.next() < recovery_point() && recovery_point() < base;
  if (base > segment.next() && (!options().config.compacted || over_recovery_point)) {
    return std::optional<std::string>("offsets are missing");
  }
  return std::optional<std::string>();
}

// Builds indexes and epochs of one segment from its batches. False when the log ends in it.
Result<bool> Recovery::scan(size_t i) {
  Segment& segment = *segments()[i];
  segment.forget();
  ++report().segments_scanned;
  uint64_t file_bytes = segment.file().size();
  BatchWalker walker(segment.file(), 0, file_bytes, kScanChunkBytes);
  for (;;) {
    std::optional<BatchWalker::Step> step;
    std::optional<std::string> wrong = TRY(whats_wrong(walker, segment, step));
    if (wrong) {
      std::string place = segment.file_name() + " at byte " + std::to_string(segment.size_bytes()) +
                          ", offset " + std::to_string(segment.next().value) + ": " + *wrong;
      if (segment.next() < recovery_point()) return fail(Errc::corrupt, place);
      report().bytes_cut += file_bytes - segment.size_bytes();
      report().cut_at = segment.next();
      report().what = "cut " + place;
      drop_from(i + 1, "the segment before them was cut");
      return false;
    }
    if (!step) return true;
    segment.note(step->header, options().config.index_interval_bytes);
    (void)log_.epochs_.assign(LeaderEpoch{step->header.leader_epoch},
                              Offset{step->header.base_offset});
  }
}

// Indexes and epochs are made again from the batches that they were made from, but not in silence.
void Recovery::tell_rebuilt(const std::string& file, const Error& why) {
  log_.node_.observer.warning("rebuilt from the batches",
                              {{"log", options().name}, {"file", file}, {"why", why.to_string()}});
}

void Recovery::drop_from(size_t i, std::string why) {
  if (i >= segments().size()) return;
  size_t count = segments().size() - i;
  report().segments_dropped += count;
  for (size_t k = i; k < segments().size(); ++k) {
    report().bytes_cut += segments()[k]->file().size();
    dropped_.push_back(segments()[k]);
  }
  if (!report().cut_at && i > 0) report().cut_at = segments()[i - 1]->next();
  if (!report().what.empty()) report().what += "; ";
  report().what += "dropped " + std::to_string(count) + " segments: " + std::move(why);
  segments().resize(i);
  CHECK(report().segments_dropped == dropped_.size());
}

Result<> Recovery::change() {
  runtime::Observer& observer = log_.node_.observer;
  if (report().segments_dropped > 0) observer.reached(probe(ProbeId::segment_dropped));
  if (report().bytes_cut > 0) {
    observer.reached(probe(ProbeId::torn_tail_cut));
    observer.warning("log cut at start", {{"log", options().name}, {"what", report().what}});
  }
  // The newest first: a crash in between leaves a log without holes.
  for (size_t i = dropped_.size(); i > 0; --i) TRY(dropped_[i - 1]->remove(directory_));
  if (segments().empty()) TRY(begin_anew(options().start.value_or(Offset{0})));
  for (const SegmentRef& segment : segments()) {
    if (!EXHIBIT(log_.node_, torn_tail_kept)) TRY(segment->cut_file());
  }
  if (!clean_) TRY(write_tail_again());
  for (size_t i = 0; i + 1 < segments().size(); ++i) {
    segments()[i]->seal();
    if (!segments()[i]->dirty()) continue;
    observer.reached(probe(ProbeId::index_rebuilt));
    ++report().indexes_rebuilt;
    TRY(segments()[i]->write_indexes(directory_));
  }
  log_.next_ = segments().back()->next();
  log_.start_ = std::max(options().start.value_or(Offset{0}), segments().front()->base());
  CHECK(log_.start_ <= log_.next_);
  TRY(settle_epochs());
  TRY(settle_topic_id());
  TRY(clean_folder());
  TRY(directory_.sync());
  log_.durable_ = log_.next_;
  return {};
}

Result<> Recovery::begin_anew(Offset at) {
  CHECK(segments().empty());
  SegmentRef segment = TRY(Segment::create(directory_, at, log_.node_.clock.wall().ms()));
  segments().push_back(std::move(segment));
  return {};
}

// The page cache may hold what no device ever got, and call it clean: after a failed sync and a
// crash it does. So what is kept above the recovery point is written again, and the names of its
// files are made again.
Result<> Recovery::write_tail_again() {
  for (const SegmentRef& segment : segments()) {
    if (segment->next() < recovery_point()) continue;
    uint64_t from = 0;
    if (EXHIBIT(log_.node_, torn_tail_kept)) {
      TRY(segment->rewrite_from(0));
    } else if (segment->base() < recovery_point()) {
      std::optional<BatchWalker::Step> step = TRY(segment->locate(recovery_point()));
      from = step ? step->position : segment->size_bytes();
      // Only of the last one: what a crash leaves of it in between would cut off those after it.
      if (segment == segments().back()) TRY(segment->write_size_again());
      if (from < segment->size_bytes()) TRY(segment->rewrite_from(from));
    } else {
      TRY(segment->replace_by_copy(directory_));
    }
    report().bytes_rewritten += segment->size_bytes() - from;
  }
  if (report().bytes_rewritten > 0) log_.node_.observer.reached(probe(ProbeId::tail_rewritten));
  return {};
}

Result<> Recovery::settle_epochs() {
  EpochCache& epochs = log_.epochs_;
  if (!epochs_read_) {
    epochs.clear();
    for (const SegmentRef& segment : segments()) {
      BatchWalker walker(segment->file(), 0, segment->size_bytes(), kHopChunkBytes);
      for (;;) {
        std::optional<BatchWalker::Step> step = TRY(walker.next());
        if (!step) break;
        (void)epochs.assign(LeaderEpoch{step->header.leader_epoch},
                            Offset{step->header.base_offset});
      }
    }
  }
  bool cut_end = epochs.truncate_end(log_.next_);
  bool cut_start = epochs.truncate_start(log_.start_);
  if (!epochs_read_ && epochs.entries().empty()) return {};  // a new log, or one without epochs
  if (!clean_ || cut_end || cut_start || !epochs_read_) {
    TRY(replace_file(directory_, kEpochCheckpointName, epochs.encode(), SyncDirectory::no));
  }
  return {};
}

Result<> Recovery::settle_topic_id() {
  if (topic_id_is_stored_ || log_.topic_id_.is_zero()) return {};
  std::string text = "version: 0\n" + std::string(kTopicIdKey) + log_.topic_id_.to_string();
  return replace_file(directory_, kPartitionMetadataName, text, SyncDirectory::no);
}

// Removes what crashes left, and snapshots that can serve nobody: those of a longer log and all
// but the newest between two segments.
Result<> Recovery::clean_folder() {
  for (const std::string& name : junk_) {
    auto removed = directory_.remove(name);
    if (!removed && removed.error().code != Errc::not_found) return removed;
  }
  std::optional<Offset> newest;
  for (Offset at : snapshots_) {
    if (at <= log_.next_) newest = std::max(newest.value_or(at), at);
  }
  for (Offset at : snapshots_) {
    bool begins_segment = std::ranges::any_of(
        segments(), [&](const SegmentRef& segment) { return segment->base() == at; });
    if (at <= log_.next_ && (begins_segment || at == newest)) continue;
    TRY(directory_.remove(offset_file_name(at, kSnapshotSuffix)));
  }
  return {};
}

Result<std::unique_ptr<Log>> Log::open(runtime::Node& node,
                                       std::unique_ptr<runtime::Directory> directory,
                                       OpenOptions options) {
  std::unique_ptr<Log> log(new Log(node, std::move(directory), std::move(options)));
  log->check_shard();
  Result<> done = Recovery(*log).run();
  if (done) done = log->rebuild_producers();
  if (!done) {
    return fail(done.error().code, log->options_.name + "/" + done.error().detail);
  }
  if (EXHIBIT(node, torn_tail_kept)) log->active().keep_unknown_bytes();
  log->check_invariants();
  CHECK(log->durable_ == log->next_);
  return log;
}

Result<> Log::rebuild_producers() {
  producers_.clear();
  if (EXHIBIT(node_, producer_state_not_rebuilt)) return {};
  std::vector<runtime::DirectoryEntry> entries = TRY(directory_->list());
  std::vector<Offset> snapshots;
  for (const runtime::DirectoryEntry& entry : entries) {
    auto at = parse_offset_file_name(entry.name, kSnapshotSuffix);
    if (at && *at <= next_) snapshots.push_back(*at);
  }
  std::ranges::sort(snapshots, std::greater<>());
  for (Offset at : snapshots) {
    std::string name = offset_file_name(at, kSnapshotSuffix);
    std::unique_ptr<runtime::File> file =
        TRY(directory_->open(name, runtime::OpenMode::open_existing));
    size_t bytes_max = std::min<uint64_t>(file->size(), kSnapshotBytesMax);
    Slice bytes = TRY(file->read_at(0, bytes_max));
    Result<ProducerTable> table = ProducerTable::from_snapshot(bytes);
    if (table) {
      producers_ = std::move(*table);
      return replay_producers(at);
    }
    // A power loss can tear it; an older one and more of the log give the same.
    node_.observer.reached(probe(ProbeId::snapshot_refused));
    node_.observer.warning("producer snapshot refused",
                           {{"log", options_.name}, {"file", name}, {"why", table.error().detail}});
    TRY(directory_->remove(name));
    names_dirty_ = true;
  }
  return replay_producers(start_);
}

Result<> Log::replay_producers(Offset from) {
  std::vector<SegmentRef> segments = segments_;
  for (const SegmentRef& segment : segments) {
    if (segment->next() <= from) continue;
    uint64_t position = segment->position_before(std::max(from, segment->base()));
    BatchWalker walker(segment->file(), position, segment->size_bytes(), kHopChunkBytes);
    for (;;) {
      auto step = walker.next();
      if (!step) {
        return fail(step.error().code, segment->file_name() + ": " + step.error().detail);
      }
      if (!*step) break;
      if ((*step)->header.base_offset >= from.value) producers_.update((*step)->header);
    }
  }
  producers_.check_invariants();
  return {};
}

}  // namespace verdict::log
