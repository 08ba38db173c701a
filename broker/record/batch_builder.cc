#include <algorithm>
#include <cstring>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/varint.h"
#include "broker/record/batch.h"
#include "broker/record/compression.h"

namespace verdict::record {

using base::MutableBuffer;
using base::Slice;
using base::uvarint_size;
using base::write_uvarint;
using base::zigzag32;
using base::zigzag64;

namespace {

constexpr size_t kFirstCapacity = 1024;

using Bytes = std::optional<std::span<const std::byte>>;

uint32_t length_of(const Bytes& bytes) {
  return zigzag32(bytes ? static_cast<int32_t>(bytes->size()) : -1);
}

size_t field_size(const Bytes& bytes) {
  return uvarint_size(length_of(bytes)) + (bytes ? bytes->size() : 0);
}

std::byte* write_field(std::byte* at, const Bytes& bytes) {
  at = write_uvarint(at, length_of(bytes));
  if (!bytes || bytes->empty()) return at;
  std::memcpy(at, bytes->data(), bytes->size());
  return at + bytes->size();
}

Bytes value_of(const Header& header) {
  return header.value ? Bytes(header.value->bytes()) : std::nullopt;
}

}  // namespace

std::byte* BatchBuilder::grow(size_t count) {
  CHECK(count <= MutableBuffer::kBytesMax);
  size_t needed = size_ + count;
  CHECK(needed <= MutableBuffer::kBytesMax);
  if (!buffer_ || needed > buffer_->capacity()) {
    size_t capacity =
        buffer_ ? std::min(2 * buffer_->capacity(), MutableBuffer::kBytesMax) : kFirstCapacity;
    MutableBuffer bigger(std::max(capacity, needed));
    if (buffer_) std::memcpy(bigger.data(), buffer_->data(), size_);
    buffer_.emplace(std::move(bigger));
  }
  std::byte* room = buffer_->data() + size_;
  size_ = needed;
  return room;
}

void BatchBuilder::add(int64_t timestamp_ms, Bytes key, Bytes value,
                       std::span<const Header> headers) {
  if (count_ == 0) {
    base_timestamp_ms_ = timestamp_ms;
    max_timestamp_ms_ = timestamp_ms;
  }
  max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
  auto timestamp_delta = static_cast<int64_t>(static_cast<uint64_t>(timestamp_ms) -
                                              static_cast<uint64_t>(base_timestamp_ms_));
  auto offset_delta = static_cast<int32_t>(count_);
  auto header_count = static_cast<int32_t>(headers.size());
  size_t length = 1 + uvarint_size(zigzag64(timestamp_delta)) +
                  uvarint_size(zigzag32(offset_delta)) + field_size(key) + field_size(value) +
                  uvarint_size(zigzag32(header_count));
  for (const Header& h : headers) length += field_size(h.key.bytes()) + field_size(value_of(h));
  CHECK(length <= MutableBuffer::kBytesMax);

  uint32_t length_varint = zigzag32(static_cast<int32_t>(length));
  std::byte* at = grow(uvarint_size(length_varint) + length);
  at = write_uvarint(at, length_varint);
  *at++ = std::byte{0};  // attributes of a record: none is in use
  at = write_uvarint(at, zigzag64(timestamp_delta));
  at = write_uvarint(at, zigzag32(offset_delta));
  at = write_field(at, key);
  at = write_field(at, value);
  at = write_uvarint(at, zigzag32(header_count));
  for (const Header& h : headers) {
    at = write_field(at, h.key.bytes());
    at = write_field(at, value_of(h));
  }
  CHECK(at == buffer_->data() + size_);
  ++count_;
}

Slice BatchBuilder::build() {
  CHECK(count_ > 0);
  CHECK(buffer_.has_value());
  BatchHeader header{
      .base_offset = options_.base_offset,
      .leader_epoch = options_.leader_epoch,
      .attributes = static_cast<int16_t>(static_cast<int16_t>(options_.codec) |
                                         (options_.transactional ? kTransactionalBit : 0) |
                                         (options_.control ? kControlBit : 0)),
      .last_offset_delta = static_cast<int32_t>(count_ - 1),
      .base_timestamp_ms = base_timestamp_ms_,
      .max_timestamp_ms = max_timestamp_ms_,
      .producer_id = options_.producer_id,
      .producer_epoch = options_.producer_epoch,
      .base_sequence = options_.base_sequence,
      .record_count = static_cast<int32_t>(count_),
  };
  if (options_.codec != Codec::none) {
    Slice plain = std::move(*buffer_).freeze(size_);
    Slice packed = compress(options_.codec, options_.level,
                            plain.cut(kHeaderBytes, plain.size() - kHeaderBytes));
    size_ = kHeaderBytes + packed.size();
    buffer_.emplace(MutableBuffer(size_));
    std::memcpy(buffer_->data() + kHeaderBytes, packed.data(), packed.size());
  }
  header.batch_length = static_cast<int32_t>(size_ - kLengthFieldEnd);
  std::span<std::byte, kHeaderBytes> out(buffer_->data(), kHeaderBytes);
  write_header(header, out);
  header.crc = base::crc32c(0, buffer_->bytes().first(size_).subspan(kCrcStart));
  write_header(header, out);

  Slice batch = std::move(*buffer_).freeze(size_);
  buffer_.reset();
  size_ = kHeaderBytes;
  count_ = 0;
  return batch;
}

}  // namespace verdict::record
