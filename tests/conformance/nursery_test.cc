// A nursery's owner sees all its fibers end, whoever spawned them.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Event;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Wake;

CONFORMANCE_SUITE(Nurseries);

TEST_P(Nurseries, join_all_waits_for_every_fiber) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int ended = 0;
    for (int i = 0; i < 30; ++i) {
      nursery.spawn("child", [&, i] {
        must(node.clock.sleep(milliseconds(i % 7)));
        ++ended;
      });
    }
    EXPECT_EQ(nursery.size(), 30U);
    EXPECT_EQ(nursery.join_all(kNever), Wake::notified);
    EXPECT_EQ(ended, 30);
    EXPECT_EQ(nursery.size(), 0U);
  });
}

TEST_P(Nurseries, join_all_of_nobody_returns_at_once) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    EXPECT_EQ(nursery.join_all(node.clock.now()), Wake::notified);
    EXPECT_EQ(nursery.join_all(kNever), Wake::notified);
    nursery.stop();
  });
}

TEST_P(Nurseries, spawn_does_not_run_the_fiber_before_the_spawner_waits) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool ran = false;
    nursery.spawn("child", [&] { ran = true; });
    EXPECT_FALSE(ran);
    nursery.join_all(kNever);
    EXPECT_TRUE(ran);
  });
}

TEST_P(Nurseries, join_all_with_a_deadline_times_out_and_can_be_called_again) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    Event release(node.tasks);
    nursery.spawn("child", [&] { must(release.wait(kNever)); });
    Instant deadline = node.clock.after(milliseconds(5));
    EXPECT_EQ(nursery.join_all(deadline), Wake::timed_out);
    EXPECT_GE(node.clock.now(), deadline);
    EXPECT_EQ(nursery.size(), 1U);
    EXPECT_EQ(nursery.join_all(node.clock.now()), Wake::timed_out);
    release.set();
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(nursery.size(), 0U);
  });
}

TEST_P(Nurseries, join_all_is_cancelled_with_its_owner_but_stop_is_not) {
  run([](Node& node) {
    Nursery outer(node.tasks);
    std::vector<std::string> events;
    outer.spawn("owner", [&] {
      Nursery inner(node.tasks);
      inner.spawn("slow", [&] {
        EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
        for (int i = 0; i < 50; ++i) node.tasks.yield();
        events.push_back("slow ended");
      });
      EXPECT_EQ(inner.join_all(kNever), Wake::cancelled);
      EXPECT_EQ(inner.size(), 1U);
      events.push_back("join cancelled");
      inner.stop();
      events.push_back("stopped");
    });
    settle(node);
    outer.cancel_all();
    outer.join_all(kNever);
    EXPECT_EQ(events.back(), "stopped");
    EXPECT_EQ(events.size(), 3U);
  });
}

TEST_P(Nurseries, stop_cancels_and_sees_everybody_end) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int ended = 0;
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("child", [&] {
        EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
        node.tasks.yield();
        ++ended;
      });
    }
    settle(node);
    nursery.stop();
    EXPECT_EQ(ended, 10);
    EXPECT_EQ(nursery.size(), 0U);
    EXPECT_FALSE(node.tasks.cancelled());
  });
}

TEST_P(Nurseries, cancel_all_concerns_present_fibers_and_a_nursery_can_be_used_again) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool cancelled = false;
    nursery.spawn("first", [&] { cancelled = !node.clock.sleep_until(kNever).has_value(); });
    settle(node);
    nursery.cancel_all();
    bool slept = false;
    nursery.spawn("second", [&] { slept = node.clock.sleep(milliseconds(2)).has_value(); });
    nursery.join_all(kNever);
    EXPECT_TRUE(cancelled);
    EXPECT_TRUE(slept);
    nursery.spawn("third", [&] { slept = false; });
    nursery.join_all(kNever);
    EXPECT_FALSE(slept);
  });
}

TEST_P(Nurseries, fibers_that_are_spawned_during_the_join_are_joined_too) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int ended = 0;
    base::UniqueFunction<void(int)> chain = [&](int left) {
      ++ended;
      node.tasks.yield();
      if (left > 0) nursery.spawn("link", [&chain, left] { chain(left - 1); });
    };
    nursery.spawn("link", [&chain] { chain(99); });
    EXPECT_EQ(nursery.join_all(kNever), Wake::notified);
    EXPECT_EQ(ended, 100);
  });
}

