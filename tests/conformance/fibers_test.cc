// Fibers: park and unpark, yield, exceptions across suspends, deep stacks.

#include <exception>
#include <stdexcept>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Event;
using runtime::FiberId;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Wake;

// ---------------------------------------------------------------- park and unpark

CONFORMANCE_SUITE(Park);

TEST_P(Park, is_ended_by_unpark) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int wakes = 0;
    FiberId parked = nursery.spawn("parked", [&] {
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(node.tasks.park(soon(node)), Wake::notified);
        ++wakes;
      }
    });
    for (int i = 0; i < 3; ++i) {
      settle(node);
      EXPECT_EQ(wakes, i);
      node.tasks.unpark(parked);
    }
    nursery.join_all(kNever);
    EXPECT_EQ(wakes, 3);
  });
}

TEST_P(Park, an_unpark_that_comes_first_counts_once) {
  run([](Node& node) {
    FiberId self = node.tasks.current_id();
    node.tasks.unpark(self);
    node.tasks.unpark(self);
    node.tasks.unpark(self);
    EXPECT_EQ(node.tasks.park(kNever), Wake::notified);
    EXPECT_EQ(node.tasks.park(node.clock.after(milliseconds(1))), Wake::timed_out);
  });
}

TEST_P(Park, times_out_not_before_its_deadline_and_is_cancelled) {
  run([](Node& node) {
    Instant deadline = node.clock.after(milliseconds(3));
    EXPECT_EQ(node.tasks.park(deadline), Wake::timed_out);
    EXPECT_GE(node.clock.now(), deadline);
    EXPECT_EQ(node.tasks.park(node.clock.now()), Wake::timed_out);
    Nursery nursery(node.tasks);
    nursery.spawn("parked", [&] {
      EXPECT_EQ(node.tasks.park(kNever), Wake::cancelled);
      EXPECT_EQ(node.tasks.park(kNever), Wake::cancelled);
    });
    settle(node);
    nursery.stop();
  });
}

TEST_P(Park, an_unpark_does_not_end_another_wait_and_is_kept_for_the_next_park) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    Event event(node.tasks);
    bool waited = false;
    FiberId fiber = nursery.spawn("waiter", [&] {
      EXPECT_TRUE(ok(event.wait(soon(node))));
      waited = true;
      EXPECT_EQ(node.tasks.park(kNever), Wake::notified);
    });
    settle(node);
    node.tasks.unpark(fiber);
    settle(node);
    EXPECT_FALSE(waited);
    event.set();
    nursery.join_all(kNever);
    EXPECT_TRUE(waited);
  });
}

TEST_P(Park, an_unpark_after_the_wait_was_decided_is_kept) {
  run([this](Node& node) {
    Nursery nursery(node.tasks);
    std::vector<Wake> wakes;
    FiberId fiber = nursery.spawn("parked", [&] {
      wakes.push_back(node.tasks.park(soon(node)));
      wakes.push_back(node.tasks.park(soon(node)));
    });
    settle(node);
    node.tasks.unpark(fiber);  // ends the first park
    node.tasks.unpark(fiber);  // comes before the fiber resumes: for the second
    lab().occupy(node, milliseconds(1));
    nursery.join_all(kNever);
    EXPECT_EQ(wakes, (std::vector{Wake::notified, Wake::notified}));
  });
}

TEST_P(Park, an_unpark_before_the_fiber_first_ran_counts) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    FiberId fiber =
        nursery.spawn("parked", [&] { EXPECT_EQ(node.tasks.park(soon(node)), Wake::notified); });
    node.tasks.unpark(fiber);
    nursery.join_all(kNever);
  });
}

