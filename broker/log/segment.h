#pragma once
// Segment: one file of consecutive batches of a partition, with its two indexes.
//
// Invariants, checked by check_invariants():
//   base <= next; index entries point into the file; a sealed segment takes no more batches
//   dirty() as long as bytes or indexes may not be on the device
//
// The .log file stays open; index files are opened only to be read at start and written when the
// segment is sealed. Until then a crash costs a scan, not data.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/log/batch_walker.h"
#include "broker/log/offset_index.h"
#include "broker/log/time_index.h"
#include "broker/record/batch.h"
#include "broker/runtime/file.h"

namespace verdict::log {

class Segment {
 public:
  // A new, empty file; already_exists when there is one. Indexes of that name go first.
  static base::Result<std::shared_ptr<Segment>> create(runtime::Directory& directory,
                                                       base::Offset base, int64_t now_ms);
  // The file as it is; nothing is known of its content yet: load() or the caller's scan follows.
  static base::Result<std::shared_ptr<Segment>> open(runtime::Directory& directory,
                                                     base::Offset base, int64_t now_ms);

  base::Offset base() const { return base_; }
  base::Offset next() const { return next_; }
  uint64_t size_bytes() const { return size_; }
  runtime::File& file() { return *file_; }
  std::string file_name() const;
  int64_t max_timestamp_ms() const { return max_timestamp_ms_; }
  // Last offset of the first batch that brought the largest timestamp.
  base::Offset max_timestamp_offset() const { return max_timestamp_offset_; }
  // Of the first batch when it has one, else when the segment was made: what its age counts from.
  std::optional<int64_t> first_timestamp_ms() const { return first_timestamp_ms_; }
  int64_t created_ms() const { return created_ms_; }
  const OffsetIndex& offsets() const { return offsets_; }
  const TimeIndex& times() const { return times_; }

  // Writes one batch at the end. After an error any prefix of it may be there.
  base::Result<> append(const base::Slices& bytes, const record::BatchHeader& header,
                        int64_t index_interval_bytes);
  // Whether a batch with this header can come next: what the file claims is judged by this.
  bool fits(const record::BatchHeader& header) const;
  // Takes into account a batch that is at the end of what is known: `position` is size_bytes().
  void note(const record::BatchHeader& header, int64_t index_interval_bytes);
  // Forgets what is known of the content, before a scan.
  void forget();
  // Reads the indexes and what follows their last entry; corrupt when anything does not fit.
  base::Result<> load(runtime::Directory& directory);
  // Cuts the file where its known content ends, if it is longer, and syncs it.
  base::Result<> cut_file();
  // Cuts the content, and the file, at `at`, where a batch begins.
  base::Result<> truncate(const BatchWalker::Step& at, int64_t index_interval_bytes);
  // Lets the known content reach to the end of the file, whatever is there.
  void keep_unknown_bytes() { size_ = file_->size(); }
  // Reads the file and writes the same bytes again from `from` on, so that a sync means them.
  base::Result<> rewrite_from(uint64_t from);
  // Makes the size of the file an operation anew: one that a failed sync forgot is not durable.
  base::Result<> write_size_again();
  // The same for the whole file and its name: copied to another file that takes its place.
  base::Result<> replace_by_copy(runtime::Directory& directory);

  // No more batches come: completes the time index.
  void seal();
  bool sealed() const { return sealed_; }
  // After a truncation it is the active one again.
  void unseal() { sealed_ = false; }
  bool dirty() const { return bytes_dirty_ || (sealed_ && indexes_dirty_); }
  // Makes durable what was appended before this call; of a sealed segment the indexes too.
  base::Result<> sync(runtime::Directory& directory);
  // Writes both index files as they are now and syncs them.
  base::Result<> write_indexes(runtime::Directory& directory);
  // Removes the files.
  base::Result<> remove(runtime::Directory& directory);

  // The batch that holds `offset`, or the first one after it; nothing at the end.
  base::Result<std::optional<BatchWalker::Step>> locate(base::Offset offset);
  // Where a search for `offset` begins: at or before its batch.
  uint64_t position_before(base::Offset offset) const;

  void check_invariants() const;

 private:
  Segment(base::Offset base, std::unique_ptr<runtime::File> file, int64_t now_ms)
      : base_(base),
        next_(base),
        file_(std::move(file)),
        max_timestamp_offset_(base),
        created_ms_(now_ms) {}
  void note_times(const record::BatchHeader& header);
  base::Result<> load_end();

  base::Offset base_;
  base::Offset next_;
  std::unique_ptr<runtime::File> file_;
  uint64_t size_ = 0;
  OffsetIndex offsets_;
  TimeIndex times_;
  uint64_t last_indexed_position_ = 0;
  int64_t max_timestamp_ms_ = -1;
  base::Offset max_timestamp_offset_;
  std::optional<int64_t> first_timestamp_ms_;
  int64_t created_ms_;
  bool sealed_ = false;
  bool bytes_dirty_ = false;
  bool indexes_dirty_ = true;
};

}  // namespace verdict::log
