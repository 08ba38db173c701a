#pragma once
// Reader and Writer: the primitive types of Kafka's protocol, used by the generated messages.
//
// Invariants:
//   A Reader never goes beyond its bytes and never allocates more than a small multiple of them.
//   After the first failure it stays failed, has nothing left and reads zeros; error() says where.
//   A Writer gathers small fields in one buffer and refers to payload slices without a copy.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/base/varint.h"

namespace verdict::wire {

// Longest string of the protocol, however its length is written.
inline constexpr size_t kStringBytesMax = 32767;
// Payload shorter than this is copied: cheaper than one more slice in a gathered write.
inline constexpr size_t kCopyBytesMax = 256;

// A tagged field that this side does not know. It is kept, so that a message decodes and encodes
// to the same bytes.
struct UnknownTag {
  uint32_t number = 0;
  base::Slice bytes;

  bool operator==(const UnknownTag& other) const {
    return number == other.number && bytes.text() == other.bytes.text();
  }
};
using UnknownTags = std::vector<UnknownTag>;  // ascending by number

bool same_bytes(const base::Slices& a, const base::Slices& b);
inline bool same_bytes(const base::Slice& a, const base::Slice& b) { return a.text() == b.text(); }
template <class Bytes>
bool same_bytes(const std::optional<Bytes>& a, const std::optional<Bytes>& b) {
  return a.has_value() == b.has_value() && (!a.has_value() || same_bytes(*a, *b));
}

// Whether lengths are written as varints (flexible versions) or as fixed integers.
enum class Lengths : uint8_t { fixed, compact };

class Reader {
 public:
  // `bytes` outlives the reader.
  explicit Reader(const base::Slices& bytes);

  bool ok() const { return failed_field_ == nullptr; }
  size_t remaining() const { return later_ + static_cast<size_t>(end_ - at_); }
  // Bytes read so far; meaningless after a failure.
  size_t position() const { return bytes_.size() - remaining(); }
  // Errc::invalid naming message, version, field and reason. Only after a failure.
  base::Error error(std::string_view message, int16_t version) const;
  // The value was read but makes no sense. `field` and `reason` are literals.
  void fail(const char* field, const char* reason);
  // Fails when bytes are left.
  void expect_end();

  template <std::integral T>
  void value(T& out, const char* field) {
    if (static_cast<size_t>(end_ - at_) >= sizeof(T)) [[likely]] {
      out = base::load_be<T>(at_);
      at_ += sizeof(T);
    } else {
      out = static_cast<T>(straddling(sizeof(T), field));
    }
  }
  void value(bool& out, const char* field) {
    uint8_t byte = 0;
    value(byte, field);
    out = byte != 0;
  }
  // lint: float ok: a type of the protocol, carried and not computed with
  void value(double& out, const char* field) {
    uint64_t bits = 0;
    value(bits, field);
    // lint: float ok: a type of the protocol, carried and not computed with
    out = std::bit_cast<double>(bits);
  }
  void value(base::Uuid& out, const char* field) {
    value(out.high, field);
    value(out.low, field);
  }

  // Null fails for the first of each pair and empties the optional for the second.
  void text(Lengths lengths, std::string& out, const char* field);
  void text(Lengths lengths, std::optional<std::string>& out, const char* field);
  void bytes(Lengths lengths, base::Slice& out, const char* field);
  void bytes(Lengths lengths, std::optional<base::Slice>& out, const char* field);
  // A cut of the input.
  void records(Lengths lengths, base::Slices& out, const char* field);
  void records(Lengths lengths, std::optional<base::Slices>& out, const char* field);

  // Number of elements that follow. Fails when they cannot fit into the remaining bytes at
  // `element_bytes_min` each.
  size_t array(Lengths lengths, size_t element_bytes_min, const char* field);
  // The same, nothing for null.
  std::optional<size_t> array_or_null(Lengths lengths, size_t element_bytes_min, const char* field);
  // Whether a nullable struct follows.
  bool present(const char* field);

  // Tagged fields: their count, then each with its number and bytes. Numbers must ascend:
  // `previous` is -1 at first and is kept by tag().
  struct Tag {
    uint32_t number = 0;
    base::Slices bytes;
  };
  uint32_t tag_count(const char* field);
  Tag tag(int64_t& previous, const char* field);
  // Takes over the failure of the reader of one tag's bytes, which must have read them all.
  void finish(const Reader& part, const char* field);
  void keep_tag(UnknownTags& out, const Tag& tag) {
    out.push_back({.number = tag.number, .bytes = tag.bytes.flatten()});
  }
  // All tagged fields of a struct that knows none.
  void unknown_tags(UnknownTags& out, const char* field);

