#include "broker/meta/metadata_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "broker/log/knobs.h"
#include "broker/meta/probes.h"
#include "broker/meta/records.h"
#include "broker/wire/metadata_records.h"
#include "tests/unit/meta/meta_rig.h"

namespace verdict::meta {
namespace {

constexpr std::string_view kQuorumState = "__cluster_metadata-0/quorum-state";

base::Slice producer_ids(int64_t next) {
  wire::ProducerIdsRecord record;
  record.next_producer_id = next;
  return frame(record);
}

base::Result<Committed> commit(MetadataLog& log, const RecordValues& values) {
  const runtime::LockGuard lock(log.mutex());
  return log.commit(values);
}

TEST(MetadataLog, each_start_is_a_new_epoch_that_begins_with_a_leader_change) {
  MetaRig rig;
  for (int32_t start = 1; start <= 3; ++start) {
    rig.finish([&](runtime::Node& node) {
      auto log = open_log(node);
      ASSERT_TRUE(log.has_value()) << log.error().to_string();
      EXPECT_EQ((*log)->epoch(), LeaderEpoch{start});
      EXPECT_EQ((*log)->committed(), Offset{2 * start - 1});
      const auto committed = commit(**log, {producer_ids(1000 * start)});
      ASSERT_TRUE(committed.has_value());
      EXPECT_EQ(committed->first, Offset{2 * start - 1});
      EXPECT_EQ(committed->last, committed->first);
      EXPECT_EQ(committed->image->next_producer_id(), 1000 * start);
      EXPECT_EQ((*log)->image(), committed->image);
    });
    EXPECT_EQ(rig.content(kQuorumState),
              (QuorumState{NodeId{1}, LeaderEpoch{start}, {1}}).to_json());
    EXPECT_EQ(rig.content("__cluster_metadata-0/partition.metadata"),
              "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    rig.world.power_off(0);
  }
}

// The batch at the start of a log that Kafka 4.3.1 wrote as node 1, byte by byte; the checksum and
// the two timestamps are zeros here.
constexpr unsigned char kKafkasLeaderChange[] = {
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0x4f, 0,    0,    0,    1,
    2,    0,    0,    0,    0,    0,    0x20, 0,    0,    0, 0, 0,    0,    0,    0,    0,
    0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0,    1,    0x3a, 0,    0,
    0,    8,    0,    0,    0,    2,    0x26, 0,    0,    0, 0, 0,    1,    2,    0,    0,
    0,    1,    0,    2,    0,    0,    0,    1,    0,    0, 0};

TEST(MetadataLog, its_first_batch_is_kafkas_byte_by_byte) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value());
    ASSERT_TRUE(commit(**log, {producer_ids(5)}).has_value());
  });
  std::string file = rig.content("__cluster_metadata-0/00000000000000000000.log");
  ASSERT_GT(file.size(), sizeof kKafkasLeaderChange);
  const auto bytes = std::as_bytes(std::span(file));
  const record::BatchHeader header = record::read_header(bytes);
  EXPECT_EQ(header.base_timestamp_ms, header.max_timestamp_ms);
  std::string first = file.substr(0, sizeof kKafkasLeaderChange);
  std::fill_n(first.begin() + 17, 4, '\0');   // checksum
  std::fill_n(first.begin() + 27, 16, '\0');  // timestamps
  EXPECT_EQ(first, std::string(reinterpret_cast<const char*>(kKafkasLeaderChange),
                               sizeof kKafkasLeaderChange));
  // Then plain batches of the same epoch: no control bit, no producer, records without a key.
  const record::BatchHeader second = record::read_header(bytes.subspan(first.size()));
  EXPECT_EQ(second.base_offset, 1);
  EXPECT_EQ(second.leader_epoch, 1);
  EXPECT_EQ(second.attributes, 0);
  EXPECT_EQ(second.producer_id, -1);
  EXPECT_EQ(second.base_sequence, -1);
  const base::Slice rest = base::Slice::copy_of(bytes.subspan(first.size()));
  const auto records = record::read_records(second, rest, kCommitBytesMax);
  ASSERT_TRUE(records.has_value());
  ASSERT_EQ(records->size(), size_t{1});
  EXPECT_FALSE(records->front().key.has_value());
  EXPECT_EQ(records->front().value->text(), producer_ids(5).text());
}

