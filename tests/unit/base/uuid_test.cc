#include "broker/base/uuid.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace verdict::base {
namespace {

TEST(Uuid, has_the_text_that_kafka_writes) {
  EXPECT_EQ((Uuid{0, 0}.to_string()), "AAAAAAAAAAAAAAAAAAAAAA");
  // The topic id of __cluster_metadata.
  EXPECT_EQ((Uuid{0, 1}.to_string()), "AAAAAAAAAAAAAAAAAAAAAQ");
  EXPECT_EQ((Uuid{UINT64_MAX, UINT64_MAX}.to_string()), "_____________________w");
  // Bytes 00 01 .. 0f.
  EXPECT_EQ((Uuid{0x0001020304050607, 0x08090a0b0c0d0e0f}.to_string()), "AAECAwQFBgcICQoLDA0ODw");
}

TEST(Uuid, text_goes_there_and_back) {
  for (uint64_t i = 0; i < 5'000; ++i) {
    Uuid id{mix64(2 * i), mix64(2 * i + 1)};
    if (i < 128) id = i < 64 ? Uuid{uint64_t{1} << i, 0} : Uuid{0, uint64_t{1} << (i - 64)};
    std::string text = id.to_string();
    ASSERT_EQ(text.size(), 22U);
    ASSERT_EQ(Uuid::parse(text), id) << text;
  }
}

TEST(Uuid, refuses_every_other_text) {
  const std::string good = "AAECAwQFBgcICQoLDA0ODw";
  ASSERT_TRUE(Uuid::parse(good).has_value());
  EXPECT_FALSE(Uuid::parse("").has_value());
  EXPECT_FALSE(Uuid::parse(good.substr(1)).has_value());
  EXPECT_FALSE(Uuid::parse(good + "=").has_value());
  EXPECT_FALSE(Uuid::parse(good + "==").has_value());
  EXPECT_FALSE(Uuid::parse("00010203-0405-0607-0809-0a0b0c0d0e0f").has_value());
  for (char bad : {'+', '/', '=', ' ', '.', '\0', '\n', '\x80', '\xff'}) {
    for (size_t at : {0U, 10U, 21U}) {
      std::string text = good;
      text[at] = bad;
      EXPECT_FALSE(Uuid::parse(text).has_value()) << at;
    }
  }
  // The last character carries two bits; one with more would have two texts for one id.
  std::string text = good;
  for (char last : {'x', 'y', '_', 'B', 'P'}) {
    text[21] = last;
    EXPECT_FALSE(Uuid::parse(text).has_value()) << last;
  }
}

TEST(Uuid, from_random_bits_is_of_version_4_and_variant_1) {
  std::set<std::string> texts;
  for (uint64_t i = 0; i < 1'000; ++i) {
    Uuid id = Uuid::from_random(mix64(2 * i), mix64(2 * i + 1));
    EXPECT_EQ((id.high >> 12) & 0xf, 4U);
    EXPECT_EQ(id.low >> 62, 2U);
    EXPECT_FALSE(id.is_zero());
    texts.insert(id.to_string());
  }
  EXPECT_EQ(texts.size(), 1'000U);
  // The bits that are free stay as they came.
  Uuid id = Uuid::from_random(UINT64_MAX, UINT64_MAX);
  EXPECT_EQ(id.high, 0xffffffffffff4fffU);
  EXPECT_EQ(id.low, 0xbfffffffffffffffU);
  EXPECT_FALSE(Uuid::from_random(0, 0).is_zero());
}

TEST(Uuid, is_ordered_and_hashed_by_its_value) {
  EXPECT_LT((Uuid{0, 5}), (Uuid{1, 0}));
  EXPECT_LT((Uuid{1, 0}), (Uuid{1, 1}));
  EXPECT_EQ((Uuid{1, 2}.hash()), (Uuid{1, 2}.hash()));
  EXPECT_NE((Uuid{1, 2}.hash()), (Uuid{2, 1}.hash()));
  EXPECT_TRUE(Uuid().is_zero());
  EXPECT_FALSE((Uuid{0, 1}.is_zero()));
}

}  // namespace
}  // namespace verdict::base
