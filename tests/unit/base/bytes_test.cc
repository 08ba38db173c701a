// Endian, hashes and ids: small pieces whose values must never change.

#include <gtest/gtest.h>

#include <set>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/base/hash.h"
#include "broker/base/ids.h"

namespace verdict::base {
namespace {

TEST(Endian, the_first_byte_is_the_most_significant) {
  std::byte out[8];
  store_be<uint64_t>(out, 0x0102030405060708);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(out[i], static_cast<std::byte>(i + 1));
  EXPECT_EQ(load_be<uint64_t>(out), 0x0102030405060708U);
  EXPECT_EQ(load_be<uint32_t>(out), 0x01020304U);
  EXPECT_EQ(load_be<uint16_t>(out), 0x0102U);
  EXPECT_EQ(load_be<uint8_t>(out), 1U);
}

template <class T>
void go_there_and_back(T value) {
  std::byte room[sizeof(T) + 3] = {};
  for (size_t at = 0; at < 3; ++at) {  // at every alignment
    store_be<T>(room + at, value);
    EXPECT_EQ(load_be<T>(room + at), value);
  }
  EXPECT_EQ(byteswap(byteswap(value)), value);
}

TEST(Endian, values_of_every_size_and_sign_go_there_and_back_unaligned) {
  for (uint64_t i = 0; i < 500; ++i) {
    uint64_t v = mix64(i);
    go_there_and_back(v);
    go_there_and_back(static_cast<int64_t>(v));
    go_there_and_back(static_cast<uint32_t>(v));
    go_there_and_back(static_cast<int32_t>(v));
    go_there_and_back(static_cast<uint16_t>(v));
    go_there_and_back(static_cast<int16_t>(v));
    go_there_and_back(static_cast<uint8_t>(v));
    go_there_and_back(static_cast<int8_t>(v));
  }
  std::byte out[4];
  store_be<int32_t>(out, -2);
  EXPECT_EQ(out[0], std::byte{0xff});
  EXPECT_EQ(out[3], std::byte{0xfe});
}

TEST(Hash, values_are_the_same_in_every_build) {
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafU);  // the first output of splitmix64 from state 0
  EXPECT_EQ(mix64(0x9e3779b97f4a7c15U), 0x6e789e6aa1b965f4U);  // and the second
  EXPECT_EQ(hash_text(""), mix64(0xcbf29ce484222325U));
  EXPECT_EQ(hash_text("a"), mix64(0xaf63dc4c8601ec8cU));  // FNV-1a of "a"
  EXPECT_EQ(hash_text("foobar"), mix64(0x85944171f73967e8U));
  static_assert(hash_text("known at compile time") != 0);
}

TEST(Hash, differs_for_different_things) {
  std::set<uint64_t> seen;
  for (uint64_t i = 0; i < 10'000; ++i) {
    seen.insert(mix64(i));
    seen.insert(hash_text(std::to_string(i)));
    seen.insert(combine(i, i + 1));
    seen.insert(combine(i + 1, i));
  }
  EXPECT_EQ(seen.size(), 40'000U);
  EXPECT_NE(hash_text("\x80"), hash_text("\xff"));
  EXPECT_NE(hash_text(std::string_view("\0", 1)), hash_text(""));
}

TEST(Hash, every_bit_of_the_input_moves_about_half_of_the_output) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    int moved = 0;
    for (uint64_t i = 0; i < 200; ++i) {
      moved += __builtin_popcountll(mix64(i) ^ mix64(i ^ (uint64_t{1} << bit)));
    }
    EXPECT_GT(moved, 200 * 28);
    EXPECT_LT(moved, 200 * 36);
  }
}

TEST(Ids, offsets_and_counts) {
  Offset a{10};
  EXPECT_EQ(a + 5, Offset{15});
  EXPECT_EQ(a - 4, Offset{6});
  EXPECT_EQ(Offset{15} - a, 5);
  EXPECT_LT(a, Offset{11});
  EXPECT_EQ(Offset{}.value, 0);
}

TEST(Ids, start_as_unknown) {
  EXPECT_EQ(LeaderEpoch{}.value, -1);
  EXPECT_EQ(NodeId{}.value, -1);
  EXPECT_EQ(BrokerEpoch{}.value, -1);
  EXPECT_FALSE(ProducerId{}.valid());
  EXPECT_TRUE(ProducerId{0}.valid());
  EXPECT_NE(ProducerId{1}.hash(), ProducerId{2}.hash());
  EXPECT_LT(LeaderEpoch{3}, LeaderEpoch{4});
}

TEST(CheckDeath, a_false_condition_ends_the_process_and_says_where) {
  int one = 1;
  CHECK(one == 1);
  EXPECT_DEATH(CHECK(one == 2), "CHECK failed: one == 2 at .*bytes_test.cc:[0-9]+");
}

}  // namespace
}  // namespace verdict::base
