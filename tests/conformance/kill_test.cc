// A kill ends the process of a node: every fiber unwinds, children first, youngest sibling first;
// every object is destroyed; the node boots again from its disk.

#include <stdexcept>

#include "tests/conformance/deaths.h"

namespace verdict::conformance {
namespace {

using base::Slice;
using runtime::Event;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;
using runtime::Wake;

CONFORMANCE_SUITE(Kill);

TEST_P(Kill, of_the_running_fiber_throws_in_the_call_it_stands_in) {
  Deaths deaths;
  bool went_on = false;
  run([&](Node&) {
    Guard outer(deaths, "outer");
    Guard inner(deaths, "inner");
    lab().kill();
    went_on = true;
  });
  EXPECT_FALSE(went_on);
  EXPECT_EQ(deaths.order(), (std::vector<std::string>{"inner", "outer"}));
}

TEST_P(Kill, unwinds_children_before_parents_and_youngest_siblings_first) {
  Deaths deaths;
  run([&](Node& node) {
    Guard root(deaths, "root");
    Nursery first(node.tasks);
    Nursery second(node.tasks);
    first.spawn("a", [&] {
      Guard guard(deaths, "a");
      Nursery below(node.tasks);
      below.spawn("a1", [&] {
        Guard inner(deaths, "a1");
        wait_for_ever(node);
      });
      settle(node);
      below.spawn("a2", [&] {
        Guard inner(deaths, "a2");
        wait_for_ever(node);
      });
      wait_for_ever(node);
    });
    settle(node);
    second.spawn("b", [&] {
      Guard guard(deaths, "b");
      wait_for_ever(node);
    });
    settle(node);
    first.spawn("c", [&] {
      Guard guard(deaths, "c");
      wait_for_ever(node);
    });
    must(node.clock.sleep(milliseconds(20)));
    lab().kill();
  });
  EXPECT_EQ(deaths.order(), (std::vector<std::string>{"c", "b", "a2", "a1", "a", "root"}));
}

TEST_P(Kill, from_a_child_unwinds_its_siblings_and_parents_too) {
  Deaths deaths;
  run([&](Node& node) {
    Guard root(deaths, "root");
    Nursery nursery(node.tasks);
    for (const char* name : {"oldest", "killer", "youngest"}) {
      nursery.spawn(name, [&, name] {
        Guard guard(deaths, name);
        if (std::string_view(name) != "killer") wait_for_ever(node);
        settle(node);
        lab().kill();
      });
    }
    nursery.join_all(kNever);
    ADD_FAILURE() << "joined";
  });
  EXPECT_EQ(deaths.order(), (std::vector<std::string>{"youngest", "killer", "oldest", "root"}));
}

TEST_P(Kill, a_fiber_in_a_foreign_nursery_unwinds_with_its_owner_not_its_spawner) {
  // The owner's nursery and stack must outlive the fiber, whoever spawned it.
  Deaths deaths;
  run([&](Node& node) {
    struct LastLook {
      const std::vector<int>& data;
      ~LastLook() { EXPECT_EQ(data.at(99), 7); }
    };
    Nursery owners(node.tasks);
    Nursery* shared = nullptr;
    const std::vector<int>* shared_data = nullptr;
    owners.spawn("owner", [&] {
      Guard guard(deaths, "owner");
      std::vector<int> data(100, 7);
      Nursery nursery(node.tasks);
      shared_data = &data;
      shared = &nursery;
      while (nursery.size() == 0) node.tasks.yield();
      nursery.join_all(kNever);
    });
    owners.spawn("spawner", [&] {
      Guard guard(deaths, "spawner");
      while (shared == nullptr) node.tasks.yield();
      shared->spawn("guest", [&] {
        Guard inner(deaths, "guest");
        LastLook look{*shared_data};
        wait_for_ever(node);
      });
      wait_for_ever(node);
    });
    settle(node);
    lab().kill();
  });
  EXPECT_EQ(deaths.order().size(), 3U);
  EXPECT_LT(deaths.place("guest"), deaths.place("owner"));
  EXPECT_LT(deaths.place("spawner"), deaths.place("guest"));  // the spawner is the younger sibling
}

TEST_P(Kill, siblings_that_wait_on_each_others_stacks_unwind) {
  // Each waits in queues on another's stack. The first to unwind takes its queues with it.
  for (int killer = 0; killer < 4; ++killer) {
    Deaths deaths;
    run([&](Node& node) {
      Nursery nursery(node.tasks);
      std::vector<Event*> events(3, nullptr);
      std::vector<runtime::Mutex*> mutexes(3, nullptr);
      for (size_t i = 0; i < 3; ++i) {
        nursery.spawn("sibling", [&, i] {
          Guard guard(deaths, std::to_string(i));
          Event mine(node.tasks);
          runtime::Mutex lock(node.tasks);
          lock.lock();
          events[i] = &mine;
          mutexes[i] = &lock;
          while (events[(i + 1) % 3] == nullptr || events[(i + 2) % 3] == nullptr) {
            node.tasks.yield();
          }
          Nursery below(node.tasks);
          below.spawn("any", [&] {
            Guard inner(deaths, "any");
            runtime::Waitable* others[] = {events[(i + 1) % 3], events[(i + 2) % 3]};
            (void)wait_any(node.tasks, others, kNever);
            ADD_FAILURE() << "a killed fiber went on";
          });
          below.spawn("lock", [&] {
            Guard inner(deaths, "lock");
            mutexes[(i + 1) % 3]->lock();
            ADD_FAILURE() << "a killed fiber went on";
          });
          if (static_cast<int>(i) == killer) {
            settle(node);
            lab().kill();
          }
          (void)events[(i + 1) % 3]->wait(kNever);
          ADD_FAILURE() << "a killed fiber went on";
        });
      }
      if (killer == 3) {
        must(node.clock.sleep(milliseconds(20)));
        lab().kill();
      }
      nursery.join_all(kNever);
    });
    EXPECT_EQ(deaths.alive(), 0);
    EXPECT_EQ(deaths.order().size(), 9U);
  }
}

TEST_P(Kill, unwinds_fibers_that_are_suspended_inside_catch) {
  Deaths deaths;
  struct Failure : std::runtime_error {
    Failure(Deaths& deaths, const char* what)
        : std::runtime_error(what), guard(std::make_shared<Guard>(deaths, "exception")) {}
    std::shared_ptr<Guard> guard;
  };
  run([&](Node& node) {
    Nursery nursery(node.tasks);
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("catcher", [&] {
        Guard guard(deaths, "catcher");
        try {
          throw Failure(deaths, "outer");
        } catch (const std::exception&) {
          try {
            throw Failure(deaths, "inner");
          } catch (const std::exception&) {
            wait_for_ever(node);
          }
        }
      });
    }
    settle(node);
    try {
      lab().kill();
    } catch (const std::exception&) {
      ADD_FAILURE() << "the kill was caught";
    }
  });
  EXPECT_EQ(deaths.alive(), 0);
  EXPECT_EQ(deaths.order().size(), 30U);
}

TEST_P(Kill, ends_posts_and_timers_of_the_node) {
  Deaths deaths;
  int late = 0;
  run([&](Node& node) {
    for (uint32_t i = 0; i < 20; ++i) {
      auto guard = std::make_shared<Guard>(deaths, "post");
      node.tasks.post(base::ShardId{i % lab().shards()}, [&, i, guard] {
        Node& there = lab().node(base::ShardId{i % lab().shards()});
        must(there.clock.sleep(milliseconds(i)));
        if (i >= 15) ++late;
      });
    }
    must(node.clock.sleep(milliseconds(5)));
    // These are on their way when the node dies.
    for (uint32_t i = 0; i < 5; ++i) {
      auto guard = std::make_shared<Guard>(deaths, "post");
      node.tasks.post(base::ShardId{i % lab().shards()}, [&late, guard] { ++late; });
    }
    lab().kill();
  });
  EXPECT_EQ(deaths.alive(), 0);
  EXPECT_EQ(deaths.order().size(), 25U);
  run([&](Node& node) { must(node.clock.sleep(milliseconds(50))); });
  EXPECT_EQ(late, 0);
}

TEST_P(Kill, keeps_what_was_written_and_the_node_boots_again_from_it) {
  Slice first = pattern(1, 0, 10'000);
  Slice second = pattern(2, 0, 10'000);
  run([&](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    must(file->write_at(0, {&first, 1}));
    must(file->sync());
    must(file->write_at(10'000, {&second, 1}));  // not synced: the page cache outlives the process
    must(node.data.open("empty", OpenMode::create_exclusive));
    lab().kill();
  });
  run([&](Node& node) {
    auto file = must(node.data.open("f", OpenMode::open_existing));
    EXPECT_EQ(file->size(), 20'000U);
    EXPECT_TRUE(is_pattern(1, 0, must(file->read_at(0, 10'000))));
    EXPECT_TRUE(is_pattern(2, 0, must(file->read_at(10'000, 10'000))));
    EXPECT_TRUE(ok(node.data.open("empty", OpenMode::open_existing)));
    EXPECT_FALSE(node.stop.ready());
  });
}

TEST_P(Kill, a_port_is_free_again_at_the_next_boot) {
  runtime::Endpoint at;
  run([&](Node& node) {
    auto listener = listen(lab(), node);
    at = listener->local();
    auto client = must(node.network.connect(at, soon(node)));
    auto server = must(listener->accept(soon(node)));
    must(write(node, *server, text("x")));
    lab().kill();
  });
  run([&](Node& node) { EXPECT_TRUE(ok(node.network.listen(at, {}))); });
}

TEST_P(Kill, a_node_is_killed_and_boots_many_times) {
  // Random trees of fibers in random waits, killed at a random moment by a random fiber.
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Deaths deaths;
    run([&](Node& node) {
      Dice dice(seed);
      Event event(node.tasks);
      runtime::Mutex mutex(node.tasks);
      runtime::Channel<int> channel(node.tasks, 2);
      int budget = 30;
      base::UniqueFunction<void(int)> live = [&](int depth) {
        Guard guard(deaths, "fiber");
        Nursery nursery(node.tasks);
        for (uint64_t n = dice.below(4); n > 0 && depth < 5 && budget > 0; --n) {
          --budget;
          nursery.spawn("child", [&live, depth] { live(depth + 1); });
        }
        for (uint64_t steps = dice.below(6); steps > 0; --steps) {
          Guard inner(deaths, "step");
          auto wait =
              node.clock.after(runtime::microseconds(static_cast<int64_t>(dice.below(300))));
          switch (dice.below(7)) {
            case 0:
              node.tasks.yield();
              break;
            case 1:
              (void)node.clock.sleep_until(wait);
              break;
            case 2:
              (void)event.wait(wait);
              break;
            case 3:
              (void)channel.send(1, wait);
              break;
            case 4:
              (void)channel.receive(wait);
              break;
            case 5: {
              runtime::LockGuard lock(mutex);
              (void)node.clock.sleep_until(wait);
              break;
            }
            default: {
              auto file = must(node.data.open("f", OpenMode::open_or_create));
              Slice bytes = text("some bytes");
              must(file->write_at(0, {&bytes, 1}));
              must(file->sync());
            }
          }
          if (dice.below(20) == 0) lab().kill();
        }
        if (depth == 0) lab().kill();
        if (dice.below(2) == 0) nursery.cancel_all();
        nursery.join_all(kNever);
        nursery.stop();
      };
      live(0);
    });
    ASSERT_EQ(deaths.alive(), 0) << "seed " << seed;
  }
}

TEST_P(Kill, the_peers_of_a_killed_node_see_their_streams_end) {
  bool ended = false;
  connected(
      lab(),
      [&](Node& node, std::unique_ptr<runtime::Stream> stream) {
        must(write(node, *stream, text("last")));
        must(node.clock.sleep(milliseconds(20)));
        if (!ended) lab().kill();
      },
      [&](Node& node, std::unique_ptr<runtime::Stream> stream) {
        EXPECT_EQ(must(stream->read_exact(4, soon(node))).flatten().text(), "last");
        auto end = stream->read_some(10, soon(node));
        EXPECT_TRUE(end.has_value() ? testing::AssertionResult(end->empty())
                                    : fails(end, base::Errc::reset));
        ended = true;
      });
  // Where both ends are fibers of one node, the client dies with the server.
}

}  // namespace
}  // namespace verdict::conformance
