#pragma once
// Slice: shared immutable bytes. All payload crosses the seam as slices and is never copied.
//
// Invariants: nobody writes into a buffer once it is frozen; the count of owners is atomic, so a
// slice may cross shards. Builds with VERDICT_SLICE_GUARD checksum a buffer when it is frozen and
// when its last slice goes, and CHECK that nothing wrote in between.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/base/check.h"

namespace verdict::base {

class Slice {
 public:
  Slice() = default;
  Slice(const Slice& other) : buffer_(other.buffer_), data_(other.data_), size_(other.size_) {
    if (buffer_ != nullptr) buffer_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  Slice(Slice&& other) noexcept
      : buffer_(std::exchange(other.buffer_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(buffer_, other.buffer_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Slice() {
    if (buffer_ != nullptr) release();
  }

  static Slice copy_of(std::span<const std::byte> bytes);
  static Slice copy_of(std::string_view text);

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // The part [from, from + count); shares the buffer.
  Slice cut(size_t from, size_t count) const;
  // Removes and returns the first `count` bytes.
  Slice take_front(size_t count);
  void drop_front(size_t count) {
    CHECK(count <= size_);
    data_ += count;
    size_ -= static_cast<uint32_t>(count);
  }

  // A value that identifies the bytes without reading them again: a checksum of the whole buffer,
  // computed once, joined with the position of this slice in it.
  uint64_t fingerprint() const;
  // Bytes of the buffer that this slice keeps alive.
  size_t buffer_bytes() const { return buffer_ == nullptr ? 0 : buffer_->size; }
  // This slice, or a copy of it when it is under a quarter of its buffer: for slices kept beyond
  // the request that brought them.
  Slice compact() const;

 private:
  friend class MutableBuffer;
  struct Buffer {
    std::atomic<uint32_t> owners;
    uint32_t size;                      // bytes that are filled, fixed when frozen
    std::atomic<uint64_t> fingerprint;  // 0: not computed yet
    std::byte* bytes() { return reinterpret_cast<std::byte*>(this + 1); }
  };
  Slice(Buffer* buffer, const std::byte* data, uint32_t size)
      : buffer_(buffer), data_(data), size_(size) {}
  void release();
  static uint64_t compute_fingerprint(Buffer& buffer);

  Buffer* buffer_ = nullptr;
  const std::byte* data_ = nullptr;
  uint32_t size_ = 0;
};

// A buffer with one owner that may write, until it is frozen into a slice.
class MutableBuffer {
 public:
  static constexpr size_t kBytesMax = 1U << 30;

  // Uninitialised room for `capacity` bytes, at most kBytesMax.
  explicit MutableBuffer(size_t capacity);
  MutableBuffer(MutableBuffer&& other) noexcept
      : buffer_(std::exchange(other.buffer_, nullptr)), capacity_(other.capacity_) {}
  MutableBuffer& operator=(MutableBuffer&& other) noexcept {
    std::swap(buffer_, other.buffer_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~MutableBuffer();

  std::byte* data() { return buffer_->bytes(); }
  size_t capacity() const { return capacity_; }
  std::span<std::byte> bytes() { return {data(), capacity_}; }
  // Ends writing: the first `size` bytes become a slice.
  Slice freeze(size_t size) &&;

 private:
  Slice::Buffer* buffer_;
  size_t capacity_;
};

// A short list of slices; two fit without allocation. Total length is kept.
class Slices {
 public:
  Slices() = default;
  Slices(Slice slice) { push_back(std::move(slice)); }  // NOLINT: a slice is a list of one
  Slices(std::initializer_list<Slice> list) {
    for (const Slice& s : list) push_back(s);
  }

  // Empty slices are dropped.
  void push_back(Slice slice);
  void append(const Slices& other);
  size_t count() const { return rest_.empty() ? count_ : rest_.size(); }
  // Bytes in all slices together.
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const Slice> span() const {
    return rest_.empty() ? std::span<const Slice>(inline_, count_) : std::span<const Slice>(rest_);
  }
  const Slice* begin() const { return span().data(); }
  const Slice* end() const { return span().data() + count(); }
  // One contiguous slice; copies only when there are several.
  Slice flatten() const;
  // The part [from, from + count); shares the buffers.
  Slices cut(size_t from, size_t count) const;
  // Copies [from, from + out.size()) into `out`.
  void copy_to(size_t from, std::span<std::byte> out) const;

 private:
  static constexpr size_t kInline = 2;
  Slice inline_[kInline];
  size_t count_ = 0;
  size_t size_ = 0;
  std::vector<Slice> rest_;  // when not empty it holds all of them
};

}  // namespace verdict::base
