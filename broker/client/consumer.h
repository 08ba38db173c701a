#pragma once
// Consumer: reads assigned partitions from given positions on.
//
// Made, stopped, polled and destroyed by one fiber. Nothing is sent but by poll(); what it asked
// for stays open between polls, however short: one fetch per broker, one look at the metadata and
// one at the starts of partitions.
//
// Invariants: records of a partition are returned in order, each once, until a seek or a reported
// truncation; a position carries the leader epoch of the record before it, so that a leader with
// another history is noticed (KIP-320).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/client/cluster.h"
#include "broker/record/batch.h"
#include "broker/runtime/node.h"

namespace verdict::client {

enum class Isolation : int8_t { read_uncommitted = 0, read_committed = 1 };
// What to do when a position is out of the partition's range.
enum class ResetPolicy : uint8_t { report, earliest, latest };

struct ConsumerOptions {
  ClusterOptions cluster;
  runtime::Duration max_wait = runtime::milliseconds(500);
  int32_t min_bytes = 1;
  int32_t max_bytes = 50 << 20;
  int32_t partition_max_bytes = 1 << 20;
  Isolation isolation = Isolation::read_uncommitted;
  ResetPolicy reset = ResetPolicy::report;
};

// Where to begin: an absolute offset, or one of the two special ones.
struct StartAt {
  static constexpr int64_t kEarliest = -2;
  static constexpr int64_t kLatest = -1;
  int64_t offset = kEarliest;
  static constexpr StartAt earliest() { return {kEarliest}; }
  static constexpr StartAt latest() { return {kLatest}; }
};

struct Assignment {
  std::string topic;
  int32_t partition = 0;
  StartAt at;
};

struct ConsumedRecord {
  std::string topic;
  int32_t partition = 0;
  int32_t leader_epoch = -1;
  int64_t offset = 0;
  int64_t timestamp_ms = -1;
  std::optional<base::Slice> key;
  std::optional<base::Slice> value;
  std::vector<record::Header> headers;
};

// The leader's history differs from what was read: everything from `to_offset` on was replaced.
struct Truncated {
  std::string topic;
  int32_t partition = 0;
  int64_t from_offset = 0;  // the position before
  int64_t to_offset = 0;    // the position now
};

// A partition that cannot go on without a decision: out of range (1) with ResetPolicy::report,
// corrupt bytes (2), or an error that no retry cures. It is paused until seek().
struct PartitionError {
  std::string topic;
  int32_t partition = 0;
  int16_t error_code = 0;
  std::string detail;
};

struct PollResult {
  std::vector<ConsumedRecord> records;
  std::vector<Truncated> truncated;  // happened before `records`
  std::vector<PartitionError> errors;
  bool empty() const { return records.empty() && truncated.empty() && errors.empty(); }
};

class ConsumerCore;

class Consumer {
 public:
  Consumer(runtime::Node& node, ConsumerOptions options);
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer();

  // Replaces the assignment; nothing is sent before poll().
  void assign(std::vector<Assignment> assignment);
  void seek(const std::string& topic, int32_t partition, StartAt at);
  // What has arrived: records and events, empty when nothing did until `deadline`. Errors:
  // cancelled, wrong_state; trouble with brokers is retried with back-off within the deadline.
  base::Result<PollResult> poll(runtime::Instant deadline);
  // The offset of the next record to be returned; nothing until a special start is resolved.
  std::optional<int64_t> position(const std::string& topic, int32_t partition) const;
  // The high watermark that the last answer for this partition told; -1 before.
  int64_t high_watermark(const std::string& topic, int32_t partition) const;
  // Since when no broker has told anything of some assigned partition that is not paused: what a
  // caller measures its patience by, as trouble with brokers never ends a poll(). Brokers answer
  // within max_wait even when there is nothing to read. The clock's now when nothing is assigned.
  runtime::Instant quiet_since() const;
  // For people: the last trouble that was retried; empty when there was none.
  const std::string& last_trouble() const;
  // ListOffsets: the end (or start, or time) of partitions, assigned or not.
  base::Result<std::vector<ListedOffset>> list_offsets(const std::vector<OffsetQuery>& queries,
                                                       runtime::Instant deadline);
  // Closes the connections; before destruction.
  void stop();

 private:
  std::unique_ptr<ConsumerCore> core_;
};

}  // namespace verdict::client
