#include "broker/meta/metadata_log.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/meta/probes.h"
#include "broker/record/batch.h"
#include "broker/wire/control_records.h"
#include "broker/wire/metadata_record.h"
#include "broker/wire/metadata_records.h"

namespace verdict::meta {
namespace {

using base::Errc;
using base::fail;
using base::Result;

inline constexpr std::string_view kQuorumStateFile = "quorum-state";
inline constexpr std::string_view kQuorumStateTmp = "quorum-state.tmp";
inline constexpr int16_t kLeaderChangeType = 2;
inline constexpr size_t kBatchBytesMax = 64U << 20;  // of a batch in the log that is replayed

base::Error at_offset(const base::Error& error, int64_t offset) {
  return {error.code, std::string(kMetadataFolder) + ": batch at offset " + std::to_string(offset) +
                          ": " + error.detail};
}

Result<std::optional<QuorumState>> read_quorum_state(runtime::Directory& directory) {
  auto file = directory.open(kQuorumStateFile, runtime::OpenMode::open_existing);
  if (!file) {
    if (file.error().code == Errc::not_found) return std::optional<QuorumState>();
    return std::unexpected(std::move(file).error());
  }
  const base::Slice bytes = TRY((*file)->read_at(0, kQuorumStateBytesMax));
  auto state = QuorumState::from_json(bytes.text());
  // It was renamed into place after its sync, so only damage makes it unreadable; the epochs in the
  // log say as much as it did.
  if (!state) return std::optional<QuorumState>();
  return std::optional<QuorumState>(std::move(*state));
}

Result<> write_quorum_state(runtime::Directory& directory, const QuorumState& state) {
  {
    const auto file = TRY(directory.open(kQuorumStateTmp, runtime::OpenMode::open_or_create));
    TRY(file->truncate(0));
    const base::Slice bytes = base::Slice::copy_of(state.to_json());
    TRY(file->write_at(0, {&bytes, 1}));
    TRY(file->sync());
  }
  TRY(directory.rename(kQuorumStateTmp, kQuorumStateFile));
  return directory.sync();
}

struct Replayed {
  MetadataImage image;
  std::set<Uuid> removed;
};

// The topic that this record removes.
std::optional<Uuid> removed_topic(const base::Slice& value) {
  const auto frame = wire::decode_metadata_record(value);
  if (!frame || frame->type != wire::RemoveTopicRecord::kApiKey) return std::nullopt;
  const auto record = wire::RemoveTopicRecord::decode(frame->body, frame->version);
  if (!record) return std::nullopt;
  return record->topic_id;
}

// Applies one batch of the log to the image.
Result<> replay_batch(Replayed& replayed, const record::BatchHeader& header,
                      const base::Slices& batch) {
  if (header.control()) {
    replayed.image.pass(Offset{header.last_offset()});
    return {};
  }
  const std::vector<record::Record> records =
      TRY(record::read_records(header, batch, kBatchBytesMax));
  for (const record::Record& r : records) {
    if (!r.value) return fail(Errc::corrupt, "a metadata record without value");
    TRY(replayed.image.apply(Offset{header.base_offset + r.offset_delta}, *r.value));
    if (auto topic = removed_topic(*r.value)) replayed.removed.insert(*topic);
  }
  return {};
}

// Applies a run of whole batches that follow the image's offset.
Result<> replay_run(Replayed& replayed, const base::Slices& run) {
  size_t at = 0;
  while (at < run.size()) {
    std::array<std::byte, record::kHeaderBytes> bytes;
    if (run.size() - at < bytes.size()) {
      return std::unexpected(
          at_offset({Errc::corrupt, "torn header"}, replayed.image.offset().value + 1));
    }
    run.copy_to(at, bytes);
    const record::BatchHeader header = record::read_header(bytes);
    auto judged = record::check_header(header, kBatchBytesMax);
    if (judged && header.total_bytes() > run.size() - at) {
      judged = fail(Errc::corrupt, "torn batch");
    }
    if (judged && header.base_offset <= replayed.image.offset().value) {
      judged = fail(Errc::corrupt,
                    "its offset comes after " + std::to_string(replayed.image.offset().value));
    }
    if (judged) judged = replay_batch(replayed, header, run.cut(at, header.total_bytes()));
    if (!judged) return std::unexpected(at_offset(judged.error(), header.base_offset));
    at += header.total_bytes();
  }
  return {};
}

Result<Replayed> replay(log::Log& log) {
  if (log.start() != Offset{0}) {
    return fail(Errc::unsupported, std::string(kMetadataFolder) + " starts at offset " +
                                       std::to_string(log.start().value) +
                                       ": what was before stands in a snapshot, which this broker "
                                       "cannot read yet");
  }
  Replayed replayed;
  Offset at{0};
  while (at < log.next()) {
    const log::ReadResult run = TRY(log.read(at, log.next(), kReplayReadBytes));
    CHECK(run.next > at);
    TRY(replay_run(replayed, run.batches));
    at = run.next;
  }
  return replayed;
}

base::Slice leader_change_batch(Offset at, LeaderEpoch epoch, NodeId self, int64_t now_ms) {
  wire::LeaderChangeMessage message;
  message.version = 0;
  message.leader_id = self.value;
  message.voters = {{.voter_id = self.value, .voter_directory_id = {}, .unknown_tags = {}}};
  message.granting_voters = message.voters;
  const base::Slice value = message.encode(0).flatten();
  std::array<std::byte, 4> key;
  base::store_be<int16_t>(key.data(), 0);
  base::store_be<int16_t>(key.data() + 2, kLeaderChangeType);
  record::BatchBuilder builder(
      {.control = true, .leader_epoch = epoch.value, .base_offset = at.value});
  builder.add(now_ms, key, value.bytes());
  return builder.build();
}

class SingleVoterLog final : public MetadataLog {
 public:
  SingleVoterLog(runtime::Node& node, NodeId self, std::unique_ptr<log::Log> log)
      : MetadataLog(node.tasks),
        node_(node),
        self_(self),
        log_(std::move(log)),
        mutex_(node.tasks),
        image_(std::make_shared<const MetadataImage>()) {}

