#pragma once
// PlainScheduler: the smallest backend, for what must hold whatever the backend does. Time stands
// still until advance_to(); ready fibers run in the order in which they became ready.

#include <algorithm>
#include <deque>

#include "broker/runtime/scheduler.h"
#include "broker/runtime/sync.h"

namespace verdict::runtime {

class PlainScheduler final : public Scheduler {
 public:
  explicit PlainScheduler(uint32_t shards = 1) {
    for (uint32_t i = 0; i < shards; ++i) {
      shards_.push_back(std::make_unique<Tasks>(*this, base::ShardId{i}, shards, 1000 + i));
    }
  }

  Tasks& tasks(uint32_t shard = 0) { return *shards_[shard]; }
  Tasks* operator->() { return shards_[0].get(); }
  int64_t now_ns() const { return now_ns_; }
  size_t woken_by_timers() const { return woken_by_timers_; }
  void set_paths(uint64_t path) {
    CHECK(live_fibers() == 0);
    for (auto& shard : shards_) {
      shard = std::make_unique<Tasks>(*this, shard->shard(), shard->shard_count(), ++path);
    }
  }

  // Starts `body` as the root fiber of a shard, without running it yet.
  void start(base::UniqueFunction<void()> body, uint32_t shard = 0) {
    spawn_root(tasks(shard), "main", std::move(body));
  }
  // Runs fibers until none is ready.
  void run_ready() {
    while (!ready_.empty()) {
      Fiber* fiber = ready_.front();
      ready_.pop_front();
      run(*fiber);
    }
  }
  // Time of the next timer that may matter.
  int64_t next_timer() { return next_timer_ns(); }
  // Fires every timer up to `ns` in one go, without running anybody.
  void fire_to(int64_t ns) {
    now_ns_ = ns;
    size_t before = ready_.size();
    fire_timers(ns);
    woken_by_timers_ += ready_.size() - before;
  }
  void advance_to(int64_t ns) {
    fire_to(ns);
    run_ready();
  }
  // Runs `body` and whatever it starts to the end, from timer to timer.
  void run_all(base::UniqueFunction<void()> body) {
    start(std::move(body));
    run_ready();
    while (live_fibers() > 0) {
      int64_t next = next_timer_ns();
      CHECK(next != INT64_MAX);  // everybody waits for nothing
      advance_to(std::max(next, now_ns_));
    }
  }
  void kill_all() {
    std::vector<Tasks*> all;
    for (auto& shard : shards_) all.push_back(shard.get());
    kill(all);
    CHECK(ready_.empty());
  }

  Instant now(const Tasks&) override { return {now_ns_}; }
  void post(Tasks&, base::ShardId to, base::UniqueFunction<void()> fn) override {
    spawn_child(*tasks(to.value).root(), nullptr, "post", std::move(fn));
  }
  void offload(Tasks&, base::UniqueFunction<void()> pure) override { pure(); }
  void charge(Tasks&, int64_t) override {}

 private:
  void enqueue(Fiber& fiber) override { ready_.push_back(&fiber); }
  void remove_ready(Fiber& fiber) override { std::erase(ready_, &fiber); }
  int64_t world_deadline(const Tasks&, Instant deadline) override { return deadline.ns; }

  std::vector<std::unique_ptr<Tasks>> shards_;
  std::deque<Fiber*> ready_;
  int64_t now_ns_ = 0;
  size_t woken_by_timers_ = 0;
};

}  // namespace verdict::runtime
