#include "broker/meta/image.h"

#include <gtest/gtest.h>

#include "broker/meta/records.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {
namespace {

constexpr Uuid kTopicId{1, 2};

template <class Record>
base::Result<> add(MetadataImage& image, const Record& record) {
  auto applied = image.apply(image.offset() + 1, frame(record));
  image.check_invariants();
  return applied;
}

wire::TopicRecord topic(std::string name, Uuid id = kTopicId) {
  wire::TopicRecord record;
  record.name = std::move(name);
  record.topic_id = id;
  return record;
}

wire::PartitionRecord partition(int32_t number, Uuid id = kTopicId) {
  wire::PartitionRecord record;
  record.partition_id = number;
  record.topic_id = id;
  record.replicas = {1, 2};
  record.isr = {1, 2};
  record.leader = 1;
  record.leader_epoch = 0;
  record.partition_epoch = 0;
  return record;
}

wire::PartitionChangeRecord change(int32_t number) {
  wire::PartitionChangeRecord record;
  record.partition_id = number;
  record.topic_id = kTopicId;
  return record;
}

wire::RegisterBrokerRecord broker(int32_t id, int64_t epoch) {
  wire::RegisterBrokerRecord record;
  record.broker_id = id;
  record.broker_epoch = epoch;
  return record;
}

TEST(MetadataImage, a_change_that_names_a_leader_moves_both_epochs_and_any_other_only_one) {
  MetadataImage image;
  ASSERT_TRUE(add(image, topic("t")));
  ASSERT_TRUE(add(image, partition(0)));
  wire::PartitionChangeRecord isr = change(0);
  isr.isr = std::vector<int32_t>{1};
  ASSERT_TRUE(add(image, isr));
  EXPECT_EQ(image.partition(kTopicId, 0)->leader_epoch, LeaderEpoch{0});
  EXPECT_EQ(image.partition(kTopicId, 0)->partition_epoch, 1);
  EXPECT_EQ(image.partition(kTopicId, 0)->isr, std::vector<int32_t>{1});
  EXPECT_EQ(image.partition(kTopicId, 0)->replicas, (std::vector<int32_t>{1, 2}));
  wire::PartitionChangeRecord same_leader = change(0);
  same_leader.leader = 1;
  ASSERT_TRUE(add(image, same_leader));
  EXPECT_EQ(image.partition(kTopicId, 0)->leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(image.partition(kTopicId, 0)->partition_epoch, 2);
  wire::PartitionChangeRecord orphan = change(0);
  orphan.leader = -1;
  ASSERT_TRUE(add(image, orphan));
  EXPECT_EQ(image.partition(kTopicId, 0)->leader, kNoLeader);
  EXPECT_EQ(image.partition(kTopicId, 0)->leader_epoch, LeaderEpoch{2});
}

TEST(MetadataImage, an_older_copy_does_not_see_later_records) {
  MetadataImage image;
  ASSERT_TRUE(add(image, topic("t")));
  ASSERT_TRUE(add(image, partition(0)));
  const MetadataImage before = image;
  wire::PartitionChangeRecord next = change(0);
  next.leader = 2;
  ASSERT_TRUE(add(image, next));
  ASSERT_TRUE(add(image, partition(1)));
  EXPECT_EQ(before.partition(kTopicId, 0)->leader, NodeId{1});
  EXPECT_EQ(before.partition_count(), size_t{1});
  EXPECT_EQ(image.partition(kTopicId, 0)->leader, NodeId{2});
  EXPECT_EQ(image.partition_count(), size_t{2});
}

TEST(MetadataImage, a_removed_topic_takes_its_partitions_configs_and_collisions_along) {
  MetadataImage image;
  ASSERT_TRUE(add(image, topic("a.b")));
  ASSERT_TRUE(add(image, partition(0)));
  wire::ConfigRecord config;
  config.resource_type = 2;
  config.resource_name = "a.b";
  config.name = "retention.ms";
  config.value = "5";
  ASSERT_TRUE(add(image, config));
  EXPECT_EQ(*image.colliding_topic("a_b"), "a.b");
  EXPECT_EQ(image.topic_configs("a.b").at("retention.ms"), "5");
  wire::RemoveTopicRecord remove;
  remove.topic_id = kTopicId;
  ASSERT_TRUE(add(image, remove));
  EXPECT_EQ(image.topic("a.b"), nullptr);
  EXPECT_EQ(image.topic(kTopicId), nullptr);
  EXPECT_EQ(image.colliding_topic("a_b"), nullptr);
  EXPECT_TRUE(image.topic_configs("a.b").empty());
  EXPECT_EQ(image.partition_count(), size_t{0});
  EXPECT_TRUE(add(image, topic("a_b", Uuid{3, 4})));
}

TEST(MetadataImage, a_config_without_value_is_taken_away) {
  MetadataImage image;
  wire::ConfigRecord config;
  config.resource_type = 4;
  config.name = "num.io.threads";
  config.value = "3";
  ASSERT_TRUE(add(image, config));
  EXPECT_EQ(image.configs({ResourceType::broker, ""}).size(), size_t{1});
  config.value.reset();
  ASSERT_TRUE(add(image, config));
  EXPECT_TRUE(image.configs({ResourceType::broker, ""}).empty());
}

TEST(MetadataImage, what_an_aborted_transaction_did_is_undone) {
  MetadataImage image;
  ASSERT_TRUE(add(image, topic("kept")));
  ASSERT_TRUE(add(image, wire::BeginTransactionRecord{}));
  ASSERT_TRUE(add(image, topic("gone", Uuid{5, 6})));
  EXPECT_TRUE(image.in_transaction());
  ASSERT_TRUE(add(image, wire::AbortTransactionRecord{}));
  EXPECT_FALSE(image.in_transaction());
  EXPECT_EQ(image.topic("gone"), nullptr);
  EXPECT_NE(image.topic("kept"), nullptr);
  EXPECT_EQ(image.offset(), Offset{3});
  ASSERT_TRUE(add(image, wire::BeginTransactionRecord{}));
  ASSERT_TRUE(add(image, topic("stays", Uuid{7, 8})));
  ASSERT_TRUE(add(image, wire::EndTransactionRecord{}));
  EXPECT_NE(image.topic("stays"), nullptr);
  EXPECT_FALSE(add(image, wire::EndTransactionRecord{}).has_value());
}

TEST(MetadataImage, a_broker_is_registered_fenced_unfenced_and_gone) {
  MetadataImage image;
  ASSERT_TRUE(add(image, broker(1, 17)));
  EXPECT_TRUE(image.broker(NodeId{1})->fenced);
  wire::BrokerRegistrationChangeRecord unfence;
  unfence.broker_id = 1;
  unfence.broker_epoch = 17;
  unfence.fenced = -1;
  ASSERT_TRUE(add(image, unfence));
  EXPECT_FALSE(image.broker(NodeId{1})->fenced);
  wire::FenceBrokerRecord fence;
  fence.id = 1;
  fence.epoch = 17;
  ASSERT_TRUE(add(image, fence));
  EXPECT_TRUE(image.broker(NodeId{1})->fenced);
  unfence.broker_epoch = 16;
  EXPECT_EQ(add(image, unfence).error().detail,
            "metadata record at offset 3: BrokerRegistrationChangeRecord: broker 1 has epoch 17, "
            "the record says 16");
  wire::UnregisterBrokerRecord gone;
  gone.broker_id = 1;
  gone.broker_epoch = 17;
  ASSERT_TRUE(add(image, gone));
  EXPECT_EQ(image.broker(NodeId{1}), nullptr);
}

TEST(MetadataImage, a_record_that_does_not_fit_is_named_and_changes_nothing) {
  MetadataImage image;
  ASSERT_TRUE(add(image, topic("t")));
  ASSERT_TRUE(add(image, partition(0)));
  const Offset before = image.offset();
  EXPECT_EQ(add(image, topic("t", Uuid{9, 9})).error().detail,
            "metadata record at offset 2: TopicRecord: topic t exists already");
  EXPECT_FALSE(add(image, topic("other", kTopicId)).has_value());
  EXPECT_EQ(add(image, change(7)).error().detail,
            "metadata record at offset 2: PartitionChangeRecord: there is no partition t-7");
  EXPECT_FALSE(add(image, partition(0, Uuid{9, 9})).has_value());
  EXPECT_FALSE(add(image, partition(-1)).has_value());
  wire::ProducerIdsRecord ids;
  ids.next_producer_id = 1000;
  ASSERT_TRUE(add(image, ids));
  ids.next_producer_id = 999;
  EXPECT_EQ(add(image, ids).error().code, base::Errc::corrupt);
  EXPECT_EQ(image.offset(), before + 1);
  EXPECT_EQ(image.next_producer_id(), 1000);
  EXPECT_EQ(image.partition_count(), size_t{1});
  EXPECT_FALSE(image.apply(image.offset(), frame(wire::NoOpRecord{})).has_value());
}

TEST(MetadataImage, kafkas_unbuilt_records_are_counted_and_unheard_of_ones_refused) {
  MetadataImage image;
  // Type 11, UserScramCredential, with a body that nobody looks into.
  const std::byte scram[] = {std::byte{1}, std::byte{11}, std::byte{0}, std::byte{42}};
  ASSERT_TRUE(image.apply(Offset{0}, base::Slice::copy_of(scram)));
  EXPECT_EQ(image.skipped_records(), uint64_t{1});
  EXPECT_EQ(image.offset(), Offset{0});
  const std::byte unheard[] = {std::byte{1}, std::byte{99}, std::byte{0}};
  const auto refused = image.apply(Offset{1}, base::Slice::copy_of(unheard));
  EXPECT_EQ(refused.error().code, base::Errc::unsupported);
  EXPECT_EQ(refused.error().detail, "metadata record at offset 1: record type 99");
  EXPECT_EQ(image.apply(Offset{1}, base::Slice()).error().code, base::Errc::corrupt);
}

TEST(MetadataImage, damaged_records_are_refused_or_applied_and_never_crash) {
  const base::Slice whole = frame(partition(0));
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
      bytes[at] ^= static_cast<std::byte>(1 << bit);
      MetadataImage image;
      ASSERT_TRUE(add(image, topic("t")));
      if (!image.apply(Offset{1}, base::Slice::copy_of(bytes))) ++refused;
    }
    MetadataImage image;
    ASSERT_TRUE(add(image, topic("t")));
    EXPECT_FALSE(image.apply(Offset{1}, whole.cut(0, at)).has_value()) << at;
  }
  EXPECT_GT(refused, whole.size());
}

TEST(MetadataImage, ten_thousand_partitions_change_leader_in_one_go) {
  constexpr int32_t kPartitions = 10'000;
  MetadataImage image;
  ASSERT_TRUE(image.apply(Offset{0}, frame(topic("big"))));
  for (int32_t i = 0; i < kPartitions; ++i) {
    ASSERT_TRUE(image.apply(image.offset() + 1, frame(partition(i))));
  }
  const MetadataImage before = image;
  for (int32_t i = 0; i < kPartitions; ++i) {
    wire::PartitionChangeRecord next = change(i);
    next.leader = 1;
    ASSERT_TRUE(image.apply(image.offset() + 1, frame(next)));
  }
  image.check_invariants();
  EXPECT_EQ(image.partition(kTopicId, kPartitions - 1)->leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(before.partition(kTopicId, kPartitions - 1)->leader_epoch, LeaderEpoch{0});
}

}  // namespace
}  // namespace verdict::meta
