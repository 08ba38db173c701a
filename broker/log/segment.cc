#include "broker/log/segment.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/file_names.h"

namespace verdict::log {

using base::Errc;
using base::fail;
using base::Offset;
using base::Result;
using base::Slice;
using base::Slices;
using runtime::Directory;
using runtime::File;
using runtime::OpenMode;

namespace {

constexpr size_t kHopChunkBytes = 16 << 10;  // to hop from header to header
constexpr size_t kCopyChunkBytes = 1 << 20;

Result<> write_whole_file(Directory& directory, const std::string& name, const Slices& bytes) {
  std::unique_ptr<File> file = TRY(directory.open(name, OpenMode::open_or_create));
  if (file->size() > bytes.size()) TRY(file->truncate(bytes.size()));
  if (!bytes.empty()) TRY(file->write_at(0, bytes.span()));
  TRY(file->sync());
  CHECK(file->size() == bytes.size());
  return {};
}

Result<> remove_if_there(Directory& directory, const std::string& name) {
  auto removed = directory.remove(name);
  if (!removed && removed.error().code != Errc::not_found) return removed;
  return {};
}

Result<Slice> read_whole_file(Directory& directory, const std::string& name, uint64_t bytes_max) {
  std::unique_ptr<File> file = TRY(directory.open(name, OpenMode::open_existing));
  if (file->size() > bytes_max) return fail(Errc::corrupt, name + ": larger than any index");
  Slice bytes = TRY(file->read_at(0, file->size()));
  return bytes;
}

}  // namespace

Result<std::shared_ptr<Segment>> Segment::create(Directory& directory, Offset base,
                                                 int64_t now_ms) {
  std::string name = offset_file_name(base, kLogSuffix);
  TRY(remove_if_there(directory, offset_file_name(base, kIndexSuffix)));
  TRY(remove_if_there(directory, offset_file_name(base, kTimeIndexSuffix)));
  std::unique_ptr<File> file = TRY(directory.open(name, OpenMode::create_exclusive));
  return std::shared_ptr<Segment>(new Segment(base, std::move(file), now_ms));
}

Result<std::shared_ptr<Segment>> Segment::open(Directory& directory, Offset base, int64_t now_ms) {
  std::unique_ptr<File> file =
      TRY(directory.open(offset_file_name(base, kLogSuffix), OpenMode::open_existing));
  return std::shared_ptr<Segment>(new Segment(base, std::move(file), now_ms));
}

std::string Segment::file_name() const { return offset_file_name(base_, kLogSuffix); }

Result<> Segment::append(const Slices& bytes, const record::BatchHeader& header,
                         int64_t index_interval_bytes) {
  CHECK(!sealed_);
  CHECK(bytes.size() == header.total_bytes());
  CHECK(size_ + bytes.size() <= INT32_MAX);
  TRY(file_->write_at(size_, bytes.span()));
  note(header, index_interval_bytes);
  bytes_dirty_ = true;
  return {};
}

bool Segment::fits(const record::BatchHeader& header) const {
  return header.base_offset >= next_.value &&
         header.base_offset - base_.value <= int64_t{INT32_MAX} - header.last_offset_delta;
}

void Segment::note(const record::BatchHeader& header, int64_t index_interval_bytes) {
  CHECK(fits(header));
  note_times(header);
  if (size_ - last_indexed_position_ > static_cast<uint64_t>(index_interval_bytes)) {
    offsets_.append(
        {static_cast<int32_t>(header.last_offset() - base_.value), static_cast<int32_t>(size_)});
    times_.maybe_append({max_timestamp_ms_, static_cast<int32_t>(max_timestamp_offset_ - base_)});
    last_indexed_position_ = size_;
  }
  indexes_dirty_ = true;
  size_ += header.total_bytes();
  next_ = Offset{header.next_offset()};
}

void Segment::note_times(const record::BatchHeader& header) {
  if (size_ == 0 && header.max_timestamp_ms >= 0) first_timestamp_ms_ = header.max_timestamp_ms;
  if (header.max_timestamp_ms > max_timestamp_ms_) {
    max_timestamp_ms_ = header.max_timestamp_ms;
    max_timestamp_offset_ = Offset{header.last_offset()};
  }
}

void Segment::forget() {
  next_ = base_;
  size_ = 0;
  offsets_.clear();
  times_.clear();
  last_indexed_position_ = 0;
  max_timestamp_ms_ = -1;
  max_timestamp_offset_ = base_;
  first_timestamp_ms_.reset();
  sealed_ = false;
  indexes_dirty_ = true;
}

Result<> Segment::load(Directory& directory) {
  forget();
  uint64_t file_bytes = file_->size();
  if (file_bytes > INT32_MAX) return fail(Errc::corrupt, file_name() + ": too large");
  if (file_bytes == 0) return {};
  // An index has at most an entry per smallest batch.
  uint64_t entries_max = file_bytes / record::kHeaderBytes + 1;
  Slice offsets = TRY(read_whole_file(directory, offset_file_name(base_, kIndexSuffix),
                                      entries_max * OffsetIndex::kEntryBytes));
  offsets_ = TRY(OffsetIndex::decode(offsets, file_bytes));
  Slice times = TRY(read_whole_file(directory, offset_file_name(base_, kTimeIndexSuffix),
                                    entries_max * TimeIndex::kEntryBytes));
  times_ = TRY(TimeIndex::decode(times));
  TRY(load_end());
  indexes_dirty_ = false;
  check_invariants();
  return {};
}

// The first batch for the age, and the batches from the last index entry on for the end.
Result<> Segment::load_end() {
  uint64_t file_bytes = file_->size();
  BatchWalker first(*file_, 0, file_bytes, record::kHeaderBytes);
  std::optional<BatchWalker::Step> step = TRY(first.next());
  CHECK(step.has_value());
  if (step->header.base_offset < base_.value) {
    return fail(Errc::corrupt, file_name() + ": begins before its name");
  }
  note_times(step->header);
  if (!times_.entries().empty() && times_.entries().back().timestamp_ms > max_timestamp_ms_) {
    max_timestamp_ms_ = times_.entries().back().timestamp_ms;
    max_timestamp_offset_ = base_ + times_.entries().back().relative_offset;
  }
  if (offsets_.size() > 0) {
    last_indexed_position_ = static_cast<uint64_t>(offsets_.entries().back().position);
  }
  BatchWalker walker(*file_, last_indexed_position_, file_bytes, kHopChunkBytes);
  bool at_entry = offsets_.size() > 0;
  for (;;) {
    std::optional<BatchWalker::Step> at = TRY(walker.next());
    if (!at) break;
    if (!fits(at->header)) return fail(Errc::corrupt, file_name() + ": offsets go back");
    if (at_entry &&
        at->header.last_offset() != base_.value + offsets_.entries().back().relative_offset) {
      return fail(Errc::corrupt, file_name() + ": the offset index points elsewhere");
    }
    at_entry = false;
    size_ = at->position;  // so that only the first batch counts as first
    note_times(at->header);
    next_ = Offset{at->header.next_offset()};
  }
  size_ = file_bytes;
  if (max_timestamp_offset_ >= next_) {
    return fail(Errc::corrupt, file_name() + ": the time index points beyond the end");
  }
  return {};
}

Result<> Segment::cut_file() {
  CHECK(size_ <= file_->size());
  if (size_ == file_->size()) return {};
  TRY(file_->truncate(size_));
  TRY(file_->sync());
  CHECK(file_->size() == size_);
  return {};
}

Result<> Segment::truncate(const BatchWalker::Step& at, int64_t index_interval_bytes) {
  CHECK(at.position < size_);
  CHECK(at.end() <= size_);
  // What came before is noted again: the largest timestamp may have been in what goes.
  uint64_t keep = at.position;
  forget();
  BatchWalker walker(*file_, 0, keep, kHopChunkBytes);
  while (walker.position() < keep) {
    std::optional<BatchWalker::Step> step = TRY(walker.next());
    if (!step || !fits(step->header)) return fail(Errc::corrupt, file_name() + ": changed");
    note(step->header, index_interval_bytes);
  }
  CHECK(size_ == keep);
  TRY(cut_file());
  return {};
}

Result<> Segment::rewrite_from(uint64_t from) {
  CHECK(from <= size_);
  for (uint64_t at = from; at < size_;) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(kCopyChunkBytes, size_ - at));
    Slice part = TRY(file_->read_at(at, n));
    if (part.size() != n) return fail(Errc::corrupt, file_name() + ": shorter than it was");
    TRY(file_->write_at(at, {&part, 1}));
    at += n;
  }
  TRY(file_->sync());
  bytes_dirty_ = false;
  return {};
}