TEST(MetadataLog, an_epoch_that_was_claimed_survives_a_power_loss_before_its_first_record) {
  constexpr uint64_t kSeeds = 20;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    MetaRig rig(seed);
    for (int32_t epoch = 1; epoch <= 3; ++epoch) {
      {
        ProbeKiller killer(rig.world, kProbeEpochClaimed, 1, true);
        rig.run([&](runtime::Node& node) { (void)open_log(node); });
        ASSERT_TRUE(killer.struck);
      }
      ASSERT_EQ(rig.content(kQuorumState),
                (QuorumState{NodeId{1}, LeaderEpoch{epoch}, {1}}).to_json());
    }
  }
}

TEST(MetadataLog, many_records_over_many_segments_come_back) {
  runtime::KnobValues knobs;
  knobs.set(log::kSegmentBytesCap, 1024);
  MetaRig rig(1, knobs);
  constexpr int64_t kCommits = 100;
  rig.finish([&](runtime::Node& node) {
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value());
    for (int64_t i = 1; i <= kCommits; ++i) {
      ASSERT_TRUE(commit(**log, {producer_ids(i), frame(wire::NoOpRecord{})}).has_value());
    }
  });
  rig.world.power_off(0);
  rig.finish([&](runtime::Node& node) {
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value()) << log.error().to_string();
    EXPECT_EQ((*log)->image()->next_producer_id(), kCommits);
    EXPECT_EQ((*log)->committed(), Offset{2 * kCommits + 2});
  });
  EXPECT_NE(rig.content("__cluster_metadata-0/00000000000000000000.log"), "(absent)");
  EXPECT_EQ(rig.content("__cluster_metadata-0/00000000000000000001.log"), "(absent)");
}

TEST(MetadataLog, a_lost_or_torn_quorum_state_never_brings_an_epoch_back) {
  for (const bool torn : {false, true}) {
    MetaRig rig;
    rig.finish([&](runtime::Node& node) { ASSERT_TRUE(open_log(node).has_value()); });
    rig.finish([&](runtime::Node& node) {
      auto folder = node.data.subdirectory(kMetadataFolder, runtime::OpenMode::open_existing);
      ASSERT_TRUE(folder.has_value());
      if (torn) {
        auto file = (*folder)->open("quorum-state", runtime::OpenMode::open_existing);
        ASSERT_TRUE(file.has_value());
        ASSERT_TRUE((*file)->truncate(20).has_value());
      } else {
        ASSERT_TRUE((*folder)->remove("quorum-state").has_value());
      }
      ASSERT_TRUE((*folder)->sync().has_value());
    });
    rig.finish([&](runtime::Node& node) {
      auto log = open_log(node);
      ASSERT_TRUE(log.has_value()) << log.error().to_string();
      EXPECT_EQ((*log)->epoch(), LeaderEpoch{2});
    });
  }
}

TEST(MetadataLog, the_log_of_other_voters_is_refused_by_name) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) { ASSERT_TRUE(open_log(node).has_value()); });
  rig.finish([&](runtime::Node& node) {
    const auto log = open_log(node, NodeId{2});
    ASSERT_FALSE(log.has_value());
    EXPECT_EQ(log.error().code, base::Errc::invalid);
    EXPECT_EQ(log.error().detail,
              "__cluster_metadata-0/quorum-state names other voters than node 2, the only one");
  });
}

