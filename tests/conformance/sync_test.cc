// Mutex, CondVar, Event, Future: what they promise on every backend.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::CondVar;
using runtime::Event;
using runtime::Future;
using runtime::Instant;
using runtime::LockGuard;
using runtime::milliseconds;
using runtime::Mutex;
using runtime::Node;
using runtime::Nursery;
using runtime::Promise;
using runtime::Wake;

// ---------------------------------------------------------------- Mutex

CONFORMANCE_SUITE(Mutexes);

TEST_P(Mutexes, one_fiber_at_a_time_is_inside) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    Nursery nursery(node.tasks);
    int inside = 0;
    int passes = 0;
    for (int i = 0; i < 20; ++i) {
      nursery.spawn("locker", [&] {
        for (int k = 0; k < 20; ++k) {
          LockGuard guard(mutex);
          EXPECT_EQ(++inside, 1);
          node.tasks.yield();
          --inside;
          ++passes;
        }
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(passes, 400);
    EXPECT_FALSE(mutex.locked());
  });
}

TEST_P(Mutexes, are_handed_over_first_come_first_served) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    Nursery nursery(node.tasks);
    std::vector<int> came;
    std::vector<int> served;
    mutex.lock();
    for (int i = 0; i < 50; ++i) {
      nursery.spawn("locker", [&, i] {
        came.push_back(i);
        LockGuard guard(mutex);
        served.push_back(i);
        node.tasks.yield();
      });
    }
    settle(node);
    ASSERT_EQ(came.size(), 50U);
    mutex.unlock();
    nursery.join_all(kNever);
    EXPECT_EQ(served, came);
  });
}

TEST_P(Mutexes, nobody_overtakes_a_waiter_at_the_hand_over) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    Nursery nursery(node.tasks);
    bool waiter_had_it = false;
    mutex.lock();
    nursery.spawn("waiter", [&] {
      LockGuard guard(mutex);
      waiter_had_it = true;
    });
    settle(node);
    mutex.unlock();
    EXPECT_TRUE(mutex.locked());  // it is the waiter's already
    EXPECT_FALSE(mutex.try_lock());
    mutex.lock();
    EXPECT_TRUE(waiter_had_it);
    mutex.unlock();
    EXPECT_TRUE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock());
    mutex.unlock();
    nursery.join_all(kNever);
  });
}

// ---------------------------------------------------------------- CondVar

CONFORMANCE_SUITE(CondVars);

TEST_P(CondVars, wait_releases_the_mutex_and_holds_it_again_however_it_ends) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    CondVar changed(node.tasks);
    Nursery nursery(node.tasks);
    std::vector<Wake> wakes;
    int inside = 0;
    auto wait_once = [&](Instant deadline) {
      LockGuard guard(mutex);
      wakes.push_back(changed.wait(mutex, deadline));
      EXPECT_EQ(++inside, 1);
      node.tasks.yield();
      --inside;
    };
    nursery.spawn("notified", [&] { wait_once(soon(node)); });
    settle(node);
    EXPECT_TRUE(mutex.try_lock());
    changed.notify_one();
    settle(node);
    EXPECT_TRUE(wakes.empty());  // it was notified, but we hold the mutex
    mutex.unlock();
    settle(node);
    EXPECT_EQ(wakes, std::vector{Wake::notified});
    nursery.spawn("timed out", [&] { wait_once(node.clock.after(milliseconds(2))); });
    nursery.join_all(kNever);
    nursery.spawn("cancelled", [&] { wait_once(soon(node)); });
    settle(node);
    nursery.stop();
    EXPECT_EQ(wakes, (std::vector{Wake::notified, Wake::timed_out, Wake::cancelled}));
    EXPECT_FALSE(mutex.locked());
  });
}

TEST_P(CondVars, notify_one_wakes_one_and_notify_all_the_rest) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    CondVar changed(node.tasks);
    Nursery nursery(node.tasks);
    int woken = 0;
    for (int i = 0; i < 5; ++i) {
      nursery.spawn("waiter", [&] {
        LockGuard guard(mutex);
        EXPECT_EQ(changed.wait(mutex, soon(node)), Wake::notified);
        ++woken;
      });
    }
    settle(node);
    changed.notify_one();
    settle(node);
    EXPECT_EQ(woken, 1);
    changed.notify_one();
    changed.notify_one();
    settle(node);
    EXPECT_EQ(woken, 3);
    changed.notify_all();
    nursery.join_all(kNever);
    EXPECT_EQ(woken, 5);
  });
}

