#include "broker/meta/topic_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "broker/meta/records.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {
namespace {

// Brokers of these ids; those of `fenced` are fenced.
MetadataImage brokers(const std::vector<int32_t>& ids, const std::vector<int32_t>& fenced = {}) {
  MetadataImage image;
  for (const int32_t id : ids) {
    wire::RegisterBrokerRecord record;
    record.broker_id = id;
    record.fenced = std::ranges::find(fenced, id) != fenced.end();
    CHECK(image.apply(image.offset() + 1, frame(record)).has_value());
  }
  return image;
}

NewTopic manual(std::vector<NewTopic::Assignment> assignments) {
  NewTopic topic;
  topic.name = "t";
  topic.assignments = std::move(assignments);
  return topic;
}

NewTopic sized(int32_t partitions, int16_t factor) {
  NewTopic topic;
  topic.name = "t";
  topic.partitions = partitions;
  topic.replication_factor = factor;
  return topic;
}

ApiError error(Code code, std::string text) { return error_of(code, std::move(text)); }

TEST(TopicRules, names_are_refused_in_kafkas_words) {
  EXPECT_EQ(check_topic_name(""), error(Code::invalid_topic_exception,
                                        "Topic name is invalid: the empty string is not allowed"));
  EXPECT_EQ(check_topic_name(".").message, "Topic name is invalid: '.' is not allowed");
  EXPECT_EQ(check_topic_name("..").message, "Topic name is invalid: '..' is not allowed");
  EXPECT_EQ(check_topic_name("bad name!").message,
            "Topic name is invalid: 'bad name!' contains one or more characters other than ASCII "
            "alphanumerics, '.', '_' and '-'");
  EXPECT_FALSE(check_topic_name("a/b").ok());
  EXPECT_FALSE(check_topic_name("\xc3\xa4").ok());
  EXPECT_FALSE(check_topic_name(std::string("a\0b", 3)).ok());
  EXPECT_TRUE(check_topic_name("...").ok());
  EXPECT_TRUE(check_topic_name("A-z_0.9").ok());
  EXPECT_TRUE(check_topic_name(std::string(249, 'x')).ok());
  EXPECT_EQ(check_topic_name(std::string(250, 'x')).message,
            "Topic name is invalid: the length of '" + std::string(250, 'x') +
                "' is longer than the max allowed length 249");
}

TEST(TopicRules, counts_are_refused_or_taken_from_the_defaults) {
  const MetadataImage image = brokers({1});
  const PlacementRules rules{.partitions_standard = 3};
  EXPECT_EQ(place(image, sized(0, 1), rules).error,
            error(Code::invalid_partitions,
                  "Number of partitions was set to an invalid non-positive value."));
  EXPECT_EQ(place(image, sized(-2, 1), rules).error.code, 37);
  EXPECT_EQ(place(image, sized(1, 0), rules).error,
            error(Code::invalid_replication_factor,
                  "Replication factor must be larger than 0, or -1 to use the default value."));
  EXPECT_EQ(place(image, sized(1, -2), rules).error.code, 38);
  EXPECT_EQ(
      place(image, sized(1, 2), rules).error,
      error(Code::invalid_replication_factor,
            "Unable to replicate the partition 2 time(s): The target replication factor of 2 "
            "cannot be reached because only 1 broker(s) are registered or some brokers have all "
            "their log directories cordoned."));
  EXPECT_EQ(
      place(brokers({1}, {1}), sized(1, 1), rules).error,
      error(Code::invalid_replication_factor,
            "Unable to replicate the partition 1 time(s): All brokers are currently fenced."));
  const PlacementResult placed = place(image, sized(-1, -1), rules);
  EXPECT_TRUE(placed.error.ok());
  EXPECT_EQ(placed.placement, (Placement{{1}, {1}, {1}}));
}

TEST(TopicRules, replicas_go_round_the_live_brokers_first) {
  const MetadataImage image = brokers({1, 2, 3, 4}, {3});
  const PlacementResult placed = place(image, sized(6, 4), {.first_broker = 5});
  ASSERT_TRUE(placed.error.ok());
  std::map<int32_t, int> leads;
  for (const std::vector<int32_t>& replicas : placed.placement) {
    ASSERT_EQ(replicas.size(), size_t{4});
    std::vector<int32_t> sorted = replicas;
    std::ranges::sort(sorted);
    EXPECT_EQ(sorted, (std::vector<int32_t>{1, 2, 3, 4}));
    EXPECT_EQ(replicas.back(), 3) << "a fenced broker leads last";
    EXPECT_EQ(active(image, replicas).size(), size_t{3});
    ++leads[replicas.front()];
  }
  EXPECT_EQ(leads, (std::map<int32_t, int>{{1, 2}, {2, 2}, {4, 2}}));
}

TEST(TopicRules, manual_assignments_are_refused_in_kafkas_words) {
  const MetadataImage image = brokers({1, 2, 3}, {3});
  const auto refusal = [&](NewTopic topic) { return place(image, topic, {}).error; };
  NewTopic with_factor = manual({{0, {1}}});
  with_factor.replication_factor = 1;
  EXPECT_EQ(refusal(with_factor),
            error(Code::invalid_request,
                  "A manual partition assignment was specified, but replication factor was not set "
                  "to -1."));
  NewTopic with_count = manual({{0, {1}}});
  with_count.partitions = 1;
  EXPECT_EQ(refusal(with_count).code, 42);
  EXPECT_EQ(refusal(manual({{0, {1}}, {0, {2}}})),
            error(Code::invalid_replica_assignment,
                  "Found multiple manual partition assignments for partition 0"));
  EXPECT_EQ(refusal(manual({{0, {}}})).message,
            "The manual partition assignment includes an empty replica list.");
  EXPECT_EQ(refusal(manual({{0, {9}}})).message,
            "The manual partition assignment includes broker 9, but no such broker is registered.");
  EXPECT_EQ(refusal(manual({{0, {1, 2, 1}}})).message,
            "The manual partition assignment includes the broker 1 more than once.");
  EXPECT_EQ(refusal(manual({{0, {1, 2}}, {1, {1}}})).message,
            "The manual partition assignment includes a partition with 1 replica(s), but this is "
            "not consistent with previous partitions, which have 2 replica(s).");
  EXPECT_EQ(refusal(manual({{0, {3}}})).message,
            "All brokers specified in the manual partition assignment for partition 0 are fenced "
            "or in controlled shutdown.");
  EXPECT_EQ(refusal(manual({{0, {1}}, {2, {1}}})).message,
            "partitions should be a consecutive 0-based integer sequence");
  EXPECT_EQ(refusal(manual({{-1, {1}}, {0, {1}}})).code, 39);
  const PlacementResult placed = place(image, manual({{1, {2, 1}}, {0, {1, 3}}}), {});
  EXPECT_TRUE(placed.error.ok());
  EXPECT_EQ(placed.placement, (Placement{{1, 3}, {2, 1}}));
}

TEST(TopicRules, configs_are_refused_with_code_40) {
  NewTopic topic = sized(1, 1);
  topic.configs = {{"retention.ms", "5"}, {"retention.bytes", std::nullopt}, {"x", std::nullopt}};
  EXPECT_EQ(
      configs_of(topic).error,
      error(Code::invalid_config, "Null value not supported for topic configs: retention.bytes,x"));
  topic.configs = {{"retention.ms", "5"}, {"retention.ms", "6"}};
  EXPECT_EQ(configs_of(topic).error.code, 40);
  topic.configs = {{"retention.ms", std::string(40'000, '1')}};
  EXPECT_EQ(configs_of(topic).error.code, 40);
  topic.configs = {{"no.such.config", "6"}};
  EXPECT_EQ(configs_of(topic).error,
            error(Code::invalid_config, "Unknown topic config name: no.such.config"));
  topic.configs = {{"retention.ms", "5"}};
  EXPECT_TRUE(configs_of(topic).error.ok());
  EXPECT_EQ(configs_of(topic).configs, (ConfigMap{{"retention.ms", "5"}}));
}

TEST(TopicRules, partitions_asked_for_are_added_without_overflow) {
  EXPECT_EQ(partitions_asked({sized(-1, 1), sized(5, 1), sized(-7, 1), manual({{0, {1}}})}, 4), 10);
  EXPECT_EQ(partitions_asked(std::vector<NewTopic>(3, sized(INT32_MAX, 1)), 1),
            3 * int64_t{INT32_MAX});
}

}  // namespace
}  // namespace verdict::meta
