#include "broker/base/varint.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "broker/base/hash.h"

namespace verdict::base {
namespace {

using Bytes = std::vector<unsigned char>;

Bytes written(uint64_t value) {
  std::byte out[kVarint64BytesMax + 1];
  std::byte* end = write_uvarint(out, value);
  auto n = static_cast<size_t>(end - out);
  EXPECT_EQ(n, uvarint_size(value));
  Bytes bytes;
  for (size_t i = 0; i < n; ++i) bytes.push_back(static_cast<unsigned char>(out[i]));
  return bytes;
}

struct Read {
  std::optional<uint64_t> value;
  size_t used;
};
Read read(const Bytes& bytes, unsigned bits) {
  const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
  const std::byte* at = begin;
  auto value = read_uvarint(at, begin + bytes.size(), bits);
  return {value, static_cast<size_t>(at - begin)};
}

TEST(Varint, writes_the_known_bytes) {
  EXPECT_EQ(written(0), (Bytes{0}));
  EXPECT_EQ(written(1), (Bytes{1}));
  EXPECT_EQ(written(127), (Bytes{0x7f}));
  EXPECT_EQ(written(128), (Bytes{0x80, 0x01}));
  EXPECT_EQ(written(300), (Bytes{0xac, 0x02}));
  EXPECT_EQ(written(UINT32_MAX), (Bytes{0xff, 0xff, 0xff, 0xff, 0x0f}));
  EXPECT_EQ(written(UINT64_MAX),
            (Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}));
}

TEST(Varint, reads_back_what_was_written_and_nothing_behind_it) {
  std::vector<uint64_t> values = {0, UINT64_MAX};
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (uint64_t v : {uint64_t{1} << bit, (uint64_t{1} << bit) - 1, (uint64_t{1} << bit) + 1}) {
      values.push_back(v);
    }
  }
  for (uint64_t i = 0; i < 2'000; ++i) values.push_back(mix64(i) >> (i % 64));
  for (uint64_t value : values) {
    Bytes bytes = written(value);
    size_t size = bytes.size();
    bytes.push_back(0xff);
    Read got = read(bytes, 64);
    ASSERT_EQ(got.value, value);
    ASSERT_EQ(got.used, size);
    Read narrow = read(bytes, 32);
    ASSERT_EQ(narrow.value.has_value(), value <= UINT32_MAX) << value;
  }
}

TEST(Varint, refuses_what_ends_early) {
  for (uint64_t value : {uint64_t{128}, uint64_t{1} << 31, UINT64_MAX}) {
    Bytes bytes = written(value);
    while (!bytes.empty()) {
      bytes.pop_back();
      EXPECT_FALSE(read(bytes, 64).value.has_value());
    }
  }
}

TEST(Varint, refuses_what_does_not_fit) {
  EXPECT_FALSE(read({0xff, 0xff, 0xff, 0xff, 0x10}, 32).value.has_value());  // bit 32
  EXPECT_FALSE(read({0xff, 0xff, 0xff, 0xff, 0x1f}, 32).value.has_value());
  EXPECT_FALSE(read({0xff, 0xff, 0xff, 0xff, 0xff, 0x00}, 32).value.has_value());  // six bytes
  EXPECT_FALSE(read({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02}, 64)
                   .value.has_value());  // bit 64
  EXPECT_FALSE(read(Bytes(11, 0x80), 64).value.has_value());
  EXPECT_FALSE(read(Bytes(1'000, 0xff), 64).value.has_value());
}

TEST(Varint, takes_values_that_are_longer_than_needed_as_kafka_does) {
  EXPECT_EQ(read({0x80, 0x00}, 32).value, 0U);
  EXPECT_EQ(read({0x81, 0x80, 0x80, 0x80, 0x00}, 32).value, 1U);
  EXPECT_EQ(read({0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 64).value, 127U);
}

TEST(Varint, zigzag_maps_small_magnitudes_to_small_numbers) {
  EXPECT_EQ(zigzag32(0), 0U);
  EXPECT_EQ(zigzag32(-1), 1U);
  EXPECT_EQ(zigzag32(1), 2U);
  EXPECT_EQ(zigzag32(-2), 3U);
  EXPECT_EQ(zigzag32(std::numeric_limits<int32_t>::max()), UINT32_MAX - 1);
  EXPECT_EQ(zigzag32(std::numeric_limits<int32_t>::min()), UINT32_MAX);
  EXPECT_EQ(zigzag64(-1), 1U);
  EXPECT_EQ(zigzag64(std::numeric_limits<int64_t>::min()), UINT64_MAX);
}

TEST(Varint, signed_values_go_there_and_back) {
  std::vector<int64_t> values;
  for (unsigned bit = 0; bit < 64; ++bit) {
    auto v = static_cast<int64_t>(uint64_t{1} << bit);
    for (int64_t near : {v, ~v}) values.push_back(near);
  }
  for (uint64_t i = 0; i < 1'000; ++i) values.push_back(static_cast<int64_t>(mix64(i)));
  for (int64_t v : values) {
    ASSERT_EQ(unzigzag64(zigzag64(v)), v);
    Bytes bytes = written(zigzag64(v));
    const auto* at = reinterpret_cast<const std::byte*>(bytes.data());
    ASSERT_EQ(read_varlong(at, at + bytes.size()), v);
    auto narrow = static_cast<int32_t>(v);
    ASSERT_EQ(unzigzag32(zigzag32(narrow)), narrow);
    bytes = written(zigzag32(narrow));
    at = reinterpret_cast<const std::byte*>(bytes.data());
    ASSERT_EQ(read_varint(at, at + bytes.size()), narrow);
  }
}

TEST(Varint, signed_reads_refuse_bad_bytes) {
  const Bytes truncated = {0x80};
  const auto* at = reinterpret_cast<const std::byte*>(truncated.data());
  EXPECT_FALSE(read_varint(at, at + 1).has_value());
  at = reinterpret_cast<const std::byte*>(truncated.data());
  EXPECT_FALSE(read_varlong(at, at).has_value());
  const Bytes wide(6, 0xff);
  at = reinterpret_cast<const std::byte*>(wide.data());
  EXPECT_FALSE(read_varint(at, at + wide.size()).has_value());
}

}  // namespace
}  // namespace verdict::base
