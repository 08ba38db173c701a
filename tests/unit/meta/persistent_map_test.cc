#include "broker/meta/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "broker/base/hash.h"

namespace verdict::meta {
namespace {

using Map = PersistentMap<int, int>;
using Model = std::map<int, int>;

void expect_equal(const Map& map, const Model& model) {
  ASSERT_EQ(map.size(), model.size());
  auto expected = model.begin();
  for (const auto& [key, value] : map) {
    ASSERT_EQ(key, expected->first);
    ASSERT_EQ(value, expected->second);
    ++expected;
  }
}

TEST(PersistentMap, every_copy_stays_as_it_was_while_others_change) {
  // Against std::map: random changes, a copy now and then, all copies compared at the end.
  constexpr int kSteps = 60'000;
  constexpr int kKeys = 400;
  Map map;
  Model model;
  std::vector<std::pair<Map, Model>> copies;
  uint64_t x = 1;
  for (int i = 0; i < kSteps; ++i) {
    x = base::mix64(x);
    const int key = static_cast<int>(x % kKeys);
    if ((x >> 40) % 3 != 0) {
      map.set(key, i);
      model[key] = i;
    } else {
      ASSERT_EQ(map.erase(key), model.erase(key) > 0);
    }
    if (i % 977 == 0) copies.emplace_back(map, model);
    if (i % 4999 == 0) {
      // Goes on from an old copy, so that two branches share nodes.
      const size_t back = (x >> 20) % copies.size();
      map = copies[back].first;
      model = copies[back].second;
    }
  }
  copies.emplace_back(map, model);
  for (const auto& [copy, expected] : copies) expect_equal(copy, expected);
}

TEST(PersistentMap, find_and_lower_bound_agree_with_the_standard_map) {
  Map map;
  Model model;
  for (int key = 0; key < 300; key += 3) {
    map.set(key, key * 2);
    model[key] = key * 2;
  }
  for (int key = -2; key < 305; ++key) {
    const int* found = map.find(key);
    ASSERT_EQ(found != nullptr, model.contains(key));
    if (found != nullptr) {
      ASSERT_EQ(*found, model[key]);
    }
    const auto at = map.lower_bound(key);
    const auto expected = model.lower_bound(key);
    ASSERT_EQ(at == map.end(), expected == model.end());
    if (expected != model.end()) {
      ASSERT_EQ(at->first, expected->first);
    }
  }
}

TEST(PersistentMap, its_shape_depends_on_its_content_alone) {
  // Iterators of two maps that were built in other orders walk alike, also from the middle.
  PersistentMap<std::string, int> up;
  PersistentMap<std::string, int> down;
  constexpr int kKeys = 200;
  for (int i = 0; i < kKeys; ++i) up.set("key" + std::to_string(i), i);
  for (int i = kKeys - 1; i >= 0; --i) down.set("key" + std::to_string(i), i);
  for (int i = 0; i < kKeys; i += 2) {
    EXPECT_TRUE(up.erase("key" + std::to_string(i)));
    EXPECT_TRUE(down.erase("key" + std::to_string(i)));
  }
  auto a = up.lower_bound(std::string("key5"));
  auto b = down.lower_bound(std::string("key5"));
  size_t walked = 0;
  for (; a != up.end(); ++a, ++b, ++walked) ASSERT_EQ(a->first, b->first);
  EXPECT_EQ(b, down.end());
  EXPECT_GT(walked, size_t{10});
}

TEST(PersistentMap, a_replaced_value_is_replaced_in_one_copy_only) {
  PersistentMap<int, std::string> before;
  before.set(1, "one");
  PersistentMap<int, std::string> after = before;
  after.set(1, "uno");
  EXPECT_EQ(*before.find(1), "one");
  EXPECT_EQ(*after.find(1), "uno");
  EXPECT_EQ(after.size(), size_t{1});
}

}  // namespace
}  // namespace verdict::meta
