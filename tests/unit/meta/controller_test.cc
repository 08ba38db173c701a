#include "broker/meta/controller.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "broker/meta/probes.h"
#include "tests/unit/meta/meta_rig.h"

namespace verdict::meta {
namespace {

// One process in which a started controller does `body`.
void with_controller(StaticConfigs file, const std::function<void(Controller&)>& body) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto controller = start_controller(node, file);
    ASSERT_TRUE(controller.has_value()) << controller.error().to_string();
    body(**controller);
    (*controller)->check_invariants();
  });
}

ApiError refusal(Controller& controller, const NewTopic& topic) {
  return controller.create_topics({topic}, false).front().error;
}

TEST(Controller, an_empty_log_is_bootstrapped_as_kafka_does) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto controller = open_controller(node);
    ASSERT_TRUE(controller.has_value());
    const ImagePointer image = (*controller)->image();
    EXPECT_EQ(image->features(),
              (base::OrderedMap<std::string, int16_t>{{"metadata.version", kMetadataVersion}}));
    EXPECT_EQ(image->offset(), Offset{3});  // LeaderChange, begin, feature level, end
    EXPECT_FALSE(image->in_transaction());
  });
  rig.finish([&](runtime::Node& node) {
    auto controller = open_controller(node);
    ASSERT_TRUE(controller.has_value());
    EXPECT_EQ((*controller)->image()->offset(), Offset{4});
  });
  EXPECT_EQ(rig.world.probe_count(kProbeBootstrapped), uint64_t{1});
}

TEST(Controller, a_broker_gets_the_offset_of_its_record_as_epoch_and_a_new_incarnation) {
  MetaRig rig;
  std::optional<BrokerStarted> first;
  rig.finish([&](runtime::Node& node) {
    auto controller = open_controller(node);
    ASSERT_TRUE(controller.has_value());
    BrokerStart start = broker_start();
    start.rack = "r1";
    first = *(*controller)->register_broker(start);
    EXPECT_FALSE(first->previous_was_clean);
    const BrokerRegistration* broker = (*controller)->image()->broker(NodeId{1});
    ASSERT_NE(broker, nullptr);
    EXPECT_EQ(broker->epoch, first->epoch);
    EXPECT_EQ(broker->epoch.value, (*controller)->image()->offset().value);
    EXPECT_EQ(broker->incarnation, first->incarnation);
    EXPECT_EQ(*broker->listener("PLAINTEXT"), (Endpoint{"PLAINTEXT", "host", 9092, 0}));
    EXPECT_EQ(broker->listener("SSL"), nullptr);
    EXPECT_EQ(broker->rack, "r1");
    EXPECT_EQ(broker->directories, std::vector<Uuid>{kDirectory});
    EXPECT_TRUE(broker->fenced);
    ASSERT_TRUE((*controller)->unfence().has_value());
    EXPECT_FALSE((*controller)->image()->broker(NodeId{1})->fenced);
    ASSERT_TRUE((*controller)->fence_for_shutdown().has_value());
    EXPECT_TRUE((*controller)->image()->broker(NodeId{1})->fenced);
    EXPECT_TRUE((*controller)->image()->broker(NodeId{1})->in_controlled_shutdown);
  });
  for (const bool clean : {true, false}) {
    rig.finish([&](runtime::Node& node) {
      auto controller = open_controller(node);
      ASSERT_TRUE(controller.has_value());
      const auto previous = clean ? std::optional(first->epoch) : std::nullopt;
      const auto again = (*controller)->register_broker(broker_start(previous));
      ASSERT_TRUE(again.has_value());
      EXPECT_EQ(again->previous_was_clean, clean);
      EXPECT_GT(again->epoch, first->epoch);
      EXPECT_NE(again->incarnation, first->incarnation);
      EXPECT_FALSE((*controller)->image()->broker(NodeId{1})->in_controlled_shutdown);
      first = *again;
    });
  }
  EXPECT_EQ(rig.world.probe_count(kProbePreviousUnclean), uint64_t{1});
}