  uint64_t uvarint(unsigned bits, const char* field);
  // The next `count` bytes, cut out.
  base::Slices take(size_t count, const char* field);

 private:
  uint64_t straddling(size_t bytes, const char* field);
  std::optional<size_t> text_length(Lengths lengths, const char* field);
  std::optional<size_t> length(Lengths lengths, const char* field);
  void copy_text(size_t length, std::string& out);
  void next_slice();

  const base::Slices& bytes_;
  const std::byte* at_ = nullptr;   // in the present slice
  const std::byte* end_ = nullptr;  // of the present slice
  size_t slice_ = 0;                // index of the present slice
  size_t later_ = 0;                // bytes in the slices behind the present one
  const char* failed_field_ = nullptr;
  const char* reason_ = nullptr;
};

class Writer {
 public:
  explicit Writer(size_t bytes_expected = kBytesExpected);

  template <std::integral T>
  void value(T v) {
    reserve(sizeof(T));
    base::store_be(buffer_.data() + size_, v);
    size_ += sizeof(T);
  }
  void value(bool v) { value(static_cast<uint8_t>(v)); }
  // lint: float ok: a type of the protocol, carried and not computed with
  void value(double v) { value(std::bit_cast<uint64_t>(v)); }
  void value(const base::Uuid& v) {
    value(v.high);
    value(v.low);
  }
  void uvarint(uint64_t v) {
    reserve(base::kVarint64BytesMax);
    size_ = static_cast<size_t>(base::write_uvarint(buffer_.data() + size_, v) - buffer_.data());
  }

  // CHECKs that the text fits a string; prose for people is cut to fit instead.
  void text(Lengths lengths, const std::string& v);
  void text(Lengths lengths, const std::optional<std::string>& v);
  void prose(Lengths lengths, const std::string& v);
  void prose(Lengths lengths, const std::optional<std::string>& v);
  void bytes(Lengths lengths, const base::Slices& v);
  void bytes(Lengths lengths, const base::Slice& v) { bytes(lengths, base::Slices(v)); }
  void bytes(Lengths lengths, const std::optional<base::Slices>& v);
  void bytes(Lengths lengths, const std::optional<base::Slice>& v);
  void array(Lengths lengths, size_t count);
  void null_array(Lengths lengths);
  void present(bool v) { value(static_cast<int8_t>(v ? 1 : -1)); }

  // Tagged fields of one struct. `known` has the bit of every number that the struct itself
  // writes at this version; kept tags of these numbers are left out.
  static size_t unknown_count(const UnknownTags& tags, uint64_t known);
  // Writes the kept tags from index `next` on with a number below `before`; returns the new index.
  size_t unknown_tags(const UnknownTags& tags, uint64_t known, size_t next, uint64_t before);
  // All tagged fields of a struct that knows none.
  void unknown_tags(const UnknownTags& tags);
  // What is written between the two is one tagged field.
  size_t begin_tag(uint32_t number);
  void end_tag(size_t mark);

  // Appends payload by reference, or a copy when it is short.
  void payload(const base::Slices& v);

  size_t size() const { return size_ + referred_; }
  // Overwrites an int32 written before any payload.
  void patch_int32(size_t position, int32_t v);
  base::Slices finish() &&;

 private:
  static constexpr size_t kBytesExpected = 256;
  // Payload that belongs behind the first `position` bytes of the buffer.
  struct Reference {
    size_t position;
    base::Slices bytes;
  };
  void reserve(size_t more) {
    if (buffer_.capacity() - size_ < more) [[unlikely]]
      grow(more);
  }
  void grow(size_t more);
  void raw(const std::byte* data, size_t count);
  void length(Lengths lengths, size_t count);
  void put_text(Lengths lengths, std::string_view v);

  base::MutableBuffer buffer_;
  size_t size_ = 0;       // bytes in the buffer
  size_t referred_ = 0;   // bytes in references
  size_t open_tags_ = 0;  // inside a tag payload is copied: its length is inserted afterwards
  std::vector<Reference> references_;
};

}  // namespace verdict::wire