Result<> Segment::write_size_again() {
  // A crash before the cut leaves a zero, which is no batch.
  Slice zero = Slice::copy_of(std::string_view("\0", 1));
  CHECK(zero.size() == 1);
  TRY(file_->write_at(size_, {&zero, 1}));
  TRY(file_->truncate(size_));
  TRY(file_->sync());
  CHECK(file_->size() == size_);
  return {};
}

Result<> Segment::replace_by_copy(Directory& directory) {
  std::string temporary = file_name() + std::string(kTemporarySuffix);
  TRY(remove_if_there(directory, temporary));
  std::unique_ptr<File> copy = TRY(directory.open(temporary, OpenMode::create_exclusive));
  for (uint64_t at = 0; at < size_;) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(kCopyChunkBytes, size_ - at));
    Slice part = TRY(file_->read_at(at, n));
    if (part.size() != n) return fail(Errc::corrupt, file_name() + ": shorter than it was");
    TRY(copy->write_at(at, {&part, 1}));
    at += n;
  }
  TRY(copy->sync());
  TRY(directory.rename(temporary, file_name()));
  CHECK(copy->size() == size_);
  file_ = std::move(copy);
  bytes_dirty_ = false;
  return {};
}

void Segment::seal() {
  CHECK(!sealed_);
  size_t entries = times_.size();
  times_.maybe_append({max_timestamp_ms_, static_cast<int32_t>(max_timestamp_offset_ - base_)});
  if (times_.size() != entries) indexes_dirty_ = true;
  sealed_ = true;
  check_invariants();
}

