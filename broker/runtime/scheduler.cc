#include "broker/runtime/scheduler.h"

#include <algorithm>
#include <limits>

#include "broker/base/hash.h"
#include "broker/runtime/wait.h"

namespace verdict::runtime {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr size_t kFibersMax = 1U << 20;

}  // namespace

// ---------------------------------------------------------------- Tasks

void Tasks::yield() { scheduler_.yield(); }

bool Tasks::cancelled() const {
  CHECK(scheduler_.current() != nullptr);
  return scheduler_.current()->cancelled();
}

void Tasks::post(base::ShardId to, base::UniqueFunction<void()> fn) {
  CHECK(to.value < shard_count_);
  scheduler_.post(*this, to, std::move(fn));
}

void Tasks::offload(base::UniqueFunction<void()> pure) {
  scheduler_.offload(*this, std::move(pure));
}

FiberId Tasks::current_id() const {
  CHECK(scheduler_.current() != nullptr);
  return scheduler_.current()->id();
}

void Tasks::charge(int64_t ns) {
  CHECK(ns >= 0);
  scheduler_.charge(*this, ns);
}

// ---------------------------------------------------------------- waits

Scheduler::~Scheduler() { CHECK(live_ == 0); }

void Scheduler::unlink_waits(Fiber& fiber) {
  for (size_t i = 0; i < fiber.wait_node_count_; ++i) fiber.wait_nodes_[i].unlink();
  fiber.wait_nodes_ = nullptr;
  fiber.wait_node_count_ = 0;
}

Wake Scheduler::suspend(WaitNode* nodes, size_t count, Instant deadline, bool cancellable) {
  CHECK(current_ != nullptr);
  Fiber& fiber = *current_;
  CHECK(!fiber.context_.unwinding());
  CHECK(!fiber.killed_);
  fiber.wait_nodes_ = nodes;
  fiber.wait_node_count_ = count;
  if (cancellable && fiber.cancelled_) {
    unlink_waits(fiber);
    return Wake::cancelled;
  }
  fiber.cancellable_ = cancellable;
  fiber.state_ = Fiber::State::waiting;
  fiber.deadline_ns_ =
      deadline == Instant::never() ? kNever : world_deadline(*fiber.tasks_, deadline);
  if (fiber.deadline_ns_ != kNever) {
    fiber.wait_sequence_ = ++wait_sequence_;
    if (fiber.deadline_ns_ < fiber.armed_ns_) arm(fiber, fiber.deadline_ns_);
  }
  fiber.context_.switch_to(main_);
  if (fiber.killed_) throw FiberKilled{};
  return fiber.wake_;
}

void Scheduler::wake(Fiber& fiber, Wake reason) {
  if (fiber.state_ != Fiber::State::waiting) return;
  unlink_waits(fiber);
  fiber.wake_ = reason;
  fiber.state_ = Fiber::State::ready;
  enqueue(fiber);
}

void Scheduler::yield() {
  CHECK(current_ != nullptr);
  Fiber& fiber = *current_;
  CHECK(!fiber.context_.unwinding());
  fiber.state_ = Fiber::State::ready;
  fiber.wake_ = Wake::notified;
  enqueue(fiber);
  fiber.context_.switch_to(main_);
  if (fiber.killed_) throw FiberKilled{};
}

void Scheduler::die_here() {
  CHECK(current_ != nullptr);
  Fiber& fiber = *current_;
  CHECK(!fiber.context_.unwinding());
  fiber.state_ = Fiber::State::waiting;
  fiber.cancellable_ = false;
  fiber.deadline_ns_ = kNever;
  fiber.context_.switch_to(main_);
  CHECK(fiber.killed_);
  throw FiberKilled{};
}

Fiber* Scheduler::find(FiberId id) {
  if (id.generation == 0 || id.slot >= fibers_.size()) return nullptr;
  Fiber& fiber = *fibers_[id.slot];
  return fiber.id_ == id && fiber.state_ != Fiber::State::free ? &fiber : nullptr;
}

