#include "sim/choices.h"

#include <gtest/gtest.h>

namespace verdict::sim {
namespace {

constexpr ChoiceStream kStream{"test.stream"};
constexpr ChoiceStream kOther{"test.other"};

std::vector<uint64_t> draws(Choices& choices, const ChoiceStream& stream, uint64_t entity, int n) {
  ChoicePoint point(choices, stream, entity);
  std::vector<uint64_t> values;
  for (int i = 0; i < n; ++i) values.push_back(choices.draw(point, 1'000'000));
  return values;
}

TEST(Choices, a_value_depends_on_its_key_alone_and_not_on_the_order_of_draws) {
  Choices first(7);
  auto a = draws(first, kStream, 1, 50);
  auto b = draws(first, kStream, 2, 50);
  Choices second(7);
  auto b2 = draws(second, kStream, 2, 50);
  (void)draws(second, kOther, 1, 500);
  auto a2 = draws(second, kStream, 1, 50);
  EXPECT_EQ(a, a2);
  EXPECT_EQ(b, b2);
  EXPECT_NE(a, b);
}

TEST(Choices, another_seed_stream_or_entity_gives_other_values) {
  Choices seven(7);
  Choices eight(8);
  EXPECT_NE(draws(seven, kStream, 1, 10), draws(eight, kStream, 1, 10));
  EXPECT_NE(draws(seven, kStream, 1, 10), draws(seven, kOther, 1, 10));
}

TEST(Choices, values_are_below_their_bound_and_spread_evenly) {
  Choices choices(3);
  ChoicePoint point(choices, kStream, 9);
  std::vector<int> hits(10);
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    uint64_t value = choices.draw(point, hits.size());
    ASSERT_LT(value, hits.size());
    ++hits[value];
  }
  for (int n : hits) {
    EXPECT_GT(n, kDraws / 10 - 600);
    EXPECT_LT(n, kDraws / 10 + 600);
  }
}

TEST(Choices, happens_fires_at_its_rate_and_never_for_zero) {
  Choices choices(3);
  ChoicePoint point(choices, kStream, 9);
  int fired = 0;
  for (int i = 0; i < 100'000; ++i) fired += choices.happens(point, 20) ? 1 : 0;
  EXPECT_GT(fired, 1'800);
  EXPECT_LT(fired, 2'200);
  for (int i = 0; i < 1'000; ++i) EXPECT_FALSE(choices.happens(point, 0));
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(choices.happens(point, 1000));
}

TEST(Choices, an_override_changes_one_choice_and_no_other) {
  Choices plain(5);
  auto expected = draws(plain, kStream, 4, 20);
  Choices changed(5);
  changed.override_choice({kStream.hash, 4, 13}, 77);
  auto got = draws(changed, kStream, 4, 20);
  expected[13] = 77;
  EXPECT_EQ(got, expected);
}

TEST(Choices, a_recording_replays_without_the_seed) {
  Choices original(5);
  original.record();
  auto expected = draws(original, kStream, 4, 20);
  Choices replayed(999);
  replayed.replay(original.recorded());
  EXPECT_EQ(draws(replayed, kStream, 4, 20), expected);
  EXPECT_FALSE(replayed.divergence());
}

TEST(Choices, a_choice_that_was_not_recorded_is_zero_and_named_as_the_divergence) {
  Choices original(5);
  original.record();
  (void)draws(original, kStream, 4, 20);
  Choices replayed(999);
  replayed.replay(original.recorded());
  auto got = draws(replayed, kStream, 4, 22);
  EXPECT_EQ(got[20], 0U);
  ASSERT_TRUE(replayed.divergence());
  EXPECT_EQ(replayed.divergence()->k, 20U);
  EXPECT_EQ(replayed.divergence()->entity, 4U);
  std::string unnamed = replayed.describe(*replayed.divergence());
  EXPECT_NE(unnamed.find(" of 4, number 20"), std::string::npos) << unnamed;
  replayed.name_entity(4, "broker-1:/a.log");
  std::string named = replayed.describe(*replayed.divergence());
  EXPECT_NE(named.find(" of broker-1:/a.log, number 20"), std::string::npos) << named;
}

TEST(Choices, an_override_over_the_bound_is_cut_to_it) {
  Choices choices(5);
  choices.override_choice({kStream.hash, 4, 0}, 5'000);
  ChoicePoint point(choices, kStream, 4);
  EXPECT_EQ(choices.draw(point, 10), 9U);
}

}  // namespace
}  // namespace verdict::sim
