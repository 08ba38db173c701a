// Waits end in exactly one of notified, timed out, cancelled; a notify that comes before the fiber
// resumes is never lost.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Instant;
using runtime::microseconds;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::seconds;
using runtime::WaitQueue;
using runtime::Wake;

CONFORMANCE_SUITE(Waits);

TEST_P(Waits, wait_ends_by_a_notify_before_its_deadline) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    Instant deadline = soon(node);
    int ended = 0;
    nursery.spawn("waiter", [&] {
      EXPECT_EQ(queue.wait(deadline), Wake::notified);
      EXPECT_LT(node.clock.now(), deadline);
      ++ended;
    });
    settle(node);
    EXPECT_EQ(ended, 0);
    EXPECT_TRUE(queue.has_waiters());
    EXPECT_TRUE(queue.notify_one());
    EXPECT_FALSE(queue.has_waiters());
    EXPECT_EQ(nursery.join_all(kNever), Wake::notified);
    EXPECT_EQ(ended, 1);
  });
}

TEST_P(Waits, wait_without_a_notify_times_out_and_not_before_its_deadline) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    for (int64_t us : {1, 100, 999, 1'000, 20'000}) {
      Instant deadline = node.clock.after(microseconds(us));
      EXPECT_EQ(queue.wait(deadline), Wake::timed_out);
      EXPECT_GE(node.clock.now(), deadline);
      EXPECT_FALSE(queue.has_waiters());
    }
  });
}

TEST_P(Waits, wait_with_a_deadline_in_the_past_times_out) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    EXPECT_EQ(queue.wait(node.clock.now()), Wake::timed_out);
    EXPECT_EQ(queue.wait(node.clock.now() - milliseconds(1)), Wake::timed_out);
    EXPECT_EQ(queue.wait(node.clock.now() - seconds(3600)), Wake::timed_out);
    EXPECT_FALSE(queue.has_waiters());
  });
}

TEST_P(Waits, wait_without_a_deadline_goes_on_until_it_is_notified) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    int ended = 0;
    for (Instant deadline : {kNever, Instant{kNever.ns - 1}, node.clock.after({kNever.ns - 1})}) {
      nursery.spawn("waiter", [&queue, &ended, deadline] {
        EXPECT_EQ(queue.wait(deadline), Wake::notified);
        ++ended;
      });
    }
    must(node.clock.sleep(milliseconds(30)));
    EXPECT_EQ(ended, 0);
    queue.notify_all();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, 3);
  });
}

TEST_P(Waits, wait_ends_by_cancel) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    Wake wake = Wake::notified;
    nursery.spawn("waiter", [&] { wake = queue.wait(kNever); });
    settle(node);
    nursery.cancel_all();
    EXPECT_FALSE(queue.has_waiters());
    nursery.join_all(kNever);
    EXPECT_EQ(wake, Wake::cancelled);
  });
}

TEST_P(Waits, a_notify_before_the_fiber_resumes_wins_over_a_later_cancel_and_deadline) {
  run([this](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    Wake wake = Wake::cancelled;
    Instant deadline = node.clock.after(milliseconds(30));
    nursery.spawn("waiter", [&] { wake = queue.wait(deadline); });
    settle(node);
    if (node.clock.now() >= deadline) return;  // a machine that stood still proves nothing
    EXPECT_TRUE(queue.notify_one());
    nursery.cancel_all();
    lab().occupy(node, milliseconds(40));
    nursery.join_all(kNever);
    EXPECT_EQ(wake, Wake::notified);
  });
}

TEST_P(Waits, a_cancel_before_the_fiber_resumes_wins_over_a_later_notify) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    Nursery others(node.tasks);
    Wake first = Wake::notified;
    Wake second = Wake::cancelled;
    nursery.spawn("first", [&] { first = queue.wait(kNever); });
    settle(node);
    others.spawn("second", [&] { second = queue.wait(kNever); });
    settle(node);
    nursery.cancel_all();
    EXPECT_TRUE(queue.notify_one());  // goes to the next waiter
    nursery.join_all(kNever);
    others.join_all(kNever);
    EXPECT_EQ(first, Wake::cancelled);
    EXPECT_EQ(second, Wake::notified);
  });
}

