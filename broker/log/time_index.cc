#include "broker/log/time_index.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/endian.h"

namespace verdict::log {
namespace {
constexpr size_t kEntriesPerSlice = 8192;  // no buffer grows with the log
}

void TimeIndex::maybe_append(Entry entry) {
  CHECK(entry.relative_offset >= 0);
  if (entry.timestamp_ms < 0) return;
  if (!entries_.empty()) {
    if (entry.timestamp_ms <= entries_.back().timestamp_ms) return;
    CHECK(entry.relative_offset >= entries_.back().relative_offset);
  }
  entries_.push_back(entry);
}

std::optional<TimeIndex::Entry> TimeIndex::lookup(int64_t timestamp_ms) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), timestamp_ms,
      [](int64_t wanted, const Entry& entry) { return wanted < entry.timestamp_ms; });
  if (after == entries_.begin()) return std::nullopt;
  return *std::prev(after);
}

base::Slices TimeIndex::encode() const {
  base::Slices all;
  for (size_t from = 0; from < entries_.size(); from += kEntriesPerSlice) {
    size_t count = std::min(kEntriesPerSlice, entries_.size() - from);
    base::MutableBuffer buffer(count * kEntryBytes);
    for (size_t i = 0; i < count; ++i) {
      std::byte* at = buffer.data() + i * kEntryBytes;
      base::store_be(at, entries_[from + i].timestamp_ms);
      base::store_be(at + 8, entries_[from + i].relative_offset);
    }
    all.push_back(std::move(buffer).freeze(count * kEntryBytes));
  }
  CHECK(all.size() == entries_.size() * kEntryBytes);
  return all;
}

base::Result<TimeIndex> TimeIndex::decode(const base::Slice& bytes) {
  if (bytes.size() % kEntryBytes != 0) {
    return base::fail(base::Errc::corrupt, "time index: no whole number of entries");
  }
  TimeIndex index;
  for (size_t at = 0; at < bytes.size(); at += kEntryBytes) {
    Entry entry{base::load_be<int64_t>(bytes.data() + at),
                base::load_be<int32_t>(bytes.data() + at + 8)};
    bool grows =
        index.entries_.empty() || (entry.timestamp_ms > index.entries_.back().timestamp_ms &&
                                   entry.relative_offset >= index.entries_.back().relative_offset);
    if (!grows || entry.relative_offset < 0 || entry.timestamp_ms < 0) {
      return base::fail(base::Errc::corrupt,
                        "time index: entry " + std::to_string(at / kEntryBytes));
    }
    index.entries_.push_back(entry);
  }
  return index;
}

}  // namespace verdict::log
