// Partitions that Kafka wrote, opened by our log: every batch is read back, and indexes, producer
// snapshots and checkpoints that we write are Kafka's byte for byte.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "broker/base/endian.h"
#include "broker/log/epoch_cache.h"
#include "broker/log/file_names.h"
#include "broker/log/log_directory.h"
#include "broker/log/producer_table.h"
#include "broker/log/time_index.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

namespace fs = std::filesystem;

const fs::path kLogDirectory = "tests/golden/data/logdir";

using Files = std::map<std::string, std::string>;

std::string read_host_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

Files files_of(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[entry.path().filename().string()] = read_host_file(entry.path());
    }
  }
  return files;
}

std::map<std::string, Files> partitions() {
  std::map<std::string, Files> all;
  for (const auto& entry : fs::directory_iterator(kLogDirectory)) {
    if (entry.is_directory()) all[entry.path().filename().string()] = files_of(entry.path());
  }
  return all;
}

void put(runtime::Directory& folder, const Files& files) {
  for (const auto& [name, content] : files) {
    auto file = folder.open(name, runtime::OpenMode::create_exclusive);
    ASSERT_TRUE(file.has_value());
    base::Slice bytes = base::Slice::copy_of(content);
    if (content.empty()) continue;
    ASSERT_TRUE((*file)->write_at(0, {&bytes, 1}).has_value());
  }
}

// Kafka's internal topics are compacted.
OpenOptions options_for(const std::string& name) {
  OpenOptions options;
  options.name = name;
  options.config.compacted = name.starts_with("__");
  return options;
}

// The batches of one .log file as they are.
std::string log_bytes(const Files& files) {
  std::string all;
  for (const auto& [name, content] : files) {
    if (name.ends_with(kLogSuffix)) all += content;
  }
  return all;
}

bool transactional(const std::string& log) {
  for (size_t at = 0; at < log.size();) {
    auto header = record::read_header(std::as_bytes(std::span(log).subspan(at)));
    if (header.transactional()) return true;
    at += header.total_bytes();
  }
  return false;
}

// Opens the partition in a world of its own, with `files` in its folder, and hands it to `body`.
void with_log(const std::string& name, const Files& files, OpenOptions options,
              const std::function<void(Log&)>& body, const std::function<void(LogRig&)>& after) {
  LogRig rig(1);
  rig.run([&](runtime::Node& node) {
    auto folder = node.data.subdirectory(name, runtime::OpenMode::create_exclusive);
    ASSERT_TRUE(folder.has_value());
    put(**folder, files);
    auto log = Log::open(node, std::move(*folder), std::move(options));
    ASSERT_TRUE(log.has_value()) << log.error().to_string();
    body(**log);
  });
  ASSERT_TRUE(rig.ended());
  if (after) after(rig);
}

TEST(GoldenLog, every_partition_opens_as_cleanly_stopped_and_reads_back_byte_by_byte) {
  LogRig rig(1);
  size_t opened = 0;
  auto all = partitions();
  ASSERT_GE(all.size(), 21U);
  rig.run([&](runtime::Node& node) {
    put(node.data, files_of(kLogDirectory));
    for (const auto& [name, files] : all) {
      auto folder = node.data.subdirectory(name, runtime::OpenMode::create_exclusive);
      ASSERT_TRUE(folder.has_value());
      put(**folder, files);
    }
    auto directory = LogDirectory::open(node, {.node_id = base::NodeId{1}, .cluster_id = {}});
    ASSERT_TRUE(directory.has_value()) << directory.error().to_string();
    EXPECT_EQ((*directory)->meta().cluster_id, "4L6g3nShT-eMCtK--X86sw");
    EXPECT_EQ((*directory)->meta().directory_id.to_string(), "Iebtu1_l3D4mxKIfcqJ7dQ");
    EXPECT_EQ((*directory)->clean_shutdown_epoch(), base::BrokerEpoch{1358});
    EXPECT_EQ((*directory)->found().size(), all.size());
    for (const PartitionKey& key : (*directory)->found()) {
      std::string name = key.directory_name();
      OpenOptions options = options_for(name);
      options.clean_shutdown = true;
      options.recovery_point = (*directory)->recovery_point(key);
      options.start = (*directory)->start_offset(key);
      auto log = Log::open(node, std::move(*open_partition_folder(node, key)), options);
      ASSERT_TRUE(log.has_value()) << log.error().to_string();
      EXPECT_TRUE((*log)->recovery().was_clean) << name;
      EXPECT_EQ((*log)->recovery().what, "");
      EXPECT_EQ(all_bytes(**log), log_bytes(all.at(name))) << name;
      EXPECT_EQ((*log)->topic_id().to_string(),
                all.at(name).at("partition.metadata").substr(21, 22));
      auto epochs = EpochCache::decode(all.at(name).at(std::string(kEpochCheckpointName)));
      ASSERT_TRUE(epochs.has_value());
      (void)epochs->truncate_end((*log)->next());  // as Kafka does when it loads a log
      EXPECT_EQ((*log)->epochs().entries(), epochs->entries()) << name;
      ++opened;
    }
  });
  testing::Test::RecordProperty("partitions", static_cast<int>(opened));
  EXPECT_EQ(opened, all.size());
}

