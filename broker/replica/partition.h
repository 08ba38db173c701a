#pragma once
// Partition: one partition as its leader sees it: the log, the leader epoch, the high watermark,
// and those who wait for it to move.
//
// Invariants:
//   log start <= high watermark <= log end; the high watermark never goes back;
//   with a replication factor of one the high watermark is the log end, unless flush.messages asks
//   for a sync first: then it moves when the sync has ended;
//   nothing is acknowledged and nothing is read beyond the high watermark;
//   once offline or removed a partition stays so, and whoever waits on it is told.
//
// A produce has two stages: append() in the order of arrival, then wait_committed().

#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/intrusive_list.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/log/log.h"
#include "broker/record/validate.h"
#include "broker/runtime/node.h"
#include "broker/wire/errors.h"

namespace verdict::replica {

using base::LeaderEpoch;
using base::Offset;
using wire::ErrorCode;

class Partition;

// What a partition asks of the shard that it lives on.
class PartitionHost {
 public:
  virtual ~PartitionHost() = default;
  // For work of the partition that outlives the request that started it.
  virtual runtime::Nursery& nursery() = 0;
  // There are records that no sync covers and no checkpoint names. Once until
  // Partition::clear_dirty().
  virtual void became_dirty(Partition& partition) = 0;
  // The disk failed: Kafka's rule is that the whole log directory goes offline.
  virtual void storage_failed(Partition& partition, const base::Error& error) = 0;
};

// Told when a read may give more than before, or something else: new records, offline, removed.
// Belongs to the partition's shard.
class ProgressWatcher : public base::ListNode {
 public:
  virtual ~ProgressWatcher() = default;
  virtual void on_progress() = 0;
};

struct PartitionKey {
  base::Uuid topic;
  int32_t partition = 0;
  auto operator<=>(const PartitionKey&) const = default;
  uint64_t hash() const {
    return base::combine(topic.hash(), static_cast<uint64_t>(static_cast<uint32_t>(partition)));
  }
};

struct PartitionOptions {
  PartitionKey key;
  std::string name;  // "orders-0"
  LeaderEpoch leader_epoch;
  record::AppendRules rules;
  log::OpenOptions log;  // name and topic id are filled in here
};

// An appended batch on its way to be committed.
struct AppendTicket {
  Offset base;
  Offset through;             // committed once the high watermark is here
  int64_t timestamp_ms = -1;  // with log append time
  Offset log_start;
};

// Why a batch was not appended.
struct AppendRefusal {
  ErrorCode code = ErrorCode::unknown_server_error;
  std::string message;
  std::vector<record::RecordError> records;
};

struct FetchPosition {
  Offset from;
  LeaderEpoch current_epoch;       // what the client believes; -1: says nothing
  LeaderEpoch last_fetched_epoch;  // of the last record it has; -1: says nothing
  size_t bytes_max = 0;
  bool at_least_one = false;  // give the first batch even if it is larger than bytes_max
};

struct FetchPart {
  ErrorCode code = ErrorCode::none;
  Offset high_watermark{-1};
  Offset log_start{-1};
  LeaderEpoch leader_epoch = {};
  std::optional<log::EpochEnd> diverging = std::nullopt;
  base::Slices records = {};
};

struct TimestampAnswer {
  ErrorCode code = ErrorCode::none;
  int64_t timestamp_ms = -1;
  Offset offset{-1};
  LeaderEpoch epoch = {};
};

// Timestamps of ListOffsets with a meaning of their own.
inline constexpr int64_t kLatestOffset = -1;
inline constexpr int64_t kEarliestOffset = -2;
inline constexpr int64_t kMaxTimestamp = -3;
inline constexpr int64_t kEarliestLocalOffset = -4;
inline constexpr int64_t kLatestTieredOffset = -5;

// shared_ptr: a request that found the partition goes on with it while it is being removed.
class Partition final : public runtime::ShardBound, public std::enable_shared_from_this<Partition> {
 public:
  // Opens the log in `folder`. A partition whose log is damaged is made all the same, offline, so
  // that others serve and clients get Kafka's storage error. `host` outlives the partition.
  static std::shared_ptr<Partition> open(runtime::Node& node, PartitionHost& host,
                                         std::unique_ptr<runtime::Directory> folder,
                                         PartitionOptions options);
  // One that could not even get its folder.
  static std::shared_ptr<Partition> make_offline(runtime::Node& node, PartitionHost& host,
                                                 PartitionOptions options, base::Error reason);
  ~Partition();

