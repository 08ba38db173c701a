#include "broker/base/crc32c.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "broker/base/hash.h"

namespace verdict::base {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(mix64(seed + i));
  return bytes;
}

// One bit at a time, straight from the definition: an implementation nobody can get wrong.
uint32_t by_definition(uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (std::byte b : bytes) {
    crc ^= static_cast<uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
  }
  return ~crc;
}

TEST(Crc32c, gives_the_published_values) {
  struct Vector {
    std::vector<std::byte> bytes;
    uint32_t crc;
  };
  std::vector<std::byte> up(32);
  std::vector<std::byte> down(32);
  for (size_t i = 0; i < 32; ++i) {
    up[i] = static_cast<std::byte>(i);
    down[i] = static_cast<std::byte>(31 - i);
  }
  // RFC 3720, B.4: an iSCSI SCSI Read (10) command.
  constexpr std::string_view kRead(
      "\x01\xc0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\0\0\x04\0\0\0\0\x14\0\0\0\x18"
      "\x28\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
      48);
  const Vector vectors[] = {
      {{}, 0},
      {bytes_of("a"), 0xc1d04330},
      {bytes_of("123456789"), 0xe3069283},
      {std::vector<std::byte>(32), 0x8a9136aa},
      {std::vector<std::byte>(32, std::byte{0xff}), 0x62a8ab43},
      {up, 0x46dd794e},
      {down, 0x113fdb5c},
      {bytes_of(kRead), 0xd9963a56},
  };
  for (const Vector& v : vectors) {
    EXPECT_EQ(crc32c(0, v.bytes), v.crc);
    EXPECT_EQ(crc32c_portable(0, v.bytes), v.crc);
    EXPECT_EQ(by_definition(0, v.bytes), v.crc);
  }
}

TEST(Crc32c, both_forms_agree_with_the_definition_at_every_length_and_alignment) {
  // Lengths about the block sizes at which the fast form changes its way.
  std::vector<std::byte> bytes = random_bytes(20'000, 1);
  std::vector<size_t> lengths;
  for (size_t n = 0; n <= 80; ++n) lengths.push_back(n);
  for (size_t edge : {256U, 512U, 768U, 1'024U, 2'048U, 6'144U, 12'288U, 6'912U}) {
    for (size_t n = edge - 9; n <= edge + 9; ++n) lengths.push_back(n);
  }
  for (size_t length : lengths) {
    for (size_t from : {0U, 1U, 3U, 7U}) {
      std::span<const std::byte> part(bytes.data() + from, length);
      uint32_t expected = by_definition(0, part);
      ASSERT_EQ(crc32c(0, part), expected) << length << " bytes at " << from;
      ASSERT_EQ(crc32c_portable(0, part), expected) << length << " bytes at " << from;
    }
  }
}

TEST(Crc32c, both_forms_agree_on_random_parts_from_random_starts) {
  std::vector<std::byte> bytes = random_bytes(100'000, 2);
  uint64_t state = 3;
  for (int i = 0; i < 2'000; ++i) {
    size_t from = mix64(state++) % bytes.size();
    size_t length = mix64(state++) % (bytes.size() - from + 1);
    if (i % 2 == 0) length = std::min<size_t>(length, 300);
    auto start = static_cast<uint32_t>(mix64(state++));
    std::span<const std::byte> part(bytes.data() + from, length);
    ASSERT_EQ(crc32c(start, part), crc32c_portable(start, part)) << length << " bytes at " << from;
  }
}

TEST(Crc32c, of_parts_one_after_the_other_is_the_crc_of_the_whole) {
  std::vector<std::byte> bytes = random_bytes(30'000, 4);
  uint32_t whole = crc32c(0, bytes);
  uint64_t state = 5;
  for (int i = 0; i < 200; ++i) {
    uint32_t crc = 0;
    size_t at = 0;
    while (at < bytes.size()) {
      size_t n = std::min(bytes.size() - at, static_cast<size_t>(mix64(state++) % 9'000));
      std::span<const std::byte> part(bytes.data() + at, n);
      crc = i % 2 == 0 ? crc32c(crc, part) : crc32c_portable(crc, part);
      at += n;
    }
    ASSERT_EQ(crc, whole);
  }
}

TEST(Crc32c, sees_every_flipped_bit) {
  std::vector<std::byte> bytes = random_bytes(700, 6);
  uint32_t right = crc32c(0, bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1U << bit);
      ASSERT_NE(crc32c(0, bytes), right);
      bytes[i] ^= static_cast<std::byte>(1U << bit);
    }
  }
}

}  // namespace
}  // namespace verdict::base
