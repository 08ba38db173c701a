// Shards, posts and offloaded work; entropy, observer, knobs and the request to stop.

#include <algorithm>
#include <set>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::ShardId;
using base::Slice;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::ShardBound;

// ---------------------------------------------------------------- posts

CONFORMANCE_SUITE(Posts);

TEST_P(Posts, run_as_fibers_of_the_shard_they_are_sent_to) {
  run([this](Node& node) {
    EXPECT_EQ(node.tasks.shard().value, 0U);
    EXPECT_EQ(node.tasks.shard_count(), lab().shards());
    uint32_t ran = 0;
    for (uint32_t shard = 0; shard < lab().shards(); ++shard) {
      node.tasks.post(ShardId{shard}, [&, shard] {
        Node& there = lab().node(ShardId{shard});
        EXPECT_EQ(there.tasks.shard().value, shard);
        EXPECT_EQ(there.tasks.scheduler().current_tasks(), &there.tasks);
        must(there.clock.sleep(milliseconds(1)));  // it may wait like any fiber
        there.tasks.yield();
        ++ran;
      });
    }
    EXPECT_EQ(ran, 0U);  // not even on the same shard before the poster waits
    wait_until(node, [&] { return ran == lab().shards(); });
  });
}

TEST_P(Posts, carry_slices_and_answers_come_back_by_post) {
  run([this](Node& node) {
    ShardId here = node.tasks.shard();
    ShardId there{lab().shards() - 1};
    // Promises stay on the asker's shard; a number travels in their place.
    std::vector<runtime::Promise<Slice>> promises;
    for (uint64_t i = 0; i < 50; ++i) promises.emplace_back(node.tasks);
    Nursery nursery(node.tasks);
    for (uint64_t i = 0; i < 50; ++i) {
      nursery.spawn("asker", [&, i] {
        auto answer = promises[i].future();
        node.tasks.post(there, [&, here, there, i, question = pattern(i, 0, 1'000)] {
          EXPECT_TRUE(is_pattern(i, 0, question));
          lab().node(there).tasks.post(
              here, [&promises, i, part = question.cut(100, 200)] { promises[i].set(part); });
        });
        Slice part = must(answer.wait(soon(node)));
        EXPECT_TRUE(is_pattern(i, 100, part));
        EXPECT_EQ(part.size(), 200U);
      });
    }
    nursery.join_all(kNever);
  });
}

TEST_P(Posts, each_runs_exactly_once) {
  run([this](Node& node) {
    std::vector<int> runs(500, 0);
    int total = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      node.tasks.post(ShardId{static_cast<uint32_t>(i % lab().shards())}, [&, i] {
        ++runs[i];
        ++total;
      });
      if (i % 50 == 0) node.tasks.yield();
    }
    wait_until(node, [&] { return total == 500; });
    settle(node);
    for (int r : runs) EXPECT_EQ(r, 1);
  });
}

TEST_P(Posts, an_object_belongs_to_its_shard) {
  run([this](Node& node) {
    ShardBound mine(node.tasks);
    mine.check_shard();
    bool checked = false;
    ShardId there{lab().shards() - 1};
    node.tasks.post(there, [&, there] {
      ShardBound theirs(lab().node(there).tasks);
      theirs.check_shard();
      checked = true;
    });
    wait_until(node, [&] { return checked; });
  });
}

CONFORMANCE_SUITE_ON(ShardedPosts, sharded_labs());

TEST_P(ShardedPosts, an_object_used_from_another_shard_ends_the_process) {
  // The red test of "every shard-owned object carries its shard, its public methods CHECK it".
  class Counter : public ShardBound {
   public:
    using ShardBound::ShardBound;
    void add() {
      check_shard();
      ++count_;
    }

   private:
    int count_ = 0;
  };
  EXPECT_DEATH(run([](Node& node) {
                 Counter counter(node.tasks);
                 counter.add();
                 bool done = false;
                 node.tasks.post(ShardId{1}, [&] {
                   counter.add();
                   done = true;
                 });
                 wait_until(node, [&] { return done; });
               }),
               "CHECK failed: .*running");
}

// ---------------------------------------------------------------- offloaded work

CONFORMANCE_SUITE(Offload);

TEST_P(Offload, runs_once_and_its_effect_is_seen_on_return) {
  run([](Node& node) {
    for (int i = 0; i < 20; ++i) {
      std::vector<int> values(1'000, i);
      int64_t sum = 0;
      int runs = 0;
      node.tasks.offload([&] {
        for (int v : values) sum += v;
        ++runs;
      });
      EXPECT_EQ(sum, 1'000 * i);
      EXPECT_EQ(runs, 1);
    }
  });
}

TEST_P(Offload, other_fibers_run_while_it_is_under_way) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    int finished = 0;
    for (int i = 0; i < 30; ++i) {
      nursery.spawn("worker", [&] {
        uint64_t value = 0;
        node.tasks.offload([&value] {
          for (uint64_t k = 0; k < 100'000; ++k) value = base::mix64(value + k);
        });
        EXPECT_NE(value, 0U);
        ++finished;
      });
    }
    uint64_t turns = 0;
    while (finished < 30) {
      node.tasks.yield();
      ++turns;
    }
    EXPECT_GT(turns, 1U);
    nursery.join_all(kNever);
  });
}

