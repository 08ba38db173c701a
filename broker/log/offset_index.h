#pragma once
// OffsetIndex: for some batches of a segment, where they begin. Sparse: about one entry per
// index.interval.bytes of log. Held in memory; its file is written when the segment is sealed.
//
// Invariant: offsets and positions both grow strictly from entry to entry.

#include <cstdint>
#include <deque>
#include <optional>

#include "broker/base/result.h"
#include "broker/base/slice.h"

namespace verdict::log {

class OffsetIndex {
 public:
  static constexpr size_t kEntryBytes = 8;
  struct Entry {
    int32_t relative_offset;  // of the last record of the batch, from the segment's base
    int32_t position;         // of the batch
    auto operator<=>(const Entry&) const = default;
  };

  // Both larger than those of the last entry.
  void append(Entry entry);
  // The last entry with an offset of at most `relative_offset`: no later batch begins before it.
  std::optional<Entry> lookup(int64_t relative_offset) const;
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }
  const std::deque<Entry>& entries() const { return entries_; }

  // Kafka's file: 8 bytes per entry.
  base::Slices encode() const;
  // corrupt unless the entries grow and point into a log of `log_bytes`.
  static base::Result<OffsetIndex> decode(const base::Slice& bytes, uint64_t log_bytes);

 private:
  std::deque<Entry> entries_;
};

}  // namespace verdict::log
