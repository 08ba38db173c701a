#pragma once
// Record batch v2: Kafka's unit of produce, storage and fetch. Pure: no time, no I/O.
//
// A batch is a 61-byte header, then records, compressed as one block when a codec is set. The CRC
// covers the bytes from `attributes` on, so base offset and leader epoch are assigned by emitting a
// new header in front of the untouched body.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"

namespace verdict::record {

enum class Codec : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
std::string_view to_string(Codec codec);  // Kafka's names

inline constexpr size_t kHeaderBytes = 61;
inline constexpr size_t kLengthFieldEnd = 12;  // base offset and batch length come before the rest
inline constexpr size_t kCrcStart = 21;        // first byte that the CRC covers
inline constexpr int8_t kMagic = 2;

// Bits of `attributes`.
inline constexpr int16_t kCodecMask = 0x07;
inline constexpr int16_t kLogAppendTimeBit = 0x08;
inline constexpr int16_t kTransactionalBit = 0x10;
inline constexpr int16_t kControlBit = 0x20;
inline constexpr int16_t kDeleteHorizonBit = 0x40;

// The header, field by field, in the order of the wire.
struct BatchHeader {
  int64_t base_offset = 0;
  int32_t batch_length = 0;  // bytes after this field: total size is 12 + this
  int32_t leader_epoch = -1;
  int8_t magic = kMagic;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp_ms = -1;
  int64_t max_timestamp_ms = -1;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t record_count = 0;

  auto operator<=>(const BatchHeader&) const = default;
  size_t total_bytes() const { return kLengthFieldEnd + static_cast<size_t>(batch_length); }
  int codec_bits() const { return attributes & kCodecMask; }
  bool log_append_time() const { return (attributes & kLogAppendTimeBit) != 0; }
  bool transactional() const { return (attributes & kTransactionalBit) != 0; }
  bool control() const { return (attributes & kControlBit) != 0; }
  // The base timestamp is then the time from which tombstones may go.
  bool has_delete_horizon() const { return (attributes & kDeleteHorizonBit) != 0; }
  int64_t last_offset() const { return base_offset + last_offset_delta; }
  int64_t next_offset() const { return last_offset() + 1; }
  // Wraps from 2^31 - 1 to 0; -1 without a sequence.
  int32_t last_sequence() const;
  // The timestamp that readers see of a record with this delta.
  int64_t timestamp_ms(int64_t delta_ms) const;
};

// Reads a header; fields are not judged. `bytes` has at least kHeaderBytes.
BatchHeader read_header(std::span<const std::byte> bytes);
void write_header(const BatchHeader& header, std::span<std::byte, kHeaderBytes> out);

// Whether a header read from storage or the wire can be followed: magic 2, a length that holds the
// header and is at most `bytes_max`, count and delta that fit each other.
base::Result<> check_header(const BatchHeader& header, size_t bytes_max);

// CRC-32C of the batch's bytes from kCrcStart on; `batch` is exactly one batch.
uint32_t batch_crc(const base::Slices& batch);
// The same for a header that stands apart from its body.
uint32_t batch_crc(const BatchHeader& header, const base::Slices& body);

// One header of a record.
struct Header {
  base::Slice key;
  std::optional<base::Slice> value;
};

// One record; its slices share the batch's buffer where the record lies in one piece.
struct Record {
  int64_t offset_delta = 0;  // relative to the batch's base offset
  int64_t timestamp_delta_ms = 0;
  int8_t attributes = 0;
  std::optional<base::Slice> key;
  std::optional<base::Slice> value;
  std::vector<Header> headers;
};

// All records of one batch (exactly its bytes), decompressed. Errors: corrupt (varints, lengths, a
// count that does not match, a broken compressed block), unsupported (codec), too_large (more than
// `uncompressed_bytes_max` after decompression).
base::Result<std::vector<Record>> read_records(const BatchHeader& header, const base::Slices& batch,
                                               size_t uncompressed_bytes_max);

// What a walk tells of a record.
struct RecordSummary {
  int64_t offset_delta = 0;
  int64_t timestamp_delta_ms = 0;
  bool has_key = false;
};

// Checks the form of all records without building them; ends early with the error of `visit`.
// Errors as in read_records.
base::Result<> walk_records(const BatchHeader& header, const base::Slices& batch,
                            size_t uncompressed_bytes_max,
                            const std::function<base::Result<>(const RecordSummary&)>& visit);

// Builds one batch of at most MutableBuffer::kBytesMax bytes. Offsets are consecutive from the base
// offset, which is 0 until the leader assigns it.
class BatchBuilder {
 public:
  struct Options {
    Codec codec = Codec::none;
    int level = 0;  // 0: the codec's usual one
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    int32_t base_sequence = -1;
    bool transactional = false;
    bool control = false;
    int32_t leader_epoch = -1;
    int64_t base_offset = 0;
  };
  explicit BatchBuilder(Options options) : options_(options) {}
  // `timestamp_ms` is absolute. key/value may be absent.
  void add(int64_t timestamp_ms, std::optional<std::span<const std::byte>> key,
           std::optional<std::span<const std::byte>> value, std::span<const Header> headers = {});
  size_t count() const { return count_; }
  // Bytes if built now without compression.
  size_t uncompressed_bytes() const { return size_; }
  // The batch; the builder is empty afterwards. At least one record.
  base::Slice build();

 private:
  // Makes room for `count` more bytes and returns where they go.
  std::byte* grow(size_t count);

  Options options_;
  // Room for the header, then the records so far; absent while there are none.
  std::optional<base::MutableBuffer> buffer_;
  size_t size_ = kHeaderBytes;  // bytes of it in use
  size_t count_ = 0;
  int64_t base_timestamp_ms_ = -1;
  int64_t max_timestamp_ms_ = -1;
};

}  // namespace verdict::record
