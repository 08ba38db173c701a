#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/base/function.h"
#include "broker/base/hash_map.h"
#include "broker/base/ids.h"
#include "broker/base/intrusive_list.h"
#include "broker/base/uuid.h"

namespace verdict::base {
namespace {

// ---------------------------------------------------------------- HashMap

template <class Map>
concept CanBeIterated = requires(Map& map) { map.begin(); };
static_assert(!CanBeIterated<HashMap<int, int>>, "its order would leak out");
static_assert(CanBeIterated<OrderedMap<int, int>>);

TEST(HashMap, finds_what_was_set_and_forgets_what_was_erased) {
  HashMap<int64_t, std::string> map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find(1), nullptr);
  for (int64_t i = 0; i < 1'000; ++i) map.set(i, std::to_string(i));
  EXPECT_EQ(map.size(), 1'000U);
  for (int64_t i = 0; i < 1'000; i += 2) EXPECT_TRUE(map.erase(i));
  EXPECT_FALSE(map.erase(0));
  EXPECT_EQ(map.size(), 500U);
  for (int64_t i = 0; i < 1'000; ++i) {
    std::string* found = map.find(i);
    ASSERT_EQ(found != nullptr, i % 2 == 1);
    EXPECT_TRUE(found == nullptr || *found == std::to_string(i));
  }
  map.clear();
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find(1), nullptr);
}

TEST(HashMap, set_replaces_and_at_or_create_does_not) {
  HashMap<std::string, int> map;
  EXPECT_EQ(map.at_or_create("a"), 0);
  map.at_or_create("a") = 5;
  EXPECT_EQ(map.at_or_create("a"), 5);
  EXPECT_EQ(map.set("a", 6), 6);
  EXPECT_EQ(map.size(), 1U);
}

TEST(HashMap, is_asked_by_view_without_a_string) {
  HashMap<std::string, int> map;
  map.set("topic", 3);
  std::string_view view("topic-and-more", 5);
  ASSERT_NE(map.find(view), nullptr);
  EXPECT_EQ(*map.find(view), 3);
  const auto& constant = map;
  EXPECT_NE(constant.find(view), nullptr);
  EXPECT_TRUE(map.erase(view));
}

TEST(HashMap, takes_keys_with_a_hash_of_their_own_and_values_that_only_move) {
  HashMap<Uuid, std::unique_ptr<int>> map;
  map.set(Uuid{1, 2}, std::make_unique<int>(7));
  EXPECT_EQ(**map.find(Uuid{1, 2}), 7);
  EXPECT_EQ(map.find(Uuid{2, 1}), nullptr);
  HashMap<ProducerId, int> producers;
  producers.set(ProducerId{4}, 1);
  EXPECT_NE(producers.find(ProducerId{4}), nullptr);
}

TEST(HashMap, references_stay_valid_while_others_come_and_go) {
  HashMap<int64_t, int64_t> map;
  int64_t& kept = map.set(-1, 42);
  for (int64_t i = 0; i < 10'000; ++i) map.set(i, i);
  for (int64_t i = 0; i < 10'000; ++i) map.erase(i);
  EXPECT_EQ(&kept, map.find(-1));
  EXPECT_EQ(kept, 42);
}

// ---------------------------------------------------------------- IntrusiveList

struct Item : ListNode {
  explicit Item(int n) : number(n) {}
  int number;
};

std::vector<int> numbers(IntrusiveList<Item>& list) {
  std::vector<int> all;
  for (Item* i = list.front(); i != nullptr; i = list.next(*i)) all.push_back(i->number);
  return all;
}

TEST(IntrusiveList, keeps_order_and_unlinks_from_anywhere) {
  Item items[5] = {Item(0), Item(1), Item(2), Item(3), Item(4)};
  IntrusiveList<Item> list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
  EXPECT_EQ(list.back(), nullptr);
  for (Item& i : items) list.push_back(i);
  EXPECT_EQ(numbers(list), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(list.front()->number, 0);
  EXPECT_EQ(list.back()->number, 4);
  items[2].unlink();
  items[2].unlink();  // nothing
  EXPECT_FALSE(items[2].linked());
  EXPECT_TRUE(items[3].linked());
  items[0].unlink();
  items[4].unlink();
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3}));
  list.push_back(items[0]);
  EXPECT_EQ(numbers(list), (std::vector<int>{1, 3, 0}));
  for (Item& i : items) i.unlink();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, an_element_goes_from_one_list_to_another) {
  Item item(1);
  IntrusiveList<Item> a;
  IntrusiveList<Item> b;
  a.push_back(item);
  item.unlink();
  b.push_back(item);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(b.front(), &item);
  item.unlink();
}

TEST(IntrusiveListDeath, links_that_would_dangle) {
  EXPECT_DEATH(
      {
        IntrusiveList<Item> list;
        Item item(1);
        list.push_back(item);
        list.push_back(item);
      },
      "CHECK failed");
  EXPECT_DEATH(
      {
        IntrusiveList<Item> list;
        Item dies_first(1);
        list.push_back(dies_first);
      },
      "CHECK failed");
  EXPECT_DEATH(
      {
        Item item(1);
        IntrusiveList<Item> dies_first;
        dies_first.push_back(item);
      },
      "CHECK failed");
}

// ---------------------------------------------------------------- UniqueFunction

TEST(UniqueFunction, owns_what_only_moves_and_destroys_it_once) {
  auto alive = std::make_shared<int>(3);
  UniqueFunction<int()> f = [owned = std::make_unique<int>(4), alive] { return *owned + *alive; };
  EXPECT_EQ(f(), 7);
  UniqueFunction<int()> g = std::move(f);
  EXPECT_EQ(g(), 7);
  EXPECT_EQ(alive.use_count(), 2);
  g = nullptr;
  EXPECT_EQ(alive.use_count(), 1);
}

}  // namespace
}  // namespace verdict::base
