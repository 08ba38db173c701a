// Semaphore and Channel: nothing is lost, nobody starves, whatever waits give up.

#include <algorithm>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Channel;
using runtime::Event;
using runtime::Instant;
using runtime::microseconds;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Semaphore;

// ---------------------------------------------------------------- Semaphore

CONFORMANCE_SUITE(Semaphores);

TEST_P(Semaphores, let_in_as_many_as_they_have_permits) {
  run([](Node& node) {
    Semaphore semaphore(node.tasks, 3);
    Nursery nursery(node.tasks);
    int inside = 0;
    int most = 0;
    for (int i = 0; i < 30; ++i) {
      nursery.spawn("user", [&] {
        EXPECT_TRUE(ok(semaphore.acquire(1, soon(node))));
        most = std::max(most, ++inside);
        for (int k = 0; k < 5; ++k) node.tasks.yield();
        --inside;
        semaphore.release(1);
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(most, 3);
    EXPECT_EQ(semaphore.available(), 3U);
  });
}

TEST_P(Semaphores, acquirers_are_served_in_order) {
  run([](Node& node) {
    Semaphore semaphore(node.tasks, 0);
    Nursery nursery(node.tasks);
    std::vector<int> came;
    std::vector<int> served;
    for (int i = 0; i < 20; ++i) {
      nursery.spawn("user", [&, i] {
        came.push_back(i);
        EXPECT_TRUE(ok(semaphore.acquire(1, soon(node))));
        served.push_back(i);
      });
    }
    settle(node);
    for (int i = 0; i < 20; ++i) {
      semaphore.release(1);
      settle(node);
    }
    EXPECT_EQ(served, came);
    nursery.join_all(kNever);
  });
}

TEST_P(Semaphores, a_large_request_is_not_starved_by_small_ones) {
  run([](Node& node) {
    Semaphore semaphore(node.tasks, 0);
    Nursery nursery(node.tasks);
    std::vector<std::string> served;
    auto spawn = [&](const char* name, uint64_t count) {
      nursery.spawn(name, [&, name, count] {
        EXPECT_TRUE(ok(semaphore.acquire(count, soon(node))));
        served.push_back(name);
      });
      settle(node);
    };
    spawn("large", 10);
    spawn("small", 1);
    semaphore.release(9);
    // One more small request must queue behind both, though nine permits lie there.
    spawn("late", 1);
    EXPECT_TRUE(served.empty());
    EXPECT_EQ(semaphore.available(), 9U);
    semaphore.release(1);
    settle(node);
    EXPECT_EQ(served, std::vector<std::string>{"large"});
    semaphore.release(1);
    settle(node);
    EXPECT_EQ(served, (std::vector<std::string>{"large", "small"}));
    semaphore.release(1);
    nursery.join_all(kNever);
    EXPECT_EQ(semaphore.available(), 0U);
  });
}

TEST_P(Semaphores, a_waiter_that_leaves_lets_those_behind_it_pass) {
  for (bool by_cancel : {false, true}) {
    run([by_cancel](Node& node) {
      Semaphore semaphore(node.tasks, 4);
      Nursery front(node.tasks);
      Nursery behind(node.tasks);
      int served = 0;
      front.spawn("large", [&] {
        Instant deadline = by_cancel ? kNever : node.clock.after(milliseconds(30));
        EXPECT_TRUE(
            fails(semaphore.acquire(5, deadline), by_cancel ? Errc::cancelled : Errc::timed_out));
      });
      settle(node);
      for (int i = 0; i < 2; ++i) {
        behind.spawn("small", [&] {
          EXPECT_TRUE(ok(semaphore.acquire(2, soon(node))));
          ++served;
        });
      }
      if (by_cancel) {
        settle(node);
        EXPECT_EQ(served, 0);
        front.cancel_all();
      }
      front.join_all(kNever);
      behind.join_all(kNever);
      EXPECT_EQ(served, 2);
      EXPECT_EQ(semaphore.available(), 0U);
    });
  }
}

TEST_P(Semaphores, an_acquire_that_failed_holds_nothing) {
  run([](Node& node) {
    Semaphore semaphore(node.tasks, 2);
    EXPECT_TRUE(fails(semaphore.acquire(3, node.clock.after(milliseconds(1))), Errc::timed_out));
    EXPECT_TRUE(fails(semaphore.acquire(3, node.clock.now()), Errc::timed_out));
    EXPECT_EQ(semaphore.available(), 2U);
    EXPECT_TRUE(semaphore.try_acquire(2));
    EXPECT_FALSE(semaphore.try_acquire(1));
    semaphore.release(2);
    EXPECT_EQ(semaphore.available(), 2U);
  });
}

TEST_P(Semaphores, permits_are_conserved_under_timeouts_and_cancels) {
  run([](Node& node) {
    for (uint64_t seed = 1; seed <= 60; ++seed) {
      constexpr uint64_t kPermits = 7;
      Dice dice(seed);
      Semaphore semaphore(node.tasks, kPermits);
      Nursery nursery(node.tasks);
      Nursery cancelled(node.tasks);
      uint64_t held = 0;
      for (int i = 0; i < 12; ++i) {
        uint64_t fiber_seed = dice.next();
        auto user = [&, fiber_seed] {
          Dice own(fiber_seed);
          for (int k = 0; k < 5; ++k) {
            uint64_t count = own.between(1, kPermits);
            auto patience = static_cast<int64_t>(own.below(400));
            Instant deadline =
                own.below(4) == 0 ? soon(node) : node.clock.after(microseconds(patience));
            auto got = semaphore.acquire(count, deadline);
            if (!got) continue;
            held += count;
            EXPECT_LE(held, kPermits);
            for (uint64_t y = own.below(4); y > 0; --y) node.tasks.yield();
            held -= count;
            semaphore.release(count);
          }
        };
        (dice.below(3) == 0 ? cancelled : nursery).spawn("user", std::move(user));
      }
      must(node.clock.sleep(microseconds(100)));
      cancelled.cancel_all();
      nursery.join_all(kNever);
      cancelled.join_all(kNever);
      EXPECT_EQ(held, 0U);
      ASSERT_EQ(semaphore.available(), kPermits) << "seed " << seed;
    }
  });
}

// ---------------------------------------------------------------- Channel

CONFORMANCE_SUITE(Channels);

TEST_P(Channels, keep_the_order_and_take_move_only_values) {
  run([](Node& node) {
    Channel<std::unique_ptr<int>> channel(node.tasks, 3);
    Nursery nursery(node.tasks);
    nursery.spawn("sender", [&] {
      for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(ok(channel.send(std::make_unique<int>(i), soon(node))));
      }
      channel.close();
    });
    for (int i = 0; i < 100; ++i) EXPECT_EQ(*must(channel.receive(soon(node))), i);
    EXPECT_TRUE(fails(channel.receive(soon(node)), Errc::closed));
    nursery.join_all(kNever);
  });
}

TEST_P(Channels, hold_no_more_than_their_capacity) {
  run([](Node& node) {
    Channel<int> channel(node.tasks, 2);
    Nursery nursery(node.tasks);
    int sent = 0;
    nursery.spawn("sender", [&] {
      for (int i = 0; i < 5; ++i) {
        must(channel.send(i, soon(node)));
        ++sent;
      }
    });
    settle(node);
    EXPECT_EQ(sent, 2);
    EXPECT_EQ(channel.size(), 2U);
    EXPECT_FALSE(channel.try_send(9));
    EXPECT_EQ(channel.try_receive(), 0);
    settle(node);
    EXPECT_EQ(sent, 3);
    EXPECT_EQ(channel.size(), 2U);
    for (int i = 1; i < 5; ++i) EXPECT_EQ(must(channel.receive(soon(node))), i);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
    nursery.join_all(kNever);
  });
}

TEST_P(Channels, after_close_receivers_get_what_is_left_and_senders_nothing) {
  run([](Node& node) {
    Channel<int> channel(node.tasks, 4);
    for (int i = 0; i < 3; ++i) must(channel.send(i, soon(node)));
    channel.close();
    channel.close();
    EXPECT_TRUE(channel.closed());
    EXPECT_TRUE(fails(channel.send(9, soon(node)), Errc::closed));
    EXPECT_FALSE(channel.try_send(9));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(must(channel.receive(soon(node))), i);
    EXPECT_TRUE(fails(channel.receive(soon(node)), Errc::closed));
    EXPECT_TRUE(fails(channel.receive(kNever), Errc::closed));
  });
}

TEST_P(Channels, close_ends_every_wait) {
  run([](Node& node) {
    Channel<int> empty(node.tasks, 1);
    Channel<int> full(node.tasks, 1);
    ASSERT_TRUE(full.try_send(0));
    Nursery nursery(node.tasks);
    int ended = 0;
    for (int i = 0; i < 5; ++i) {
      nursery.spawn("receiver", [&] {
        EXPECT_TRUE(fails(empty.receive(soon(node)), Errc::closed));
        ++ended;
      });
      nursery.spawn("sender", [&] {
        EXPECT_TRUE(fails(full.send(1, soon(node)), Errc::closed));
        ++ended;
      });
    }
    settle(node);
    EXPECT_EQ(ended, 0);
    empty.close();
    full.close();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, 10);
    EXPECT_EQ(full.size(), 1U);  // what was in it stays
  });
}

TEST_P(Channels, waits_time_out) {
  run([](Node& node) {
    Channel<int> channel(node.tasks, 1);
    Instant deadline = node.clock.after(milliseconds(2));
    EXPECT_TRUE(fails(channel.receive(deadline), Errc::timed_out));
    EXPECT_GE(node.clock.now(), deadline);
    must(channel.send(1, soon(node)));
    deadline = node.clock.after(milliseconds(2));
    EXPECT_TRUE(fails(channel.send(2, deadline), Errc::timed_out));
    EXPECT_GE(node.clock.now(), deadline);
    EXPECT_EQ(channel.size(), 1U);
    EXPECT_TRUE(ok(channel.receive(node.clock.now())));  // no wait, so no deadline
  });
}

TEST_P(Channels, every_value_arrives_once_and_in_the_order_of_its_sender) {
  // Many senders and receivers, some with little patience: what send() reports as sent is received,
  // what it reports as failed is not.
  run([](Node& node) {
    constexpr int kSenders = 6;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      Dice dice(seed);
      Channel<std::pair<int, int>> channel(node.tasks, dice.between(1, 5));
      Nursery senders(node.tasks);
      Nursery receivers(node.tasks);
      std::vector<std::vector<int>> sent(kSenders);
      std::vector<std::vector<int>> received(kSenders);
      for (int s = 0; s < kSenders; ++s) {
        senders.spawn("sender", [&, s, own = Dice(dice.next())]() mutable {
          for (int i = 0; i < 40; ++i) {
            Instant deadline = own.below(2) == 0 ? soon(node) : node.clock.after(microseconds(50));
            if (channel.send({s, i}, deadline)) sent[static_cast<size_t>(s)].push_back(i);
            if (own.below(5) == 0) node.tasks.yield();
          }
        });
      }
      // One receiver keeps the order; the others of the seeds only see that nothing is lost.
      const bool ordered = seed % 2 == 0;
      for (int r = 0; r < (ordered ? 1 : 3); ++r) {
        receivers.spawn("receiver", [&, own = Dice(dice.next())]() mutable {
          for (;;) {
            Instant deadline = own.below(3) == 0 ? node.clock.after(microseconds(30)) : soon(node);
            auto got = channel.receive(deadline);
            if (got) received[static_cast<size_t>(got->first)].push_back(got->second);
            if (!got && got.error().code == Errc::closed) return;
            if (own.below(5) == 0) node.tasks.yield();
          }
        });
      }
      senders.join_all(kNever);
      channel.close();
      receivers.join_all(kNever);
      for (size_t s = 0; s < kSenders; ++s) {
        if (!ordered) std::sort(received[s].begin(), received[s].end());
        ASSERT_EQ(received[s], sent[s]) << "seed " << seed;
      }
    }
  });
}

TEST_P(Channels, a_value_is_never_left_while_a_receiver_waits) {
  // A receiver that gives up must not take another's notify with it.
  run([](Node& node) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
      Dice dice(seed);
      Channel<int> channel(node.tasks, 10);
      Nursery nursery(node.tasks);
      Instant middle = node.clock.after(microseconds(100));
      int received = 0;
      for (int i = 0; i < 3; ++i) {
        bool impatient = dice.below(2) == 0;
        nursery.spawn("receiver", [&, impatient] {
          if (channel.receive(impatient ? middle : kNever)) ++received;
        });
      }
      must(node.clock.sleep_until(middle));
      ASSERT_TRUE(channel.try_send(1));
      ASSERT_TRUE(channel.try_send(2));
      ASSERT_TRUE(channel.try_send(3));
      settle(node);
      EXPECT_TRUE(nursery.size() == 0 || channel.size() == 0) << "variant " << seed;
      EXPECT_EQ(received + static_cast<int>(channel.size()), 3);
      channel.close();
      nursery.join_all(kNever);
    }
  });
}

}  // namespace
}  // namespace verdict::conformance
