#pragma once
// TimeIndex: for some points of a segment, the largest timestamp up to there and the offset that
// brought it. Held in memory; its file is written when the segment is sealed.
//
// Invariant: timestamps grow strictly, offsets never fall.

#include <cstdint>
#include <deque>
#include <optional>

#include "broker/base/result.h"
#include "broker/base/slice.h"

namespace verdict::log {

class TimeIndex {
 public:
  static constexpr size_t kEntryBytes = 12;
  struct Entry {
    int64_t timestamp_ms;
    int32_t relative_offset;  // last of the batch that holds the timestamp
    auto operator<=>(const Entry&) const = default;
  };

  // Nothing happens unless the timestamp is larger than the last one.
  void maybe_append(Entry entry);
  // The last entry of at most `timestamp_ms`: no record before its batch has a larger timestamp.
  std::optional<Entry> lookup(int64_t timestamp_ms) const;
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }
  const std::deque<Entry>& entries() const { return entries_; }

  // Kafka's file: 12 bytes per entry.
  base::Slices encode() const;
  // corrupt unless the entries grow.
  static base::Result<TimeIndex> decode(const base::Slice& bytes);

 private:
  std::deque<Entry> entries_;
};

}  // namespace verdict::log