  const PartitionKey& key() const { return key_; }
  const std::string& name() const { return name_; }
  LeaderEpoch leader_epoch() const { return leader_epoch_; }
  Offset high_watermark() const { return high_watermark_; }
  Offset log_start() const;
  Offset log_end() const;
  Offset recovery_point() const;
  // Why it serves no more; nothing while it serves.
  const std::optional<base::Error>& offline() const { return offline_; }
  bool removed() const { return removed_; }
  // The log, null when it could not be opened.
  const log::Log* log() const { return log_.get(); }

  // A new leadership of this node.
  void lead(LeaderEpoch epoch);
  void set_config(const log::LogConfig& config, const record::AppendRules& rules);

  // Validates and writes one batch. Refused without effect, but for an error of the disk.
  std::expected<AppendTicket, AppendRefusal> append(const base::Slices& records);
  // none once the high watermark has passed the ticket; request_timed_out, kafka_storage_error,
  // unknown_topic_or_partition (removed meanwhile). cancelled ends as request_timed_out.
  ErrorCode wait_committed(const AppendTicket& ticket, runtime::Instant deadline);

  FetchPart fetch(const FetchPosition& position);
  TimestampAnswer find_offset(int64_t timestamp_ms, LeaderEpoch current_epoch);

  // The watcher is unlinked by whoever linked it.
  void watch(ProgressWatcher& watcher);

  // ---- for the shard's housekeeping
  // Syncs what is due. Whether flush.ms wants it looked at again without a further append.
  bool keep_house();
  // After this the next append announces itself again.
  void clear_dirty() { dirty_ = false; }
  void stay_dirty() { mark_dirty(); }
  // Ends in good order: all is synced and the clean-shutdown file may vouch for it.
  base::Result<> close_cleanly();
  // The topic is deleted: waiters are told, nothing is written any more. Returns when nobody stands
  // in the log and it is closed, so that its folder may go.
  void remove();
  // The log directory is offline.
  void go_offline(const base::Error& reason);

  void check_invariants() const;

 private:
  Partition(runtime::Node& node, PartitionHost& host, PartitionOptions options);

  // Somebody stands in the log, which therefore stays.
  class InLog {
   public:
    explicit InLog(Partition& partition) : partition_(partition) { ++partition_.in_log_; }
    InLog(const InLog&) = delete;
    InLog& operator=(const InLog&) = delete;
    ~InLog() {
      if (--partition_.in_log_ == 0) partition_.log_free_.notify_all();
    }

   private:
    Partition& partition_;
  };

  ErrorCode check_epoch(LeaderEpoch current_epoch) const;
  // Whether a reader at `position` has followed another history, and where that one ended.
  std::optional<log::EpochEnd> divergence(const FetchPosition& position, ErrorCode& code);
  std::expected<AppendTicket, AppendRefusal> write(const record::ValidatedBatch& batch);
  AppendRefusal storage_refusal();
  void fail(const base::Error& error);
  void raise_high_watermark(Offset to);
  void wake_all();
  void mark_dirty();
  // Makes durable what asked for it, one sync after the other, in a fiber of its own.
  void start_commit();
  void commit();
#if VERDICT_EXHIBITS
  std::optional<AppendTicket> acknowledge_first(const record::ValidatedBatch& batch);
  void write_late();
  bool acknowledge_early(const AppendTicket& ticket);
#endif

  runtime::Node& node_;
  PartitionHost& host_;
  PartitionKey key_;
  std::string name_;
  LeaderEpoch leader_epoch_;
  record::AppendRules rules_;
  int64_t flush_ms_ = INT64_MAX;
  std::unique_ptr<log::Log> log_;
  Offset high_watermark_{0};
  std::optional<base::Error> offline_;
  bool removed_ = false;
  ErrorCode gone_ = ErrorCode::unknown_topic_or_partition;  // what one hears once it is removed
  bool dirty_ = false;
  bool committing_ = false;
  size_t in_log_ = 0;
  runtime::WaitQueue log_free_;
  runtime::WaitQueue moved_;
  base::IntrusiveList<ProgressWatcher> watchers_;
#if VERDICT_EXHIBITS
  Offset promised_{0};  // acknowledged, and on its way to be written
  // In the order of the promises, each with when it is to be written.
  std::deque<std::pair<runtime::Instant, record::ValidatedBatch>> late_;
  runtime::Instant sync_started_{0};
  Offset sync_through_{0};
  runtime::Duration last_sync_{0};
#endif
};

}  // namespace verdict::replica
