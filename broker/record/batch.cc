#include "broker/record/batch.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/endian.h"
#include "broker/record/compression.h"
#include "broker/record/record_cursor.h"

namespace verdict::record {

using base::Errc;
using base::load_be;
using base::Result;
using base::Slice;
using base::Slices;
using base::store_be;

std::string_view to_string(Codec codec) {
  switch (codec) {
    case Codec::none:
      return "none";
    case Codec::gzip:
      return "gzip";
    case Codec::snappy:
      return "snappy";
    case Codec::lz4:
      return "lz4";
    case Codec::zstd:
      return "zstd";
  }
  return "unknown";
}

int32_t BatchHeader::last_sequence() const {
  if (base_sequence < 0) return -1;
  uint32_t sum = static_cast<uint32_t>(base_sequence) + static_cast<uint32_t>(last_offset_delta);
  return static_cast<int32_t>(sum & 0x7fffffffU);
}

int64_t BatchHeader::timestamp_ms(int64_t delta_ms) const {
  if (log_append_time()) return max_timestamp_ms;
  // A peer chooses both: wraps as in Kafka, never undefined.
  return static_cast<int64_t>(static_cast<uint64_t>(base_timestamp_ms) +
                              static_cast<uint64_t>(delta_ms));
}

BatchHeader read_header(std::span<const std::byte> bytes) {
  CHECK(bytes.size() >= kHeaderBytes);
  const std::byte* b = bytes.data();
  BatchHeader h;
  h.base_offset = load_be<int64_t>(b);
  h.batch_length = load_be<int32_t>(b + 8);
  h.leader_epoch = load_be<int32_t>(b + 12);
  h.magic = load_be<int8_t>(b + 16);
  h.crc = load_be<uint32_t>(b + 17);
  h.attributes = load_be<int16_t>(b + 21);
  h.last_offset_delta = load_be<int32_t>(b + 23);
  h.base_timestamp_ms = load_be<int64_t>(b + 27);
  h.max_timestamp_ms = load_be<int64_t>(b + 35);
  h.producer_id = load_be<int64_t>(b + 43);
  h.producer_epoch = load_be<int16_t>(b + 51);
  h.base_sequence = load_be<int32_t>(b + 53);
  h.record_count = load_be<int32_t>(b + 57);
  return h;
}

void write_header(const BatchHeader& h, std::span<std::byte, kHeaderBytes> out) {
  std::byte* b = out.data();
  store_be(b, h.base_offset);
  store_be(b + 8, h.batch_length);
  store_be(b + 12, h.leader_epoch);
  store_be(b + 16, h.magic);
  store_be(b + 17, h.crc);
  store_be(b + 21, h.attributes);
  store_be(b + 23, h.last_offset_delta);
  store_be(b + 27, h.base_timestamp_ms);
  store_be(b + 35, h.max_timestamp_ms);
  store_be(b + 43, h.producer_id);
  store_be(b + 51, h.producer_epoch);
  store_be(b + 53, h.base_sequence);
  store_be(b + 57, h.record_count);
}

Result<> check_header(const BatchHeader& header, size_t bytes_max) {
  // The length first: where a file ends in zeros, it is what tells.
  if (header.batch_length < static_cast<int32_t>(kHeaderBytes - kLengthFieldEnd)) {
    return fail(Errc::corrupt,
                "batch length " + std::to_string(header.batch_length) + " does not hold a header");
  }
  if (header.magic != kMagic) {
    return fail(Errc::corrupt, "batch magic " + std::to_string(header.magic) + ", not 2");
  }
  if (header.total_bytes() > bytes_max) {
    return fail(Errc::corrupt, "batch of " + std::to_string(header.total_bytes()) +
                                   " bytes, at most " + std::to_string(bytes_max) + " can be");
  }
  // Compaction removes records and keeps the delta, so there may be fewer records than offsets.
  if (header.last_offset_delta < 0 || header.record_count < 0 ||
      int64_t{header.record_count} > int64_t{header.last_offset_delta} + 1) {
    return fail(Errc::corrupt, "batch of " + std::to_string(header.record_count) +
                                   " records with last offset delta " +
                                   std::to_string(header.last_offset_delta));
  }
  if (header.base_offset < 0 ||
      header.base_offset >= std::numeric_limits<int64_t>::max() - header.last_offset_delta) {
    return fail(Errc::corrupt, "batch base offset " + std::to_string(header.base_offset));
  }
  return {};
}

uint32_t batch_crc(const Slices& batch) {
  CHECK(batch.size() >= kHeaderBytes);
  uint32_t crc = 0;
  size_t skip = kCrcStart;
  for (const Slice& slice : batch) {
    size_t n = std::min(skip, slice.size());
    skip -= n;
    crc = base::crc32c(crc, slice.bytes().subspan(n));
  }
  return crc;
}

uint32_t batch_crc(const BatchHeader& header, const Slices& body) {
  std::array<std::byte, kHeaderBytes> bytes;
  write_header(header, bytes);
  uint32_t crc = base::crc32c(0, std::span(bytes).subspan(kCrcStart));
  for (const Slice& slice : body) crc = base::crc32c(crc, slice.bytes());
  return crc;
}

namespace {

// The records section, decompressed where it must be.
Result<Slices> plain_section(const BatchHeader& header, const Slices& batch,
                             size_t uncompressed_bytes_max) {
  if (batch.size() < kHeaderBytes || batch.size() != header.total_bytes()) {
    return fail(Errc::corrupt, "batch of " + std::to_string(batch.size()) +
                                   " bytes whose header says " +
                                   std::to_string(header.total_bytes()));
  }
  Slices section = batch.cut(kHeaderBytes, batch.size() - kHeaderBytes);
  if (header.codec_bits() == 0) return section;
  if (header.codec_bits() > static_cast<int>(Codec::zstd)) {
    return fail(Errc::unsupported, "compression codec " + std::to_string(header.codec_bits()));
  }
  // Compaction may leave a batch without records, and then without a compressed block.
  if (header.record_count == 0 && section.empty()) return section;
  auto codec = static_cast<Codec>(header.codec_bits());
  Slice plain = TRY(decompress(codec, section, uncompressed_bytes_max));
  return Slices(std::move(plain));
}

// The part of `whole` (a record) that `view` lies in.
Slice cut_view(const Slice& whole, const std::byte* start, std::span<const std::byte> view) {
  return whole.cut(static_cast<size_t>(view.data() - start), view.size());
}

Record build_record(const RecordView& view, const RecordCursor& cursor) {
  Record record;
  record.offset_delta = view.offset_delta;
  record.timestamp_delta_ms = view.timestamp_delta_ms;
  record.attributes = view.attributes;
  Slice whole = cursor.slice();
  // `view` may lie in the cursor's copy of a straddling record: both end at the same place.
  const std::byte* start = view.headers.data() + view.headers.size() - whole.size();
  if (view.key) record.key = cut_view(whole, start, *view.key);
  if (view.value) record.value = cut_view(whole, start, *view.value);
  record.headers.reserve(static_cast<size_t>(view.header_count));
  std::span<const std::byte> headers = view.headers;
  for (int32_t i = 0; i < view.header_count; ++i) {
    HeaderView h = next_header(headers);
    Header header{cut_view(whole, start, h.key), std::nullopt};
    if (h.value) header.value = cut_view(whole, start, *h.value);
    record.headers.push_back(std::move(header));
  }
  return record;
}

}  // namespace

Result<std::vector<Record>> read_records(const BatchHeader& header, const Slices& batch,
                                         size_t uncompressed_bytes_max) {
  Slices section = TRY(plain_section(header, batch, uncompressed_bytes_max));
  std::vector<Record> records;
  // By what the bytes can hold, whatever the header says.
  size_t count = static_cast<size_t>(std::max(header.record_count, 0));
  records.reserve(std::min(count, section.size() / kRecordBytesMin));
  TRY(for_each_record(section, header.record_count,
                      [&](const RecordView& view, int32_t, const RecordCursor& cursor) {
                        records.push_back(build_record(view, cursor));
                        return true;
                      }));
  return records;
}

Result<> walk_records(const BatchHeader& header, const Slices& batch, size_t uncompressed_bytes_max,
                      const std::function<Result<>(const RecordSummary&)>& visit) {
  Slices section = TRY(plain_section(header, batch, uncompressed_bytes_max));
  Result<> stopped;
  TRY(for_each_record(section, header.record_count,
                      [&](const RecordView& view, int32_t, const RecordCursor&) {
                        stopped = visit({.offset_delta = view.offset_delta,
                                         .timestamp_delta_ms = view.timestamp_delta_ms,
                                         .has_key = view.key.has_value()});
                        return stopped.has_value();
                      }));
  return stopped;
}

}  // namespace verdict::record
