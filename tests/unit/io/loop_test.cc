#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include "tests/unit/io/io_fixture.h"

namespace verdict::io {
namespace {

using base::Errc;
using runtime::Duration;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Wake;

class LoopTest : public IoTest {
 protected:
  Options with_signals() const {
    Options o = options();
    o.handle_signals = true;
    return o;
  }
};

Duration cpu_of_this_thread() {
  timespec t{};
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
  return runtime::nanoseconds(t.tv_sec * 1'000'000'000 + t.tv_nsec);
}

TEST_F(LoopTest, options_that_make_no_sense_are_refused) {
  Options two_shards = options();
  two_shards.shards = 2;
  EXPECT_TRUE(fails(Loop::create(two_shards), Errc::invalid));
  Options no_threads = options();
  no_threads.offload_threads = 0;
  EXPECT_TRUE(fails(Loop::create(no_threads), Errc::invalid));
  EXPECT_TRUE(fails(Loop::create({}), Errc::invalid));
}

TEST_F(LoopTest, terminate_and_interrupt_set_stop_and_the_process_lives) {
  for (int signal : {SIGTERM, SIGINT}) {
    loop(with_signals()).run([&](Node& node) {
      EXPECT_FALSE(node.stop.ready());
      ASSERT_EQ(::kill(getpid(), signal), 0);
      EXPECT_TRUE(node.stop.wait(soon(node)));
    });
  }
}

TEST_F(LoopTest, a_signal_between_two_runs_is_kept_and_the_next_run_begins_afresh) {
  Loop& l = loop(with_signals());
  ASSERT_EQ(::kill(getpid(), SIGTERM), 0);
  l.run([&](Node& node) { EXPECT_TRUE(node.stop.wait(soon(node))); });
  l.run([&](Node& node) { EXPECT_FALSE(node.stop.ready()); });
}

TEST_F(LoopTest, signals_are_given_back_when_the_loop_ends) {
  sigset_t before;
  sigset_t after;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  {
    must(Loop::create(with_signals()));
  }
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  EXPECT_EQ(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
  EXPECT_EQ(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
}

TEST_F(LoopTest, another_thread_may_ask_for_stop) {
  Loop& l = loop();
  std::thread other;
  l.run([&](Node& node) {
    other = std::thread([&] { l.request_stop(); });
    EXPECT_TRUE(node.stop.wait(soon(node)));
  });
  other.join();
}

TEST_F(LoopTest, ten_thousand_timers_fire_in_order_and_never_early) {
  run([](Node& node) {
    constexpr uint64_t kTimers = 10'000;
    constexpr int64_t kStepNs = 10'000;
    std::vector<Instant> fired;
    Instant start;
    uint64_t arrived = 0;
    runtime::Event go(node.tasks);
    Nursery nursery(node.tasks);
    for (uint64_t i = 0; i < kTimers; ++i) {
      auto place = static_cast<int64_t>(base::mix64(i) % kTimers);
      nursery.spawn("timer", [&, place] {
        ++arrived;
        EXPECT_TRUE(go.wait(Instant::never()));
        Instant at = start + runtime::nanoseconds(kStepNs * place);
        EXPECT_TRUE(node.clock.sleep_until(at));
        EXPECT_GE(node.clock.now(), at);
        fired.push_back(at);
      });
    }
    while (arrived < kTimers) node.tasks.yield();
    start = node.clock.after(milliseconds(500));  // when all of them sleep
    go.set();
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(fired.size(), kTimers);
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  });
}

TEST_F(LoopTest, an_idle_loop_uses_no_processor_time) {
  run([](Node& node) {
    Duration before = cpu_of_this_thread();
    EXPECT_TRUE(node.clock.sleep(milliseconds(300)));
    EXPECT_LT(cpu_of_this_thread() - before, milliseconds(5));
  });
}

TEST_F(LoopTest, short_sleeps_neither_spin_nor_end_early) {
  run([](Node& node) {
    const uint64_t resumes = node.tasks.scheduler().current()->resumes();
    for (int i = 0; i < 100; ++i) {
      Instant at = node.clock.after(runtime::microseconds(150));
      EXPECT_TRUE(node.clock.sleep_until(at));
      EXPECT_GE(node.clock.now(), at);
    }
    EXPECT_EQ(node.tasks.scheduler().current()->resumes(), resumes + 100);
  });
}

TEST_F(LoopTest, a_fiber_that_never_waits_starves_neither_timers_nor_sockets) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    bool done = false;
    Nursery nursery(node.tasks);
    nursery.spawn("busy", [&] {
      while (!done) node.tasks.yield();
    });
    nursery.spawn("echo", [&] {
      auto got = must(ends.server->read_some(100, soon(node)));
      EXPECT_TRUE(write(node, *ends.server, got));
    });
    EXPECT_TRUE(node.clock.sleep(milliseconds(2)));
    EXPECT_TRUE(write(node, *ends.client, base::Slice::copy_of("hello")));
    EXPECT_EQ(must(ends.client->read_some(100, soon(node))).text(), "hello");
    done = true;
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
  });
}

TEST_F(LoopTest, the_clock_stands_still_while_a_fiber_runs) {
  run([](Node& node) {
    Instant before = node.clock.now();
    Duration cpu = cpu_of_this_thread();
    while (cpu_of_this_thread() - cpu < milliseconds(1)) {
    }
    EXPECT_EQ(node.clock.now(), before);
    node.tasks.yield();
    EXPECT_GE(node.clock.now(), before + milliseconds(1));
  });
}

TEST_F(LoopTest, offloaded_work_runs_on_as_many_threads_as_were_given) {
  run([](Node& node) {
    constexpr int kThreads = 4;  // the default
    std::atomic<int> inside = 0;
    std::atomic<bool> on_loop = false;
    const std::thread::id loop_thread = std::this_thread::get_id();
    Nursery nursery(node.tasks);
    for (int i = 0; i < kThreads; ++i) {
      nursery.spawn("work", [&] {
        // Ends only when all are inside at once.
        node.tasks.offload([&] {
          if (std::this_thread::get_id() == loop_thread) on_loop = true;
          ++inside;
          while (inside < kThreads) std::this_thread::yield();
        });
      });
    }
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(inside, kThreads);
    EXPECT_FALSE(on_loop);
  });
}

TEST_F(LoopTest, offloaded_work_ends_although_its_fiber_is_cancelled) {
  run([](Node& node) {
    std::atomic<bool> let_go = false;
    int result = 0;
    Nursery nursery(node.tasks);
    nursery.spawn("work", [&] {
      node.tasks.offload([&] {
        while (!let_go) std::this_thread::yield();
        result = 7;
      });
      EXPECT_EQ(result, 7);
    });
    node.tasks.yield();
    nursery.cancel_all();
    EXPECT_EQ(nursery.join_all(node.clock.after(milliseconds(5))), Wake::timed_out);
    let_go = true;
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
  });
}

TEST_F(LoopTest, a_kill_waits_for_work_that_uses_the_stacks_of_fibers_and_drops_the_rest) {
  std::atomic<int> begun = 0;
  std::atomic<int> ended = 0;
  bool resumed = false;
  Options one_thread = options();
  one_thread.offload_threads = 1;
  Loop& l = loop(one_thread);
  l.run([&](Node& node) {
    Nursery nursery(node.tasks);
    for (int i = 0; i < 3; ++i) {
      nursery.spawn("work", [&] {
        int on_stack[64] = {};
        node.tasks.offload([&] {
          ++begun;
          std::this_thread::sleep_for(std::chrono::milliseconds(30));
          for (int& x : on_stack) ++x;  // would be a use of a dead stack
          ++ended;
        });
        resumed = true;
      });
    }
    while (begun == 0) EXPECT_TRUE(node.clock.sleep(milliseconds(1)));
    l.kill();
    ADD_FAILURE() << "killed fibers go no further";
  });
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(ended, 1);
  EXPECT_FALSE(resumed);
}

TEST_F(LoopTest, a_killed_node_boots_again_on_its_data) {
  Loop& l = loop();
  int destroyed = 0;
  struct Counts {
    int& count;
    ~Counts() { ++count; }
  };
  for (int boot = 0; boot < 50; ++boot) {
    l.run([&](Node& node) {
      auto file = must(node.data.open("f", runtime::OpenMode::open_or_create));
      EXPECT_EQ(file->size(), static_cast<uint64_t>(boot));
      Ends ends = connect_ends(node);
      Counts counts{destroyed};
      Nursery nursery(node.tasks);
      nursery.spawn("reader", [&] {
        Counts below{destroyed};
        (void)ends.server->read_some(1, Instant::never());
      });
      nursery.spawn("syncer", [&] { (void)file->sync(); });
      nursery.spawn("sleeper", [&] { (void)node.clock.sleep_until(Instant::never()); });
      nursery.spawn("busy", [&] {
        for (;;) node.tasks.yield();
      });
      base::Slice byte = base::Slice::copy_of("x");
      EXPECT_TRUE(file->write_at(file->size(), {&byte, 1}));
      node.tasks.yield();
      l.kill();
    });
  }
  EXPECT_EQ(destroyed, 100);
}

TEST_F(LoopTest, a_fiber_that_kills_its_own_node_unwinds_too) {
  Loop& l = loop();
  bool unwound = false;
  struct Flag {
    bool& flag;
    ~Flag() { flag = true; }
  };
  l.run([&](Node& node) {
    Nursery nursery(node.tasks);
    nursery.spawn("killer", [&] {
      Flag flag{unwound};
      l.kill();
    });
    (void)nursery.join_all(Instant::never());
    ADD_FAILURE() << "killed fibers go no further";
  });
  EXPECT_TRUE(unwound);
}

TEST_F(LoopTest, posts_run_before_the_node_ends) {
  int posts = 0;
  run([&](Node& node) {
    for (int i = 0; i < 10; ++i) {
      node.tasks.post(base::ShardId{0}, [&] {
        EXPECT_TRUE(node.clock.sleep(milliseconds(1)));
        ++posts;
      });
    }
  });
  EXPECT_EQ(posts, 10);
}

TEST_F(LoopTest, two_loops_live_side_by_side) {
  run([&](Node& node) { EXPECT_TRUE(node.clock.sleep(milliseconds(1))); });
  Options o = options();
  o.data_directory = directory() + "/second";
  auto second = must(Loop::create(o));
  std::thread other(
      [&] { second->run([](Node& node) { EXPECT_TRUE(node.clock.sleep(milliseconds(5))); }); });
  run([&](Node& node) { EXPECT_TRUE(node.clock.sleep(milliseconds(5))); });
  other.join();
}

TEST_F(LoopTest, draws_differ_and_secrets_are_filled) {
  run([](Node& node) {
    std::vector<uint64_t> draws;
    for (int i = 0; i < 1000; ++i) draws.push_back(node.random.next("test"));
    std::sort(draws.begin(), draws.end());
    EXPECT_EQ(std::unique(draws.begin(), draws.end()), draws.end());
    std::vector<std::byte> secret(1000);
    node.random.fill("test", secret);
    // 1,000 zero bytes in a row would be a miracle; 32 or more of them as well.
    EXPECT_LT(std::count(secret.begin(), secret.end(), std::byte{0}), 32);
  });
}

}  // namespace
}  // namespace verdict::io
