#pragma once
// Log: the batches of one partition replica on disk, in Kafka's format: segments with offset and
// time index, producer snapshots, the leader-epoch checkpoint and partition.metadata.
//
// Invariants, checked by check_invariants():
//   start <= next; recovery_point <= next; the segments cover [start, next) in order
//   what lies below recovery_point is on the device, its names, indexes and epochs included
//   batches are contiguous in offset inside what this log wrote; epochs never go back
//   after a failed write or sync the log is offline for good and says why
//
// All calls run on the log's shard and may suspend in the disk. Appends are serialised inside. The
// name of the log's own folder is made durable by whoever makes it: open_partition_folder().

#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/log/epoch_cache.h"
#include "broker/log/producer_table.h"
#include "broker/record/batch.h"
#include "broker/record/validate.h"
#include "broker/runtime/node.h"

namespace verdict::log {

using base::LeaderEpoch;
using base::Offset;

class Segment;

// The topic's settings that the log obeys; may change while it runs.
struct LogConfig {
  int64_t segment_bytes = 1'073'741'824;
  int64_t segment_ms = 604'800'000;
  int64_t index_interval_bytes = 4096;
  int64_t segment_index_bytes = 10'485'760;
  int64_t flush_messages = INT64_MAX;  // sync after that many records
  int64_t flush_ms = INT64_MAX;
  int64_t background_sync_bytes = 64 << 20;  // keeps the unsynced tail short; not Kafka's setting
  int64_t producer_expiry_ms = 86'400'000;
  bool compacted = false;  // records were removed by key: missing offsets are no damage
};

// What earlier runs left in the log directory's checkpoints.
struct OpenOptions {
  std::string name;     // "orders-0", for errors and events
  base::Uuid topic_id;  // zero: take what partition.metadata says
  LogConfig config;
  bool clean_shutdown = false;           // the clean-shutdown file vouches for this log
  std::optional<Offset> recovery_point;  // from recovery-point-offset-checkpoint
  std::optional<Offset> start;           // from log-start-offset-checkpoint
};

// What recovery did, for the log of events and for trials.
struct RecoveryReport {
  bool was_clean = false;
  uint64_t segments_scanned = 0;
  uint64_t bytes_cut = 0;        // torn tail
  std::optional<Offset> cut_at;  // the log ended there after the cut
  uint64_t segments_dropped = 0;
  uint64_t indexes_rebuilt = 0;
  uint64_t bytes_rewritten = 0;  // of what was kept above the recovery point
  std::string what;              // sentence for people; empty when nothing was cut
};

// The place of an appended batch.
struct Appended {
  Offset base;
  Offset last;
  LeaderEpoch epoch;
  int64_t timestamp_ms = -1;  // log append time, -1 with create time
  bool duplicate = false;     // nothing was written: the batch was here already
};

// Kafka's refusals of a batch by producer state; numbers are wire codes.
enum class ProducerRefusal : int16_t {
  out_of_order_sequence = 45,
  invalid_producer_epoch = 47,
};

struct AppendError {
  enum class Kind : uint8_t { refused, failed } kind;
  ProducerRefusal refusal{};  // kind refused
  base::Error error;          // kind failed: the log is offline; or wrong_state
};

// A run of whole batches as stored; the first one contains `from`.
struct ReadResult {
  base::Slices batches;
  Offset next;  // after the last batch in it
};

struct TimestampOffset {
  int64_t timestamp_ms = -1;
  Offset offset{-1};
  LeaderEpoch epoch;
};

using EpochEnd = EpochCache::End;

class Log final : public runtime::ShardBound {
 public:
  // Opens or creates the log in `directory`; recovers when the last stop was not clean. corrupt
  // names file and offset of damage below the recovery point; then nothing was changed on disk.
  // What is there after it returns survives a power loss: next() == recovery_point().
  static base::Result<std::unique_ptr<Log>> open(runtime::Node& node,
                                                 std::unique_ptr<runtime::Directory> directory,
                                                 OpenOptions options);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();

  Offset start() const { return start_; }  // log start offset
  Offset next() const { return next_; }    // log end offset: of the next record
  // All before it is synced: what a power loss leaves at least.
  Offset recovery_point() const { return durable_; }
  Offset durable() const { return durable_; }
  const base::Uuid& topic_id() const { return topic_id_; }
  const RecoveryReport& recovery() const { return report_; }
  // Why the log takes no calls any more.
  const std::optional<base::Error>& offline() const { return offline_; }

  // Appends one validated client batch as leader of `epoch`, after the producer checks. Does not
  // sync: see sync_through and needs_sync_before_ack.
  std::expected<Appended, AppendError> append(const record::ValidatedBatch& batch,
                                              LeaderEpoch epoch);
  // Appends one batch that already has its position (replication, metadata log). Its base offset
  // must be next(), its epoch not older than last_epoch(): else invalid, and nothing is written.
  base::Result<> append_as_is(const base::Slices& batch);

  // Whole batches from the one that contains `from` up to `limit` (exclusive); at least one batch
  // even when it is larger than bytes_max. invalid when `from` is outside [start, next].
  base::Result<ReadResult> read(Offset from, Offset limit, size_t bytes_max);

