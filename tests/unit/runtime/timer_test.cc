// Timers: one entry per fiber, whatever it waits for; fired in an order that depends on nothing but
// the waits.

#include <gtest/gtest.h>

#include "broker/base/hash.h"
#include "tests/unit/runtime/plain_scheduler.h"

namespace verdict::runtime {
namespace {

constexpr int64_t kHour = 3'600'000'000'000;

TEST(Timers, a_million_waits_with_far_deadlines_that_are_notified_keep_the_heap_small) {
  PlainScheduler world;
  constexpr int kWaits = 1'000'000;
  int waits = 0;
  world.run_all([&] {
    WaitQueue queue(world.tasks());
    Nursery nursery(world.tasks());
    nursery.spawn("waiter", [&] {
      for (; waits < kWaits; ++waits) {
        // Each deadline lies a little further away, as an idle timeout does.
        Instant deadline{world.now_ns() + kHour + waits};
        ASSERT_EQ(queue.wait(deadline), Wake::notified);
      }
    });
    size_t most = 0;
    while (waits < kWaits) {
      queue.notify_one();
      world->yield();
      most = std::max(most, world.timer_entries());
    }
    nursery.join_all(Instant::never());
    EXPECT_LE(most, 2U);
  });
  EXPECT_EQ(waits, kWaits);
}

TEST(Timers, far_and_near_deadlines_in_turn_keep_the_heap_small) {
  // Every near one puts an entry before the far one, which becomes stale.
  PlainScheduler world;
  size_t most = 0;
  world.run_all([&] {
    WaitQueue queue(world.tasks());
    Nursery nursery(world.tasks());
    int rounds = 0;
    nursery.spawn("waiter", [&] {
      for (; rounds < 100'000; ++rounds) {
        ASSERT_EQ(queue.wait({world.now_ns() + kHour}), Wake::notified);
        ASSERT_EQ(queue.wait({world.now_ns() + 10}), Wake::timed_out);
      }
    });
    while (rounds < 100'000) {
      queue.notify_one();
      (void)queue.wait({world.now_ns() + 20});
      most = std::max(most, world.timer_entries());
    }
    nursery.join_all(Instant::never());
  });
  EXPECT_LE(most, 5'000U);
}

TEST(Timers, fibers_that_ended_leave_no_entries_to_pile_up) {
  // A short-lived fiber per request, each with a far deadline that was never reached.
  PlainScheduler world;
  size_t most = 0;
  world.run_all([&] {
    Nursery nursery(world.tasks());
    WaitQueue queue(world.tasks());
    for (int i = 0; i < 100'000; ++i) {
      nursery.spawn("request",
                    [&] { ASSERT_EQ(queue.wait({world.now_ns() + kHour}), Wake::notified); });
      world->yield();
      queue.notify_all();
      nursery.join_all(Instant::never());
      most = std::max(most, world.timer_entries());
    }
  });
  EXPECT_LE(most, 5'000U);
}

TEST(Timers, the_next_timer_is_that_of_the_earliest_wait_that_is_still_on) {
  PlainScheduler world;
  WaitQueue* queue = nullptr;
  world.start([&] {
    WaitQueue own(world.tasks());
    queue = &own;
    EXPECT_EQ(own.wait({100}), Wake::notified);
    EXPECT_EQ(own.wait({300}), Wake::notified);
    EXPECT_EQ(own.wait({200}), Wake::timed_out);
    EXPECT_EQ(own.wait(Instant::never()), Wake::notified);
  });
  world.run_ready();
  EXPECT_EQ(world.next_timer(), 100);
  queue->notify_one();
  EXPECT_EQ(world.next_timer(), INT64_MAX);  // nobody waits, the entry is nothing
  world.run_ready();
  EXPECT_EQ(world.next_timer(), 300);
  queue->notify_one();
  world.run_ready();
  EXPECT_EQ(world.next_timer(), 200);
  world.advance_to(199);
  EXPECT_EQ(world.next_timer(), 200);
  EXPECT_EQ(world.woken_by_timers(), 0U);
  world.advance_to(200);
  EXPECT_EQ(world.woken_by_timers(), 1U);
  EXPECT_EQ(world.next_timer(), INT64_MAX);
  queue->notify_one();
  world.run_ready();
  EXPECT_EQ(world.live_fibers(), 0U);
}

TEST(Timers, an_entry_that_comes_early_is_moved_and_ends_nothing) {
  PlainScheduler world;
  WaitQueue* queue = nullptr;
  Wake second = Wake::notified;
  world.start([&] {
    WaitQueue own(world.tasks());
    queue = &own;
    EXPECT_EQ(own.wait({100}), Wake::notified);
    second = own.wait({500});
    EXPECT_EQ(world.now_ns(), 500);
  });
  world.run_ready();
  queue->notify_one();
  world.run_ready();
  world.advance_to(100);
  world.advance_to(499);
  EXPECT_EQ(world.live_fibers(), 1U);
  EXPECT_EQ(world.next_timer(), 500);
  world.advance_to(500);
  EXPECT_EQ(second, Wake::timed_out);
  EXPECT_EQ(world.live_fibers(), 0U);
}

TEST(Timers, that_are_due_together_fire_by_deadline_and_then_by_the_order_of_the_waits) {
  PlainScheduler world;
  std::vector<int> fired;
  world.run_all([&] {
    Nursery nursery(world.tasks());
    for (int i = 0; i < 100; ++i) {
      nursery.spawn("waiter", [&, i] {
        EXPECT_EQ(world->park({1'000 + (i * 37) % 10}), Wake::timed_out);
        fired.push_back(i);
      });
    }
    world->yield();
    (void)world->park({5'000});
    nursery.join_all(Instant::never());
  });
  std::vector<int> expected;
  for (int i = 0; i < 100; ++i) expected.push_back(i);
  std::sort(expected.begin(), expected.end(),
            [](int a, int b) { return std::pair((a * 37) % 10, a) < std::pair((b * 37) % 10, b); });
  EXPECT_EQ(fired, expected);
}

// Two fibers wait for one instant, the first of them with an entry in the heap from an earlier
// wait. What else happens in the world decides when that entry is looked at; it must not decide
// the order.
std::vector<std::string> order_of_two(int64_t first_deadline, bool look_between, bool coarse) {
  PlainScheduler world;
  std::vector<std::string> order;
  WaitQueue* queue = nullptr;
  world.start([&] {
    WaitQueue own(world.tasks());
    queue = &own;
    Nursery nursery(world.tasks());
    nursery.spawn("first", [&] {
      EXPECT_EQ(own.wait({first_deadline}), Wake::notified);
      EXPECT_EQ(own.wait({2'000}), Wake::timed_out);
      order.push_back("first");
    });
    nursery.spawn("second", [&] {
      EXPECT_EQ(world->park({500}), Wake::timed_out);
      EXPECT_EQ(world->park({2'000}), Wake::timed_out);
      order.push_back("second");
    });
    nursery.join_all(Instant::never());
  });
  world.run_ready();
  queue->notify_one();
  if (look_between) (void)world.next_timer();  // while "first" is ready
  world.run_ready();
  if (look_between) (void)world.next_timer();
  world.advance_to(500);
  if (look_between) (void)world.next_timer();
  if (!coarse) world.advance_to(first_deadline);
  world.advance_to(3'000);
  EXPECT_EQ(world.live_fibers(), 0U);
  return order;
}

TEST(Timers, their_order_does_not_depend_on_when_anybody_looks_at_them) {
  const std::vector<std::string> expected = {"first", "second"};
  for (int64_t first_deadline : {100, 400, 600, 1'000, 2'000, 9'000}) {
    for (bool look_between : {false, true}) {
      for (bool coarse : {false, true}) {
        EXPECT_EQ(order_of_two(first_deadline, look_between, coarse), expected)
            << first_deadline << look_between << coarse;
      }
    }
  }
}

TEST(Timers, random_waits_end_exactly_when_they_should) {
  // Against a model: each wait is either notified at a known time or times out at its deadline.
  PlainScheduler world;
  uint64_t state = 1;
  auto below = [&](uint64_t n) { return static_cast<int64_t>(base::mix64(state++) % n); };
  int ended = 0;
  world.run_all([&] {
    Nursery nursery(world.tasks());
    std::vector<std::unique_ptr<WaitQueue>> queues;
    for (int f = 0; f < 30; ++f) {
      queues.push_back(std::make_unique<WaitQueue>(world.tasks()));
      nursery.spawn("waiter", [&, queue = queues.back().get()] {
        for (int k = 0; k < 200; ++k) {
          Instant deadline{world.now_ns() + below(1'000)};
          Wake wake = queue->wait(deadline);
          EXPECT_TRUE(wake == Wake::timed_out ? world.now_ns() == deadline.ns
                                              : world.now_ns() <= deadline.ns);
          ++ended;
        }
      });
    }
    while (nursery.size() > 0) {
      queues[static_cast<size_t>(below(queues.size()))]->notify_one();
      (void)world->park({world.now_ns() + 1 + below(20)});
    }
  });
  EXPECT_EQ(ended, 6'000);
}

TEST(Timers, of_killed_fibers_never_fire) {
  PlainScheduler world;
  world.start([&] { (void)world->park({100}); });
  world.run_ready();
  EXPECT_EQ(world.next_timer(), 100);
  world.kill_all();
  EXPECT_EQ(world.next_timer(), INT64_MAX);
  // Another fiber takes the slot; the old entry is not its.
  bool timed_out = false;
  world.start([&] {
    (void)world->park({500});
    timed_out = true;
  });
  world.run_ready();
  world.advance_to(100);
  EXPECT_FALSE(timed_out);
  world.advance_to(500);
  EXPECT_TRUE(timed_out);
}

}  // namespace
}  // namespace verdict::runtime
