#pragma once
// What a leader checks of a batch from a client before it appends it, in Kafka's order and with
// Kafka's verdicts.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/slice.h"
#include "broker/record/batch.h"

namespace verdict::record {

// Kafka's error for a refused batch; the numbers are its wire codes.
enum class Refusal : int16_t {
  corrupt_message = 2,
  message_too_large = 10,
  record_list_too_large = 18,
  invalid_timestamp = 32,
  unsupported_for_message_format = 43,
  unsupported_compression_type = 76,
  invalid_record = 87,
};

// The topic's settings that bear on an append.
struct AppendRules {
  int64_t message_bytes_max = 1'048'588;  // max.message.bytes, of the compressed batch
  int64_t segment_bytes = 1'073'741'824;
  bool log_append_time = false;  // message.timestamp.type
  int64_t timestamp_before_max_ms = INT64_MAX;
  int64_t timestamp_after_max_ms = 3'600'000;
  bool compacted = false;                      // every record needs a key
  std::optional<Codec> compression;            // nullopt: producer
  int compression_level = 0;                   // 0: the codec's usual one
  bool zstd_allowed = true;                    // Produce from version 7 on
  size_t uncompressed_bytes_max = 128U << 20;  // bomb limit, not a Kafka setting
};

// What is wrong with the record at `index` of its batch.
struct RecordError {
  int32_t index;
  std::string message;
};

// Records named in one refusal.
inline constexpr size_t kRecordErrorsMax = 1'000;

// Why a batch is not appended: what Produce answers from version 8 on.
struct Refused {
  Refusal code;
  std::string message;
  std::vector<RecordError> records;  // at most kRecordErrorsMax
};

// A batch that may be appended: emit header(), then the body.
struct ValidatedBatch {
  BatchHeader header;  // base offset 0 until assigned
  base::Slices body;   // everything after the header
  int64_t max_timestamp_ms = -1;
  int64_t max_timestamp_offset_delta = 0;  // of the first record with it

  // The bytes to write: a fresh header slice with the offset and epoch, then the untouched body. A
  // small body is copied behind its header: cheaper than a second slice in every later step.
  base::Slices with_position(int64_t base_offset, int32_t leader_epoch) const;
};

// `records` is the produce request's bytes for one partition: exactly one v2 batch, see kafka
// facts.
std::expected<ValidatedBatch, Refused> validate_for_append(const base::Slices& records,
                                                           const AppendRules& rules,
                                                           int64_t now_ms);

}  // namespace verdict::record