Wake Tasks::park(Instant deadline) {
  Fiber* fiber = scheduler_.current();
  CHECK(fiber != nullptr);
  CHECK(&fiber->tasks() == this);
  return scheduler_.park(deadline);
}

void Tasks::unpark(FiberId id) { scheduler_.unpark(id); }

Wake Scheduler::park(Instant deadline) {
  Fiber& fiber = *current_;
  if (fiber.park_permit_) {
    fiber.park_permit_ = false;
    return Wake::notified;
  }
  fiber.parked_ = true;
  Wake wake = suspend(nullptr, 0, deadline, true);
  fiber.parked_ = false;
  return wake;
}

void Scheduler::unpark(FiberId id) {
  Fiber* fiber = find(id);
  if (fiber == nullptr) return;
  if (fiber->parked_ && fiber->state_ == Fiber::State::waiting) {
    wake(*fiber, Wake::notified);
  } else {
    fiber->park_permit_ = true;
  }
}

// ---------------------------------------------------------------- life of a fiber

Fiber& Scheduler::allocate(Tasks& tasks, Fiber* parent, std::string_view name,
                           base::UniqueFunction<void()> body) {
  if (free_slots_.empty()) {
    CHECK(fibers_.size() < kFibersMax);
    free_slots_.push_back(static_cast<uint32_t>(fibers_.size()));
    fibers_.push_back(std::make_unique<Fiber>());
  }
  uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  Fiber& fiber = *fibers_[slot];
  CHECK(fiber.state_ == Fiber::State::free);
  fiber.id_ = {slot, fiber.id_.generation + 1};
  fiber.name_ = name;
  fiber.tasks_ = &tasks;
  fiber.parent_ = parent;
  fiber.nursery_ = nullptr;
  fiber.scheduler_ = this;
  fiber.body_ = std::move(body);
  fiber.resumes_ = 0;
  fiber.armed_ns_ = kNever;
  fiber.deadline_ns_ = kNever;
  fiber.wake_ = Wake::notified;
  fiber.cancelled_ = parent != nullptr && parent->cancelled_;
  fiber.killed_ = false;
  fiber.park_permit_ = false;
  fiber.parked_ = false;
  fiber.started_ = false;
  uint64_t name_hash = base::hash_text(name);
  uint32_t ordinal = 0;
  if (parent != nullptr) {
    auto at = std::find_if(parent->child_ordinals_.begin(), parent->child_ordinals_.end(),
                           [&](const auto& entry) { return entry.first == name_hash; });
    if (at == parent->child_ordinals_.end()) {
      parent->child_ordinals_.emplace_back(name_hash, 1);
    } else {
      ordinal = at->second++;
    }
    parent->children_.push_back(fiber);
  }
  fiber.path_ =
      base::combine(parent != nullptr ? parent->path_ : tasks.path(), name_hash + ordinal);
  fiber.state_ = Fiber::State::ready;
  ++live_;
  on_spawn(fiber);
  enqueue(fiber);
  return fiber;
}

Fiber& Scheduler::spawn_root(Tasks& tasks, std::string_view name,
                             base::UniqueFunction<void()> body) {
  CHECK(tasks.root_ == nullptr);
  Fiber& fiber = allocate(tasks, nullptr, name, std::move(body));
  tasks.root_ = &fiber;
  return fiber;
}

Fiber& Scheduler::spawn_child(Fiber& parent, Nursery* nursery, std::string_view name,
                              base::UniqueFunction<void()> body) {
  CHECK(parent.state_ != Fiber::State::free);
  CHECK(!parent.killed_);
  Fiber& fiber = allocate(*parent.tasks_, &parent, name, std::move(body));
  fiber.nursery_ = nursery;
  return fiber;
}

void Scheduler::entry(void* argument) {
  Fiber& fiber = *static_cast<Fiber*>(argument);
  try {
    fiber.body_();
    if (fiber.parent_ == nullptr) {
      // Posts are children of the root and may still run.
      WaitQueue posts_done(*fiber.tasks_);
      while (!fiber.children_.empty()) {
        fiber.children_done_ = &posts_done;
        posts_done.wait_uncancellable();
      }
      fiber.children_done_ = nullptr;
    }
  } catch (const FiberKilled&) {
    CHECK(fiber.killed_);
  }
  fiber.body_ = nullptr;
  fiber.state_ = Fiber::State::done;
  fiber.context_.switch_to(fiber.scheduler_->main_, true);
}

