// Mistakes of ours end the process at once. Each of these is the red test of a CHECK.

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/unit/runtime/plain_scheduler.h"

namespace verdict::runtime {
namespace {

// Runs `body` as the root fiber of a fresh node, in the child process of the death test.
void in_fiber(base::UniqueFunction<void(PlainScheduler&)> body) {
  PlainScheduler world(2);
  world.start([&] { body(world); });
  world.run_ready();
}

TEST(RuntimeDeath, a_nursery_that_dies_before_its_fibers) {
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) {
                 Nursery nursery(world.tasks());
                 nursery.spawn("child", [] {});
               }),
               "CHECK failed: count_ == 0");
}

TEST(RuntimeDeath, a_nursery_or_a_wait_outside_of_a_fiber) {
  PlainScheduler world;
  EXPECT_DEATH(Nursery(world.tasks()), "CHECK failed");
  EXPECT_DEATH(
      {
        WaitQueue queue(world.tasks());
        queue.wait(Instant::never());
      },
      "CHECK failed");
  EXPECT_DEATH(world->yield(), "CHECK failed");
  EXPECT_DEATH((void)world->park(Instant::never()), "CHECK failed");
  EXPECT_DEATH((void)world->current_id(), "CHECK failed");
}

TEST(RuntimeDeath, an_object_of_one_shard_used_from_another) {
  class Counter : public ShardBound {
   public:
    using ShardBound::ShardBound;
    void add() {
      check_shard();
      ++count;
    }
    int count = 0;
  };
  PlainScheduler world(2);
  Counter counter(world.tasks(0));
  counter.add();  // the main stack inspects and destroys
  world.start([&] { counter.add(); }, 0);
  world.run_ready();
  EXPECT_EQ(counter.count, 2);
  EXPECT_DEATH(
      {
        world.start([&] { counter.add(); }, 1);
        world.run_ready();
      },
      "CHECK failed: .*running == tasks_");
}

TEST(RuntimeDeath, a_nursery_on_the_tasks_of_another_shard) {
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) { Nursery nursery(world.tasks(1)); }),
               "CHECK failed");
}

TEST(RuntimeDeath, a_wait_while_an_exception_unwinds) {
  struct Waits {
    PlainScheduler& world;
    ~Waits() { world->yield(); }
  };
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) {
                 try {
                   Waits waits{world};
                   throw std::runtime_error("unwind");
                 } catch (const std::runtime_error&) {
                 }
               }),
               "CHECK failed");
}

TEST(RuntimeDeath, a_killed_fiber_that_waits_while_it_unwinds) {
  struct Waits {
    PlainScheduler& world;
    ~Waits() { (void)world->park(Instant::never()); }
  };
  EXPECT_DEATH(
      {
        PlainScheduler world;
        world.start([&] {
          Waits waits{world};
          (void)world->park(Instant::never());
        });
        world.run_ready();
        world.kill_all();
      },
      "CHECK failed");
}

TEST(RuntimeDeath, a_kill_from_within_a_fiber) {
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) { world.kill_all(); }), "CHECK failed");
}

TEST(RuntimeDeath, a_wait_queue_that_dies_with_waiters) {
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) {
                 Nursery nursery(world.tasks());
                 auto queue = std::make_unique<WaitQueue>(world.tasks());
                 nursery.spawn("waiter", [&] { queue->wait(Instant::never()); });
                 world->yield();
                 queue.reset();
               }),
               "CHECK failed");
}

TEST(RuntimeDeath, wait_any_over_nothing_or_too_much) {
  EXPECT_DEATH(
      in_fiber([](PlainScheduler& world) { (void)wait_any(world.tasks(), {}, Instant::never()); }),
      "CHECK failed");
  EXPECT_DEATH(in_fiber([](PlainScheduler& world) {
                 Event event(world.tasks());
                 std::vector<Waitable*> many(kWaitAnyMax + 1, &event);
                 (void)wait_any(world.tasks(), many, Instant::never());
               }),
               "CHECK failed");
}

TEST(RuntimeDeath, primitives_used_against_their_rules) {
  PlainScheduler world;
  EXPECT_DEATH(Mutex(world.tasks()).unlock(), "CHECK failed: locked_");
  EXPECT_DEATH(Channel<int>(world.tasks(), 0), "CHECK failed");
  EXPECT_DEATH(
      {
        Promise<int> promise(world.tasks());
        promise.set(1);
        promise.set(2);
      },
      "CHECK failed");
  EXPECT_DEATH(
      {
        Promise<int> promise(world.tasks());
        (void)promise.future().take();
      },
      "CHECK failed");
  EXPECT_DEATH(
      {
        Semaphore semaphore(world.tasks(), UINT64_MAX);
        semaphore.release(1);
      },
      "CHECK failed");
  EXPECT_DEATH(world->charge(-1), "CHECK failed");
  EXPECT_DEATH(world->post(base::ShardId{1}, [] {}), "CHECK failed");
}

TEST(RuntimeDeath, a_scheduler_that_dies_with_live_fibers) {
  EXPECT_DEATH(
      {
        PlainScheduler world;
        world.start([] {});
      },
      "CHECK failed: live_ == 0");
}

TEST(RuntimeDeath, two_roots_of_one_shard) {
  EXPECT_DEATH(
      {
        PlainScheduler world;
        world.start([] {});
        world.start([] {});
      },
      "CHECK failed");
}

}  // namespace
}  // namespace verdict::runtime