  Result<> start(runtime::Directory& folder);

  ImagePointer image() const override {
    check_shard();
    return image_;
  }
  LeaderEpoch epoch() const override { return epoch_; }
  Offset committed() const override { return image_->offset() + 1; }
  const log::RecoveryReport& recovery() const override { return log_->recovery(); }
  std::set<Uuid> take_removed_topics() override { return std::exchange(removed_topics_, {}); }
  const std::optional<base::Error>& offline() const override { return offline_; }
  runtime::Mutex& mutex() override { return mutex_; }
  Offset next() const override { return committed(); }
  Result<Committed> commit(const RecordValues& values) override;
  Result<> close_cleanly() override;

 private:
  Result<> claim_epoch(runtime::Directory& folder);
  Result<base::Slice> build(const RecordValues& values) const;
  base::Error go_offline(const base::Error& error);

  runtime::Node& node_;
  NodeId self_;
  std::unique_ptr<log::Log> log_;
  runtime::Mutex mutex_;
  ImagePointer image_;
  std::set<Uuid> removed_topics_;
  LeaderEpoch epoch_{0};
  std::optional<base::Error> offline_;
};

Result<> SingleVoterLog::start(runtime::Directory& folder) {
  auto replayed = replay(*log_);
  if (!replayed) return std::unexpected(std::move(replayed).error());
  TRY(claim_epoch(folder));
  const Offset at = log_->next();
  TRY(log_->begin_epoch(epoch_));
  TRY(log_->append_as_is(leader_change_batch(at, epoch_, self_, node_.clock.wall().ms())));
  TRY(log_->sync_through(log_->next()));
  replayed->image.pass(at);
  replayed->image.check_invariants();
  image_ = std::make_shared<const MetadataImage>(std::move(replayed->image));
  removed_topics_ = std::move(replayed->removed);
  CHECK(log_->next() == committed());
  return {};
}

// Chooses an epoch above every one that was ever claimed, and makes that durable before the first
// record carries it.
Result<> SingleVoterLog::claim_epoch(runtime::Directory& folder) {
  const std::optional<QuorumState> before = TRY(read_quorum_state(folder));
  if (before) {
    const bool ours = before->voters.empty() || before->voters == std::vector{self_.value};
    if (!ours || (before->leader != kNoLeader && before->leader != self_)) {
      return fail(Errc::invalid, std::string(kMetadataFolder) + "/" +
                                     std::string(kQuorumStateFile) +
                                     " names other voters than node " +
                                     std::to_string(self_.value) + ", the only one");
    }
  }
  const int32_t in_log = std::max(log_->last_epoch().value, 0);
  const int32_t in_file = before ? before->epoch.value : 0;
  if (in_file < in_log) {
    node_.observer.warning("quorum-state is behind the metadata log, which counts",
                           {{"epoch in file", in_file}, {"epoch in log", in_log}});
  }
  const int32_t last = std::max(in_log, in_file);
  if (last >= INT32_MAX - 1) return fail(Errc::exhausted, "the raft epochs are used up");
  epoch_ = LeaderEpoch{last + 1};
  TRY(write_quorum_state(folder, {.leader = self_, .epoch = epoch_, .voters = {self_.value}}));
  node_.observer.reached(kProbeEpochClaimed);
  return {};
}

Result<base::Slice> SingleVoterLog::build(const RecordValues& values) const {
  if (values.size() > kRecordsPerCommitMax) {
    return fail(Errc::too_large, std::to_string(values.size()) + " records in one commit");
  }
  record::BatchBuilder builder({.leader_epoch = epoch_.value, .base_offset = next().value});
  const int64_t now_ms = node_.clock.wall().ms();
  for (const base::Slice& value : values) {
    if (builder.uncompressed_bytes() + value.size() > kCommitBytesMax) {
      return fail(Errc::too_large,
                  "more than " + std::to_string(kCommitBytesMax) + " bytes in one commit");
    }
    builder.add(now_ms, std::nullopt, value.bytes());
  }
  return builder.build();
}

base::Error SingleVoterLog::go_offline(const base::Error& error) {
  node_.observer.reached(kProbeCommitFailed);
  if (!offline_) {
    offline_ = base::Error{error.code, "metadata log: " + error.detail};
    node_.observer.error("metadata log offline", {{"reason", error.to_string()}});
  }
  return *offline_;
}

Result<Committed> SingleVoterLog::commit(const RecordValues& values) {
  check_shard();
  CHECK(mutex_.locked());
  CHECK(!values.empty());
  if (offline_) return fail(Errc::wrong_state, offline_->detail);
  const Offset first = next();
  CHECK(log_->next() == first);
  auto changed = std::make_shared<MetadataImage>(*image_);
  for (size_t i = 0; i < values.size(); ++i) {
    auto applied = changed->apply(first + static_cast<int64_t>(i), values[i]);
    if (!applied) return fail(Errc::invalid, applied.error().detail);
  }
  const base::Slice batch = TRY(build(values));
  if (auto written = log_->append_as_is(batch); !written) {
    return std::unexpected(go_offline(written.error()));
  }
  node_.observer.reached(kProbeCommitAppended);
  if (auto synced = log_->sync_through(log_->next()); !synced) {
    return std::unexpected(go_offline(synced.error()));
  }
  node_.observer.reached(kProbeCommitSynced);
  const Offset last = changed->offset();
  CHECK(log_->next() == last + 1);
  image_ = std::move(changed);
  return Committed{first, last, image_};
}

Result<> SingleVoterLog::close_cleanly() {
  check_shard();
  const runtime::LockGuard lock(mutex_);
  if (offline_) return fail(Errc::wrong_state, offline_->detail);
  offline_ = base::Error{Errc::closed, "metadata log: closed"};
  return log_->close_cleanly();
}

}  // namespace

base::Result<std::unique_ptr<MetadataLog>> MetadataLog::open(runtime::Node& node,
                                                             runtime::Directory& log_directory,
                                                             Options options) {
  CHECK(options.node_id.value >= 0);
  const auto mode = runtime::OpenMode::open_or_create;
  const auto folder = TRY(log_directory.subdirectory(kMetadataFolder, mode));
  auto for_log = TRY(log_directory.subdirectory(kMetadataFolder, mode));
  TRY(log_directory.sync());
  options.log.name = kMetadataFolder;
  options.log.topic_id = kMetadataTopicId;
  auto log = TRY(log::Log::open(node, std::move(for_log), std::move(options.log)));
  auto opened = std::make_unique<SingleVoterLog>(node, options.node_id, std::move(log));
  TRY(opened->start(*folder));
  return std::unique_ptr<MetadataLog>(std::move(opened));
}

}  // namespace verdict::meta