TEST_P(Park, unpark_of_an_ended_fiber_or_of_none_does_nothing) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    FiberId ended = nursery.spawn("short", [] {});
    nursery.join_all(kNever);
    node.tasks.unpark(ended);
    node.tasks.unpark(FiberId{});
    node.tasks.unpark(FiberId{1'000'000, 1});
    // Its place is taken by another fiber, which must not hear of it.
    FiberId next = nursery.spawn("next", [&] {
      node.tasks.unpark(ended);
      EXPECT_EQ(node.tasks.park(node.clock.after(milliseconds(2))), Wake::timed_out);
    });
    EXPECT_NE(next, ended);
    node.tasks.unpark(ended);
    nursery.join_all(kNever);
  });
}

TEST_P(Park, two_fibers_pass_a_token_to_and_fro) {
  run([](Node& node) {
    constexpr int kPasses = 2'000;
    Nursery nursery(node.tasks);
    FiberId ids[2];
    int turn = 0;
    int passes = 0;
    for (int me = 0; me < 2; ++me) {
      ids[me] = nursery.spawn("player", [&, me] {
        while (passes < kPasses) {
          while (turn != me && passes < kPasses) {
            EXPECT_EQ(node.tasks.park(soon(node)), Wake::notified);
          }
          turn = 1 - me;
          ++passes;
          node.tasks.unpark(ids[1 - me]);
        }
      });
    }
    nursery.join_all(kNever);
    EXPECT_GE(passes, kPasses);
  });
}

// ---------------------------------------------------------------- yield

CONFORMANCE_SUITE(Yield);

TEST_P(Yield, lets_every_other_ready_fiber_run) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    std::vector<uint64_t> turns(5, 0);
    bool stop = false;
    for (size_t i = 0; i < turns.size(); ++i) {
      nursery.spawn("yielder", [&, i] {
        while (!stop) {
          ++turns[i];
          node.tasks.yield();
        }
      });
    }
    while (turns[0] + turns[1] + turns[2] + turns[3] + turns[4] < 5'000) node.tasks.yield();
    stop = true;
    nursery.join_all(kNever);
    // The order may be shuffled, but nobody falls far behind.
    for (uint64_t t : turns) EXPECT_GT(t, 500U);
  });
}

TEST_P(Yield, of_the_only_fiber_returns) {
  run([](Node& node) {
    for (int i = 0; i < 1'000; ++i) node.tasks.yield();
  });
}

TEST_P(Yield, a_fiber_that_yields_for_ever_does_not_keep_timers_from_firing) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool stop = false;
    nursery.spawn("busy", [&] {
      while (!stop) node.tasks.yield();
    });
    for (int i = 0; i < 20; ++i) must(node.clock.sleep(milliseconds(1)));
    stop = true;
    nursery.join_all(kNever);
  });
}

TEST_P(Yield, a_fiber_that_yields_for_ever_does_not_keep_the_network_waiting) {
  for (bool busy_server : {false, true}) {
    bool stop = false;
    auto spin = [&stop](Node& node) {
      while (!stop) node.tasks.yield();
    };
    connected(
        lab(),
        [&](Node& node, std::unique_ptr<runtime::Stream> stream) {
          Nursery nursery(node.tasks);
          if (busy_server) nursery.spawn("busy", [&] { spin(node); });
          for (;;) {
            base::Slice slice = must(stream->read_some(1'000, soon(node)));
            if (slice.empty()) break;
            must(write(node, *stream, slice));
          }
          stop = true;
          nursery.join_all(kNever);
        },
        [&](Node& node, std::unique_ptr<runtime::Stream> stream) {
          Nursery nursery(node.tasks);
          if (!busy_server) nursery.spawn("busy", [&] { spin(node); });
          for (uint64_t i = 0; i < 100; ++i) {
            must(write(node, *stream, pattern(i, 0, 100)));
            EXPECT_TRUE(is_pattern(i, 0, must(stream->read_exact(100, soon(node))).flatten()));
          }
          stop = true;
          stream.reset();
          nursery.join_all(kNever);
        });
  }
}

TEST_P(Yield, a_fiber_that_yields_for_ever_does_not_keep_files_waiting) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool stop = false;
    nursery.spawn("busy", [&] {
      while (!stop) node.tasks.yield();
    });
    auto file = must(node.data.open("f", runtime::OpenMode::open_or_create));
    base::Slice bytes = pattern(1, 0, 100);
    for (uint64_t i = 0; i < 10; ++i) {
      must(file->write_at(i * 100, {&bytes, 1}));
      must(file->sync());
    }
    node.tasks.offload([] {});
    stop = true;
    nursery.join_all(kNever);
  });
}

