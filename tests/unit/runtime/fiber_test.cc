// Fibers: slots, ids, paths and stacks.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/runtime/plain_scheduler.h"

namespace verdict::runtime {
namespace {

TEST(Fibers, slots_are_recycled_and_ids_are_not) {
  PlainScheduler world;
  std::set<uint32_t> slots;
  std::set<FiberId> ids;
  world.run_all([&] {
    Nursery nursery(world.tasks());
    for (int i = 0; i < 10'000; ++i) {
      FiberId id = nursery.spawn("child", [] {});
      slots.insert(id.slot);
      EXPECT_TRUE(ids.insert(id).second);
      EXPECT_NE(id.generation, 0U);
      ASSERT_NE(world.find(id), nullptr);
      EXPECT_EQ(world.find(id)->name(), "child");
      nursery.join_all(Instant::never());
      ASSERT_EQ(world.find(id), nullptr);
    }
  });
  EXPECT_LE(slots.size(), 2U);
  EXPECT_EQ(world.live_fibers(), 0U);
}

TEST(Fibers, nobody_is_found_by_an_id_that_never_was) {
  PlainScheduler world;
  EXPECT_EQ(world.find({}), nullptr);
  EXPECT_EQ(world.find({0, 1}), nullptr);
  EXPECT_EQ(world.find({UINT32_MAX, 1}), nullptr);
}

TEST(Fibers, end_releases_what_the_body_captured) {
  PlainScheduler world;
  auto shared = std::make_shared<int>(0);
  world.run_all([&world, &shared] {
    Nursery nursery(world.tasks());
    nursery.spawn("child", [copy = shared] {});
    EXPECT_EQ(shared.use_count(), 2);
    nursery.join_all(Instant::never());
    EXPECT_EQ(shared.use_count(), 1);
  });
}

TEST(Fibers, count_their_resumes) {
  PlainScheduler world;
  world.run_all([&] {
    EXPECT_EQ(world.current()->resumes(), 1U);
    for (int i = 0; i < 5; ++i) world->yield();
    EXPECT_EQ(world.current()->resumes(), 6U);
    EXPECT_EQ(&world.current()->tasks(), &world.tasks());
    EXPECT_EQ(world.current_tasks(), &world.tasks());
  });
  EXPECT_EQ(world.current(), nullptr);
  EXPECT_EQ(world.current_tasks(), nullptr);
}

// ---------------------------------------------------------------- paths

// A tree of fibers; `extra` adds fibers of another name everywhere before the known ones.
std::map<std::string, uint64_t> paths(uint64_t seed, bool extra) {
  PlainScheduler world;
  world.set_paths(seed);
  std::map<std::string, uint64_t> found;
  world.run_all([&] {
    base::UniqueFunction<void(std::string, int)> grow = [&](std::string prefix, int depth) {
      found[prefix] = world.current()->path();
      Nursery nursery(world.tasks());
      Nursery other(world.tasks());
      if (depth < 3) {
        if (extra) other.spawn("extra", [] {});
        for (int i = 0; i < 2; ++i) {
          for (std::string name : {"a", "b"}) {
            nursery.spawn(name, [&grow, depth, below = prefix + "/" + name + std::to_string(i)] {
              grow(below, depth + 1);
            });
            if (extra) other.spawn("extra", [] {});
          }
        }
      }
      nursery.join_all(Instant::never());
      other.join_all(Instant::never());
    };
    grow("", 0);
  });
  return found;
}

TEST(FiberPaths, are_the_same_for_the_same_names_and_ordinals) {
  auto first = paths(7, false);
  EXPECT_EQ(first.size(), 1U + 4 + 16 + 64);
  EXPECT_EQ(paths(7, false), first);
}

TEST(FiberPaths, do_not_move_when_fibers_of_other_names_come_in_between) {
  EXPECT_EQ(paths(7, true), paths(7, false));
}

TEST(FiberPaths, differ_between_fibers_and_between_nodes) {
  std::set<uint64_t> all;
  for (uint64_t node : {7U, 17U}) {
    for (const auto& [name, path] : paths(node, false)) all.insert(path);
  }
  EXPECT_EQ(all.size(), 2U * 85);
}

TEST(FiberPaths, ordinals_count_over_the_life_of_the_parent_and_all_its_nurseries) {
  PlainScheduler world;
  std::set<uint64_t> seen;
  auto remember = [&] { EXPECT_TRUE(seen.insert(world.current()->path()).second); };
  world.run_all([&] {
    Nursery one(world.tasks());
    one.spawn("child", remember);
    one.join_all(Instant::never());
    {
      Nursery two(world.tasks());
      two.spawn("child", remember);
      two.join_all(Instant::never());
    }
    one.spawn("child", remember);
    one.join_all(Instant::never());
  });
  EXPECT_EQ(seen.size(), 3U);
}

// ---------------------------------------------------------------- kill

TEST(FiberKill, destroys_the_captures_of_fibers_that_never_ran) {
  PlainScheduler world;
  auto shared = std::make_shared<int>(0);
  world.start([&world, shared] {
    Nursery nursery(world.tasks());
    for (int i = 0; i < 5; ++i) nursery.spawn("child", [shared] {});
    (void)world->park(Instant::never());
  });
  EXPECT_EQ(shared.use_count(), 2);
  world.kill_all();  // before the root ran
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(world.live_fibers(), 0U);
}

TEST(FiberKill, spares_the_shards_that_were_not_named) {
  PlainScheduler world(2);
  int ended = 0;
  for (uint32_t shard : {0U, 1U}) {
    world.start(
        [&, shard] {
          (void)world.tasks(shard).park({100});
          ++ended;
        },
        shard);
  }
  world.run_ready();
  Tasks* one[] = {&world.tasks(0)};
  world.kill(one);
  EXPECT_EQ(world.live_fibers(), 1U);
  world.advance_to(100);
  EXPECT_EQ(ended, 1);
}

TEST(FiberKill, of_nobody_does_nothing) {
  PlainScheduler world;
  world.kill_all();
  EXPECT_EQ(world.live_fibers(), 0U);
}

// ---------------------------------------------------------------- stacks

TEST(Stacks, are_recycled_last_in_first_out) {
  StackPool pool;
  Stack a = pool.take();
  Stack b = pool.take();
  EXPECT_NE(a.low, b.low);
  EXPECT_EQ(a.size, StackPool::kStackBytes);
  static_cast<char*>(a.low)[0] = 1;
  static_cast<char*>(a.low)[a.size - 1] = 1;
  pool.give_back(a);
  pool.give_back(b);
  EXPECT_EQ(pool.take().low, b.low);
  EXPECT_EQ(pool.take().low, a.low);
  pool.give_back(a);
  pool.give_back(b);
}

TEST(Stacks, more_than_the_pool_keeps_go_back_to_the_system) {
  StackPool pool;
  std::vector<Stack> stacks;
  for (size_t i = 0; i < StackPool::kFreeMax + 10; ++i) stacks.push_back(pool.take());
  for (Stack s : stacks) pool.give_back(s);
}

TEST(StacksDeath, an_overflow_hits_the_guard_page) {
  StackPool pool;
  Stack stack = pool.take();
  EXPECT_DEATH(*(static_cast<volatile char*>(stack.low) - 1) = 1, "");
  pool.give_back(stack);
}

}  // namespace
}  // namespace verdict::runtime
