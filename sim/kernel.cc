#include "sim/kernel.h"

#include <algorithm>

#include "broker/base/int128.h"

namespace verdict::sim {
namespace {

constexpr ChoiceStream kOrderStream{"sched"};
constexpr ChoiceStream kCostStream{"work"};
constexpr ChoiceStream kPostStream{"post"};
constexpr int64_t kBillion = 1'000'000'000;
constexpr int64_t kLateFactor = 10;  // a run this much later than normal is an effect of a fault

}  // namespace

// ---------------------------------------------------------------- NodeClock

int64_t NodeClock::monotonic_ns(int64_t world) const {
  if (drift_ppb == 0) return world + offset_ns;
  auto drifted = static_cast<base::int128>(world) * drift_ppb;
  // Floor, so that the clock is monotonic on both sides of zero drift.
  base::int128 quotient = drifted / kBillion;
  if (drifted % kBillion < 0) --quotient;
  return world + static_cast<int64_t>(quotient) + offset_ns;
}

int64_t NodeClock::world_ns(int64_t monotonic) const {
  int64_t target = monotonic - offset_ns;
  if (drift_ppb == 0) return target;
  auto scaled = static_cast<base::int128>(target) * kBillion / (kBillion + drift_ppb);
  if (scaled >= INT64_MAX - 4) return kNeverNs;
  auto world = static_cast<int64_t>(scaled) - 2;
  while (monotonic_ns(world) < monotonic) ++world;
  return world;
}

// ---------------------------------------------------------------- Shard

Shard::OwnTasks::OwnTasks(Kernel& kernel, base::ShardId id, uint32_t count, uint64_t path,
                          Shard& own)
    : Tasks(kernel, id, count, path), shard_object(own) {}

Shard::Shard(Kernel& kernel, KernelNode& node, base::ShardId id, uint32_t count)
    : kernel_(kernel),
      node_(node),
      tasks_(kernel, id, count, base::combine(base::combine(node.path, node.incarnation), id.value),
             *this) {
  CHECK(id.value < count);
  for (uint32_t to = 0; to < count; ++to) {
    post_delays_.emplace_back(kernel.choices(), kPostStream, base::combine(tasks_.path(), to));
  }
}

void Shard::on_event(uint64_t argument) {
  if (argument == kWakeEvent) {
    wake_scheduled_ = false;
    if (!closed_) kernel_.list(*this);
    return;
  }
  auto slot = static_cast<uint32_t>(argument - 1);
  CHECK(slot < posts_.size());
  base::UniqueFunction<void()> fn = std::move(posts_[slot]);
  free_posts_.push_back(slot);
  if (closed_ || tasks_.root() == nullptr) return;
  kernel_.spawn_child(*tasks_.root(), nullptr, "post", std::move(fn));
}

void Shard::close() {
  closed_ = true;
  for (auto& post : posts_) post = nullptr;
}

// ---------------------------------------------------------------- closures

// Functions that wait for their instant.
class Kernel::Closures final : public EventTarget {
 public:
  uint64_t add(base::UniqueFunction<void()> fn) {
    if (free_.empty()) {
      free_.push_back(functions_.size());
      functions_.emplace_back();
    }
    uint64_t slot = free_.back();
    free_.pop_back();
    functions_[slot] = std::move(fn);
    return slot;
  }
  void on_event(uint64_t slot) override {
    CHECK(slot < functions_.size());
    base::UniqueFunction<void()> fn = std::move(functions_[slot]);
    free_.push_back(slot);
    fn();
  }