TEST_P(CondVars, hand_values_from_producers_to_consumers) {
  run([](Node& node) {
    Mutex mutex(node.tasks);
    CondVar changed(node.tasks);
    Nursery nursery(node.tasks);
    std::vector<int> shelf;
    int taken = 0;
    for (int c = 0; c < 4; ++c) {
      nursery.spawn("consumer", [&] {
        for (int i = 0; i < 50; ++i) {
          LockGuard guard(mutex);
          while (shelf.empty()) EXPECT_EQ(changed.wait(mutex, soon(node)), Wake::notified);
          shelf.pop_back();
          ++taken;
        }
      });
    }
    for (int p = 0; p < 2; ++p) {
      nursery.spawn("producer", [&] {
        for (int i = 0; i < 100; ++i) {
          {
            LockGuard guard(mutex);
            shelf.push_back(i);
          }
          changed.notify_one();
          if (i % 10 == 0) node.tasks.yield();
        }
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(taken, 200);
    EXPECT_TRUE(shelf.empty());
  });
}

// ---------------------------------------------------------------- Event

CONFORMANCE_SUITE(Events);

TEST_P(Events, set_wakes_all_who_wait_and_lets_later_ones_pass) {
  run([](Node& node) {
    Event event(node.tasks);
    Nursery nursery(node.tasks);
    int woken = 0;
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("waiter", [&] {
        EXPECT_TRUE(ok(event.wait(soon(node))));
        ++woken;
      });
    }
    settle(node);
    EXPECT_EQ(woken, 0);
    EXPECT_FALSE(event.ready());
    event.set();
    event.set();
    nursery.join_all(kNever);
    EXPECT_EQ(woken, 10);
    EXPECT_TRUE(event.ready());
    EXPECT_TRUE(ok(event.wait(node.clock.now())));
  });
}

TEST_P(Events, times_out_and_can_be_reset) {
  run([](Node& node) {
    Event event(node.tasks);
    Instant deadline = node.clock.after(milliseconds(3));
    EXPECT_TRUE(fails(event.wait(deadline), Errc::timed_out));
    EXPECT_GE(node.clock.now(), deadline);
    event.set();
    EXPECT_TRUE(ok(event.wait(kNever)));
    event.reset();
    EXPECT_FALSE(event.ready());
    EXPECT_TRUE(fails(event.wait(node.clock.after(milliseconds(1))), Errc::timed_out));
  });
}

TEST_P(Events, a_condition_that_fell_before_the_waiter_looked_is_waited_for_again) {
  run([](Node& node) {
    Event event(node.tasks);
    Nursery nursery(node.tasks);
    bool woken = false;
    nursery.spawn("waiter", [&] {
      EXPECT_TRUE(ok(event.wait(soon(node))));
      EXPECT_TRUE(event.ready());
      woken = true;
    });
    settle(node);
    event.set();
    event.reset();
    settle(node);
    EXPECT_FALSE(woken);
    event.set();
    nursery.join_all(kNever);
    EXPECT_TRUE(woken);
  });
}

// ---------------------------------------------------------------- Future and Promise

CONFORMANCE_SUITE(Futures);

TEST_P(Futures, give_a_value_that_came_before_the_wait) {
  run([](Node& node) {
    Promise<std::unique_ptr<int>> promise(node.tasks);
    EXPECT_FALSE(promise.is_set());
    auto future = promise.future();
    EXPECT_FALSE(future.ready());
    promise.set(std::make_unique<int>(7));
    EXPECT_TRUE(promise.is_set());
    EXPECT_TRUE(future.ready());
    EXPECT_EQ(*must(future.wait(node.clock.now())), 7);
  });
}

TEST_P(Futures, wait_for_a_value_that_comes_later) {
  run([](Node& node) {
    Promise<std::string> promise(node.tasks);
    Nursery nursery(node.tasks);
    std::string got;
    nursery.spawn("waiter", [&] { got = must(promise.future().wait(soon(node))); });
    settle(node);
    EXPECT_EQ(got, "");
    promise.set("value");
    nursery.join_all(kNever);
    EXPECT_EQ(got, "value");
  });
}

TEST_P(Futures, a_promise_that_dies_without_a_value_closes_the_future) {
  run([](Node& node) {
    Future<int> before;
    EXPECT_FALSE(before.valid());
    Nursery nursery(node.tasks);
    int closed = 0;
    {
      Promise<int> promise(node.tasks);
      before = promise.future();
      for (int i = 0; i < 3; ++i) {
        nursery.spawn("waiter", [&closed, &node, future = promise.future()]() mutable {
          EXPECT_TRUE(fails(future.wait(soon(node)), Errc::closed));
          ++closed;
        });
      }
      settle(node);
      EXPECT_EQ(closed, 0);
    }
    nursery.join_all(kNever);
    EXPECT_EQ(closed, 3);
    EXPECT_TRUE(before.ready());
    EXPECT_TRUE(fails(before.wait(kNever), Errc::closed));
  });
}

TEST_P(Futures, a_value_outlives_its_promise) {
  run([](Node& node) {
    Future<int> future;
    {
      Promise<int> promise(node.tasks);
      future = promise.future();
      promise.set(3);
    }
    EXPECT_EQ(must(future.wait(kNever)), 3);
  });
}

TEST_P(Futures, a_promise_outlives_its_futures) {
  run([](Node& node) {
    Promise<int> promise(node.tasks);
    {
      auto future = promise.future();
    }
    promise.set(4);
    Promise<int> never_set(node.tasks);
    {
      auto future = never_set.future();
    }
  });
}

TEST_P(Futures, moving_a_promise_keeps_its_futures_and_assignment_abandons_the_old_one) {
  run([](Node& node) {
    Promise<int> a(node.tasks);
    auto future_a = a.future();
    Promise<int> moved(std::move(a));
    EXPECT_FALSE(future_a.ready());
    Promise<int> b(node.tasks);
    auto future_b = b.future();
    b = std::move(moved);
    EXPECT_TRUE(fails(future_b.wait(kNever), Errc::closed));
    b.set(5);
    EXPECT_EQ(must(future_a.wait(kNever)), 5);
  });
}

TEST_P(Futures, a_wait_that_timed_out_takes_nothing) {
  run([](Node& node) {
    Promise<int> promise(node.tasks);
    auto future = promise.future();
    EXPECT_TRUE(fails(future.wait(node.clock.after(milliseconds(1))), Errc::timed_out));
    promise.set(6);
    EXPECT_EQ(must(future.wait(kNever)), 6);
  });
}

}  // namespace
}  // namespace verdict::conformance