Result<> Segment::sync(Directory& directory) {
  if (bytes_dirty_) {
    // Cleared before the sync: an append that comes meanwhile is not covered and sets it again.
    bytes_dirty_ = false;
    TRY(file_->sync());
  }
  if (sealed_ && indexes_dirty_) TRY(write_indexes(directory));
  return {};
}

Result<> Segment::write_indexes(Directory& directory) {
  TRY(write_whole_file(directory, offset_file_name(base_, kIndexSuffix), offsets_.encode()));
  TRY(write_whole_file(directory, offset_file_name(base_, kTimeIndexSuffix), times_.encode()));
  indexes_dirty_ = false;
  return {};
}

Result<> Segment::remove(Directory& directory) {
  // The log first: an index without a log is removed at the next start, a log without one is not.
  TRY(remove_if_there(directory, file_name()));
  TRY(remove_if_there(directory, offset_file_name(base_, kIndexSuffix)));
  TRY(remove_if_there(directory, offset_file_name(base_, kTimeIndexSuffix)));
  return {};
}

uint64_t Segment::position_before(Offset offset) const {
  std::optional<OffsetIndex::Entry> entry = offsets_.lookup(offset - base_);
  return entry ? static_cast<uint64_t>(entry->position) : 0;
}

Result<std::optional<BatchWalker::Step>> Segment::locate(Offset offset) {
  CHECK(offset >= base_);
  BatchWalker walker(*file_, position_before(offset), size_, kHopChunkBytes);
  for (;;) {
    auto step = walker.next();
    if (!step) {
      return fail(step.error().code, file_name() + " at byte " + std::to_string(walker.position()) +
                                         ": " + step.error().detail);
    }
    if (!*step || (*step)->header.last_offset() >= offset.value) return *step;
  }
}

void Segment::check_invariants() const {
  CHECK(base_ <= next_);
  CHECK(size_ <= file_->size());
  CHECK(size_ <= INT32_MAX);
  if (offsets_.size() > 0) {
    CHECK(static_cast<uint64_t>(offsets_.entries().back().position) < size_);
    CHECK(base_ + offsets_.entries().back().relative_offset < next_);
  }
  if (times_.size() > 0) CHECK(times_.entries().back().timestamp_ms <= max_timestamp_ms_);
}

}  // namespace verdict::log