TEST(Controller, a_topic_is_created_with_what_the_answer_says) {
  with_controller({{"num.partitions", "3"}}, [](Controller& controller) {
    NewTopic topic;
    topic.name = "orders";
    topic.configs = {{"retention.ms", "5"}, {"cleanup.policy", "compact"}};
    const CreatedTopic answer = controller.create_topics({topic}, false).front();
    ASSERT_TRUE(answer.error.ok()) << answer.error.message;
    EXPECT_EQ(answer.partitions, 3);
    EXPECT_EQ(answer.replication_factor, 1);
    const auto retention = std::ranges::find(answer.configs, "retention.ms", &ConfigEntry::name);
    ASSERT_NE(retention, answer.configs.end());
    EXPECT_EQ(retention->value, "5");
    EXPECT_EQ(retention->source, ConfigSource::dynamic_topic);
    const ImagePointer image = controller.image();
    const TopicState* made = image->topic("orders");
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(made->id, answer.id);
    EXPECT_EQ((answer.id.high >> 12) & 0xf, uint64_t{4}) << "a random uuid";
    EXPECT_EQ(made->partitions.size(), size_t{3});
    for (const auto& [number, partition] : made->partitions) {
      EXPECT_EQ(partition.leader, NodeId{1});
      EXPECT_EQ(partition.leader_epoch, LeaderEpoch{0});
      EXPECT_EQ(partition.isr, std::vector<int32_t>{1});
      EXPECT_EQ(partition.directories, std::vector<Uuid>{kDirectory});
    }
    EXPECT_EQ(image->topic_configs("orders"),
              (ConfigMap{{"cleanup.policy", "compact"}, {"retention.ms", "5"}}));
  });
}

TEST(Controller, refusals_have_kafkas_codes_and_words_and_leave_nothing_behind) {
  with_controller({}, [](Controller& controller) {
    ASSERT_TRUE(refusal(controller, topic_named("a.b")).ok());
    const Offset before = controller.image()->offset();
    EXPECT_EQ(refusal(controller, topic_named("a.b")),
              (ApiError{36, "Topic 'a.b' already exists."}));
    EXPECT_EQ(refusal(controller, topic_named("a_b")),
              (ApiError{17, "Topic 'a_b' collides with existing topic: a.b"}));
    EXPECT_EQ(refusal(controller, topic_named("bad name!")).code, 17);
    EXPECT_EQ(refusal(controller, topic_named("__cluster_metadata")).code, 29);
    EXPECT_EQ(refusal(controller, topic_named("t", 0)).code, 37);
    NewTopic replicated = topic_named("t");
    replicated.replication_factor = 99;
    EXPECT_EQ(refusal(controller, replicated).code, 38);
    NewTopic configured = topic_named("t");
    configured.configs = {{"segment.bytes", "1024"}};
    EXPECT_EQ(refusal(controller, configured),
              (ApiError{40,
                        "Invalid value 1024 for configuration segment.bytes: Value must be at "
                        "least 1048576"}));
    NewTopic assigned;
    assigned.name = "t";
    assigned.assignments = {{0, {7}}};
    EXPECT_EQ(refusal(controller, assigned).code, 39);
    EXPECT_EQ(controller.image()->offset(), before);
    EXPECT_EQ(controller.image()->topics().size(), size_t{1});
  });
}

TEST(Controller, one_bad_topic_of_a_request_does_not_spoil_the_others) {
  with_controller({}, [](Controller& controller) {
    const std::vector<CreatedTopic> answers = controller.create_topics(
        {topic_named("one"), topic_named(".."), topic_named("twice"), topic_named("two"),
         topic_named("twice"), topic_named("x.y"), topic_named("x_y")},
        false);
    ASSERT_EQ(answers.size(), size_t{6});
    const std::vector<int16_t> codes = {answers[0].error.code, answers[1].error.code,
                                        answers[2].error.code, answers[3].error.code,
                                        answers[4].error.code, answers[5].error.code};
    EXPECT_EQ(codes, (std::vector<int16_t>{0, 17, 42, 0, 0, 17}));
    EXPECT_EQ(answers[2].error.message, "Duplicate topic name.");
    EXPECT_EQ(answers[5].error.message, "Topic 'x_y' collides with existing topic: x.y");
    EXPECT_EQ(controller.image()->topics().size(), size_t{3});
  });
}

