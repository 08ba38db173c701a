// Cancel is a value that every wait returns, now and ever after. File calls and Mutex::lock are no
// such waits.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;
using runtime::Wake;

CONFORMANCE_SUITE(Cancel);

// Runs `body` in a fiber that was cancelled while it waited.
void run_cancelled(Node& node, base::UniqueFunction<void()> body) {
  Nursery nursery(node.tasks);
  bool ended = false;
  nursery.spawn("cancelled", [&] {
    EXPECT_FALSE(node.tasks.cancelled());
    EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
    EXPECT_TRUE(node.tasks.cancelled());
    body();
    ended = true;
  });
  settle(node);
  nursery.cancel_all();
  EXPECT_EQ(nursery.join_all(kNever), Wake::notified);
  EXPECT_TRUE(ended);
}

TEST_P(Cancel, every_later_wait_returns_cancelled) {
  run([](Node& node) {
    run_cancelled(node, [&] {
      runtime::WaitQueue queue(node.tasks);
      runtime::Event event(node.tasks);
      runtime::Event other(node.tasks);
      runtime::Mutex mutex(node.tasks);
      runtime::CondVar changed(node.tasks);
      runtime::Semaphore none(node.tasks, 0);
      runtime::Channel<int> empty(node.tasks, 1);
      runtime::Channel<int> full(node.tasks, 1);
      runtime::Promise<int> promise(node.tasks);
      ASSERT_TRUE(full.try_send(1));
      for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(queue.wait(kNever), Wake::cancelled);
        EXPECT_EQ(queue.wait(node.clock.now()), Wake::cancelled);
        EXPECT_FALSE(queue.has_waiters());
        EXPECT_EQ(node.tasks.park(soon(node)), Wake::cancelled);
        EXPECT_TRUE(fails(node.clock.sleep(milliseconds(1)), Errc::cancelled));
        EXPECT_TRUE(fails(event.wait(soon(node)), Errc::cancelled));
        EXPECT_TRUE(fails(none.acquire(1, soon(node)), Errc::cancelled));
        EXPECT_TRUE(fails(empty.receive(soon(node)), Errc::cancelled));
        EXPECT_TRUE(fails(full.send(2, soon(node)), Errc::cancelled));
        EXPECT_TRUE(fails(promise.future().wait(soon(node)), Errc::cancelled));
        runtime::Waitable* both[] = {&event, &other};
        EXPECT_TRUE(fails(wait_any(node.tasks, both, soon(node)), Errc::cancelled));
        runtime::LockGuard guard(mutex);
        EXPECT_EQ(changed.wait(mutex, soon(node)), Wake::cancelled);
        EXPECT_TRUE(mutex.locked());
      }
    });
  });
}

TEST_P(Cancel, what_already_holds_needs_no_wait_and_is_served) {
  run([](Node& node) {
    run_cancelled(node, [&] {
      runtime::Event event(node.tasks);
      event.set();
      EXPECT_TRUE(ok(event.wait(soon(node))));
      runtime::Semaphore two(node.tasks, 2);
      EXPECT_TRUE(ok(two.acquire(2, soon(node))));
      runtime::Channel<int> channel(node.tasks, 1);
      EXPECT_TRUE(ok(channel.send(7, soon(node))));
      EXPECT_EQ(must(channel.receive(soon(node))), 7);
      Nursery nobody(node.tasks);
      EXPECT_EQ(nobody.join_all(soon(node)), Wake::notified);
    });
  });
}

TEST_P(Cancel, network_calls_return_cancelled) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    Ends full = connect_within(lab(), node);
    auto listener = listen(lab(), node);
    Nursery nursery(node.tasks);
    int ended = 0;
    nursery.spawn("reader", [&] {
      EXPECT_TRUE(fails(ends.client->read_some(100, soon(node)), Errc::cancelled));
      EXPECT_TRUE(fails(ends.client->read_exact(100, soon(node)), Errc::cancelled));
      ++ended;
    });
    nursery.spawn("writer", [&] {
      std::vector<Slice> much(64, pattern(1, 0, 1 << 20));
      EXPECT_TRUE(fails(full.server->write_all(much, soon(node)), Errc::cancelled));
      ++ended;
    });
    nursery.spawn("acceptor", [&] {
      EXPECT_TRUE(fails(listener->accept(soon(node)), Errc::cancelled));
      ++ended;
    });
    nursery.spawn("late", [&] {
      // A cancelled fiber may still write what the buffer takes.
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
      EXPECT_TRUE(ok(write(node, *ends.client, text("bye"))));
      ++ended;
    });
    settle(node);
    EXPECT_EQ(ended, 0);
    nursery.cancel_all();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, 4);
  });
}

TEST_P(Cancel, a_cancelled_read_loses_nothing) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    {
      Nursery nursery(node.tasks);
      nursery.spawn("reader", [&] {
        EXPECT_TRUE(fails(ends.server->read_some(100, soon(node)), Errc::cancelled));
      });
      settle(node);
      nursery.stop();
      must(write(node, *ends.client, text("still here")));
    }
    EXPECT_EQ(must(ends.server->read_exact(10, soon(node))).flatten().text(), "still here");
  });
}

