// Time as one node reads it.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Duration;
using runtime::Instant;
using runtime::microseconds;
using runtime::milliseconds;
using runtime::nanoseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::seconds;
using runtime::WallTime;

CONFORMANCE_SUITE(Time);

TEST_P(Time, now_is_constant_while_a_fiber_runs) {
  run([this](Node& node) {
    Instant before = node.clock.now();
    lab().occupy(node, milliseconds(3));
    EXPECT_EQ(node.clock.now(), before);
    must(node.clock.sleep(milliseconds(1)));
    // What it cost shows afterwards.
    EXPECT_GE(node.clock.now(), before + milliseconds(3));
  });
}

TEST_P(Time, now_never_goes_back) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    Instant latest = node.clock.now();
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("reader", [&, i] {
        for (int k = 0; k < 100; ++k) {
          EXPECT_GE(node.clock.now(), latest);
          latest = node.clock.now();
          if ((k + i) % 3 == 0) {
            must(node.clock.sleep(microseconds(50)));
          } else {
            node.tasks.yield();
          }
        }
      });
    }
    nursery.join_all(kNever);
  });
}

TEST_P(Time, sleep_ends_not_before_its_end) {
  run([](Node& node) {
    for (Duration length : {nanoseconds(1), microseconds(1), microseconds(700), milliseconds(12)}) {
      Instant end = node.clock.after(length);
      EXPECT_TRUE(ok(node.clock.sleep(length)));
      EXPECT_GE(node.clock.now(), end);
    }
  });
}

TEST_P(Time, sleep_until_the_past_returns) {
  run([](Node& node) {
    EXPECT_TRUE(ok(node.clock.sleep_until(node.clock.now())));
    EXPECT_TRUE(ok(node.clock.sleep_until(node.clock.now() - seconds(1))));
    EXPECT_TRUE(ok(node.clock.sleep(nanoseconds(0))));
    EXPECT_TRUE(ok(node.clock.sleep(nanoseconds(-5))));
  });
}

TEST_P(Time, sleep_until_never_ends_only_by_cancel) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool ended = false;
    nursery.spawn("sleeper", [&] {
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
      ended = true;
    });
    must(node.clock.sleep(milliseconds(20)));
    EXPECT_FALSE(ended);
    nursery.stop();
    EXPECT_TRUE(ended);
  });
}

TEST_P(Time, many_sleepers_wake_in_the_order_of_their_ends) {
  // Ends that lie apart by more than the order of ready fibers may be shuffled.
  run([](Node& node) {
    constexpr int kSleepers = 60;
    Nursery nursery(node.tasks);
    Dice dice(5);
    std::vector<int> places;
    for (int i = 0; i < kSleepers; ++i) places.push_back(i);
    for (size_t i = places.size(); i > 1; --i) std::swap(places[i - 1], places[dice.below(i)]);
    Instant start = node.clock.after(milliseconds(50));
    std::vector<int> woken;
    for (int place : places) {
      nursery.spawn("sleeper", [&, place] {
        must(node.clock.sleep_until(start + milliseconds(2) * place));
        woken.push_back(place);
      });
    }
    nursery.join_all(kNever);
    ASSERT_EQ(woken.size(), static_cast<size_t>(kSleepers));
    for (int i = 0; i < kSleepers; ++i) EXPECT_EQ(woken[static_cast<size_t>(i)], i);
  });
}

TEST_P(Time, a_thousand_sleepers_at_one_instant_all_wake) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    Instant end = node.clock.after(milliseconds(10));
    int woken = 0;
    for (int i = 0; i < 1'000; ++i) {
      nursery.spawn("sleeper", [&] {
        must(node.clock.sleep_until(end));
        EXPECT_GE(node.clock.now(), end);
        ++woken;
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(woken, 1'000);
  });
}

TEST_P(Time, the_wall_clock_goes_on_with_the_monotonic_one_when_nobody_sets_it) {
  run([](Node& node) {
    EXPECT_GT(node.clock.wall().ns, seconds(1'500'000'000).ns);  // after 2017
    // The two are not read at the same time, so a machine that stood still in between tries again.
    bool close = false;
    for (int attempt = 0; attempt < 10 && !close; ++attempt) {
      WallTime wall = node.clock.wall();
      Instant now = node.clock.now();
      must(node.clock.sleep(milliseconds(50)));
      int64_t wall_ms = node.clock.wall().ms() - wall.ms();
      int64_t monotonic_ms = (node.clock.now() - now).ms();
      close = wall_ms >= monotonic_ms - 10 && wall_ms <= monotonic_ms + 10;
    }
    EXPECT_TRUE(close);
  });
}

TEST_P(Time, a_node_that_boots_again_has_a_clock_that_works) {
  for (int boot = 0; boot < 3; ++boot) {
    run([](Node& node) {
      Instant before = node.clock.now();
      must(node.clock.sleep(milliseconds(2)));
      EXPECT_GE(node.clock.now(), before + milliseconds(2));
    });
  }
}

// ---------------------------------------------------------------- upper bounds

CONFORMANCE_SUITE_ON(VirtualTime, simulated_labs());

TEST_P(VirtualTime, sleep_ends_close_to_its_end_and_costs_no_real_time) {
  run([](Node& node) {
    for (Duration length : {milliseconds(1), seconds(1), seconds(86'400 * 30)}) {
      Instant end = node.clock.after(length);
      EXPECT_TRUE(ok(node.clock.sleep(length)));
      EXPECT_GE(node.clock.now(), end);
      EXPECT_LT(node.clock.now(), end + milliseconds(2));
    }
  });
}

TEST_P(VirtualTime, deadlines_are_met_closely) {
  run([](Node& node) {
    runtime::WaitQueue queue(node.tasks);
    for (int64_t s : {1, 60, 86'400}) {
      Instant deadline = node.clock.after(seconds(s));
      EXPECT_EQ(queue.wait(deadline), runtime::Wake::timed_out);
      EXPECT_GE(node.clock.now(), deadline);
      EXPECT_LT(node.clock.now(), deadline + milliseconds(2));
    }
  });
}

}  // namespace
}  // namespace verdict::conformance