TEST(Controller, validate_only_judges_and_writes_nothing) {
  with_controller({}, [](Controller& controller) {
    const Offset before = controller.image()->offset();
    const std::vector<CreatedTopic> answers =
        controller.create_topics({topic_named("t", 4), topic_named("bad name!")}, true);
    EXPECT_TRUE(answers[0].error.ok());
    EXPECT_EQ(answers[0].partitions, 4);
    EXPECT_FALSE(answers[0].configs.empty());
    EXPECT_TRUE(answers[0].id.is_zero());
    EXPECT_EQ(answers[1].error.code, 17);
    EXPECT_EQ(controller.image()->offset(), before);
  });
}

TEST(Controller, ten_thousand_partitions_pass_and_one_more_is_too_many) {
  with_controller({}, [](Controller& controller) {
    const std::vector<CreatedTopic> refused = controller.create_topics(
        {topic_named("a", kPartitionsPerRequestMax), topic_named("b", 1)}, false);
    for (const CreatedTopic& answer : refused) {
      EXPECT_EQ(answer.error,
                (ApiError{44, "Excessively large number of partitions per request."}));
    }
    NewTopic big = topic_named("big", kPartitionsPerRequestMax);
    big.configs = {{"retention.ms", "5"}, {"segment.ms", "7"}};
    EXPECT_TRUE(refusal(controller, big).ok());
    EXPECT_EQ(controller.image()->partition_count(), static_cast<size_t>(kPartitionsPerRequestMax));
    const auto bumped = controller.bump_leader_epochs();
    ASSERT_TRUE(bumped.has_value());
    EXPECT_EQ(*bumped, static_cast<size_t>(kPartitionsPerRequestMax));
    for (const auto& [number, partition] : controller.image()->topic("big")->partitions) {
      ASSERT_EQ(partition.leader_epoch, LeaderEpoch{1});
    }
  });
}

TEST(Controller, a_request_of_many_topics_takes_several_commits) {
  with_controller({}, [](Controller& controller) {
    constexpr int kTopics = 200;
    std::vector<NewTopic> topics;
    for (int i = 0; i < kTopics; ++i) {
      NewTopic topic = topic_named("t" + std::to_string(i), 1);
      for (const TopicConfigRule& rule : topic_config_rules()) {
        if (rule.rule.name.ends_with("throttled.replicas")) {
          std::string replicas = "0:1";
          while (replicas.size() < 30'000) replicas += ",0:1";
          topic.configs.emplace_back(std::string(rule.rule.name), replicas);
        }
      }
      topics.push_back(std::move(topic));
    }
    for (const CreatedTopic& answer : controller.create_topics(topics, false)) {
      ASSERT_TRUE(answer.error.ok()) << answer.error.message;
    }
    EXPECT_EQ(controller.image()->topics().size(), size_t{kTopics});
  });
}

TEST(Controller, topics_are_deleted_by_name_or_id_and_a_new_one_gets_another_id) {
  with_controller({}, [](Controller& controller) {
    const std::vector<CreatedTopic> made =
        controller.create_topics({topic_named("a"), topic_named("b"), topic_named("c")}, false);
    const std::vector<DeletedTopic> answers = controller.delete_topics({{"a", {}},
                                                                        {std::nullopt, made[1].id},
                                                                        {"none", {}},
                                                                        {std::nullopt, Uuid{9, 9}},
                                                                        {"c", {}},
                                                                        {std::nullopt, made[2].id},
                                                                        {"c", made[2].id},
                                                                        {std::nullopt, {}}});
    std::vector<int16_t> codes;
    for (const DeletedTopic& answer : answers) codes.push_back(answer.error.code);
    EXPECT_EQ(codes, (std::vector<int16_t>{0, 0, 3, 100, 42, 42, 42, 42}));
    EXPECT_EQ(answers[0].id, made[0].id);
    EXPECT_EQ(answers[1].name, "b");
    const ImagePointer image = controller.image();
    EXPECT_EQ(image->topics().size(), size_t{1});
    EXPECT_NE(image->topic("c"), nullptr);
    const CreatedTopic again = controller.create_topics({topic_named("a")}, false).front();
    EXPECT_TRUE(again.error.ok());
    EXPECT_NE(again.id, made[0].id);
  });
}

TEST(Controller, deletion_can_be_switched_off) {
  with_controller({{"delete.topic.enable", "false"}}, [](Controller& controller) {
    ASSERT_TRUE(refusal(controller, topic_named("a")).ok());
    EXPECT_EQ(controller.delete_topics({{"a", {}}}).front().error,
              (ApiError{73, "Topic deletion is disabled."}));
    EXPECT_NE(controller.image()->topic("a"), nullptr);
  });
}

TEST(Controller, blocks_of_producer_ids_follow_each_other) {
  with_controller({}, [](Controller& controller) {
    for (int64_t i = 0; i < 3; ++i) {
      auto block = controller.allocate_producer_ids();
      ASSERT_TRUE(block.has_value());
      EXPECT_EQ(controller.image()->next_producer_id(), (i + 1) * kProducerIdsPerBlock);
      for (int64_t k = 0; k < kProducerIdsPerBlock; ++k) {
        ASSERT_EQ(block->take(), i * kProducerIdsPerBlock + k);
      }
      EXPECT_EQ(block->take(), std::nullopt);
    }
  });
}

TEST(Controller, an_unregistered_broker_gets_no_producer_ids) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto controller = open_controller(node);
    ASSERT_TRUE(controller.has_value());
    EXPECT_EQ((*controller)->allocate_producer_ids().error().code, base::Errc::wrong_state);
    EXPECT_EQ((*controller)->unfence().error().code, base::Errc::wrong_state);
    const CreatedTopic refused = (*controller)->create_topics({topic_named("a")}, false).front();
    EXPECT_EQ(refused.error.code, 38) << "no broker is there to take it";
  });
}

