#include "broker/log/log_directory.h"

#include <algorithm>
#include <array>

#include "broker/base/check.h"
#include "broker/log/checkpoint_file.h"
#include "broker/log/file_names.h"

namespace verdict::log {
namespace {

using base::Errc;
using base::fail;
using base::Result;
using runtime::OpenMode;

constexpr std::string_view kMetaName = "meta.properties";
constexpr std::string_view kCleanShutdownName = ".kafka_cleanshutdown";
constexpr std::string_view kDeleteSuffix = "-delete";
constexpr std::string_view kStraySuffix = "-stray";
constexpr std::string_view kBrokerEpochKey = "\"brokerEpoch\":";
constexpr size_t kFileNameBytesMax = 255;
constexpr size_t kUuidHexDigits = 32;

// Files of Kafka's that others read, or nobody.
constexpr std::array<std::string_view, 6> kOtherFiles = {"bootstrap.checkpoint",
                                                         "cleaner-offset-checkpoint",
                                                         ".lock",
                                                         "recovery-point-offset-checkpoint",
                                                         "log-start-offset-checkpoint",
                                                         "replication-offset-checkpoint"};

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i > 0; --i, value >>= 4) text[i - 1] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace

std::string PartitionKey::directory_name() const { return topic + "-" + std::to_string(partition); }

std::optional<PartitionKey> PartitionKey::parse(std::string_view directory_name) {
  size_t dash = directory_name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  auto number = parse_int64(directory_name.substr(dash + 1));
  if (!number || *number < 0 || *number > INT32_MAX) return std::nullopt;
  PartitionKey key{std::string(directory_name.substr(0, dash)), static_cast<int32_t>(*number)};
  if (key.directory_name() != directory_name) return std::nullopt;  // "a-01"
  return key;
}

Result<std::unique_ptr<runtime::Directory>> open_partition_folder(runtime::Node& node,
                                                                  const PartitionKey& key) {
  std::string name = key.directory_name();
  auto there = node.data.subdirectory(name, OpenMode::open_existing);
  if (there || there.error().code != Errc::not_found) return there;
  auto made = node.data.subdirectory(name, OpenMode::create_exclusive);
  if (!made) return made;
  if (auto synced = node.data.sync(); !synced) {
    // Nobody may find a folder whose name a power loss can take. If this fails too, an unclean
    // start removes it, because it is empty.
    (void)node.data.remove(name);
    return std::unexpected(std::move(synced).error());
  }
  return made;
}

Result<std::optional<base::Uuid>> read_topic_id(runtime::Directory& directory) {
  std::optional<std::string> text = TRY(read_text(directory, kPartitionMetadataName));
  if (!text) return std::optional<base::Uuid>();
  size_t at = text->find(kTopicIdKey);
  std::optional<base::Uuid> id;
  if (text->starts_with("version: 0\n") && at != std::string::npos) {
    std::string_view rest = std::string_view(*text).substr(at + kTopicIdKey.size());
    id = base::Uuid::parse(rest.substr(0, rest.find('\n')));
  }
  if (!id) return fail(Errc::corrupt, std::string(kPartitionMetadataName) + ": not understood");
  return id;
}

LogDirectory::LogDirectory(runtime::Node& node)
    : ShardBound(node.tasks), node_(node), write_mutex_(node.tasks) {}

Result<std::unique_ptr<LogDirectory>> LogDirectory::open(runtime::Node& node, Identity identity) {
  CHECK(identity.node_id.value >= 0);
  std::unique_ptr<LogDirectory> directory(new LogDirectory(node));
  TRY(directory->list());
  TRY(directory->read_meta(identity));
  TRY(directory->read_checkpoint(directory->recovery_points_));
  TRY(directory->read_checkpoint(directory->start_offsets_));
  TRY(directory->read_checkpoint(directory->high_watermarks_));
  TRY(directory->read_clean_shutdown());
  if (!directory->clean_epoch_) {
    // After a failed sync the names may be in the page cache only: they are made anew.
    TRY(directory->remove_empty_folders());
    TRY(directory->write_meta());
  }
  return directory;
}

Result<> LogDirectory::list() {
  std::vector<runtime::DirectoryEntry> entries = TRY(node_.data.list());
  for (const runtime::DirectoryEntry& entry : entries) {
    if (entry.is_directory) {
      if (auto key = PartitionKey::parse(entry.name)) {
        found_.push_back(std::move(*key));
        continue;
      }
      if (entry.name.ends_with(kDeleteSuffix)) {
        marked_.push_back(entry.name);
        continue;
      }
    } else if (entry.name == kMetaName) {
      has_meta_ = true;
      continue;
    } else if (entry.name == kCleanShutdownName || entry.name.ends_with(kTemporarySuffix) ||
               std::ranges::find(kOtherFiles, entry.name) != kOtherFiles.end()) {
      continue;
    }
    node_.observer.warning("unknown name in the log directory, left alone", {{"name", entry.name}});
  }
  std::ranges::sort(found_);
  return {};
}

Result<> LogDirectory::read_meta(const Identity& identity) {
  if (!has_meta_) {
    if (!found_.empty()) {
      return fail(Errc::invalid, std::string(kMetaName) +
                                     " is missing but there are partitions: restore it, or "
                                     "start with an empty log directory");
    }
    runtime::Random& random = node_.random;
    uint64_t bits[4];
    for (uint64_t& b : bits) b = random.next("log.directory.id");
    std::string fresh = base::Uuid::from_random(bits[0], bits[1]).to_string();
    meta_.cluster_id = identity.cluster_id.value_or(fresh);
    meta_.node_id = identity.node_id;
    meta_.directory_id = base::Uuid::from_random(bits[2], bits[3]);
    return write_meta();
  }
  std::optional<std::string> text = TRY(read_text(node_.data, kMetaName));
  TRY(parse_meta(text.value_or("")));
  if (meta_.node_id != identity.node_id) {
    return fail(Errc::invalid, std::string(kMetaName) + ": node.id is " +
                                   std::to_string(meta_.node_id.value) + " but " +
                                   std::to_string(identity.node_id.value) + " is configured");
  }
  if (identity.cluster_id && *identity.cluster_id != meta_.cluster_id) {
    return fail(Errc::invalid, std::string(kMetaName) + ": cluster.id is " + meta_.cluster_id +
                                   " but " + *identity.cluster_id + " is configured");
  }
  return {};
}

Result<> LogDirectory::parse_meta(std::string_view text) {
  std::string version;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    size_t equals = line.find('=');
    if (line.starts_with('#') || equals == std::string_view::npos) continue;
    std::string_view key = line.substr(0, equals);
    std::string_view value = line.substr(equals + 1);
    if (key == "version") version = value;
    if (key == "cluster.id") meta_.cluster_id = value;
    if (key == "node.id") {
      auto id = parse_int64(value);
      if (id && *id >= 0 && *id <= INT32_MAX) meta_.node_id.value = static_cast<int32_t>(*id);
    }
    if (key == "directory.id") meta_.directory_id = base::Uuid::parse(value).value_or(base::Uuid{});
  }
  const char* wrong = nullptr;
  if (version != "1") wrong = "version is not 1";
  if (meta_.cluster_id.empty()) wrong = "cluster.id is missing";
  if (meta_.node_id.value < 0) wrong = "node.id is missing or no number";
  if (meta_.directory_id.is_zero()) wrong = "directory.id is missing or no id";
  if (wrong != nullptr) return fail(Errc::corrupt, std::string(kMetaName) + ": " + wrong);
  return {};
}

