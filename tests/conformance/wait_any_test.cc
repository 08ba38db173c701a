// One wait over many waitables: level-triggered, several fibers on each.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Event;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::wait_any;
using runtime::Waitable;

CONFORMANCE_SUITE(WaitAny);

TEST_P(WaitAny, tells_the_first_that_is_ready_as_long_as_it_is) {
  run([](Node& node) {
    Event a(node.tasks);
    Event b(node.tasks);
    Event c(node.tasks);
    Waitable* all[] = {&a, &b, &c};
    c.set();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(must(wait_any(node.tasks, all, soon(node))), 2U);
    b.set();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(must(wait_any(node.tasks, all, soon(node))), 1U);
    b.reset();
    EXPECT_EQ(must(wait_any(node.tasks, all, soon(node))), 2U);
    c.reset();
    EXPECT_TRUE(
        fails(wait_any(node.tasks, all, node.clock.after(milliseconds(1))), Errc::timed_out));
  });
}

TEST_P(WaitAny, is_woken_by_each_of_the_most_conditions_it_takes) {
  run([](Node& node) {
    std::vector<std::unique_ptr<Event>> events;
    std::vector<Waitable*> all;
    for (size_t i = 0; i < runtime::kWaitAnyMax; ++i) {
      events.push_back(std::make_unique<Event>(node.tasks));
      all.push_back(events.back().get());
    }
    for (size_t i = 0; i < runtime::kWaitAnyMax; ++i) {
      Nursery nursery(node.tasks);
      size_t ready = 99;
      nursery.spawn("waiter", [&] { ready = must(wait_any(node.tasks, all, soon(node))); });
      settle(node);
      events[i]->set();
      nursery.join_all(kNever);
      EXPECT_EQ(ready, i);
      events[i]->reset();
      for (auto& event : events) EXPECT_FALSE(event->queue.has_waiters());
    }
  });
}

TEST_P(WaitAny, several_fibers_wait_for_one_condition_and_all_are_woken) {
  run([](Node& node) {
    Event shared(node.tasks);
    Event own(node.tasks);
    Nursery nursery(node.tasks);
    int by_any = 0;
    int by_wait = 0;
    for (int i = 0; i < 5; ++i) {
      nursery.spawn("any", [&] {
        Waitable* both[] = {&own, &shared};
        EXPECT_EQ(must(wait_any(node.tasks, both, soon(node))), 1U);
        ++by_any;
      });
      nursery.spawn("one", [&] {
        EXPECT_TRUE(ok(shared.wait(soon(node))));
        ++by_wait;
      });
    }
    settle(node);
    shared.set();
    nursery.join_all(kNever);
    EXPECT_EQ(by_any, 5);
    EXPECT_EQ(by_wait, 5);
    EXPECT_FALSE(own.queue.has_waiters());
  });
}

TEST_P(WaitAny, a_condition_that_is_not_waited_for_any_more_does_not_end_a_later_wait) {
  run([](Node& node) {
    Event a(node.tasks);
    Event b(node.tasks);
    Nursery nursery(node.tasks);
    bool second_ended = false;
    nursery.spawn("waiter", [&] {
      Waitable* both[] = {&a, &b};
      EXPECT_EQ(must(wait_any(node.tasks, both, soon(node))), 0U);
      EXPECT_TRUE(fails(node.clock.sleep_until(kNever), Errc::cancelled));
      second_ended = true;
    });
    settle(node);
    a.set();
    settle(node);
    b.set();
    settle(node);
    EXPECT_FALSE(second_ended);
    nursery.stop();
    EXPECT_TRUE(second_ended);
  });
}

TEST_P(WaitAny, goes_on_when_the_condition_fell_before_the_fiber_looked) {
  run([](Node& node) {
    Event a(node.tasks);
    Event b(node.tasks);
    Nursery nursery(node.tasks);
    size_t ready = 99;
    nursery.spawn("waiter", [&] {
      Waitable* both[] = {&a, &b};
      ready = must(wait_any(node.tasks, both, soon(node)));
    });
    settle(node);
    a.set();
    a.reset();
    settle(node);
    EXPECT_EQ(ready, 99U);
    b.set();
    nursery.join_all(kNever);
    EXPECT_EQ(ready, 1U);
  });
}

TEST_P(WaitAny, times_out_not_before_its_deadline_and_leaves_every_queue) {
  run([](Node& node) {
    Event a(node.tasks);
    Event b(node.tasks);
    Waitable* both[] = {&a, &b};
    Instant deadline = node.clock.after(milliseconds(3));
    EXPECT_TRUE(fails(wait_any(node.tasks, both, deadline), Errc::timed_out));
    EXPECT_GE(node.clock.now(), deadline);
    EXPECT_FALSE(a.queue.has_waiters());
    EXPECT_FALSE(b.queue.has_waiters());
  });
}

TEST_P(WaitAny, may_name_one_condition_twice) {
  run([](Node& node) {
    Event a(node.tasks);
    Waitable* twice[] = {&a, &a};
    Nursery nursery(node.tasks);
    nursery.spawn("waiter", [&] { EXPECT_EQ(must(wait_any(node.tasks, twice, soon(node))), 0U); });
    settle(node);
    a.set();
    nursery.join_all(kNever);
    EXPECT_FALSE(a.queue.has_waiters());
  });
}

TEST_P(WaitAny, mixes_streams_listeners_futures_and_events) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    auto listener = listen(lab(), node);
    runtime::Promise<int> promise(node.tasks);
    auto future = promise.future();
    Event event(node.tasks);
    std::vector<std::string> order;
    Nursery nursery(node.tasks);
    nursery.spawn("waiter", [&] {
      std::vector<std::string> names = {"event", "future", "listener", "stream"};
      std::vector<Waitable*> all = {&event, &future.waitable(), &listener->acceptable(),
                                    &ends.server->readable()};
      while (!all.empty()) {
        auto ready = static_cast<std::ptrdiff_t>(must(wait_any(node.tasks, all, soon(node))));
        order.push_back(names[static_cast<size_t>(ready)]);
        names.erase(names.begin() + ready);
        all.erase(all.begin() + ready);
      }
    });
    settle(node);
    EXPECT_TRUE(order.empty());
    must(write(node, *ends.client, text("x")));
    wait_until(node, [&] { return order.size() == 1; });
    auto other = must(node.network.connect(listener->local(), soon(node)));
    wait_until(node, [&] { return order.size() == 2; });
    promise.set(5);
    wait_until(node, [&] { return order.size() == 3; });
    event.set();
    nursery.join_all(kNever);
    EXPECT_EQ(order, (std::vector<std::string>{"stream", "listener", "future", "event"}));
  });
}

}  // namespace
}  // namespace verdict::conformance
