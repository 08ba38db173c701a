// A kill reaches fibers in every kind of wait, and what their destructors do reaches nobody.

#include "tests/conformance/deaths.h"

namespace verdict::conformance {
namespace {

using base::Slice;
using runtime::Event;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;

CONFORMANCE_SUITE(KillInWait);

// Fibers that are to be found waiting, each with a guard on its stack and one in what it captured.
class Victims {
 public:
  Victims(Node& node, Deaths& deaths) : deaths_(deaths), nursery_(node.tasks) {}
  void spawn(const char* name, base::UniqueFunction<void()> body) {
    nursery_.spawn(name, [&deaths = deaths_, name, body = std::move(body),
                          captured = Guard(deaths_, "captured")]() mutable {
      Guard guard(deaths, name);
      body();
      ADD_FAILURE() << name << " went on";
    });
    ++spawned_;
  }
  // All of them still live.
  void expect_all_alive() { EXPECT_EQ(nursery_.size(), spawned_); }

 private:
  Deaths& deaths_;
  size_t spawned_ = 0;
  Nursery nursery_;
};

TEST_P(KillInWait, for_other_fibers) {
  Deaths deaths;
  run([&](Node& node) {
    runtime::WaitQueue queue(node.tasks);
    Event event(node.tasks);
    runtime::Mutex held(node.tasks);
    runtime::Semaphore none(node.tasks, 0);
    runtime::Channel<int> empty(node.tasks, 1);
    runtime::Channel<std::shared_ptr<Guard>> stuffed(node.tasks, 1);
    runtime::Promise<int> promise(node.tasks);
    ASSERT_TRUE(stuffed.try_send(std::make_shared<Guard>(deaths, "in the channel")));
    held.lock();
    Victims victims(node, deaths);
    victims.spawn("sleep", [&] { (void)node.clock.sleep(runtime::seconds(1000)); });
    victims.spawn("queue", [&] { queue.wait(kNever); });
    victims.spawn("event", [&] { (void)event.wait(kNever); });
    victims.spawn("lock", [&] { runtime::LockGuard guard(held); });
    victims.spawn("semaphore", [&] { (void)none.acquire(1, kNever); });
    victims.spawn("receive", [&] { (void)empty.receive(kNever); });
    victims.spawn(
        "send", [&] { (void)stuffed.send(std::make_shared<Guard>(deaths, "to be sent"), kNever); });
    victims.spawn("future", [&] { (void)promise.future().wait(kNever); });
    victims.spawn("any", [&] {
      runtime::Waitable* both[] = {&event, &promise.future().waitable()};
      (void)wait_any(node.tasks, both, kNever);
    });
    victims.spawn("park", [&] { node.tasks.park(kNever); });
    victims.spawn("join", [&] {
      Nursery below(node.tasks);
      below.spawn("child", [&] { wait_for_ever(node); });
      below.join_all(kNever);
    });
    victims.spawn("stop", [&] {
      Nursery below(node.tasks);
      below.spawn("stubborn", [&] { held.lock(); });
      below.stop();
    });
    victims.spawn("yield", [&] {
      for (;;) node.tasks.yield();
    });
    must(node.clock.sleep(milliseconds(30)));
    victims.spawn("fresh", [&] { ADD_FAILURE() << "was killed before it ran"; });
    queue.notify_all();  // and a fiber that was woken and has not run yet
    victims.expect_all_alive();
    lab().kill();
  });
  EXPECT_EQ(deaths.alive(), 0);
  EXPECT_EQ(deaths.order().size(), 2 * 13 + 1 + 2U);  // "fresh" had only what it captured
}

TEST_P(KillInWait, on_a_condition_variable_whoever_holds_the_mutex) {
  // Those who wait have guards of a mutex that they do not hold.
  for (bool somebody_holds : {false, true}) {
    Deaths deaths;
    run([&](Node& node) {
      runtime::Mutex mutex(node.tasks);
      runtime::CondVar changed(node.tasks);
      Victims victims(node, deaths);
      for (int i = 0; i < 3; ++i) {
        victims.spawn("waiter", [&] {
          runtime::LockGuard guard(mutex);
          changed.wait(mutex, kNever);
        });
      }
      settle(node);
      if (somebody_holds) {
        victims.spawn("holder", [&] {
          runtime::LockGuard guard(mutex);
          wait_for_ever(node);
        });
        settle(node);
        victims.spawn("wants it too", [&] { runtime::LockGuard guard(mutex); });
        changed.notify_one();  // who is notified waits for the mutex now
        settle(node);
      }
      victims.expect_all_alive();
      lab().kill();
    });
    EXPECT_EQ(deaths.alive(), 0);
    EXPECT_EQ(deaths.order().size(), somebody_holds ? 10U : 6U);
  }
}

TEST_P(KillInWait, for_the_network_the_disk_and_other_threads) {
  Deaths deaths;
  run([&](Node& node) {
    Ends ends = connect_within(lab(), node);
    Ends full = connect_within(lab(), node);
    auto listener = listen(lab(), node);
    auto nobody_accepts = listen(lab(), node);
    auto file = must(node.data.open("f", OpenMode::open_or_create));
    Slice bytes = pattern(1, 0, 100'000);
    Victims victims(node, deaths);
    victims.spawn("read", [&] { (void)ends.client->read_some(10, kNever); });
    victims.spawn("write", [&] {
      std::vector<Slice> much(64, pattern(1, 0, 1 << 20));
      (void)full.client->write_all(much, kNever);
    });
    victims.spawn("accept", [&] { (void)listener->accept(kNever); });
    victims.spawn("own stream", [&] {
      auto stream = must(node.network.connect(nobody_accepts->local(), soon(node)));
      must(write(node, *stream, text("unread")));
      (void)stream->read_some(10, kNever);
    });
    victims.spawn("sync", [&] {
      for (;;) {
        (void)file->write_at(0, {&bytes, 1});
        (void)file->sync();
      }
    });
    victims.spawn("names", [&] {
      for (;; node.tasks.yield()) {
        must(node.data.open("a", OpenMode::open_or_create));
        must(node.data.rename("a", "b"));
        must(node.data.sync());
      }
    });
    victims.spawn("offload", [&] {
      for (;;) node.tasks.offload([guard = Guard(deaths, "offloaded")] {});
    });
    victims.spawn("resolve", [&] {
      for (;; node.tasks.yield()) (void)node.network.resolve("localhost", kNever);
    });
    victims.spawn("connect", [&] {
      for (;; node.tasks.yield()) (void)node.network.connect({lab().host(), 1}, kNever);
    });
    must(node.clock.sleep(milliseconds(30)));
    victims.expect_all_alive();
    lab().kill();
  });
  EXPECT_EQ(deaths.alive(), 0);
  EXPECT_GE(deaths.order().size(), 18U);
}

TEST_P(KillInWait, notifies_by_destructors_reach_nobody) {
  // A dying fiber's promises, channels and locks wake others, which are dying too.
  Deaths deaths;
  bool resumed = false;
  run([&](Node& node) {
    Nursery nursery(node.tasks);
    runtime::Promise<int> kept(node.tasks);
    runtime::Mutex mutex(node.tasks);
    runtime::Channel<int> channel(node.tasks, 1);
    runtime::Future<int> future;
    nursery.spawn("locker", [&] {
      Guard guard(deaths, "locker");
      mutex.lock();
      settle(node);
      runtime::LockGuard never(mutex);
      resumed = true;
    });
    nursery.spawn("waiter", [&] {
      Guard guard(deaths, "waiter");
      while (!future.valid()) node.tasks.yield();
      (void)future.wait(kNever);
      resumed = true;
    });
    nursery.spawn("receiver", [&] {
      Guard guard(deaths, "receiver");
      (void)channel.receive(kNever);
      resumed = true;
    });
    nursery.spawn("giver", [&] {
      struct Closer {
        runtime::Channel<int>& c;
        runtime::Mutex& m;
        ~Closer() {
          c.close();
          m.unlock();
        }
      };
      Guard guard(deaths, "giver");
      runtime::Promise<int> promise(node.tasks);
      future = promise.future();
      Closer closer{channel, mutex};
      wait_for_ever(node);
    });
    must(node.clock.sleep(milliseconds(20)));
    lab().kill();
  });
  EXPECT_FALSE(resumed);
  EXPECT_EQ(deaths.order().size(), 4U);
}

}  // namespace
}  // namespace verdict::conformance