TEST_P(Nurseries, what_a_fiber_owned_is_gone_when_join_all_returns) {
  run([](Node& node) {
    auto captured = std::make_shared<int>(1);
    auto local = std::make_shared<int>(2);
    Nursery nursery(node.tasks);
    nursery.spawn("child", [&node, captured, &local] {
      std::shared_ptr<int> mine = local;
      node.tasks.yield();
      EXPECT_EQ(local.use_count(), 2);
    });
    nursery.join_all(kNever);
    EXPECT_EQ(captured.use_count(), 1);
    EXPECT_EQ(local.use_count(), 1);
  });
}

TEST_P(Nurseries, a_fiber_spawned_into_a_foreign_nursery_belongs_to_its_owner) {
  // The spawner may end or be cancelled; that is nothing to the fiber. Its owner's cancel is.
  run([](Node& node) {
    Nursery owned(node.tasks);  // by this fiber
    Nursery spawners(node.tasks);
    bool child_cancelled = false;
    bool child_ended = false;
    spawners.spawn("spawner", [&] {
      owned.spawn("child", [&] {
        child_cancelled = !node.clock.sleep_until(kNever).has_value();
        child_ended = true;
      });
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
    });
    settle(node);
    EXPECT_EQ(owned.size(), 1U);
    spawners.stop();
    settle(node);
    EXPECT_FALSE(child_ended);
    owned.stop();
    EXPECT_TRUE(child_ended);
    EXPECT_TRUE(child_cancelled);
  });
}

TEST_P(Nurseries, a_foreign_spawn_into_the_nursery_of_a_cancelled_owner_starts_cancelled) {
  run([](Node& node) {
    Nursery outer(node.tasks);
    Nursery* inner_of_owner = nullptr;
    Event go_on(node.tasks);
    bool child_was_cancelled = false;
    outer.spawn("owner", [&] {
      Nursery inner(node.tasks);
      inner_of_owner = &inner;
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
      while (!go_on.ready() || inner.size() > 0) node.tasks.yield();
    });
    settle(node);
    outer.cancel_all();
    inner_of_owner->spawn("child", [&] { child_was_cancelled = node.tasks.cancelled(); });
    go_on.set();
    outer.join_all(kNever);
    EXPECT_TRUE(child_was_cancelled);
  });
}

TEST_P(Nurseries, two_nurseries_of_one_owner_are_apart) {
  run([](Node& node) {
    Nursery a(node.tasks);
    Nursery b(node.tasks);
    Event release(node.tasks);
    bool b_cancelled = false;
    a.spawn("a", [&] { EXPECT_TRUE(fails(release.wait(kNever), Errc::cancelled)); });
    b.spawn("b", [&] { b_cancelled = !release.wait(kNever).has_value(); });
    settle(node);
    a.stop();
    EXPECT_EQ(b.size(), 1U);
    release.set();
    b.join_all(kNever);
    EXPECT_FALSE(b_cancelled);
  });
}

TEST_P(Nurseries, many_fibers_live_at_the_same_time) {
  run([](Node& node) {
    constexpr int kFibers = 5'000;
    Nursery nursery(node.tasks);
    Event release(node.tasks);
    int waiting = 0;
    int ended = 0;
    for (int i = 0; i < kFibers; ++i) {
      nursery.spawn("child", [&] {
        ++waiting;
        EXPECT_TRUE(ok(release.wait(soon(node))));
        ++ended;
      });
    }
    wait_until(node, [&] { return waiting == kFibers; });
    release.set();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, kFibers);
  });
}

TEST_P(Nurseries, a_hundred_thousand_fibers_one_after_the_other) {
  run([](Node& node) {
    constexpr int kRounds = 1'000;
    constexpr int kFibers = 100;
    Nursery nursery(node.tasks);
    int ended = 0;
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < kFibers; ++i) nursery.spawn("child", [&] { ++ended; });
      nursery.join_all(kNever);
    }
    EXPECT_EQ(ended, kRounds * kFibers);
  });
}

TEST_P(Nurseries, the_node_runs_until_everything_that_runs_on_it_has_ended) {
  // Posts have no nursery: their parent is the root fiber, which ends after them.
  int begun = 0;
  int ended = 0;
  run([&](Node& node) {
    for (int i = 0; i < 5; ++i) {
      node.tasks.post(node.tasks.shard(), [&] {
        ++begun;
        must(node.clock.sleep(milliseconds(5)));
        ++ended;
      });
    }
    while (begun < 5) node.tasks.yield();
    EXPECT_EQ(ended, 0);
  });
  EXPECT_EQ(ended, 5);
}

}  // namespace
}  // namespace verdict::conformance