TEST_P(Waits, notify_one_after_a_waiter_timed_out_goes_to_the_next_waiter) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    Wake first = Wake::notified;
    Wake second = Wake::timed_out;
    Instant deadline = node.clock.after(milliseconds(10));
    nursery.spawn("first", [&] { first = queue.wait(deadline); });
    settle(node);
    nursery.spawn("second", [&] { second = queue.wait(soon(node)); });
    must(node.clock.sleep_until(deadline + milliseconds(5)));
    EXPECT_EQ(first, Wake::timed_out);
    EXPECT_TRUE(queue.notify_one());
    nursery.join_all(kNever);
    EXPECT_EQ(second, Wake::notified);
  });
}

TEST_P(Waits, notify_one_wakes_in_the_order_of_waiting) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    std::vector<int> arrived;
    std::vector<int> woken;
    for (int i = 0; i < 20; ++i) {
      nursery.spawn("waiter", [&, i] {
        arrived.push_back(i);
        EXPECT_EQ(queue.wait(kNever), Wake::notified);
        woken.push_back(i);
      });
    }
    settle(node);
    ASSERT_EQ(arrived.size(), 20U);
    for (size_t i = 0; i < 20; ++i) {
      EXPECT_TRUE(queue.notify_one());
      settle(node);
      EXPECT_EQ(woken.size(), i + 1);
    }
    EXPECT_EQ(woken, arrived);
    nursery.join_all(kNever);
  });
}

TEST_P(Waits, notify_all_wakes_those_who_wait_and_nobody_who_comes_later) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    int woken = 0;
    int timed_out = 0;
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("waiter", [&] {
        if (queue.wait(kNever) == Wake::notified) ++woken;
        // Waiting once more must not be ended by the notify_all that ended the first wait.
        if (queue.wait(node.clock.after(milliseconds(5))) == Wake::timed_out) ++timed_out;
      });
    }
    settle(node);
    queue.notify_all();
    EXPECT_FALSE(queue.has_waiters());
    nursery.join_all(kNever);
    EXPECT_EQ(woken, 10);
    EXPECT_EQ(timed_out, 10);
  });
}

TEST_P(Waits, a_notify_without_waiters_is_not_remembered) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    EXPECT_FALSE(queue.notify_one());
    queue.notify_all();
    EXPECT_EQ(queue.wait(node.clock.after(milliseconds(2))), Wake::timed_out);
  });
}

TEST_P(Waits, a_thousand_waiters_are_served_once_each) {
  run([](Node& node) {
    constexpr int kWaiters = 1'000;
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    int woken = 0;
    for (int i = 0; i < kWaiters; ++i) {
      nursery.spawn("waiter", [&] {
        EXPECT_EQ(queue.wait(soon(node)), Wake::notified);
        ++woken;
      });
    }
    int notified = 0;
    while (notified < kWaiters) {
      if (queue.notify_one()) {
        ++notified;
      } else {
        node.tasks.yield();
      }
    }
    nursery.join_all(kNever);
    EXPECT_EQ(woken, kWaiters);
    EXPECT_FALSE(queue.notify_one());
  });
}

struct Outcomes {
  int notified = 0;
  int timed_out = 0;
  int cancelled = 0;
};