TEST_P(Cancel, file_calls_are_not_cancelled) {
  run([](Node& node) {
    run_cancelled(node, [&] {
      auto file = must(node.data.open("f", OpenMode::create_exclusive));
      Slice bytes = pattern(3, 0, 10'000);
      EXPECT_TRUE(ok(file->write_at(0, {&bytes, 1})));
      EXPECT_TRUE(ok(file->sync()));
      EXPECT_TRUE(ok(file->truncate(9'000)));
      EXPECT_TRUE(ok(node.data.sync()));
      EXPECT_TRUE(is_pattern(3, 0, must(file->read_at(0, 10'000))));
      EXPECT_TRUE(ok(node.data.rename("f", "g")));
      EXPECT_EQ(must(node.data.list()).size(), 1U);
      EXPECT_TRUE(ok(node.data.space()));
      EXPECT_TRUE(ok(node.data.remove("g")));
    });
  });
}

TEST_P(Cancel, a_cancel_during_file_calls_does_not_end_them) {
  run([](Node& node) {
    Slice bytes = pattern(4, 0, 1'000);
    Nursery nursery(node.tasks);
    int finished = 0;
    for (int i = 0; i < 20; ++i) {
      nursery.spawn("writer", [&, i] {
        auto file = must(node.data.open("f" + std::to_string(i), OpenMode::open_or_create));
        for (uint64_t k = 0; k < 10; ++k) {
          EXPECT_TRUE(ok(file->write_at(k * 1'000, {&bytes, 1})));
          EXPECT_TRUE(ok(file->sync()));
        }
        EXPECT_EQ(file->size(), 10'000U);
        ++finished;
      });
    }
    node.tasks.yield();
    nursery.cancel_all();
    nursery.join_all(kNever);
    EXPECT_EQ(finished, 20);
  });
}

TEST_P(Cancel, mutex_lock_is_not_cancelled) {
  run([](Node& node) {
    runtime::Mutex mutex(node.tasks);
    Nursery nursery(node.tasks);
    bool got = false;
    mutex.lock();
    nursery.spawn("waits for the lock", [&] {
      runtime::LockGuard guard(mutex);
      got = true;
      EXPECT_TRUE(node.tasks.cancelled());
    });
    settle(node);
    nursery.cancel_all();
    settle(node);
    EXPECT_FALSE(got);
    mutex.unlock();
    nursery.join_all(kNever);
    EXPECT_TRUE(got);
    EXPECT_FALSE(mutex.locked());
  });
}

TEST_P(Cancel, offload_is_not_cancelled) {
  run([](Node& node) {
    run_cancelled(node, [&] {
      int result = 0;
      node.tasks.offload([&result] { result = 42; });
      EXPECT_EQ(result, 42);
    });
  });
}

TEST_P(Cancel, a_fiber_cancelled_before_it_ran_still_runs_and_is_told) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    bool ran = false;
    nursery.spawn("late", [&] {
      ran = true;
      EXPECT_TRUE(node.tasks.cancelled());
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
    });
    nursery.cancel_all();
    nursery.join_all(kNever);
    EXPECT_TRUE(ran);
  });
}

TEST_P(Cancel, a_cancelled_fiber_can_yield_clean_up_and_end_in_its_own_time) {
  run([](Node& node) {
    int steps = 0;
    run_cancelled(node, [&] {
      for (int i = 0; i < 100; ++i) {
        node.tasks.yield();
        ++steps;
      }
    });
    EXPECT_EQ(steps, 100);
  });
}

TEST_P(Cancel, reaches_grandchildren_and_spares_everybody_else) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    Nursery bystanders(node.tasks);
    int cancelled = 0;
    runtime::Event release(node.tasks);
    auto wait_to_be_cancelled = [&] {
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
      ++cancelled;
    };
    nursery.spawn("parent", [&] {
      Nursery below(node.tasks);
      below.spawn("child", [&] {
        Nursery deepest(node.tasks);
        deepest.spawn("grandchild", wait_to_be_cancelled);
        deepest.spawn("grandchild", wait_to_be_cancelled);
        wait_to_be_cancelled();
        deepest.stop();
      });
      wait_to_be_cancelled();
      below.stop();
    });
    bystanders.spawn("bystander", [&] { EXPECT_TRUE(ok(release.wait(soon(node)))); });
    settle(node);
    EXPECT_EQ(cancelled, 0);
    nursery.cancel_all();
    nursery.join_all(kNever);
    EXPECT_EQ(cancelled, 4);
    EXPECT_FALSE(node.tasks.cancelled());
    release.set();
    bystanders.join_all(kNever);
  });
}

TEST_P(Cancel, a_fiber_spawned_by_a_cancelled_owner_starts_cancelled) {
  run([](Node& node) {
    bool ran = false;
    run_cancelled(node, [&] {
      Nursery nursery(node.tasks);
      nursery.spawn("child", [&] {
        EXPECT_TRUE(node.tasks.cancelled());
        EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
        ran = true;
      });
      while (nursery.size() > 0) node.tasks.yield();  // stop() would cancel it anyway
    });
    EXPECT_TRUE(ran);
  });
}

}  // namespace
}  // namespace verdict::conformance