 private:
  std::vector<base::UniqueFunction<void()>> functions_;
  std::vector<uint64_t> free_;
};

// ---------------------------------------------------------------- Kernel

Kernel::Kernel(KernelOptions options)
    : options_(options), choices_(options.seed), closures_(std::make_unique<Closures>()) {
  CHECK(options.run_cost_min_ns >= 0);
  CHECK(options.run_cost_max_ns >= options.run_cost_min_ns);
}

Kernel::~Kernel() { drop_events(); }

void Kernel::drop_events() {
  for (Event& event : events_) --event.target->pending_events_;
  events_.clear();
  retired_.clear();
}

void Kernel::schedule(int64_t at_ns, EventTarget& target, uint64_t argument) {
  CHECK(at_ns >= now_ns_);
  ++target.pending_events_;
  events_.push_back({at_ns, ++sequence_, &target, argument});
  std::push_heap(events_.begin(), events_.end(), Later{});
}

void Kernel::schedule(int64_t at_ns, base::UniqueFunction<void()> fn) {
  schedule(at_ns, *closures_, closures_->add(std::move(fn)));
}

void Kernel::retire(std::unique_ptr<EventTarget> target) {
  constexpr size_t kSweepEvery = 16;
  if (target->pending_events_ == 0) return;
  retired_.push_back(std::move(target));
  if (retired_.size() % kSweepEvery == 0) {
    std::erase_if(retired_, [](const auto& t) { return t->pending_events() == 0; });
  }
}

KernelNode& Kernel::add_node(std::string_view name) {
  auto node = std::make_unique<KernelNode>();
  node->index = static_cast<uint32_t>(nodes_.size());
  node->name = name;
  node->path = base::hash_text(name);
  for (const auto& other : nodes_) CHECK(other->path != node->path);
  nodes_.push_back(std::move(node));
  return *nodes_.back();
}

Shard& Kernel::shard_of(const runtime::Tasks& tasks) {
  return static_cast<const Shard::OwnTasks&>(tasks).shard_object;
}

KernelNode& Kernel::node_of(const runtime::Tasks& tasks) { return shard_of(tasks).node_; }

void Kernel::kill_shards(std::span<const std::unique_ptr<Shard>> shards) {
  std::vector<runtime::Tasks*> tasks;
  for (const auto& shard : shards) {
    shard->close();
    tasks.push_back(&shard->tasks_);
  }
  kill(tasks);
  for (const auto& shard : shards) {
    CHECK(shard->ready_.empty());
    CHECK(shard->tasks_.root() == nullptr);
    std::erase(runnable_, shard.get());
    std::erase(running_round_, shard.get());
  }
}

void Kernel::kill_soon(KernelNode& node, base::UniqueFunction<void()> kill) {
  kills_.push_back(std::move(kill));
  if (current() == nullptr) {
    run_kills();
    return;
  }
  if (&node_of(current()->tasks()) == &node) {
    node.dying = true;
    die_here();
  }
}

void Kernel::run_kills() {
  while (!kills_.empty()) {
    std::vector<base::UniqueFunction<void()>> kills;
    kills.swap(kills_);
    for (auto& kill : kills) kill();
  }
}

// ---------------------------------------------------------------- ready fibers

void Kernel::list(Shard& shard) {
  if (shard.listed_ || shard.ready_.empty()) return;
  shard.listed_ = true;
  runnable_.push_back(&shard);
}

void Kernel::poke(Shard& shard) { list(shard); }

void Kernel::on_spawn(runtime::Fiber& fiber) {
  uint32_t slot = fiber.id().slot;
  if (slot >= fiber_choices_.size()) fiber_choices_.resize(slot + 1);
  fiber_choices_[slot] = {ChoicePoint(choices_, kOrderStream, fiber.path()),
                          ChoicePoint(choices_, kCostStream, fiber.path())};
  record(node_of(fiber.tasks()), EventKind::spawn, fiber.path(), 0, 0);
  if (choices_.keeps_names()) [[unlikely]] {
    choices_.name_entity(fiber.path(),
                         node_of(fiber.tasks()).name + " fiber " + std::string(fiber.name()));
  }
}

void Kernel::enqueue(runtime::Fiber& fiber) {
  Shard& shard = shard_of(fiber.tasks());
  int64_t key = now_ns_;
  if (options_.shuffle_window_ns > 0) {
    key += static_cast<int64_t>(choices_.draw(fiber_choices_[fiber.id().slot].order,
                                              static_cast<uint64_t>(options_.shuffle_window_ns)));
  }
  shard.ready_.push_back({key, ++sequence_, &fiber});
  std::push_heap(shard.ready_.begin(), shard.ready_.end(), Shard::Later{});
  list(shard);
}

void Kernel::remove_ready(runtime::Fiber& fiber) {
  Shard& shard = shard_of(fiber.tasks());
  size_t before = shard.ready_.size();
  std::erase_if(shard.ready_, [&](const Shard::Ready& r) { return r.fiber == &fiber; });
  CHECK(shard.ready_.size() + 1 == before);
  std::make_heap(shard.ready_.begin(), shard.ready_.end(), Shard::Later{});
}

int64_t Kernel::world_deadline(const runtime::Tasks& tasks, runtime::Instant deadline) {
  return std::max(now_ns_, node_of(tasks).clock.world_ns(deadline.ns));
}

runtime::Instant Kernel::now(const runtime::Tasks& tasks) {
  return {node_of(tasks).clock.monotonic_ns(now_ns_)};
}

void Kernel::run_shard(Shard& shard) {
  shard.listed_ = false;
  if (shard.ready_.empty() || shard.node_.paused) return;
  if (shard.busy_until_ns_ <= now_ns_) {
    std::pop_heap(shard.ready_.begin(), shard.ready_.end(), Shard::Later{});
    Shard::Ready ready = shard.ready_.back();
    shard.ready_.pop_back();
    if (now_ns_ - ready.key_ns > kLateFactor * options_.run_cost_max_ns) ++shard.node_.late_runs;
    runtime::Fiber& fiber = *ready.fiber;
    auto range = static_cast<uint64_t>(options_.run_cost_max_ns - options_.run_cost_min_ns + 1);
    int64_t cost = options_.run_cost_min_ns;
    if (range > 1) {
      cost += static_cast<int64_t>(choices_.draw(fiber_choices_[fiber.id().slot].cost, range));
    }
    record(shard.node_, EventKind::run, fiber.path(), fiber.resumes(),
           static_cast<uint64_t>(fiber.last_wake()));
    shard.charged_ns_ = 0;
    run(fiber);
    shard.busy_until_ns_ =
        now_ns_ + (cost + shard.charged_ns_) * static_cast<int64_t>(shard.node_.slowness);
  }
  if (shard.ready_.empty() || shard.wake_scheduled_ || shard.closed_) return;
  if (shard.busy_until_ns_ <= now_ns_) {
    list(shard);  // work that costs nothing
    return;
  }
  shard.wake_scheduled_ = true;
  schedule(shard.busy_until_ns_, shard, Shard::kWakeEvent);
}

// ---------------------------------------------------------------- running

void Kernel::run_events_of_this_instant() {
  while (!events_.empty() && events_.front().at_ns <= now_ns_) {
    std::pop_heap(events_.begin(), events_.end(), Later{});
    Event event = events_.back();
    events_.pop_back();
    --event.target->pending_events_;
    event.target->on_event(event.argument);
    if (!kills_.empty()) [[unlikely]]
      run_kills();
  }
  fire_timers(now_ns_);
}

bool Kernel::step(int64_t limit_ns) {
  CHECK(current() == nullptr);
  if (runnable_.empty()) {
    int64_t next = events_.empty() ? kNeverNs : events_.front().at_ns;
    next = std::min(next, next_timer_ns());
    if (next > limit_ns) {
      now_ns_ = std::max(now_ns_, limit_ns);
      return false;
    }
    now_ns_ = std::max(now_ns_, next);
  }
  run_events_of_this_instant();
  running_round_.swap(runnable_);
  while (!running_round_.empty()) {
    // Shards of one instant share nothing, so their order decides nothing; first listed, first run.
    Shard* shard = running_round_.front();
    running_round_.erase(running_round_.begin());
    run_shard(*shard);
    if (!kills_.empty()) [[unlikely]]
      run_kills();
  }
  return true;
}

void Kernel::run_until(int64_t limit_ns, const std::function<bool()>& done) {
  while (step(limit_ns)) {
    if (done && done()) return;
  }
}

// ---------------------------------------------------------------- what fibers ask for

void Kernel::post(runtime::Tasks& from, base::ShardId to, base::UniqueFunction<void()> fn) {
  Shard& source = shard_of(from);
  CHECK(current() != nullptr);
  CHECK(node_of(current()->tasks()).path == source.node_.path);
  Shard* target = source.siblings_->at(to.value).get();
  CHECK(target != nullptr);
  if (target->free_posts_.empty()) {
    target->free_posts_.push_back(static_cast<uint32_t>(target->posts_.size()));
    target->posts_.emplace_back();
  }
  uint32_t slot = target->free_posts_.back();
  target->free_posts_.pop_back();
  target->posts_[slot] = std::move(fn);
  auto delay = static_cast<int64_t>(
      choices_.draw(source.post_delays_[to.value], static_cast<uint64_t>(kPostDelayMaxNs)));
  record(source.node_, EventKind::post, source.tasks_.path(), to.value, 0);
  schedule(now_ns_ + 1 + delay, *target, 1 + slot);
}

void Kernel::offload(runtime::Tasks& tasks, base::UniqueFunction<void()> pure) {
  CHECK(current() != nullptr);
  pure();
  auto cost = choices_.draw(fiber_choices_[current()->id().slot].cost,
                            static_cast<uint64_t>(kOffloadMaxNs));
  runtime::Wake wake =
      suspend(nullptr, 0, now(tasks) + runtime::nanoseconds(static_cast<int64_t>(cost)), false);
  CHECK(wake == runtime::Wake::timed_out);
}

void Kernel::charge(runtime::Tasks& tasks, int64_t ns) { shard_of(tasks).charged_ns_ += ns; }

// ---------------------------------------------------------------- trace

uint64_t Kernel::trace_hash() const {
  uint64_t joined = 0;
  for (const auto& node : nodes_) joined = base::combine(joined, node->hash.value());
  return joined;
}

}  // namespace verdict::sim
