#include "broker/io/shard_scheduler.h"

#include <limits>

#include "broker/base/check.h"
#include "broker/io/clock.h"

namespace verdict::io {

using runtime::Fiber;
using runtime::Instant;
using runtime::Tasks;

Instant ShardScheduler::now(const Tasks&) {
  if (current() == nullptr) return {monotonic_ns()};
  if (now_ns_ == 0) now_ns_ = monotonic_ns();
  return {now_ns_};
}

int64_t ShardScheduler::world_deadline(const Tasks&, Instant deadline) { return deadline.ns; }

void ShardScheduler::post(Tasks& from, base::ShardId to, base::UniqueFunction<void()> fn) {
  CHECK(to == from.shard());  // there is one shard
  if (from.root() == nullptr) return;
  spawn_child(*from.root(), nullptr, "post", std::move(fn));
}

void ShardScheduler::offload(Tasks& tasks, base::UniqueFunction<void()> pure) {
  CHECK(current() != nullptr);
  pool_.run(tasks, std::move(pure));
}

void ShardScheduler::charge(Tasks&, int64_t) {}

void ShardScheduler::enqueue(Fiber& fiber) { ready_.push_back(&fiber); }

// Only a kill takes fibers out, and it takes all of them: kill_node() empties the queue.
void ShardScheduler::remove_ready(Fiber&) { CHECK(current() == nullptr); }

void ShardScheduler::run_ready(size_t resumes_max) {
  for (size_t i = 0; i < resumes_max && !ready_.empty() && !kill_asked_; ++i) {
    Fiber& fiber = *ready_.front();
    ready_.pop_front();
    now_ns_ = 0;
    run(fiber);
  }
}

void ShardScheduler::run_timers() {
  if (next_timer_ns() == std::numeric_limits<int64_t>::max()) return;
  fire_timers(monotonic_ns());
}

void ShardScheduler::ask_for_kill() {
  CHECK(current() != nullptr);
  kill_asked_ = true;
  die_here();
}

void ShardScheduler::kill_node(Tasks& tasks) {
  CHECK(current() == nullptr);
  Tasks* shards[] = {&tasks};
  kill(shards);
  CHECK(tasks.root() == nullptr);
  CHECK(live_fibers() == 0);
  ready_.clear();
  kill_asked_ = false;
}

}  // namespace verdict::io
