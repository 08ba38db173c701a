#include "broker/io/offload_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "broker/io/clock.h"
#include "broker/io/shard_scheduler.h"

namespace verdict::io {
namespace {

using runtime::Instant;
using runtime::Wake;

// The least that drives fibers and a pool.
class OffloadPoolTest : public testing::Test {
 protected:
  void make_pool(int threads, OffloadPool::AtEnd at_end) {
    pool_ = std::move(*OffloadPool::create(poller_, threads, at_end));
    scheduler_.emplace(*pool_);
    tasks_.emplace(*scheduler_, base::ShardId{0}, 1, 1);
  }
  void run(base::UniqueFunction<void()> body) {
    scheduler_->spawn_root(*tasks_, "main", std::move(body));
    while (tasks_->root() != nullptr) {
      scheduler_->run_ready(10);
      if (tasks_->root() == nullptr) break;
      poller_.poll(monotonic_ns(), scheduler_->has_ready() ? 0 : scheduler_->next_timer_at());
      scheduler_->run_timers();
    }
  }
  Instant in_ms(int64_t ms) { return scheduler_->now(*tasks_) + runtime::milliseconds(ms); }

  Poller poller_ = std::move(*Poller::create());
  std::unique_ptr<OffloadPool> pool_;
  std::optional<ShardScheduler> scheduler_;
  std::optional<runtime::Tasks> tasks_;
};

TEST_F(OffloadPoolTest, work_that_outlasts_its_deadline_goes_on_alone) {
  make_pool(1, OffloadPool::AtEnd::abandon);
  auto let_go = std::make_shared<std::atomic<bool>>(false);
  auto ended = std::make_shared<std::atomic<bool>>(false);
  run([&] {
    auto work = [let_go, ended] {
      while (!*let_go) std::this_thread::yield();
      *ended = true;
    };
    EXPECT_EQ(pool_->run_until(*tasks_, work, in_ms(5)), Wake::timed_out);
    EXPECT_EQ(pool_->pending(), 1U);
    *let_go = true;
    // One thread, so the second piece of work comes after the first.
    EXPECT_EQ(pool_->run_until(*tasks_, [] {}, in_ms(30'000)), Wake::notified);
    EXPECT_TRUE(*ended);
    EXPECT_EQ(pool_->pending(), 0U);
  });
}

TEST_F(OffloadPoolTest, the_pool_may_end_while_abandoned_work_still_runs) {
  make_pool(1, OffloadPool::AtEnd::abandon);
  auto let_go = std::make_shared<std::atomic<bool>>(false);
  auto ended = std::make_shared<std::atomic<bool>>(false);
  auto dropped = std::make_shared<int>(0);
  run([&] {
    auto work = [let_go, ended] {
      while (!*let_go) std::this_thread::yield();
      *ended = true;
    };
    EXPECT_EQ(pool_->run_until(*tasks_, work, in_ms(5)), Wake::timed_out);
    EXPECT_EQ(pool_->run_until(*tasks_, [dropped] { ++*dropped; }, in_ms(5)), Wake::timed_out);
  });
  pool_.reset();
  EXPECT_EQ(dropped.use_count(), 1) << "work that never began is destroyed with the pool";
  *let_go = true;
  while (!*ended) std::this_thread::yield();
  EXPECT_EQ(*dropped, 0);
}

TEST_F(OffloadPoolTest, started_work_runs_without_anybody_waiting) {
  make_pool(2, OffloadPool::AtEnd::join);
  auto count = std::make_shared<std::atomic<int>>(0);
  run([&] {
    for (int i = 0; i < 100; ++i) pool_->start([count] { ++*count; });
    while (pool_->pending() > 0) tasks_->yield();
  });
  EXPECT_EQ(*count, 100);
}

TEST_F(OffloadPoolTest, more_work_than_threads_is_queued_and_all_done) {
  make_pool(3, OffloadPool::AtEnd::join);
  std::atomic<int> inside = 0;
  std::atomic<int> inside_max = 0;
  int done = 0;
  run([&] {
    runtime::Nursery nursery(*tasks_);
    for (int i = 0; i < 500; ++i) {
      nursery.spawn("work", [&] {
        pool_->run(*tasks_, [&] {
          int now = ++inside;
          int max = inside_max;
          while (max < now && !inside_max.compare_exchange_weak(max, now)) {
          }
          --inside;
        });
        ++done;
      });
    }
    EXPECT_EQ(nursery.join_all(Instant::never()), Wake::notified);
  });
  EXPECT_EQ(done, 500);
  EXPECT_LE(inside_max, 3);
}

}  // namespace
}  // namespace verdict::io
