// One log directory: identity, checkpoints, clean shutdown, deletion.

#include "broker/log/log_directory.h"

#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

using base::BrokerEpoch;
using base::Errc;
using base::NodeId;

const PartitionKey kOrders{"orders", 0};
const PartitionKey kDotted{"a-b.c", 12};

std::unique_ptr<LogDirectory> open_directory(runtime::Node& node) {
  auto directory = LogDirectory::open(node, {.node_id = NodeId{1}, .cluster_id = {}});
  EXPECT_TRUE(directory.has_value()) << directory.error().to_string();
  CHECK(directory.has_value());
  return std::move(*directory);
}

void put_text(runtime::Node& node, std::string_view name, std::string_view text) {
  auto file = node.data.open(name, runtime::OpenMode::open_or_create);
  ASSERT_TRUE(file.has_value());
  base::Slice slice = base::Slice::copy_of(text);
  ASSERT_TRUE((*file)->truncate(0).has_value());
  ASSERT_TRUE((*file)->write_at(0, {&slice, 1}).has_value());
}

TEST(PartitionKey, names_of_folders_are_kafkas) {
  EXPECT_EQ(kDotted.directory_name(), "a-b.c-12");
  EXPECT_EQ(PartitionKey::parse("a-b.c-12"), kDotted);
  EXPECT_EQ(PartitionKey::parse("__cluster_metadata-0"), (PartitionKey{"__cluster_metadata", 0}));
  for (const char* name : {"orders", "-1", "orders-", "orders-01", "orders-x", "orders--1x",
                           "orders-0.0123-delete", "orders-99999999999"}) {
    EXPECT_FALSE(PartitionKey::parse(name).has_value()) << name;
  }
}

TEST(LogDirectory, an_empty_one_is_formatted_and_known_again_after_a_power_loss) {
  LogRig rig(1);
  MetaProperties meta;
  rig.run([&](runtime::Node& node) { meta = open_directory(node)->meta(); });
  EXPECT_EQ(meta.node_id, NodeId{1});
  EXPECT_EQ(meta.cluster_id.size(), 22U);
  EXPECT_FALSE(meta.directory_id.is_zero());
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    auto again = open_directory(node);
    EXPECT_EQ(again->meta().cluster_id, meta.cluster_id);
    EXPECT_EQ(again->meta().directory_id, meta.directory_id);
    EXPECT_FALSE(again->clean_shutdown_epoch().has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, another_node_or_cluster_is_refused_with_both_names) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    std::string id = open_directory(node)->meta().cluster_id;
    auto other = LogDirectory::open(node, {.node_id = NodeId{2}, .cluster_id = {}});
    ASSERT_FALSE(other.has_value());
    EXPECT_EQ(other.error().code, Errc::invalid);
    EXPECT_NE(other.error().detail.find("node.id is 1 but 2"), std::string::npos);
    auto cluster = LogDirectory::open(node, {.node_id = NodeId{1}, .cluster_id = "elsewhere"});
    ASSERT_FALSE(cluster.has_value());
    EXPECT_NE(cluster.error().detail.find(id), std::string::npos);
    EXPECT_TRUE(LogDirectory::open(node, {.node_id = NodeId{1}, .cluster_id = id}).has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, a_directory_with_partitions_but_without_identity_is_not_formatted) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    ASSERT_TRUE(open_partition_folder(node, kOrders).has_value());
    auto refused = LogDirectory::open(node, {.node_id = NodeId{1}, .cluster_id = {}});
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::invalid);
  });
  EXPECT_FALSE(rig.disk().content("meta.properties").has_value());
}

