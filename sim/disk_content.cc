#include "sim/disk_content.h"

#include <algorithm>
#include <cstring>

namespace verdict::sim {

using base::Slice;

size_t DiskContent::first_after(uint64_t offset) const {
  auto at = std::partition_point(extents_.begin(), extents_.end(),
                                 [offset](const Extent& e) { return e.end() <= offset; });
  return static_cast<size_t>(at - extents_.begin());
}

uint64_t DiskContent::stored_in(uint64_t offset, uint64_t n) const {
  uint64_t end = offset + n;
  uint64_t sum = 0;
  for (size_t i = first_after(offset); i < extents_.size() && extents_[i].offset < end; ++i) {
    sum += std::min(end, extents_[i].end()) - std::max(offset, extents_[i].offset);
  }
  CHECK(sum <= n);
  return sum;
}

void DiskContent::write(uint64_t offset, Slice bytes) {
  if (bytes.empty()) return;
  uint64_t end = offset + bytes.size();
  CHECK(end > offset);
  stored_ += bytes.size();
  if (extents_.empty() || offset >= extents_.back().end()) {
    extents_.push_back({offset, std::move(bytes)});
  } else {
    erase(offset, end);
    auto at = extents_.begin() + static_cast<ptrdiff_t>(first_after(offset));
    extents_.insert(at, {offset, std::move(bytes)});
  }
  grow(end);
}

void DiskContent::erase(uint64_t from, uint64_t to) {
  if (from >= to) return;
  size_t i = first_after(from);
  if (i == extents_.size()) return;
  if (extents_[i].offset < from) {
    Extent& head = extents_[i];
    uint64_t end = head.end();
    Slice tail;
    if (end > to) tail = head.bytes.cut(to - head.offset, end - to);
    stored_ -= std::min(end, to) - from;
    head.bytes = head.bytes.cut(0, from - head.offset);
    ++i;
    if (!tail.empty()) {
      extents_.insert(extents_.begin() + static_cast<ptrdiff_t>(i), {to, std::move(tail)});
      return;
    }
  }
  size_t last = i;
  for (; last < extents_.size() && extents_[last].end() <= to; ++last) {
    stored_ -= extents_[last].bytes.size();
  }
  if (last < extents_.size() && extents_[last].offset < to) {
    Extent& tail = extents_[last];
    stored_ -= to - tail.offset;
    tail.bytes.drop_front(to - tail.offset);
    tail.offset = to;
  }
  extents_.erase(extents_.begin() + static_cast<ptrdiff_t>(i),
                 extents_.begin() + static_cast<ptrdiff_t>(last));
}

void DiskContent::set_size(uint64_t size) {
  if (size < size_) erase(size, size_);
  size_ = size;
}

Slice DiskContent::read(uint64_t offset, uint64_t n) const {
  if (offset >= size_ || n == 0) return {};
  n = std::min(n, size_ - offset);
  size_t i = first_after(offset);
  if (i < extents_.size() && extents_[i].offset <= offset && extents_[i].end() >= offset + n) {
    return extents_[i].bytes.cut(offset - extents_[i].offset, n);
  }
  base::MutableBuffer buffer(n);
  uint64_t done = offset;  // everything before is filled
  uint64_t end = offset + n;
  for (; i < extents_.size() && extents_[i].offset < end; ++i) {
    const Extent& e = extents_[i];
    uint64_t from = std::max(e.offset, offset);
    uint64_t to = std::min(e.end(), end);
    std::memset(buffer.data() + (done - offset), 0, from - done);
    std::memcpy(buffer.data() + (from - offset), e.bytes.data() + (from - e.offset), to - from);
    done = to;
  }
  std::memset(buffer.data() + (done - offset), 0, end - done);
  return std::move(buffer).freeze(n);
}

void DiskContent::check_invariants() const {
  uint64_t end = 0;
  uint64_t stored = 0;
  for (const Extent& e : extents_) {
    CHECK(!e.bytes.empty());
    CHECK(e.offset >= end);
    end = e.end();
    stored += e.bytes.size();
  }
  CHECK(end <= size_);
  CHECK(stored == stored_);
}

}  // namespace verdict::sim
