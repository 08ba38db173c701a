#pragma once
// The bytes of one version of a file, as extents that share the writers' slices.
//
// Invariants: extents are sorted, not empty and do not overlap, and none reaches beyond size();
// what no extent covers reads as zeros.

#include <cstdint>
#include <vector>

#include "broker/base/slice.h"

namespace verdict::sim {

class DiskContent {
 public:
  uint64_t size() const { return size_; }
  // Bytes that extents cover: what the file occupies.
  uint64_t stored_bytes() const { return stored_; }
  // Of those, the ones in [offset, offset + n).
  uint64_t stored_in(uint64_t offset, uint64_t n) const;

  // Replaces what was there; grows the file when needed. Appending is O(1).
  void write(uint64_t offset, base::Slice bytes);
  // Bytes in [from, to) become zeros; the size stays.
  void erase(uint64_t from, uint64_t to);
  // Cuts the file, or grows it with zeros.
  void set_size(uint64_t size);
  void grow(uint64_t size) {
    if (size > size_) size_ = size;
  }
  // Up to `n` bytes; short only at the end. No copy when one extent holds them all.
  base::Slice read(uint64_t offset, uint64_t n) const;
  size_t extent_count() const { return extents_.size(); }
  void check_invariants() const;

 private:
  struct Extent {
    uint64_t offset;
    base::Slice bytes;
    uint64_t end() const { return offset + bytes.size(); }
  };
  // Index of the first extent that ends after `offset`.
  size_t first_after(uint64_t offset) const;

  std::vector<Extent> extents_;
  uint64_t size_ = 0;
  uint64_t stored_ = 0;
};

}  // namespace verdict::sim
