#include "broker/record/validate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/base/varint.h"
#include "broker/record/compression.h"
#include "broker/record/record_cursor.h"

namespace verdict::record {

using base::MutableBuffer;
using base::Result;
using base::Slice;
using base::Slices;

namespace {

template <class T>
using Judged = std::expected<T, Refused>;

std::unexpected<Refused> refuse(Refusal code, std::string message) {
  return std::unexpected(Refused{code, std::move(message), {}});
}

constexpr size_t kMagicEnd = 17;  // bytes up to the magic, which come before all judging
// A body up to this size is copied behind its new header: one slice costs less than two all along
// the way to the disk and to readers.
constexpr size_t kTogetherBytesMax = 2048;
constexpr int32_t kOldestBatchBytes = 14;  // what Kafka's oldest format has after its length field

enum class Framing : uint8_t { none, batch };

// Whether a whole batch starts at `from`; a start that cannot be one is refused. Bytes too few for
// a batch are none: Kafka takes them for the cut end of a fetch, and so ignores them here too.
Judged<Framing> find_batch(const Slices& records, size_t from, size_t& total) {
  size_t left = records.size() - from;
  if (left < kLengthFieldEnd) return Framing::none;
  std::array<std::byte, kMagicEnd> start{};
  records.copy_to(from, std::span(start).first(std::min(left, kMagicEnd)));
  auto length = base::load_be<int32_t>(start.data() + 8);
  if (length < kOldestBatchBytes) {
    return refuse(Refusal::corrupt_message,
                  "A batch length of " + std::to_string(length) + " is too small for any batch");
  }
  if (left < kMagicEnd) return Framing::none;
  auto magic = static_cast<int8_t>(start[kMagicEnd - 1]);
  if (magic < 0 || magic > kMagic) {
    return refuse(Refusal::corrupt_message, "Unknown batch magic " + std::to_string(magic));
  }
  total = kLengthFieldEnd + static_cast<size_t>(length);
  if (left < total) return Framing::none;
  if (magic != kMagic) {
    return refuse(Refusal::invalid_record,
                  "Only batches of magic 2 are taken, this one has " + std::to_string(magic));
  }
  return Framing::batch;
}

// Cuts the one batch out of the request's bytes.
Judged<Slices> cut_batch(const Slices& records, const AppendRules& rules) {
  size_t total = 0;
  Framing first = TRY(find_batch(records, 0, total));
  if (first == Framing::none) {
    return refuse(Refusal::invalid_record, "There is no whole batch for the partition");
  }
  if (!rules.zstd_allowed && total > kCrcStart + 1) {
    std::array<std::byte, 2> attributes;
    records.copy_to(kCrcStart, attributes);
    if ((base::load_be<int16_t>(attributes.data()) & kCodecMask) ==
        static_cast<int16_t>(Codec::zstd)) {
      return refuse(Refusal::unsupported_compression_type,
                    "zstd needs version 7 of Produce or a later one");
    }
  }
  size_t ignored = 0;
  Framing second = TRY(find_batch(records, total, ignored));
  if (second == Framing::batch) {
    return refuse(Refusal::invalid_record, "There is more than one batch for the partition");
  }
  return records.cut(0, total);
}

// The header of a batch whose bytes are what its producer made.
Judged<BatchHeader> read_intact_header(const Slices& batch, const AppendRules& rules) {
  std::array<std::byte, kHeaderBytes> bytes{};
  batch.copy_to(0, std::span(bytes).first(std::min(batch.size(), kHeaderBytes)));
  BatchHeader header = read_header(bytes);
  if (header.base_offset != 0) {
    return refuse(Refusal::invalid_record, "The base offset of the batch should be 0, but it is " +
                                               std::to_string(header.base_offset));
  }
  if (std::cmp_greater(batch.size(), rules.message_bytes_max)) {
    return refuse(Refusal::message_too_large, "The batch has " + std::to_string(batch.size()) +
                                                  " bytes, max.message.bytes is " +
                                                  std::to_string(rules.message_bytes_max));
  }
  if (batch.size() < kHeaderBytes) {
    return refuse(Refusal::corrupt_message, "The batch is too short for its header");
  }
  if (uint32_t crc = batch_crc(batch); crc != header.crc) {
    return refuse(Refusal::corrupt_message, "The batch is corrupt: stored crc " +
                                                std::to_string(header.crc) + ", computed crc " +
                                                std::to_string(crc));
  }
  if (header.codec_bits() > static_cast<int>(Codec::zstd)) {
    return refuse(Refusal::unsupported_compression_type,
                  "Unknown compression codec " + std::to_string(header.codec_bits()));
  }
  return header;
}

// What the header says of the batch must be possible, and allowed to a client.
Judged<void> check_batch(const BatchHeader& header) {
  int64_t offsets = int64_t{header.last_offset_delta} + 1;
  if (offsets <= 0) {
    return refuse(Refusal::invalid_record, "The batch has an invalid offset range: [0, " +
                                               std::to_string(header.last_offset_delta) + "]");
  }
  if (header.record_count <= 0) {
    return refuse(Refusal::invalid_record,
                  "Invalid record count of the batch: " + std::to_string(header.record_count));
  }
  if (offsets != header.record_count) {
    return refuse(Refusal::invalid_record, "The offset range [0, " +
                                               std::to_string(header.last_offset_delta) +
                                               "] of the batch does not fit its record count " +
                                               std::to_string(header.record_count));
  }
  if (header.control()) {
    return refuse(Refusal::invalid_record, "Clients may not write control records");
  }
  if (header.has_delete_horizon()) {
    return refuse(Refusal::invalid_record, "Clients may not set a delete horizon");
  }
  if (header.producer_id >= 0 && header.base_sequence < 0) {
    return refuse(Refusal::invalid_record,
                  "Invalid sequence number " + std::to_string(header.base_sequence) +
                      " in a batch with producer id " + std::to_string(header.producer_id));
  }
  return {};
}

int64_t add_saturated(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

int64_t subtract_saturated(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b > 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// Judges record by record, and remembers what the new header needs.
class Inspection {
 public:
  Inspection(const BatchHeader& header, const AppendRules& rules, int64_t now_ms)
      : header_(header),
        rules_(rules),
        earliest_ms_(subtract_saturated(now_ms, rules.timestamp_before_max_ms)),
        latest_ms_(add_saturated(now_ms, rules.timestamp_after_max_ms)) {}

  void visit(const RecordView& view, int32_t index) {
    if (view.offset_delta != index) renumber_ = true;
    int64_t timestamp_ms = header_.timestamp_ms(view.timestamp_delta_ms);
    if (timestamp_ms > max_timestamp_ms_) {
      max_timestamp_ms_ = timestamp_ms;
      max_timestamp_index_ = index;
    }
    if (rules_.compacted && !view.key) [[unlikely]] {
      note(index, "A compacted topic takes no message without a key");
    } else if (header_.log_append_time()) [[unlikely]] {
      bad_timestamps_ = true;
      note(index, "A producer may not set the timestamp type to LogAppendTime");
    } else if (!rules_.log_append_time && timestamp_ms != -1 &&
               (timestamp_ms < earliest_ms_ || timestamp_ms > latest_ms_)) [[unlikely]] {
      bad_timestamps_ = true;
      note(index, "Timestamp " + std::to_string(timestamp_ms) +
                      " is out of range: it should be in [" + std::to_string(earliest_ms_) + ", " +
                      std::to_string(latest_ms_) + "]");
    }
  }

  Judged<void> result() {
    if (error_count_ == 0) return {};
    Refused refused{bad_timestamps_ ? Refusal::invalid_timestamp : Refusal::invalid_record,
                    std::to_string(error_count_) +
                        " of the batch's records refused, the first: " + errors_.front().message,
                    std::move(errors_)};
    return std::unexpected(std::move(refused));
  }

  bool renumber() const { return renumber_; }
  int64_t max_timestamp_ms() const { return max_timestamp_ms_; }
  int32_t max_timestamp_index() const { return max_timestamp_index_; }

 private:
  void note(int32_t index, std::string message) {
    ++error_count_;
    if (errors_.size() < kRecordErrorsMax) errors_.push_back({index, std::move(message)});
  }

  const BatchHeader& header_;
  const AppendRules& rules_;
  int64_t earliest_ms_;
  int64_t latest_ms_;
  int64_t max_timestamp_ms_ = -1;
  int32_t max_timestamp_index_ = 0;
  bool renumber_ = false;
  bool bad_timestamps_ = false;
  size_t error_count_ = 0;
  std::vector<RecordError> errors_;
};

// The same records with offset deltas 0, 1, 2, ...
Slice renumbered(const Slices& section, int32_t count) {
  // An offset delta may grow by four bytes, and with it the record's length varint by one.
  constexpr size_t kGrowthMax = base::kVarint32BytesMax;
  MutableBuffer out(section.size() + kGrowthMax * static_cast<size_t>(count));
  std::byte* at = out.data();
  auto walked = for_each_record(
      section, count, [&](const RecordView& view, int32_t index, const RecordCursor&) {
        uint64_t timestamp = base::zigzag64(view.timestamp_delta_ms);
        uint32_t offset = base::zigzag32(index);
        size_t length = 1 + base::uvarint_size(timestamp) + base::uvarint_size(offset) +
                        view.after_offset.size();
        at = base::write_uvarint(at, base::zigzag32(static_cast<int32_t>(length)));
        *at++ = static_cast<std::byte>(view.attributes);
        at = base::write_uvarint(at, timestamp);
        at = base::write_uvarint(at, offset);
        std::memcpy(at, view.after_offset.data(), view.after_offset.size());
        at += view.after_offset.size();
        return true;
      });
  CHECK(walked.has_value());  // it was walked before
  auto size = static_cast<size_t>(at - out.data());
  CHECK(size <= out.capacity());
  return std::move(out).freeze(size);
}

Judged<Slices> plain_section(Codec codec, const Slices& body, const AppendRules& rules) {
  if (codec == Codec::none) return body;
  Result<Slice> plain = decompress(codec, body, rules.uncompressed_bytes_max);
  if (plain) return Slices(std::move(*plain));
  Refusal code = plain.error().code == base::Errc::too_large ? Refusal::message_too_large
                                                             : Refusal::invalid_record;
  return refuse(code, std::move(plain.error().detail));
}

Judged<void> check_size(size_t bytes, const AppendRules& rules, bool rewritten) {
  if (rewritten && std::cmp_greater(bytes, rules.message_bytes_max)) {
    return refuse(Refusal::message_too_large,
                  "The batch has " + std::to_string(bytes) + " bytes when compressed anew, " +
                      "max.message.bytes is " + std::to_string(rules.message_bytes_max));
  }
  if (std::cmp_greater(bytes, rules.segment_bytes)) {
    return refuse(Refusal::record_list_too_large, "The batch has " + std::to_string(bytes) +
                                                      " bytes, segment.bytes is " +
                                                      std::to_string(rules.segment_bytes));
  }
  return {};
}

}  // namespace

Slices ValidatedBatch::with_position(int64_t base_offset, int32_t leader_epoch) const {
  CHECK(base_offset >= 0);
  CHECK(header.total_bytes() == kHeaderBytes + body.size());
  BatchHeader positioned = header;
  positioned.base_offset = base_offset;
  positioned.leader_epoch = leader_epoch;
  const bool together = body.size() <= kTogetherBytesMax;
  const size_t bytes = kHeaderBytes + (together ? body.size() : 0);
  MutableBuffer buffer(bytes);
  write_header(positioned, buffer.bytes().first<kHeaderBytes>());
  if (together) body.copy_to(0, buffer.bytes().subspan(kHeaderBytes));
  Slices batch(std::move(buffer).freeze(bytes));
  if (!together) batch.append(body);
  return batch;
}

std::expected<ValidatedBatch, Refused> validate_for_append(const Slices& records,
                                                           const AppendRules& rules,
                                                           int64_t now_ms) {
  Slices batch = TRY(cut_batch(records, rules));
  BatchHeader header = TRY(read_intact_header(batch, rules));
  TRY(check_batch(header));

  auto source = static_cast<Codec>(header.codec_bits());
  Codec target = rules.compression.value_or(source);
  Slices body = batch.cut(kHeaderBytes, batch.size() - kHeaderBytes);
  Slices plain = TRY(plain_section(source, body, rules));

  Inspection inspection(header, rules, now_ms);
  Result<> walked = for_each_record(plain, header.record_count,
                                    [&](const RecordView& view, int32_t i, const RecordCursor&) {
                                      inspection.visit(view, i);
                                      return true;
                                    });
  if (!walked) return refuse(Refusal::invalid_record, std::move(walked.error().detail));
  TRY(inspection.result());

  // Some clients number the records of a compressed batch wrongly; Kafka puts that right.
  bool rewritten = inspection.renumber() || target != source;
  if (inspection.renumber()) plain = renumbered(plain, header.record_count);
  if (rewritten) body = compress(target, rules.compression_level, plain);
  TRY(check_size(kHeaderBytes + body.size(), rules, rewritten));

  BatchHeader renewed = header;
  renewed.batch_length = static_cast<int32_t>(kHeaderBytes - kLengthFieldEnd + body.size());
  renewed.attributes =
      static_cast<int16_t>((header.attributes & ~kCodecMask) | static_cast<int16_t>(target));
  renewed.max_timestamp_ms = inspection.max_timestamp_ms();
  int32_t max_timestamp_delta = inspection.max_timestamp_index();
  if (rules.log_append_time) {
    renewed.attributes |= kLogAppendTimeBit;
    renewed.max_timestamp_ms = now_ms;
    max_timestamp_delta = 0;
  }
  if (rewritten || renewed != header) renewed.crc = batch_crc(renewed, body);
  return ValidatedBatch{renewed, std::move(body), renewed.max_timestamp_ms, max_timestamp_delta};
}

}  // namespace verdict::record
