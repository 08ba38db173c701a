#include "broker/base/slice.h"

#include <cstring>
#include <new>

#include "broker/base/crc32c.h"
#include "broker/base/hash.h"

namespace verdict::base {

uint64_t Slice::compute_fingerprint(Buffer& buffer) {
  uint32_t crc = crc32c(0, {buffer.bytes(), buffer.size});
  return mix64((static_cast<uint64_t>(buffer.size) << 32) | crc) | 1;  // never 0
}

void Slice::release() {
  if (buffer_->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
#ifdef VERDICT_SLICE_GUARD
  CHECK(buffer_->fingerprint == compute_fingerprint(*buffer_));  // somebody wrote a shared slice
#endif
  buffer_->~Buffer();
  ::operator delete(buffer_);
}

Slice Slice::copy_of(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  MutableBuffer buffer(bytes.size());
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  return std::move(buffer).freeze(bytes.size());
}

Slice Slice::copy_of(std::string_view text) {
  return copy_of(std::as_bytes(std::span(text.data(), text.size())));
}

Slice Slice::cut(size_t from, size_t count) const {
  CHECK(from <= size_);
  CHECK(count <= size_ - from);
  if (count == 0) return {};
  Slice part(*this);
  part.data_ += from;
  part.size_ = static_cast<uint32_t>(count);
  return part;
}

Slice Slice::take_front(size_t count) {
  Slice front = cut(0, count);
  drop_front(count);
  return front;
}

uint64_t Slice::fingerprint() const {
  if (buffer_ == nullptr) return 0;
  uint64_t whole = buffer_->fingerprint.load(std::memory_order_relaxed);
  if (whole == 0) {
    whole = compute_fingerprint(*buffer_);
    buffer_->fingerprint.store(whole, std::memory_order_relaxed);
  }
  auto at = static_cast<uint64_t>(data_ - buffer_->bytes());
  return whole ^ (at << 32 | size_) * 0x9e3779b97f4a7c15ULL;
}

Slice Slice::compact() const {
  if (buffer_ == nullptr || size_ >= buffer_->size / 4) return *this;
  return copy_of(bytes());
}

MutableBuffer::MutableBuffer(size_t capacity) : capacity_(capacity) {
  CHECK(capacity <= kBytesMax);
  void* memory = ::operator new(sizeof(Slice::Buffer) + capacity);
  buffer_ = new (memory) Slice::Buffer{{1}, 0, {0}};
}

MutableBuffer::~MutableBuffer() {
  if (buffer_ == nullptr) return;
  buffer_->~Buffer();
  ::operator delete(buffer_);
}

Slice MutableBuffer::freeze(size_t size) && {
  CHECK(buffer_ != nullptr);
  CHECK(size <= capacity_);
  auto* buffer = std::exchange(buffer_, nullptr);
  buffer->size = static_cast<uint32_t>(size);
#ifdef VERDICT_SLICE_GUARD
  buffer->fingerprint = Slice::compute_fingerprint(*buffer);
#endif
  return {buffer, buffer->bytes(), buffer->size};
}

void Slices::push_back(Slice slice) {
  if (slice.empty()) return;
  size_ += slice.size();
  if (rest_.empty() && count_ < kInline) {
    inline_[count_++] = std::move(slice);
    return;
  }
  if (rest_.empty()) {
    rest_.reserve(2 * kInline);
    for (Slice& s : inline_) rest_.push_back(std::move(s));
    count_ = 0;
  }
  rest_.push_back(std::move(slice));
}

void Slices::append(const Slices& other) {
  for (const Slice& s : other) push_back(s);
}

Slice Slices::flatten() const {
  if (count() == 0) return {};
  if (count() == 1) return *begin();
  MutableBuffer buffer(size_);
  copy_to(0, buffer.bytes().first(size_));
  return std::move(buffer).freeze(size_);
}

Slices Slices::cut(size_t from, size_t count) const {
  CHECK(from <= size_);
  CHECK(count <= size_ - from);
  Slices part;
  for (const Slice& s : *this) {
    if (count == 0) break;
    if (from >= s.size()) {
      from -= s.size();
      continue;
    }
    size_t n = std::min(count, s.size() - from);
    part.push_back(s.cut(from, n));
    count -= n;
    from = 0;
  }
  CHECK(count == 0);
  return part;
}

void Slices::copy_to(size_t from, std::span<std::byte> out) const {
  CHECK(from <= size_);
  CHECK(out.size() <= size_ - from);
  std::byte* at = out.data();
  size_t left = out.size();
  for (const Slice& s : *this) {
    if (left == 0) break;
    if (from >= s.size()) {
      from -= s.size();
      continue;
    }
    size_t n = std::min(left, s.size() - from);
    std::memcpy(at, s.data() + from, n);
    at += n;
    left -= n;
    from = 0;
  }
  CHECK(left == 0);
}

}  // namespace verdict::base