TEST(MetadataLog, a_commit_that_is_too_large_or_does_not_fit_writes_nothing) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto opened = open_log(node);
    ASSERT_TRUE(opened.has_value());
    MetadataLog& log = **opened;
    const RecordValues many(kRecordsPerCommitMax + 1, frame(wire::NoOpRecord{}));
    EXPECT_EQ(commit(log, many).error().code, base::Errc::too_large);
    wire::ConfigRecord config;
    config.resource_type = 2;
    config.value = std::string(30'000, 'x');
    const RecordValues heavy(kCommitBytesMax / 30'000 + 1, frame(config));
    EXPECT_EQ(commit(log, heavy).error().code, base::Errc::too_large);
    wire::RemoveTopicRecord unknown;
    EXPECT_EQ(commit(log, {producer_ids(5), frame(unknown)}).error().code, base::Errc::invalid);
    EXPECT_EQ(log.committed(), Offset{1});
    EXPECT_EQ(log.image()->next_producer_id(), 0);
    EXPECT_FALSE(log.offline().has_value());
    EXPECT_TRUE(commit(log, {producer_ids(5)}).has_value());
    const RecordValues most(kRecordsPerCommitMax, frame(wire::NoOpRecord{}));
    EXPECT_TRUE(commit(log, most).has_value());
    EXPECT_EQ(log.committed(), Offset{2 + static_cast<int64_t>(kRecordsPerCommitMax)});
  });
}

TEST(MetadataLog, a_failed_sync_ends_the_log_and_publishes_nothing) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto opened = open_log(node);
    ASSERT_TRUE(opened.has_value());
    MetadataLog& log = **opened;
    ASSERT_TRUE(commit(log, {producer_ids(5)}).has_value());
    rig.world.disk(0).set_errors(sim::DiskErrors{.pattern = "*.log", .syncs = true});
    const auto failed = commit(log, {producer_ids(6)});
    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(log.image()->next_producer_id(), 5);
    ASSERT_TRUE(log.offline().has_value());
    rig.world.disk(0).set_errors(std::nullopt);
    EXPECT_EQ(commit(log, {producer_ids(7)}).error().code, base::Errc::wrong_state);
    EXPECT_FALSE(log.close_cleanly().has_value());
  });
  EXPECT_EQ(rig.world.probe_count(kProbeCommitFailed), uint64_t{1});
  rig.world.power_off(0);
  rig.finish([&](runtime::Node& node) {
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value()) << log.error().to_string();
    // The failed commit may be there or not; nobody was told.
    EXPECT_GE((*log)->image()->next_producer_id(), 5);
    EXPECT_LE((*log)->image()->next_producer_id(), 6);
  });
}

TEST(MetadataLog, a_record_that_nobody_knows_stops_the_start_with_its_place) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto folder = node.data.subdirectory(kMetadataFolder, runtime::OpenMode::open_or_create);
    log::OpenOptions options;
    options.name = kMetadataFolder;
    options.topic_id = kMetadataTopicId;
    auto log = log::Log::open(node, std::move(*folder), options);
    ASSERT_TRUE(log.has_value());
    record::BatchBuilder builder({.leader_epoch = 1});
    const std::byte unheard[] = {std::byte{1}, std::byte{99}, std::byte{0}};
    builder.add(0, std::nullopt, unheard);
    ASSERT_TRUE((*log)->append_as_is(builder.build()).has_value());
    ASSERT_TRUE((*log)->sync_through((*log)->next()).has_value());
  });
  rig.finish([&](runtime::Node& node) {
    const auto log = open_log(node);
    ASSERT_FALSE(log.has_value());
    EXPECT_EQ(log.error().to_string(),
              "unsupported: __cluster_metadata-0: batch at offset 0: metadata record at offset 0: "
              "record type 99");
  });
}

TEST(MetadataLog, nothing_is_committed_after_a_clean_close) {
  MetaRig rig;
  rig.finish([&](runtime::Node& node) {
    auto log = open_log(node);
    ASSERT_TRUE(log.has_value());
    ASSERT_TRUE((*log)->close_cleanly().has_value());
    EXPECT_EQ(commit(**log, {producer_ids(5)}).error().code, base::Errc::wrong_state);
  });
}

}  // namespace
}  // namespace verdict::meta
