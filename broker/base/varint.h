#pragma once
// Base-128 varints: unsigned, and zigzag for signed values, as in Kafka's records and flexible wire
// encoding (least significant group first).

#include <cstddef>
#include <cstdint>
#include <optional>

namespace verdict::base {

inline constexpr size_t kVarint32BytesMax = 5;
inline constexpr size_t kVarint64BytesMax = 10;

constexpr uint32_t zigzag32(int32_t v) {
  return (static_cast<uint32_t>(v) << 1) ^ static_cast<uint32_t>(v >> 31);
}
constexpr uint64_t zigzag64(int64_t v) {
  return (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
}
constexpr int32_t unzigzag32(uint32_t v) { return static_cast<int32_t>((v >> 1) ^ (0 - (v & 1))); }
constexpr int64_t unzigzag64(uint64_t v) { return static_cast<int64_t>((v >> 1) ^ (0 - (v & 1))); }

// Bytes that write_uvarint needs.
constexpr size_t uvarint_size(uint64_t v) {
  size_t n = 1;
  while (v >= 0x80) {
    v >>= 7;
    ++n;
  }
  return n;
}

// Writes at `out` (room for uvarint_size(v) bytes); returns the end.
inline std::byte* write_uvarint(std::byte* out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = static_cast<std::byte>(v | 0x80);
    v >>= 7;
  }
  *out++ = static_cast<std::byte>(v);
  return out;
}

// Reads an unsigned varint of at most `bits` bits from [at, end); advances `at`. Nothing when the
// bytes end early or the value does not fit.
inline std::optional<uint64_t> read_uvarint(const std::byte*& at, const std::byte* end,
                                            unsigned bits) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < bits; shift += 7) {
    if (at == end) return std::nullopt;
    auto b = static_cast<uint64_t>(*at++);
    value |= (b & 0x7f) << shift;
    if ((b & 0x80) == 0) {
      if (shift + 7 > bits && (b >> (bits - shift)) != 0) return std::nullopt;
      return value;
    }
  }
  return std::nullopt;
}

inline std::optional<int32_t> read_varint(const std::byte*& at, const std::byte* end) {
  auto v = read_uvarint(at, end, 32);
  if (!v) return std::nullopt;
  return unzigzag32(static_cast<uint32_t>(*v));
}
inline std::optional<int64_t> read_varlong(const std::byte*& at, const std::byte* end) {
  auto v = read_uvarint(at, end, 64);
  if (!v) return std::nullopt;
  return unzigzag64(*v);
}

}  // namespace verdict::base