TEST(Controller, every_image_is_handed_on_once_and_in_order) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    std::vector<int64_t> offsets;
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value());
    Controller::Options options;
    options.node_id = NodeId{1};
    options.on_image = [&](const ImagePointer& image) { offsets.push_back(image->offset().value); };
    auto controller = Controller::open(node, std::move(*log), std::move(options));
    ASSERT_TRUE(controller.has_value());
    ASSERT_TRUE((*controller)->register_broker(broker_start()).has_value());
    ASSERT_TRUE((*controller)->unfence().has_value());
    ASSERT_TRUE(refusal(**controller, topic_named("a", 2)).ok());
    EXPECT_EQ(offsets, (std::vector<int64_t>{3, 5, 6, 9}));
  });
}

TEST(Controller, calls_at_the_same_time_take_turns) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto controller = start_controller(node);
    ASSERT_TRUE(controller.has_value());
    std::set<int64_t> firsts;
    int created = 0;
    int existed = 0;
    runtime::Nursery nursery(node.tasks);
    constexpr int kFibers = 10;
    for (int i = 0; i < kFibers; ++i) {
      nursery.spawn("worker", [&] {
        auto block = (*controller)->allocate_producer_ids();
        ASSERT_TRUE(block.has_value());
        firsts.insert(block->first);
        const int16_t code = refusal(**controller, topic_named("same")).code;
        created += code == 0 ? 1 : 0;
        existed += code == 36 ? 1 : 0;
      });
    }
    EXPECT_EQ(nursery.join_all(runtime::Instant::never()), runtime::Wake::notified);
    EXPECT_EQ(firsts.size(), size_t{kFibers});
    EXPECT_EQ(created, 1);
    EXPECT_EQ(existed, kFibers - 1);
  });
}

TEST(Controller, after_a_failed_commit_every_call_says_so) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto opened = start_controller(node);
    ASSERT_TRUE(opened.has_value());
    Controller& controller = **opened;
    ASSERT_TRUE(refusal(controller, topic_named("a")).ok());
    rig.world.disk(0).set_errors(sim::DiskErrors{.pattern = "*.log", .syncs = true});
    const CreatedTopic failed = controller.create_topics({topic_named("b")}, false).front();
    EXPECT_EQ(failed.error.code, 56);
    EXPECT_TRUE(failed.id.is_zero());
    rig.world.disk(0).set_errors(std::nullopt);
    EXPECT_TRUE(controller.offline().has_value());
    EXPECT_EQ(controller.image()->topic("b"), nullptr);
    EXPECT_EQ(refusal(controller, topic_named("c")).code, 56);
    EXPECT_EQ(controller.delete_topics({{"a", {}}}).front().error.code, 56);
    EXPECT_FALSE(controller.allocate_producer_ids().has_value());
    EXPECT_FALSE(controller.bump_leader_epochs().has_value());
    EXPECT_FALSE(controller.register_broker(broker_start()).has_value());
  });
}

}  // namespace
}  // namespace verdict::meta