  // Suspends until every record before `through` is durable. Callers that come together share one
  // sync. An error means that the log is offline, or that the log was cut below `through`.
  base::Result<> sync_through(Offset through);
  // By flush.messages: whether the records up to next() must be durable before they are
  // acknowledged.
  bool needs_sync_before_ack() const;
  // Syncs when it is time: flush.ms has passed, so many bytes wait, or a segment was sealed.
  // Forgets expired producers. Called by the shard's housekeeping.
  base::Result<> background_sync();

  // The first record with a timestamp of at least `timestamp_ms`; offset -1 when there is none.
  base::Result<TimestampOffset> find_timestamp(int64_t timestamp_ms);
  // The record with the largest timestamp (KIP-734), the first of several.
  base::Result<TimestampOffset> max_timestamp();

  // A leader of `epoch` starts at next(): known at once, before any append, and durable with the
  // first record of the epoch. A crash may forget an epoch without records.
  base::Result<> begin_epoch(LeaderEpoch epoch);
  LeaderEpoch last_epoch() const { return epochs_.last(); }
  // The end of the largest epoch of at most `epoch`; nullopt for one newer than all known.
  std::optional<EpochEnd> end_of_epoch(LeaderEpoch epoch) const;

  // Cuts everything from `at` on, durably; a batch that holds `at` in its middle goes as a whole.
  // Before it the caller lowers this log's entry in recovery-point-offset-checkpoint to `at`, or a
  // crash would make the missing records look like damage.
  base::Result<> truncate(Offset at);
  void set_config(const LogConfig& config);
  const LogConfig& config() const { return options_.config; }
  const ProducerTable& producers() const { return producers_; }
  const EpochCache& epochs() const { return epochs_; }
  uint64_t size_bytes() const;
  size_t segment_count() const { return segments_.size(); }

  // Syncs all, writes a producer snapshot and trims the indexes: after this the clean-shutdown file
  // may vouch for the log. Nothing is appended any more.
  base::Result<> close_cleanly();

  void check_invariants() const;

 private:
  friend class Recovery;
  // Shared with reads and syncs under way, which may see it dropped by a truncation.
  using SegmentRef = std::shared_ptr<Segment>;
  struct TailBatch {
    Offset base;
    Offset next;
    base::Slices bytes;
    size_t charge = 0;  // bytes of memory that it may keep alive
  };

  Log(runtime::Node& node, std::unique_ptr<runtime::Directory> directory, OpenOptions options);

  Segment& active() const { return *segments_.back(); }
  base::Result<> usable() const;
  base::Error go_offline(const base::Error& why, std::string_view doing);
  int64_t segment_bytes_max() const;
  bool must_roll(const record::BatchHeader& header) const;
  base::Result<> roll();
  base::Result<> write(const base::Slices& bytes, const record::BatchHeader& header);
  base::Result<> write_snapshot(Offset at);
  std::optional<Appended> refuse_or_find(const record::ValidatedBatch& batch,
                                         std::optional<AppendError>& refused) const;
  void remember(const base::Slices& bytes, const record::BatchHeader& header);
  void forget_tail();

  bool sync_is_due() const;
  base::Result<> sync_round();
  base::Result<> sync_files(const std::vector<SegmentRef>& segments);
  base::Result<> sync_segment(Segment& segment);
  // Writes what is not in files yet and syncs; appends and syncs are locked out.
  base::Result<> settle();
  void lock_syncs();
  void unlock_syncs();

  size_t segment_index(Offset offset) const;
  ReadResult read_tail(Offset from, Offset limit, size_t bytes_max) const;
  base::Result<std::optional<ReadResult>> read_segment(Segment& segment, Offset from, Offset limit,
                                                       size_t bytes_max);
  base::Result<std::optional<TimestampOffset>> find_in_segment(Segment& segment,
                                                               int64_t timestamp_ms);

  base::Result<> truncate_locked(Offset at);
  base::Result<> remove_snapshots_above(Offset end);
  // Takes the newest good snapshot at or below next() and replays what follows it.
  base::Result<> rebuild_producers();
  base::Result<> replay_producers(Offset from);

  runtime::Node& node_;
  std::unique_ptr<runtime::Directory> directory_;
  OpenOptions options_;
  base::Uuid topic_id_;
  RecoveryReport report_;
  std::vector<SegmentRef> segments_;  // by base offset; the last one is active
  ProducerTable producers_;
  EpochCache epochs_;
  Offset start_;
  Offset next_;
  Offset durable_;
  std::optional<base::Error> offline_;
  bool closed_ = false;
  runtime::Mutex append_mutex_;

  bool syncing_ = false;
  runtime::WaitQueue sync_done_;
  bool epochs_dirty_ = false;
  bool names_dirty_ = false;
  std::vector<Offset> unsynced_snapshots_;
  uint64_t unsynced_bytes_ = 0;
  runtime::Instant first_unsynced_;  // when unsynced_bytes_ left zero
  runtime::Instant expire_at_;
  uint64_t truncations_ = 0;

  std::deque<TailBatch> tail_;  // the newest batches, contiguous up to next_
  size_t tail_charge_ = 0;
};

}  // namespace verdict::log