void Scheduler::run(Fiber& fiber) {
  CHECK(current_ == nullptr);
  CHECK(fiber.state_ == Fiber::State::ready);
  if (!fiber.started_) {
    fiber.started_ = true;
    fiber.stack_ = stacks_.take();
    fiber.context_.prepare(fiber.stack_, &Scheduler::entry, &fiber);
  }
  fiber.state_ = Fiber::State::running;
  ++fiber.resumes_;
  current_ = &fiber;
  main_.switch_to(fiber.context_);
  current_ = nullptr;
  if (fiber.state_ == Fiber::State::done) reclaim(fiber);
}

void Scheduler::reclaim(Fiber& fiber) {
  CHECK(fiber.children_.empty());
  CHECK(fiber.wait_node_count_ == 0);
  if (fiber.started_) stacks_.give_back(fiber.stack_);
  if (fiber.parent_ == nullptr) {
    fiber.tasks_->root_ = nullptr;
  } else {
    fiber.unlink();
    Fiber& parent = *fiber.parent_;
    if (fiber.nursery_ != nullptr) {
      CHECK(fiber.nursery_->count_ > 0);
      if (--fiber.nursery_->count_ == 0) fiber.nursery_->ended_->notify_all();
    }
    if (parent.children_done_ != nullptr && parent.children_.empty()) {
      parent.children_done_->notify_all();
    }
  }
  fiber.state_ = Fiber::State::free;
  fiber.armed_ns_ = kNever;  // its timers are stale now
  fiber.child_ordinals_.clear();
  free_slots_.push_back(fiber.id_.slot);
  CHECK(live_ > 0);
  --live_;
}

void Scheduler::cancel(Fiber& fiber) {
  fiber.cancelled_ = true;
  if (fiber.cancellable_) wake(fiber, Wake::cancelled);
  for (Fiber* child = fiber.children_.front(); child != nullptr;
       child = fiber.children_.next(*child)) {
    cancel(*child);
  }
}

// ---------------------------------------------------------------- kill

void Scheduler::detach(Fiber& fiber) {
  if (fiber.state_ == Fiber::State::ready) remove_ready(fiber);
  unlink_waits(fiber);
  fiber.children_done_ = nullptr;
  fiber.armed_ns_ = kNever;  // its timers are stale now
  fiber.killed_ = true;
  for (Fiber* child = fiber.children_.front(); child != nullptr;
       child = fiber.children_.next(*child)) {
    detach(*child);
  }
}

void Scheduler::unwind(Fiber& fiber) {
  while (Fiber* child = fiber.children_.back()) unwind(*child);
  if (!fiber.started_) {
    fiber.body_ = nullptr;
    fiber.state_ = Fiber::State::done;
    reclaim(fiber);
    return;
  }
  fiber.state_ = Fiber::State::running;
  current_ = &fiber;
  main_.switch_to(fiber.context_);
  current_ = nullptr;
  CHECK(fiber.state_ == Fiber::State::done);
  reclaim(fiber);
}

void Scheduler::kill(std::span<Tasks* const> shards) {
  CHECK(current_ == nullptr);
  for (Tasks* tasks : shards) {
    if (tasks->root_ != nullptr) detach(*tasks->root_);
  }
  for (size_t i = shards.size(); i-- > 0;) {
    if (shards[i]->root_ != nullptr) unwind(*shards[i]->root_);
  }
}

// ---------------------------------------------------------------- timers

// A fiber has one live entry in the heap, at or before the end of its wait. An entry that comes
// early is moved on when it is popped, so a long deadline that is set anew for every message costs
// one entry, not one per message.
void Scheduler::arm(Fiber& fiber, int64_t at_ns) {
  if (timers_.size() >= timers_tidy_at_) drop_stale_timers();
  fiber.armed_ns_ = at_ns;
  fiber.armed_sequence_ = ++timer_sequence_;
  timers_.push_back({at_ns, fiber.armed_sequence_, fiber.id_.slot});
  std::push_heap(timers_.begin(), timers_.end(), Later{});
}