TEST_P(Offload, work_that_moves_things_in_destroys_them_before_the_fiber_goes_on) {
  run([](Node& node) {
    auto shared = std::make_shared<int>(1);
    node.tasks.offload([copy = shared] { EXPECT_EQ(*copy, 1); });
    EXPECT_EQ(shared.use_count(), 1);
  });
}

// ---------------------------------------------------------------- the rest of a node

CONFORMANCE_SUITE(NodeParts);

TEST_P(NodeParts, entropy_is_uniform_enough_and_within_bounds) {
  run([](Node& node) {
    std::set<uint64_t> values;
    for (int i = 0; i < 1'000; ++i) values.insert(node.random.next("a"));
    EXPECT_EQ(values.size(), 1'000U);
    std::vector<int> counts(10, 0);
    for (int i = 0; i < 10'000; ++i) {
      uint64_t v = node.random.below("b", 10);
      ASSERT_LT(v, 10U);
      ++counts[v];
    }
    for (int c : counts) {
      EXPECT_GT(c, 800);
      EXPECT_LT(c, 1'200);
    }
    EXPECT_EQ(node.random.below("b", 1), 0U);
  });
}

TEST_P(NodeParts, secrets_are_filled_whole_and_differ) {
  run([](Node& node) {
    for (size_t size : {1U, 7U, 16U, 33U, 1'000U}) {
      // Of many fills every byte is something else than zero at least once.
      std::vector<bool> touched(size, false);
      std::vector<std::byte> last;
      for (int i = 0; i < 20; ++i) {
        std::vector<std::byte> secret(size + 1, std::byte{0});
        node.random.fill("secret", std::span(secret).first(size));
        EXPECT_EQ(secret[size], std::byte{0});
        for (size_t k = 0; k < size; ++k) touched[k] = touched[k] || secret[k] != std::byte{0};
        EXPECT_TRUE(size < 16 || secret != last);
        last = secret;
      }
      EXPECT_EQ(std::count(touched.begin(), touched.end(), false), 0);
    }
    node.random.fill("secret", {});
  });
}

TEST_P(NodeParts, streams_of_entropy_differ_from_each_other) {
  run([](Node& node) {
    std::set<uint64_t> values;
    for (int i = 0; i < 100; ++i) {
      values.insert(node.random.next("one"));
      values.insert(node.random.next("two"));
    }
    EXPECT_EQ(values.size(), 200U);
  });
}

TEST_P(NodeParts, the_observer_takes_events_and_probes) {
  run([](Node& node) {
    using runtime::Severity;
    static constexpr runtime::Probe kProbe{"conformance.probe"};
    for (Severity s : {Severity::debug, Severity::info, Severity::warning, Severity::error}) {
      (void)node.observer.wants(s);
    }
    node.observer.log(Severity::debug, "conformance event", {});
    if (node.observer.wants(Severity::debug)) {
      node.observer.log(Severity::debug, "conformance event", {});
    }
    node.observer.reached(kProbe);
    // Without a watcher that asks for it, nothing is provoked.
    EXPECT_FALSE(node.observer.provoke(kProbe));
  });
}

TEST_P(NodeParts, knobs_have_their_standard_value_unless_set) {
  run([](Node& node) {
    static constexpr runtime::Knob kKnob{"conformance.knob", 7, 1, 10};
    EXPECT_EQ(node.knobs.get(kKnob), 7);
    EXPECT_FALSE(node.knobs.is_set(kKnob));
  });
}

TEST_P(NodeParts, a_request_to_stop_sets_the_event_of_every_shard_and_is_gone_at_the_next_boot) {
  run([this](Node& node) {
    EXPECT_FALSE(node.stop.ready());
    EXPECT_TRUE(fails(node.stop.wait(node.clock.after(milliseconds(2))), Errc::timed_out));
    Nursery nursery(node.tasks);
    bool stopped = false;
    nursery.spawn("waiter", [&] {
      EXPECT_TRUE(ok(node.stop.wait(soon(node))));
      stopped = true;
    });
    settle(node);
    lab().request_stop();
    nursery.join_all(kNever);
    EXPECT_TRUE(stopped);
    for (uint32_t shard = 0; shard < lab().shards(); ++shard) {
      wait_until(node, [&] { return lab().node(ShardId{shard}).stop.ready(); });
    }
    EXPECT_FALSE(node.tasks.cancelled());  // asked, not forced
  });
  run([](Node& node) { EXPECT_FALSE(node.stop.ready()); });
}

CONFORMANCE_SUITE_ON(RepeatableEntropy, simulated_labs());

TEST_P(RepeatableEntropy, one_stream_of_entropy_is_not_moved_by_draws_of_another) {
  auto draw = [](bool with_other) {
    std::unique_ptr<Lab> fresh = GetParam().make();
    std::vector<uint64_t> values;
    fresh->run([&](Node& node) {
      for (int i = 0; i < 100; ++i) {
        values.push_back(node.random.next("mine"));
        if (with_other) (void)node.random.next("other");
      }
    });
    return values;
  };
  EXPECT_EQ(draw(false), draw(true));
}

}  // namespace
}  // namespace verdict::conformance
