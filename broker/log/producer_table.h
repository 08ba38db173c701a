#pragma once
// ProducerTable: what a partition remembers of idempotent producers, to tell a retry from a new
// batch and a gap from the next one (KIP-98, KIP-360). Kept equal to a replay of the log.

#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/record/batch.h"

namespace verdict::log {

inline constexpr size_t kBatchesRemembered = 5;  // = max.in.flight of an idempotent producer

struct ProducerBatch {
  int32_t first_sequence;
  int32_t last_sequence;
  int64_t base_offset;
  int64_t last_offset;
  int64_t timestamp_ms;
};

struct ProducerEntry {
  int64_t producer_id = -1;
  int16_t epoch = -1;
  int32_t coordinator_epoch = -1;
  int64_t last_timestamp_ms = -1;
  int64_t current_transaction_first_offset = -1;
  std::vector<ProducerBatch> batches;  // oldest first, at most kBatchesRemembered
};

enum class SequenceVerdict : uint8_t { next, duplicate, out_of_order, stale_epoch };
struct SequenceCheck {
  SequenceVerdict verdict;
  ProducerBatch original{};  // of a duplicate
};

class ProducerTable {
 public:
  SequenceCheck check(const record::BatchHeader& header) const;
  // After the batch was written at header.base_offset.
  void update(const record::BatchHeader& header);
  void expire(int64_t now_ms, int64_t expiry_ms);
  void clear();
  size_t size() const;
  const base::OrderedMap<int64_t, ProducerEntry>& entries() const;

  // Kafka's .snapshot file: version 1, CRC32C, one entry per producer (only its last batch).
  base::Slice to_snapshot() const;
  static base::Result<ProducerTable> from_snapshot(const base::Slice& bytes);
};

}  // namespace verdict::log
