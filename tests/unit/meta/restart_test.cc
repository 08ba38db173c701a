// What was acknowledged survives crashes and power losses at any moment; epochs only grow; no
// producer id and no topic id is given twice.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "broker/base/hash.h"
#include "broker/log/knobs.h"
#include "broker/meta/probes.h"
#include "tests/unit/meta/meta_rig.h"

namespace verdict::meta {
namespace {

// What a client of the controller knows, over all incarnations.
struct Known {
  std::map<std::string, Uuid> topics;  // acknowledged and not asked to be deleted
  std::set<std::string> gone;          // deletion acknowledged
  std::set<std::string> unknown;       // asked, and never answered
  std::set<int64_t> blocks;            // first ids of the blocks that were handed out
  std::set<Uuid> ids;                  // of all topics ever seen
  std::set<Uuid> incarnations;
  int64_t broker_epoch = -1;
  int32_t raft_epoch = 0;
  std::map<Uuid, int32_t> leader_epochs;  // of partition 0, the newest seen
  uint64_t acknowledged = 0;
};

void check_start(const Controller& controller, Known& known) {
  const ImagePointer image = controller.image();
  image->check_invariants();
  ASSERT_GT(controller.log().epoch().value, known.raft_epoch);
  known.raft_epoch = controller.log().epoch().value;
  const BrokerRegistration* broker = image->broker(NodeId{1});
  ASSERT_NE(broker, nullptr);
  ASSERT_GT(broker->epoch.value, known.broker_epoch);
  known.broker_epoch = broker->epoch.value;
  ASSERT_TRUE(known.incarnations.insert(broker->incarnation).second);
  for (const auto& [name, id] : known.topics) {
    const TopicState* topic = image->topic(name);
    ASSERT_NE(topic, nullptr) << name << " was acknowledged and is lost";
    ASSERT_EQ(topic->id, id);
    const std::string number = name.substr(1);
    ASSERT_EQ(image->topic_configs(name), (ConfigMap{{"retention.ms", number}}));
  }
  for (const std::string& name : known.gone) ASSERT_EQ(image->topic(name), nullptr) << name;
  for (const auto& [id, topic] : image->topics()) {
    ASSERT_TRUE(known.topics.contains(topic.name) || known.unknown.contains(topic.name));
    known.ids.insert(id);
    const int32_t epoch = topic.partitions.find(0)->leader_epoch.value;
    const auto before = known.leader_epochs.find(id);
    if (before != known.leader_epochs.end()) {
      ASSERT_GT(epoch, before->second) << topic.name;
    }
    known.leader_epochs[id] = epoch;
  }
  if (!known.blocks.empty()) {
    ASSERT_GE(image->next_producer_id(), *known.blocks.rbegin() + kProducerIdsPerBlock);
  }
}

void create(Controller& controller, Known& known, int number) {
  NewTopic topic = topic_named("t" + std::to_string(number), 2);
  topic.configs = {{"retention.ms", std::to_string(number)}};
  known.unknown.insert(topic.name);
  const CreatedTopic answer = controller.create_topics({topic}, false).front();
  ASSERT_TRUE(answer.error.ok()) << answer.error.message;
  ASSERT_TRUE(known.ids.insert(answer.id).second);
  known.unknown.erase(topic.name);
  known.topics[topic.name] = answer.id;
  known.leader_epochs[answer.id] = 0;
  ++known.acknowledged;
}

void remove_one(Controller& controller, Known& known, uint64_t choice) {
  if (known.topics.empty()) return;
  auto at = known.topics.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(choice % known.topics.size()));
  const std::string name = at->first;
  known.topics.erase(at);
  known.unknown.insert(name);
  ASSERT_TRUE(controller.delete_topics({{name, {}}}).front().error.ok());
  known.unknown.erase(name);
  known.gone.insert(name);
  ++known.acknowledged;
}

// One incarnation: works until something takes it down.
void work(runtime::Node& node, Known& known, uint64_t seed, int& number, int rounds) {
  auto controller = start_controller(node);
  ASSERT_TRUE(controller.has_value()) << controller.error().to_string();
  check_start(**controller, known);
  if (testing::Test::HasFatalFailure()) return;
  uint64_t x = seed;
  for (int i = 0; i < rounds; ++i) {
    x = base::mix64(x);
    if (x % 4 == 0) {
      auto block = (*controller)->allocate_producer_ids();
      ASSERT_TRUE(block.has_value());
      ASSERT_TRUE(known.blocks.insert(block->first).second) << "ids were given twice";
      ASSERT_EQ(block->first % kProducerIdsPerBlock, 0);
      ++known.acknowledged;
    } else if (x % 4 == 1) {
      remove_one(**controller, known, x >> 8);
    } else {
      create(**controller, known, number++);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(MetaRestart, what_was_acknowledged_survives_crashes_and_power_losses_at_any_moment) {
  constexpr uint64_t kSeeds = 60;
  constexpr int kIncarnations = 5;
  uint64_t acknowledged = 0;
  uint64_t bytes_lost = 0;
  uint64_t cut_short = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    runtime::KnobValues knobs;
    if (seed % 2 == 0) knobs.set(log::kSegmentBytesCap, 1024);
    MetaRig rig(seed, knobs);
    Known known;
    int number = 0;
    for (int k = 0; k < kIncarnations; ++k) {
      const uint64_t choice = base::combine(seed, static_cast<uint64_t>(k));
      const int64_t after_ns = static_cast<int64_t>(choice % 150'000'000);
      rig.world.at(rig.world.now_ns() + after_ns, [&rig, choice] {
        if (!rig.world.running(0)) return;
        if (choice & (1ULL << 40)) {
          rig.world.crash(0);
        } else {
          rig.world.power_off(0);
        }
      });
      rig.run([&](runtime::Node& node) { work(node, known, choice, number, 1000); });
      if (HasFatalFailure()) return;
      cut_short += rig.finished ? 0 : 1;
    }
    rig.finish([&](runtime::Node& node) { work(node, known, seed, number, 3); });
    if (HasFatalFailure()) return;
    acknowledged += known.acknowledged;
    bytes_lost += rig.world.disk(0).effects().bytes_lost;
  }
  EXPECT_EQ(cut_short, kSeeds * kIncarnations);
  EXPECT_GT(acknowledged, kSeeds * 20);
  EXPECT_GT(bytes_lost, uint64_t{10'000});
}

TEST(MetaRestart, a_stop_at_every_probe_loses_nothing_that_was_acknowledged) {
  for (const runtime::Probe& probe :
       {kProbeEpochClaimed, kProbeCommitAppended, kProbeCommitSynced, kProbeBootstrapped,
        kProbeLeaderEpochsBumped, kProbeProducerIdsAllocated, kProbeTopicDeleted}) {
    for (uint64_t nth = 1; nth <= 12; ++nth) {
      for (const bool power : {false, true}) {
        SCOPED_TRACE(std::string(probe.name) + " " + std::to_string(nth));
        MetaRig rig(nth);
        Known known;
        int number = 0;
        bool struck = false;
        {
          ProbeKiller killer(rig.world, probe, nth, power);
          constexpr int kStarts = 14;  // the rarest probe is passed once in a start
          for (int start = 0; start < kStarts && !killer.struck; ++start) {
            const uint64_t choice = base::combine(nth, static_cast<uint64_t>(start));
            rig.run([&](runtime::Node& node) { work(node, known, choice, number, 12); });
            if (HasFatalFailure()) return;
          }
          struck = killer.struck;
        }
        EXPECT_EQ(struck, probe.hash != kProbeBootstrapped.hash || nth == 1);
        rig.finish([&](runtime::Node& node) { work(node, known, nth, number, 3); });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(MetaRestart, a_start_leads_every_partition_in_a_new_epoch) {
  MetaRig rig;
  constexpr int32_t kPartitions = 25'000;  // more than two commits hold
  rig.finish([&](runtime::Node& node) {
    auto controller = start_controller(node);
    ASSERT_TRUE(controller.has_value());
    for (const char* name : {"a", "b", "c"}) {
      const int32_t count = name[0] == 'c' ? 5000 : 10'000;
      ASSERT_TRUE((*controller)->create_topics({topic_named(name, count)}, false)[0].error.ok());
    }
  });
  rig.world.power_off(0);
  rig.finish([&](runtime::Node& node) {
    auto controller = open_controller(node);
    ASSERT_TRUE(controller.has_value());
    ASSERT_TRUE((*controller)->register_broker(broker_start()).has_value());
    const auto bumped = (*controller)->bump_leader_epochs();
    ASSERT_TRUE(bumped.has_value());
    EXPECT_EQ(*bumped, static_cast<size_t>(kPartitions));
    for (const auto& [id, topic] : (*controller)->image()->topics()) {
      for (const auto& [number, partition] : topic.partitions) {
        ASSERT_EQ(partition.leader_epoch, LeaderEpoch{1});
        ASSERT_EQ(partition.partition_epoch, 1);
      }
    }
  });
}

}  // namespace
}  // namespace verdict::meta