TEST(LogDirectory, checkpoints_are_read_back_and_written_as_kafka_does) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    EXPECT_FALSE(directory->recovery_point(kOrders).has_value());
    ASSERT_TRUE(
        directory->write_recovery_points({{kOrders, Offset{5}}, {kDotted, Offset{7}}}).has_value());
    ASSERT_TRUE(directory->write_start_offsets({{kOrders, Offset{1}}}).has_value());
    ASSERT_TRUE(directory->write_high_watermarks({{kOrders, Offset{4}}}).has_value());
  });
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    EXPECT_EQ(directory->recovery_point(kOrders), Offset{5});
    EXPECT_EQ(directory->recovery_point(kDotted), Offset{7});
    EXPECT_EQ(directory->start_offset(kOrders), Offset{1});
    EXPECT_EQ(directory->high_watermark(kOrders), Offset{4});
    EXPECT_FALSE(directory->high_watermark(kDotted).has_value());
  });
  EXPECT_EQ(rig.disk().content("recovery-point-offset-checkpoint")->text(),
            "0\n2\na-b.c 12 7\norders 0 5\n");
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, a_damaged_checkpoint_is_named_and_not_taken_for_an_empty_one) {
  // Without recovery points every damaged batch would look like a torn tail.
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    (void)open_directory(node);
    for (const char* bad : {"x", "0\n2\norders 0 5\n", "0\n1\norders 0 -5\n", "7\n0\n"}) {
      put_text(node, "recovery-point-offset-checkpoint", bad);
      auto refused = LogDirectory::open(node, {.node_id = NodeId{1}, .cluster_id = {}});
      ASSERT_FALSE(refused.has_value()) << bad;
      EXPECT_EQ(refused.error().code, Errc::corrupt);
      EXPECT_NE(refused.error().detail.find("recovery-point-offset-checkpoint"), std::string::npos);
    }
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, the_clean_shutdown_file_is_believed_once) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    ASSERT_TRUE(open_directory(node)->write_clean_shutdown(BrokerEpoch{1358}).has_value());
  });
  EXPECT_EQ(rig.disk().content(".kafka_cleanshutdown")->text(),
            "{\"version\":0,\"brokerEpoch\":1358}");
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    EXPECT_EQ(open_directory(node)->clean_shutdown_epoch(), BrokerEpoch{1358});
  });
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    EXPECT_FALSE(open_directory(node)->clean_shutdown_epoch().has_value());
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, a_deleted_partition_leaves_neither_files_nor_offsets) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    {
      auto folder = open_partition_folder(node, kOrders);
      ASSERT_TRUE(folder.has_value());
      auto log = Log::open(node, std::move(*folder), {.name = "orders-0"});
      ASSERT_TRUE(log.has_value());
      append(**log, {.count = 9});
    }
    ASSERT_TRUE(
        directory->write_recovery_points({{kOrders, Offset{9}}, {kDotted, Offset{7}}}).has_value());
    ASSERT_TRUE(directory->write_start_offsets({{kOrders, Offset{3}}}).has_value());
    ASSERT_TRUE(directory->mark_deleted(kOrders).has_value());
    EXPECT_FALSE(directory->recovery_point(kOrders).has_value());
  });
  rig.power_cycle();
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    EXPECT_TRUE(directory->found().empty());
    EXPECT_FALSE(directory->recovery_point(kOrders).has_value());
    EXPECT_FALSE(directory->start_offset(kOrders).has_value());
    EXPECT_EQ(directory->recovery_point(kDotted), Offset{7});
    size_t before = rig.disk().paths().size();
    ASSERT_TRUE(directory->remove_marked().has_value());
    EXPECT_LT(rig.disk().paths().size(), before);
    for (const std::string& path : rig.disk().paths()) EXPECT_FALSE(path.starts_with("orders"));
  });
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, folders_are_found_sorted_and_the_unknown_is_left_alone) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    for (const PartitionKey& key : {PartitionKey{"z", 1}, kOrders, PartitionKey{"orders", 10}}) {
      auto folder = open_partition_folder(node, key);
      ASSERT_TRUE(folder.has_value());
      ASSERT_TRUE(Log::open(node, std::move(*folder), {.name = key.directory_name()}).has_value());
    }
    put_text(node, "notes.txt", "mine");
    ASSERT_TRUE(node.data.subdirectory("holiday", runtime::OpenMode::create_exclusive).has_value());
  });
  rig.run([&](runtime::Node& node) {
    EXPECT_EQ(open_directory(node)->found(),
              (std::vector<PartitionKey>{kOrders, {"orders", 10}, {"z", 1}}));
  });
  EXPECT_EQ(rig.disk().content("notes.txt")->text(), "mine");
  EXPECT_TRUE(rig.ended());
}

TEST(LogDirectory, a_folder_whose_making_failed_is_made_anew_and_then_durable) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) { (void)open_directory(node); });
  rig.run([&](runtime::Node& node) {
    rig.disk().fail_next_sync("");
    EXPECT_FALSE(open_partition_folder(node, kOrders).has_value());
  });
  rig.run([&](runtime::Node& node) {
    auto directory = open_directory(node);
    EXPECT_TRUE(directory->found().empty());
    ASSERT_TRUE(open_partition_folder(node, kOrders).has_value());
    EXPECT_TRUE(rig.disk().name_is_durable("orders-0/"));
  });
  EXPECT_TRUE(rig.ended());
}

}  // namespace
}  // namespace verdict::log
