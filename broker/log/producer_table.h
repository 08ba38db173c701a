#pragma once
// ProducerTable: what a partition remembers of idempotent producers, to tell a retry from a new
// batch and a gap from the next one (KIP-98, KIP-360). Kept equal to a replay of the log.
//
// Invariants: every entry remembers at most kBatchesRemembered batches, oldest first; there are at
// most kProducersMax entries, beyond which the producers that were silent longest are forgotten.

#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/record/batch.h"

namespace verdict::log {

inline constexpr size_t kBatchesRemembered = 5;   // = max.in.flight of an idempotent producer
inline constexpr size_t kProducersMax = 1 << 20;  // of one partition; not Kafka's: it has no limit

struct ProducerBatch {
  int32_t first_sequence = -1;
  int32_t last_sequence = -1;
  int64_t base_offset = -1;
  int64_t last_offset = -1;
  int64_t timestamp_ms = -1;
  auto operator<=>(const ProducerBatch&) const = default;
};

struct ProducerEntry {
  int64_t producer_id = -1;
  int16_t epoch = -1;
  int32_t coordinator_epoch = -1;
  int64_t last_timestamp_ms = -1;
  int64_t current_transaction_first_offset = -1;
  std::vector<ProducerBatch> batches;  // oldest first, at most kBatchesRemembered
  auto operator<=>(const ProducerEntry&) const = default;
};

enum class SequenceVerdict : uint8_t { next, duplicate, out_of_order, stale_epoch };
struct SequenceCheck {
  SequenceVerdict verdict = SequenceVerdict::next;
  ProducerBatch original{};  // of a duplicate
};

class ProducerTable {
 public:
  // Judges a client's batch; one without a producer id is always next.
  SequenceCheck check(const record::BatchHeader& header) const;
  // After the batch was written at header.base_offset.
  void update(const record::BatchHeader& header);
  // Forgets who wrote last `expiry_ms` or more before `now_ms` and has no transaction open.
  void expire(int64_t now_ms, int64_t expiry_ms);
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }
  const base::OrderedMap<int64_t, ProducerEntry>& entries() const { return entries_; }

  // Kafka's .snapshot file: version 1, CRC32C. Kafka writes one entry per producer, its last batch;
  // here each remembered batch has one, oldest first, of which Kafka keeps the last (docs/decisions
  // 0008). Reads both.
  base::Slice to_snapshot() const;
  static base::Result<ProducerTable> from_snapshot(const base::Slice& bytes);
  void check_invariants() const;

 private:
  void forget_oldest();

  base::OrderedMap<int64_t, ProducerEntry> entries_;
};

}  // namespace verdict::log
