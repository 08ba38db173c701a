#include "broker/log/offset_index.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/endian.h"

namespace verdict::log {
namespace {
constexpr size_t kEntriesPerSlice = 8192;  // no buffer grows with the log
}

void OffsetIndex::append(Entry entry) {
  CHECK(entry.relative_offset >= 0);
  CHECK(entry.position >= 0);
  if (!entries_.empty()) {
    CHECK(entry.relative_offset > entries_.back().relative_offset);
    CHECK(entry.position > entries_.back().position);
  }
  entries_.push_back(entry);
}

std::optional<OffsetIndex::Entry> OffsetIndex::lookup(int64_t relative_offset) const {
  auto after = std::upper_bound(
      entries_.begin(), entries_.end(), relative_offset,
      [](int64_t wanted, const Entry& entry) { return wanted < entry.relative_offset; });
  if (after == entries_.begin()) return std::nullopt;
  return *std::prev(after);
}

base::Slices OffsetIndex::encode() const {
  base::Slices all;
  for (size_t from = 0; from < entries_.size(); from += kEntriesPerSlice) {
    size_t count = std::min(kEntriesPerSlice, entries_.size() - from);
    base::MutableBuffer buffer(count * kEntryBytes);
    for (size_t i = 0; i < count; ++i) {
      std::byte* at = buffer.data() + i * kEntryBytes;
      base::store_be(at, entries_[from + i].relative_offset);
      base::store_be(at + 4, entries_[from + i].position);
    }
    all.push_back(std::move(buffer).freeze(count * kEntryBytes));
  }
  CHECK(all.size() == entries_.size() * kEntryBytes);
  return all;
}

base::Result<OffsetIndex> OffsetIndex::decode(const base::Slice& bytes, uint64_t log_bytes) {
  if (bytes.size() % kEntryBytes != 0) {
    return base::fail(base::Errc::corrupt, "offset index: no whole number of entries");
  }
  OffsetIndex index;
  for (size_t at = 0; at < bytes.size(); at += kEntryBytes) {
    Entry entry{base::load_be<int32_t>(bytes.data() + at),
                base::load_be<int32_t>(bytes.data() + at + 4)};
    bool grows =
        index.entries_.empty() || (entry.relative_offset > index.entries_.back().relative_offset &&
                                   entry.position > index.entries_.back().position);
    if (!grows || entry.relative_offset < 0 || entry.position < 0 ||
        static_cast<uint64_t>(entry.position) >= log_bytes) {
      return base::fail(base::Errc::corrupt,
                        "offset index: entry " + std::to_string(at / kEntryBytes));
    }
    index.entries_.push_back(entry);
  }
  return index;
}

}  // namespace verdict::log
