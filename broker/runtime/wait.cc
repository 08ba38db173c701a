#include "broker/runtime/wait.h"

#include <array>

namespace verdict::runtime {

using base::Errc;
using base::Result;

Wake WaitQueue::wait(Instant deadline, uint64_t tag) {
  WaitNode node;
  node.fiber = tasks_.scheduler().current();
  node.tag = tag;
  CHECK(node.fiber != nullptr);
  nodes_.push_back(node);
  return tasks_.scheduler().suspend(&node, 1, deadline, true);
}

void WaitQueue::wait_uncancellable() {
  WaitNode node;
  node.fiber = tasks_.scheduler().current();
  CHECK(node.fiber != nullptr);
  nodes_.push_back(node);
  Wake wake = tasks_.scheduler().suspend(&node, 1, Instant::never(), false);
  CHECK(wake == Wake::notified);
}

bool WaitQueue::notify_one() {
  WaitNode* node = nodes_.front();
  if (node == nullptr) return false;
  tasks_.scheduler().wake(*node->fiber, Wake::notified);
  return true;
}

void WaitQueue::notify_all() {
  while (notify_one()) {
  }
}

Result<> to_result(Wake wake, const char* what) {
  switch (wake) {
    case Wake::notified:
      return {};
    case Wake::timed_out:
      return base::fail(Errc::timed_out, what);
    case Wake::cancelled:
      return base::fail(Errc::cancelled, what);
  }
  CHECK(false);
  return {};
}

Result<size_t> wait_any(Tasks& tasks, std::span<Waitable* const> conditions, Instant deadline) {
  CHECK(!conditions.empty());
  CHECK(conditions.size() <= kWaitAnyMax);
  std::array<WaitNode, kWaitAnyMax> nodes;
  for (;;) {
    for (size_t i = 0; i < conditions.size(); ++i) {
      if (conditions[i]->ready()) return i;
    }
    for (size_t i = 0; i < conditions.size(); ++i) {
      nodes[i].fiber = tasks.scheduler().current();
      CHECK(nodes[i].fiber != nullptr);
      conditions[i]->queue.nodes_.push_back(nodes[i]);
    }
    Wake wake = tasks.scheduler().suspend(nodes.data(), conditions.size(), deadline, true);
    if (wake == Wake::notified) continue;
    for (size_t i = 0; i < conditions.size(); ++i) {
      if (conditions[i]->ready()) return i;
    }
    return std::unexpected(to_result(wake, "wait").error());
  }
}

Result<> wait_for(Waitable& condition, Instant deadline) {
  while (!condition.ready()) {
    Wake wake = condition.queue.wait(deadline);
    if (wake != Wake::notified && !condition.ready()) return to_result(wake, "wait");
  }
  return {};
}

}  // namespace verdict::runtime
