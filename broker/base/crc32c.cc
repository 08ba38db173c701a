#include "broker/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace verdict::base {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reflected Castagnoli
constexpr size_t kLongBlock = 2048;           // bytes per lane where three lanes run side by side
constexpr size_t kShortBlock = 256;

using Table = std::array<std::array<uint32_t, 256>, 8>;

constexpr Table make_table() {
  Table t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    t[0][i] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 0xff];
  }
  return t;
}
constexpr Table kTable = make_table();

// Multiplication of a CRC by x^(8*n) modulo the polynomial, as a linear map in four byte tables:
// what a lane's CRC becomes when n zero bytes follow it.
using Shift = std::array<std::array<uint32_t, 256>, 4>;

constexpr uint32_t advance_zero_byte(uint32_t crc) { return (crc >> 8) ^ kTable[0][crc & 0xff]; }

constexpr Shift make_shift(size_t zero_bytes) {
  std::array<uint32_t, 32> column{};
  for (unsigned bit = 0; bit < 32; ++bit) {
    uint32_t crc = 1U << bit;
    for (size_t i = 0; i < zero_bytes; ++i) crc = advance_zero_byte(crc);
    column[bit] = crc;
  }
  Shift s{};
  for (size_t byte = 0; byte < 4; ++byte) {
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t out = 0;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if ((value >> bit & 1) != 0) out ^= column[byte * 8 + bit];
      }
      s[byte][value] = out;
    }
  }
  return s;
}
constexpr Shift kShortShift = make_shift(kShortBlock);

#if defined(__x86_64__)

// The long map is the short one applied kLongBlock / kShortBlock times; built once at start.
uint32_t apply(const Shift& s, uint32_t crc) {
  return s[0][crc & 0xff] ^ s[1][crc >> 8 & 0xff] ^ s[2][crc >> 16 & 0xff] ^ s[3][crc >> 24];
}

uint32_t shift_long(uint32_t crc) {
  static const Shift kLongShift = [] {
    Shift s{};
    for (size_t byte = 0; byte < 4; ++byte) {
      for (uint32_t value = 0; value < 256; ++value) {
        uint32_t out = value << (8 * byte);
        for (size_t i = 0; i < kLongBlock / kShortBlock; ++i) out = apply(kShortShift, out);
        s[byte][value] = out;
      }
    }
    return s;
  }();
  return apply(kLongShift, crc);
}

uint64_t load64(const std::byte* at) {
  uint64_t v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Three independent lanes hide the instruction's latency of three cycles.
template <size_t kBlock, class ShiftFn>
__attribute__((target("sse4.2"))) uint64_t lanes(uint64_t crc, const std::byte*& p, size_t& n,
                                                 ShiftFn shift) {
  while (n >= 3 * kBlock) {
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;
    for (size_t i = 0; i < kBlock; i += 8) {
      a = _mm_crc32_u64(a, load64(p + i));
      b = _mm_crc32_u64(b, load64(p + kBlock + i));
      c = _mm_crc32_u64(c, load64(p + 2 * kBlock + i));
    }
    crc = shift(shift(static_cast<uint32_t>(a)) ^ static_cast<uint32_t>(b)) ^ c;
    p += 3 * kBlock;
    n -= 3 * kBlock;
  }
  return crc;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(uint32_t crc32,
                                                        std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t n = bytes.size();
  uint64_t crc = ~crc32;
  crc = lanes<kLongBlock>(crc, p, n, shift_long);
  crc = lanes<kShortBlock>(crc, p, n, [](uint32_t v) { return apply(kShortShift, v); });
  for (; n >= 8; n -= 8, p += 8) crc = _mm_crc32_u64(crc, load64(p));
  auto crc_32 = static_cast<uint32_t>(crc);
  for (; n > 0; --n, ++p) crc_32 = _mm_crc32_u8(crc_32, static_cast<unsigned char>(*p));
  return ~crc_32;
}

#endif

}  // namespace

uint32_t crc32c_portable(uint32_t crc, std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  size_t n = bytes.size();
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t low;
    uint32_t high;
    std::memcpy(&low, p, 4);
    std::memcpy(&high, p + 4, 4);
    low ^= crc;
    crc = kTable[7][low & 0xff] ^ kTable[6][low >> 8 & 0xff] ^ kTable[5][low >> 16 & 0xff] ^
          kTable[4][low >> 24] ^ kTable[3][high & 0xff] ^ kTable[2][high >> 8 & 0xff] ^
          kTable[1][high >> 16 & 0xff] ^ kTable[0][high >> 24];
  }
  for (; n > 0; --n, ++p) crc = (crc >> 8) ^ kTable[0][(crc ^ static_cast<uint32_t>(*p)) & 0xff];
  return ~crc;
}

bool crc32c_is_accelerated() {
#if defined(__x86_64__)
  static const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
  return kHasInstruction;
#else
  return false;
#endif
}

uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  if (crc32c_is_accelerated()) return crc32c_sse42(crc, bytes);
#endif
  return crc32c_portable(crc, bytes);
}

}  // namespace verdict::base