// A time index without the entries that Kafka adds when it closes a log which then goes on: at the
// end of an epoch, because every start begins a new one. The batches do not tell of them.
std::string without_restarts(const std::string& times, const Files& files) {
  auto epochs = EpochCache::decode(files.at(std::string(kEpochCheckpointName)));
  EXPECT_TRUE(epochs.has_value());
  std::string kept;
  for (size_t at = 0; at < times.size(); at += TimeIndex::kEntryBytes) {
    auto bytes = std::as_bytes(std::span(times).subspan(at, TimeIndex::kEntryBytes));
    Offset end{base::load_be<int32_t>(bytes.data() + 8) + 1};
    bool last = at + TimeIndex::kEntryBytes == times.size();
    bool restart = std::ranges::any_of(epochs->entries(),
                                       [&](const auto& entry) { return entry.start == end; });
    if (last || !restart) kept += times.substr(at, TimeIndex::kEntryBytes);
  }
  return kept;
}

TEST(GoldenLog, indexes_built_from_the_batches_are_kafkas) {
  size_t compared = 0;
  for (const auto& [name, files] : partitions()) {
    Files without = files;
    std::erase_if(without, [](const auto& file) {
      return file.first.ends_with(kIndexSuffix) || file.first.ends_with(kTimeIndexSuffix);
    });
    ASSERT_LT(without.size(), files.size());
    auto close = [](Log& log) { ASSERT_TRUE(log.close_cleanly().has_value()); };
    with_log(name, without, options_for(name), close, [&](LogRig& rig) {
      for (const auto& [file, content] : files) {
        if (!file.ends_with(kIndexSuffix) && !file.ends_with(kTimeIndexSuffix)) continue;
        auto ours = rig.disk().content(name + "/" + file);
        ASSERT_TRUE(ours.has_value()) << name << "/" << file;
        std::string kafkas = content;
        if (file.ends_with(kTimeIndexSuffix)) kafkas = without_restarts(content, files);
        EXPECT_EQ(ours->text(), kafkas) << name << "/" << file;
        ++compared;
      }
    });
  }
  EXPECT_GE(compared, 42U);
}

TEST(GoldenLog, producer_snapshots_decode_and_encode_to_the_same_bytes) {
  size_t with_producers = 0;
  for (const auto& [name, files] : partitions()) {
    for (const auto& [file, content] : files) {
      if (!file.ends_with(kSnapshotSuffix)) continue;
      auto table = ProducerTable::from_snapshot(base::Slice::copy_of(content));
      ASSERT_TRUE(table.has_value()) << name << "/" << file << table.error().to_string();
      EXPECT_EQ(table->to_snapshot().text(), content) << name << "/" << file;
      with_producers += table->size() > 0;
    }
  }
  EXPECT_GE(with_producers, 10U);
}

TEST(GoldenLog, a_replay_of_the_batches_gives_kafkas_producer_snapshot) {
  // Markers of transactions carry the coordinator's epoch in their body, which the log leaves to
  // the transaction layer: those partitions are left out.
  size_t compared = 0;
  for (const auto& [name, files] : partitions()) {
    if (transactional(log_bytes(files))) continue;
    Files without = files;
    std::erase_if(without, [](const auto& f) { return f.first.ends_with(kSnapshotSuffix); });
    if (without.size() == files.size()) continue;
    auto close = [](Log& log) { ASSERT_TRUE(log.close_cleanly().has_value()); };
    with_log(name, without, options_for(name), close, [&](LogRig& rig) {
      const std::string* newest = nullptr;
      for (const auto& [file, content] : files) {
        if (file.ends_with(kSnapshotSuffix)) newest = &file;
      }
      auto ours = rig.disk().content(name + "/" + *newest);
      ASSERT_TRUE(ours.has_value()) << name << "/" << *newest;
      EXPECT_EQ(ours->text(), files.at(*newest)) << name << "/" << *newest;
      ++compared;
    });
  }
  EXPECT_GE(compared, 5U);
}

TEST(GoldenLog, epochs_found_in_the_batches_are_kafkas) {
  for (const auto& [name, files] : partitions()) {
    Files without = files;
    without.erase(std::string(kEpochCheckpointName));
    auto kafkas = EpochCache::decode(files.at(std::string(kEpochCheckpointName)));
    ASSERT_TRUE(kafkas.has_value());
    EXPECT_EQ(kafkas->encode(), files.at(std::string(kEpochCheckpointName)));
    with_log(
        name, without, options_for(name),
        [&](Log& log) {
          // An epoch that began without a record is not in the batches.
          for (const EpochCache::Entry& entry : log.epochs().entries()) {
            EXPECT_NE(std::ranges::find(kafkas->entries(), entry), kafkas->entries().end())
                << name << " epoch " << entry.epoch.value;
          }
          (void)kafkas->truncate_end(log.next());
          EXPECT_EQ(log.last_epoch(), kafkas->last()) << name;
        },
        nullptr);
  }
}

}  // namespace
}  // namespace verdict::log