bool Scheduler::stale(const Timer& timer) const {
  const Fiber& fiber = *fibers_[timer.slot];
  return fiber.armed_ns_ != timer.at_ns || fiber.armed_sequence_ != timer.sequence;
}

void Scheduler::pop_timer() {
  std::pop_heap(timers_.begin(), timers_.end(), Later{});
  timers_.pop_back();
}

// A nearer deadline and the end of a fiber leave entries behind that would stay to their time.
void Scheduler::drop_stale_timers() {
  std::erase_if(timers_, [this](const Timer& timer) { return stale(timer); });
  std::make_heap(timers_.begin(), timers_.end(), Later{});
  timers_tidy_at_ = std::max(kTimersTidyMin, 2 * timers_.size());
}

int64_t Scheduler::next_timer_ns() {
  while (!timers_.empty()) {
    const Timer timer = timers_.front();
    if (!stale(timer)) {
      Fiber& fiber = *fibers_[timer.slot];
      if (fiber.state_ == Fiber::State::waiting && fiber.deadline_ns_ <= timer.at_ns) {
        return timer.at_ns;
      }
      fiber.armed_ns_ = kNever;
      if (fiber.state_ == Fiber::State::waiting && fiber.deadline_ns_ != kNever) {
        pop_timer();
        arm(fiber, fiber.deadline_ns_);
        continue;
      }
    }
    pop_timer();
  }
  return kNever;
}

void Scheduler::fire_timers(int64_t world_ns) {
  CHECK(due_.empty());
  while (!timers_.empty() && timers_.front().at_ns <= world_ns) {
    const Timer timer = timers_.front();
    pop_timer();
    if (stale(timer)) continue;
    Fiber& fiber = *fibers_[timer.slot];
    fiber.armed_ns_ = kNever;
    if (fiber.state_ != Fiber::State::waiting) continue;
    if (fiber.deadline_ns_ <= world_ns) {
      due_.push_back(&fiber);
    } else if (fiber.deadline_ns_ != kNever) {
      arm(fiber, fiber.deadline_ns_);
    }
  }
  if (due_.size() > 1) {
    std::sort(due_.begin(), due_.end(), [](const Fiber* a, const Fiber* b) {
      return a->deadline_ns_ != b->deadline_ns_ ? a->deadline_ns_ < b->deadline_ns_
                                                : a->wait_sequence_ < b->wait_sequence_;
    });
  }
  for (Fiber* fiber : due_) wake(*fiber, Wake::timed_out);
  due_.clear();
}

// ---------------------------------------------------------------- Nursery

Nursery::Nursery(Tasks& tasks)
    : tasks_(tasks),
      owner_(*[&tasks] {
        CHECK(tasks.scheduler().current() != nullptr);
        return tasks.scheduler().current();
      }()),
      ended_(std::make_unique<WaitQueue>(tasks)) {
  CHECK(&owner_.tasks() == &tasks);
}

Nursery::~Nursery() { CHECK(count_ == 0); }

FiberId Nursery::spawn(std::string_view name, base::UniqueFunction<void()> body) {
  ++count_;
  return tasks_.scheduler().spawn_child(owner_, this, name, std::move(body)).id();
}

void Nursery::cancel_all() {
  for (Fiber* child = owner_.children_.front(); child != nullptr;
       child = owner_.children_.next(*child)) {
    if (child->nursery_ == this) tasks_.scheduler().cancel(*child);
  }
}

Wake Nursery::join_all(Instant deadline) {
  while (count_ > 0) {
    Wake wake = ended_->wait(deadline);
    if (wake != Wake::notified && count_ > 0) return wake;
  }
  return Wake::notified;
}

void Nursery::stop() {
  cancel_all();
  while (count_ > 0) ended_->wait_uncancellable();
}

}  // namespace verdict::runtime