// ---------------------------------------------------------------- exceptions and stacks

CONFORMANCE_SUITE(Stacks);

TEST_P(Stacks, fibers_suspended_inside_catch_rethrow_their_own_exception) {
  // The C++ runtime keeps the exceptions in flight per thread; a switch must swap them.
  run([](Node& node) {
    constexpr int kFibers = 50;
    Nursery nursery(node.tasks);
    int right = 0;
    for (int i = 0; i < kFibers; ++i) {
      nursery.spawn("thrower", [&, i] {
        try {
          try {
            throw std::runtime_error(std::to_string(i));
          } catch (const std::runtime_error&) {
            for (int k = 0; k < 1 + i % 5; ++k) node.tasks.yield();
            must(node.clock.sleep(milliseconds(1 + i % 3)));
            throw;
          }
        } catch (const std::runtime_error& e) {
          node.tasks.yield();
          if (e.what() == std::to_string(i)) ++right;
        }
        EXPECT_EQ(std::current_exception(), nullptr);
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(right, kFibers);
  });
}

TEST_P(Stacks, nested_catches_keep_their_order_across_suspends) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int right = 0;
    for (int i = 0; i < 20; ++i) {
      nursery.spawn("thrower", [&, i] {
        try {
          throw i;
        } catch (int outer) {
          node.tasks.yield();
          try {
            throw std::to_string(i);
          } catch (const std::string& inner) {
            must(node.clock.sleep(milliseconds(i % 4)));
            if (inner == std::to_string(i) && outer == i) ++right;
          }
          node.tasks.yield();
          std::exception_ptr now = std::current_exception();
          try {
            std::rethrow_exception(now);
          } catch (int again) {
            if (again == i) ++right;
          }
        }
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(right, 40);
  });
}

TEST_P(Stacks, an_exception_passes_frames_that_were_suspended) {
  run([](Node& node) {
    struct Guard {
      std::vector<int>& order;
      int number;
      ~Guard() { order.push_back(number); }
    };
    std::vector<int> order;
    base::UniqueFunction<void(int)> descend = [&](int depth) {
      Guard guard{order, depth};
      node.tasks.yield();
      if (depth == 20) throw std::logic_error("bottom");
      descend(depth + 1);
    };
    EXPECT_THROW(descend(1), std::logic_error);
    ASSERT_EQ(order.size(), 20U);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], 20 - i);
  });
}

TEST_P(Stacks, hold_64_kib_of_locals_across_suspends) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int right = 0;
    for (uint64_t i = 0; i < 20; ++i) {
      nursery.spawn("deep", [&, i] {
        constexpr size_t kBytes = 64 * 1024;
        volatile unsigned char locals[kBytes];
        for (size_t k = 0; k < kBytes; ++k) locals[k] = static_cast<unsigned char>(i + k);
        node.tasks.yield();
        must(node.clock.sleep(milliseconds(2)));
        bool same = true;
        for (size_t k = 0; k < kBytes; ++k) {
          same = same && locals[k] == static_cast<unsigned char>(i + k);
        }
        if (same) ++right;
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(right, 20);
  });
}

TEST_P(Stacks, a_recursion_suspends_at_its_bottom_and_on_its_way_back) {
  run([](Node& node) {
    base::UniqueFunction<uint64_t(uint64_t)> sum = [&](uint64_t n) -> uint64_t {
      if (n == 0) {
        must(node.clock.sleep(milliseconds(1)));
        return 0;
      }
      uint64_t below = sum(n - 1);
      node.tasks.yield();
      return below + n;
    };
    EXPECT_EQ(sum(200), 20'100U);
  });
}

}  // namespace
}  // namespace verdict::conformance
