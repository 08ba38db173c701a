#pragma once
// Log: the batches of one partition replica on disk, in Kafka's format: segments with offset and
// time index, producer snapshots, the leader-epoch checkpoint and partition.metadata.
//
// Invariants, checked by check_invariants():
//   start <= recovery_point's segment; recovery_point <= next; durable <= next
//   batches are contiguous in offset inside what this log wrote; epochs never go back
//   after a failed write or sync the log is offline for good and says why
//
// All calls run on the log's shard and may suspend in the disk. Appends are serialised inside.

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/log/producer_table.h"
#include "broker/record/batch.h"
#include "broker/record/validate.h"
#include "broker/runtime/node.h"

namespace verdict::log {

using base::LeaderEpoch;
using base::Offset;

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
};

// What earlier runs left in the log directory's checkpoints.
struct OpenOptions {
  std::string name;                       // "orders-0", for errors and events
  base::Uuid topic_id;                    // zero: take what partition.metadata says
  LogConfig config;
  bool clean_shutdown = false;           // the clean-shutdown file vouches for this log
  std::optional<Offset> recovery_point;  // from recovery-point-offset-checkpoint
  std::optional<Offset> start;           // from log-start-offset-checkpoint
};

// What recovery did, for the log of events and for trials.
struct RecoveryReport {
  bool was_clean = false;
  uint64_t segments_scanned = 0;
  uint64_t bytes_cut = 0;          // torn tail
  std::optional<Offset> cut_at;
  uint64_t segments_dropped = 0;
  std::string what;                // sentence for people; empty when nothing was cut
};

// The place of an appended batch.
struct Appended {
  Offset base;
  Offset last;
  LeaderEpoch epoch;
  int64_t timestamp_ms = -1;       // log append time, -1 with create time
  bool duplicate = false;          // nothing was written: the batch was here already
};

// Kafka's refusals of a batch by producer state; numbers are wire codes.
enum class ProducerRefusal : int16_t {
  out_of_order_sequence = 45,
  invalid_producer_epoch = 47,
};

struct AppendError {
  enum class Kind : uint8_t { refused, failed } kind;
  ProducerRefusal refusal{};       // kind refused
  base::Error error;               // kind failed: the log is offline; or wrong_state
};

// A run of whole batches as stored; the first one contains `from`.
struct ReadResult {
  base::Slices batches;
  Offset next;                     // after the last batch in it
};

struct TimestampOffset {
  int64_t timestamp_ms = -1;
  Offset offset{-1};
  LeaderEpoch epoch;
};

struct EpochEnd {
  LeaderEpoch epoch;
  Offset end;
};

class Log : public runtime::ShardBound {
 public:
  // Opens or creates the log in `directory`; recovers when the last stop was not clean. corrupt
  // names file and offset of damage below the recovery point.
  static base::Result<std::unique_ptr<Log>> open(runtime::Node& node,
                                                 std::unique_ptr<runtime::Directory> directory,
                                                 OpenOptions options);
  virtual ~Log();

  Offset start() const;            // log start offset
  Offset next() const;             // log end offset: of the next record
  Offset recovery_point() const;   // all before it is synced
  Offset durable() const;          // = recovery point, for readability
  const base::Uuid& topic_id() const;
  const RecoveryReport& recovery() const;
  // Why the log takes no calls any more.
  const std::optional<base::Error>& offline() const;

  // Appends one validated client batch as leader of `epoch`, after the producer checks. Does not
  // sync: see sync_through and needs_sync.
  std::expected<Appended, AppendError> append(const record::ValidatedBatch& batch,
                                              LeaderEpoch epoch);
  // Appends a batch that already has its position (replication, metadata log). The base offset must
  // be next().
  base::Result<> append_as_is(const base::Slices& batch);

  // Whole batches from the one that contains `from` up to `limit` (exclusive); at least one batch
  // even when it is larger than bytes_max. invalid when `from` is outside [start, next].
  base::Result<ReadResult> read(Offset from, Offset limit, size_t bytes_max);

  // Suspends until every record before `through` is durable. Callers that come together share one
  // sync. An error means that the log is offline.
  base::Result<> sync_through(Offset through);
  // By flush.messages: whether the records up to next() must be durable before they are
  // acknowledged.
  bool needs_sync_before_ack() const;
  // Starts the background sync when its time or size has come; called by the shard's housekeeping.
  base::Result<> background_sync();

  // The first record with a timestamp of at least `timestamp_ms`; offset -1 when there is none.
  base::Result<TimestampOffset> find_timestamp(int64_t timestamp_ms);
  // The record with the largest timestamp (KIP-734).
  base::Result<TimestampOffset> max_timestamp();

  // A leader of `epoch` starts at next(): recorded at once, before any append.
  base::Result<> begin_epoch(LeaderEpoch epoch);
  LeaderEpoch last_epoch() const;
  // Kafka's endOffsetFor: the end of the largest epoch <= `epoch`, see kafka facts; nullopt for an
  // epoch that is newer than all known.
  std::optional<EpochEnd> end_of_epoch(LeaderEpoch epoch) const;

  // Cuts everything from `at` on.
  base::Result<> truncate(Offset at);
  void set_config(const LogConfig& config);
  const ProducerTable& producers() const;
  uint64_t size_bytes() const;
  size_t segment_count() const;

  // Syncs all, writes a producer snapshot and trims the indexes: after this the clean-shutdown file
  // may vouch for the log.
  base::Result<> close_cleanly();

  void check_invariants() const;
};

}  // namespace verdict::log