Result<> LogDirectory::write_meta() {
  CHECK(!meta_.directory_id.is_zero());
  CHECK(!meta_.cluster_id.empty());
  std::string text = "version=1\ncluster.id=" + meta_.cluster_id +
                     "\nnode.id=" + std::to_string(meta_.node_id.value) +
                     "\ndirectory.id=" + meta_.directory_id.to_string() + "\n";
  return replace_file(node_.data, kMetaName, text, SyncDirectory::yes);
}

Result<> LogDirectory::read_clean_shutdown() {
  std::optional<std::string> text = TRY(read_text(node_.data, kCleanShutdownName));
  if (!text) return {};
  size_t at = text->find(kBrokerEpochKey);
  if (at != std::string::npos) {
    std::string_view rest = std::string_view(*text).substr(at + kBrokerEpochKey.size());
    auto epoch = parse_int64(rest.substr(0, rest.find_first_of(",}")));
    if (epoch) clean_epoch_ = base::BrokerEpoch{*epoch};
  }
  // Gone for good before anything is written: a crash from here on is unclean.
  TRY(node_.data.remove(kCleanShutdownName));
  return node_.data.sync();
}

Result<> LogDirectory::read_checkpoint(Checkpoint& checkpoint) {
  std::optional<std::string> text = TRY(read_text(node_.data, checkpoint.name));
  if (!text) return {};
  std::vector<std::string> lines = TRY(parse_checkpoint(checkpoint.name, *text));
  for (const std::string& line : lines) {
    std::vector<std::string_view> words = split_words(line);
    auto partition = words.size() == 3 ? parse_int64(words[1]) : std::nullopt;
    auto offset = words.size() == 3 ? parse_int64(words[2]) : std::nullopt;
    if (!partition || !offset || *partition < 0 || *partition > INT32_MAX || *offset < 0) {
      return fail(Errc::corrupt, std::string(checkpoint.name) + ": entry '" + line + "'");
    }
    PartitionKey key{std::string(words[0]), static_cast<int32_t>(*partition)};
    checkpoint.offsets[std::move(key)] = Offset{*offset};
  }
  return {};
}