// One variant of the race: waiters whose deadlines lie about the instants at which a notifier and a
// canceller act. Whatever comes first, the counts must add up.
void race(Node& node, uint64_t seed, Outcomes& all) {
  Dice dice(seed);
  WaitQueue queue(node.tasks);
  Nursery waiters(node.tasks);
  Nursery cancelled(node.tasks);
  Nursery actors(node.tasks);
  const Instant middle = node.clock.after(microseconds(600));
  // A third of all instants are the very same one; the others lie near or far.
  auto some_instant = [&] {
    const uint64_t spread_us[] = {0, 40, 500};
    uint64_t spread = spread_us[dice.below(3)];
    return middle + microseconds(static_cast<int64_t>(dice.below(2 * spread + 1)) -
                                 static_cast<int64_t>(spread));
  };
  Outcomes mine;
  int sent = 0;
  auto spawn_actors = [&] {
    actors.spawn("notifier", [&, at = some_instant(), times = dice.between(1, 4)] {
      must(node.clock.sleep_until(at));
      for (uint64_t i = 0; i < times; ++i) sent += queue.notify_one() ? 1 : 0;
    });
    actors.spawn("canceller", [&, at = some_instant()] {
      must(node.clock.sleep_until(at));
      cancelled.cancel_all();
    });
  };
  // Who sets a timer first decides in whose order equal instants are served, so both come about.
  const bool actors_first = dice.below(2) == 0;
  if (actors_first) spawn_actors();
  const auto count = static_cast<int>(dice.between(1, 6));
  for (int i = 0; i < count; ++i) {
    Nursery& nursery = dice.below(2) == 0 ? cancelled : waiters;
    nursery.spawn("waiter", [&, deadline = some_instant()] {
      switch (queue.wait(deadline)) {
        case Wake::notified:
          ++mine.notified;
          return;
        case Wake::timed_out:
          EXPECT_GE(node.clock.now(), deadline);
          ++mine.timed_out;
          return;
        case Wake::cancelled:
          ++mine.cancelled;
          return;
      }
    });
  }
  if (!actors_first) spawn_actors();
  EXPECT_EQ(actors.join_all(kNever), Wake::notified);
  EXPECT_EQ(waiters.join_all(kNever), Wake::notified);
  EXPECT_EQ(cancelled.join_all(kNever), Wake::notified);
  EXPECT_EQ(mine.notified, sent) << "variant " << seed;
  EXPECT_EQ(mine.notified + mine.timed_out + mine.cancelled, count) << "variant " << seed;
  EXPECT_FALSE(queue.has_waiters());
  all.notified += mine.notified;
  all.timed_out += mine.timed_out;
  all.cancelled += mine.cancelled;
}

TEST_P(Waits, notify_timeout_and_cancel_at_one_instant_end_each_wait_exactly_once) {
  run([](Node& node) {
    Outcomes all;
    for (uint64_t seed = 1; seed <= 1'000; ++seed) race(node, seed, all);
    // It was a race: each of the three won at times.
    EXPECT_GT(all.notified, 50);
    EXPECT_GT(all.timed_out, 50);
    EXPECT_GT(all.cancelled, 50);
  });
}

TEST_P(Waits, a_deadline_set_anew_for_every_wait_ends_only_the_wait_it_belongs_to) {
  run([](Node& node) {
    WaitQueue queue(node.tasks);
    Nursery nursery(node.tasks);
    std::vector<Wake> wakes;
    nursery.spawn("waiter", [&] {
      Instant start = node.clock.now();
      wakes.push_back(queue.wait(start + milliseconds(300)));  // notified at about 5 ms
      Instant longer = node.clock.after(milliseconds(350));  // the entry for 300 ms must not end it
      wakes.push_back(queue.wait(longer));
      EXPECT_GE(node.clock.now(), longer);
      Instant shorter = node.clock.after(milliseconds(1));
      wakes.push_back(queue.wait(shorter));
      EXPECT_GE(node.clock.now(), shorter);
      wakes.push_back(queue.wait(kNever));
    });
    settle(node);
    queue.notify_one();
    wait_until(node, [&] { return wakes.size() == 3; });
    settle(node);
    EXPECT_TRUE(queue.notify_one());
    nursery.join_all(kNever);
    EXPECT_EQ(wakes,
              (std::vector{Wake::notified, Wake::timed_out, Wake::timed_out, Wake::notified}));
  });
}

}  // namespace
}  // namespace verdict::conformance