Result<> LogDirectory::write_checkpoint(Checkpoint& checkpoint, Offsets offsets) {
  CHECK(write_mutex_.locked());
  std::vector<std::string> lines;
  lines.reserve(offsets.size());
  for (const auto& [key, offset] : offsets) {
    CHECK(offset.value >= 0);
    lines.push_back(key.topic + " " + std::to_string(key.partition) + " " +
                    std::to_string(offset.value));
  }
  checkpoint.offsets = std::move(offsets);
  return replace_file(node_.data, checkpoint.name, format_checkpoint(lines), SyncDirectory::yes);
}

// A folder without a file is one whose making was cut short.
Result<> LogDirectory::remove_empty_folders() {
  std::vector<PartitionKey> kept;
  for (PartitionKey& key : found_) {
    std::string name = key.directory_name();
    std::unique_ptr<runtime::Directory> folder =
        TRY(node_.data.subdirectory(name, OpenMode::open_existing));
    std::vector<runtime::DirectoryEntry> entries = TRY(folder->list());
    if (entries.empty()) {
      TRY(node_.data.remove(name));
    } else {
      kept.push_back(std::move(key));
    }
  }
  found_ = std::move(kept);
  return {};
}

namespace {
std::optional<Offset> find_offset(const std::map<PartitionKey, Offset>& offsets,
                                  const PartitionKey& key) {
  auto at = offsets.find(key);
  if (at == offsets.end()) return std::nullopt;
  return at->second;
}
}  // namespace

std::optional<Offset> LogDirectory::recovery_point(const PartitionKey& key) const {
  check_shard();
  return find_offset(recovery_points_.offsets, key);
}

std::optional<Offset> LogDirectory::start_offset(const PartitionKey& key) const {
  check_shard();
  return find_offset(start_offsets_.offsets, key);
}

std::optional<Offset> LogDirectory::high_watermark(const PartitionKey& key) const {
  check_shard();
  return find_offset(high_watermarks_.offsets, key);
}

Result<> LogDirectory::write_recovery_points(const Offsets& offsets) {
  check_shard();
  runtime::LockGuard lock(write_mutex_);
  return write_checkpoint(recovery_points_, offsets);
}

Result<> LogDirectory::write_start_offsets(const Offsets& offsets) {
  check_shard();
  runtime::LockGuard lock(write_mutex_);
  return write_checkpoint(start_offsets_, offsets);
}

Result<> LogDirectory::write_high_watermarks(const Offsets& offsets) {
  check_shard();
  runtime::LockGuard lock(write_mutex_);
  return write_checkpoint(high_watermarks_, offsets);
}

Result<> LogDirectory::write_clean_shutdown(base::BrokerEpoch epoch) {
  check_shard();
  runtime::LockGuard lock(write_mutex_);
  std::string text = "{\"version\":0,\"brokerEpoch\":" + std::to_string(epoch.value) + "}";
  return replace_file(node_.data, kCleanShutdownName, text, SyncDirectory::yes);
}

Result<> LogDirectory::mark_deleted(const PartitionKey& key) {
  std::string marked = TRY(rename_away(key, kDeleteSuffix));
  marked_.push_back(std::move(marked));
  return node_.data.sync();
}

Result<> LogDirectory::set_aside(const PartitionKey& key) {
  TRY(rename_away(key, kStraySuffix));
  return node_.data.sync();
}

Result<std::string> LogDirectory::rename_away(const PartitionKey& key, std::string_view suffix) {
  check_shard();
  runtime::LockGuard lock(write_mutex_);
  // First the checkpoints: a new partition of this name must not inherit them.
  for (Checkpoint* checkpoint : {&recovery_points_, &start_offsets_, &high_watermarks_}) {
    Offsets offsets = checkpoint->offsets;
    if (offsets.erase(key) == 0) continue;
    TRY(write_checkpoint(*checkpoint, std::move(offsets)));
  }
  uint64_t high = node_.random.next("log.deleted.name");
  uint64_t low = node_.random.next("log.deleted.name");
  std::string tail = "." + hex(high) + hex(low) + std::string(suffix);
  CHECK(tail.size() == 1 + kUuidHexDigits + suffix.size());
  std::string name = key.directory_name();
  std::string marked = name.substr(0, kFileNameBytesMax - tail.size()) + tail;
  TRY(node_.data.rename(name, marked));
  std::erase(found_, key);
  return marked;
}

Result<> LogDirectory::remove_marked() {
  check_shard();
  std::vector<std::string> names = std::exchange(marked_, {});
  for (const std::string& name : names) {
    auto folder = node_.data.subdirectory(name, OpenMode::open_existing);
    if (!folder) {
      if (folder.error().code == Errc::not_found) continue;
      return std::unexpected(std::move(folder).error());
    }
    TRY(runtime::remove_contents(**folder));
    TRY(node_.data.remove(name));
  }
  return names.empty() ? Result<>() : node_.data.sync();
}

}  // namespace verdict::log
