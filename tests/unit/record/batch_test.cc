#include "broker/record/batch.h"

#include <algorithm>
#include <limits>

#include "broker/base/crc32c.h"
#include "broker/base/endian.h"
#include "broker/base/varint.h"
#include "tests/unit/record/batches.h"

namespace verdict::record {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;

TEST(BatchHeader, fields_lie_where_kafka_has_them) {
  BatchHeader header{.base_offset = 0x0102030405060708,
                     .batch_length = 0x11121314,
                     .leader_epoch = 0x21222324,
                     .magic = 2,
                     .crc = 0x91929394,
                     .attributes = 0x3132,
                     .last_offset_delta = 0x41424344,
                     .base_timestamp_ms = 0x5152535455565758,
                     .max_timestamp_ms = 0x6162636465666768,
                     .producer_id = 0x7172737475767778,
                     .producer_epoch = 0x0a0b,
                     .base_sequence = 0x1a1b1c1d,
                     .record_count = 0x2a2b2c2d};
  std::array<std::byte, kHeaderBytes> bytes;
  write_header(header, bytes);
  const std::byte* b = bytes.data();
  EXPECT_EQ(base::load_be<int64_t>(b), header.base_offset);
  EXPECT_EQ(base::load_be<int32_t>(b + 8), header.batch_length);
  EXPECT_EQ(base::load_be<int32_t>(b + 12), header.leader_epoch);
  EXPECT_EQ(bytes[16], std::byte{2});
  EXPECT_EQ(base::load_be<uint32_t>(b + 17), header.crc);
  EXPECT_EQ(base::load_be<int16_t>(b + 21), header.attributes);
  EXPECT_EQ(base::load_be<int32_t>(b + 23), header.last_offset_delta);
  EXPECT_EQ(base::load_be<int64_t>(b + 27), header.base_timestamp_ms);
  EXPECT_EQ(base::load_be<int64_t>(b + 35), header.max_timestamp_ms);
  EXPECT_EQ(base::load_be<int64_t>(b + 43), header.producer_id);
  EXPECT_EQ(base::load_be<int16_t>(b + 51), header.producer_epoch);
  EXPECT_EQ(base::load_be<int32_t>(b + 53), header.base_sequence);
  EXPECT_EQ(base::load_be<int32_t>(b + 57), header.record_count);
  EXPECT_EQ(read_header(bytes), header);
}

TEST(BatchHeader, sequences_wrap_to_zero_after_the_largest) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  EXPECT_EQ((BatchHeader{.last_offset_delta = 4, .base_sequence = 10}.last_sequence()), 14);
  EXPECT_EQ((BatchHeader{.last_offset_delta = 0, .base_sequence = kMax}.last_sequence()), kMax);
  EXPECT_EQ((BatchHeader{.last_offset_delta = 1, .base_sequence = kMax}.last_sequence()), 0);
  EXPECT_EQ((BatchHeader{.last_offset_delta = 9, .base_sequence = kMax - 3}.last_sequence()), 5);
  EXPECT_EQ((BatchHeader{.last_offset_delta = 4, .base_sequence = -1}.last_sequence()), -1);
}

TEST(BatchHeader, check_refuses_what_cannot_be_followed) {
  BatchHeader good = header_of(sound_batch(3));
  EXPECT_TRUE(check_header(good, kPlenty).has_value());
  EXPECT_TRUE(check_header(good, good.total_bytes()).has_value());
  // Compaction may leave fewer records than offsets, down to none.
  BatchHeader emptied = good;
  emptied.record_count = 0;
  EXPECT_TRUE(check_header(emptied, kPlenty).has_value());

  auto refused = [&good](auto change, size_t bytes_max) {
    BatchHeader header = good;
    change(header);
    auto checked = check_header(header, bytes_max);
    return !checked && checked.error().code == Errc::corrupt;
  };
  auto same = [](BatchHeader&) {};
  EXPECT_TRUE(refused(same, good.total_bytes() - 1));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.batch_length = 48; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.batch_length = -1; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.magic = 1; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.magic = 3; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.record_count = 4; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.record_count = -1; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.last_offset_delta = -1; }, kPlenty));
  EXPECT_TRUE(refused([](BatchHeader& h) { h.base_offset = -1; }, kPlenty));
  EXPECT_TRUE(refused(
      [](BatchHeader& h) { h.base_offset = std::numeric_limits<int64_t>::max() - 1; }, kPlenty));
  // The tail of a preallocated file.
  EXPECT_TRUE(refused([](BatchHeader& h) { h = read_header(std::array<std::byte, 61>{}); }, 1000));
}

TEST(Batch, crc_covers_everything_from_the_attributes_on_and_nothing_before) {
  std::vector<std::byte> bytes = vector_of(sound_batch(2));
  uint32_t crc = header_of(slice_of(bytes)).crc;
  EXPECT_EQ(crc, base::crc32c_portable(0, std::span(bytes).subspan(21)));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<std::byte> other = bytes;
    other[i] ^= std::byte{0x10};
    EXPECT_EQ(batch_crc(slice_of(other)) == crc, i < 21) << "byte " << i;
  }
}

TEST(Batch, crc_is_the_same_in_any_slicing_and_apart_from_the_header) {
  Slice batch = sound_batch(5);
  BatchHeader header = header_of(batch);
  EXPECT_EQ(batch_crc(header, body_of(batch)), header.crc);
  for (size_t size = 1; size <= batch.size(); ++size) {
    ASSERT_EQ(batch_crc(in_pieces(batch, size)), header.crc) << size;
  }
}

TEST(BatchBuilder, header_says_what_was_added) {
  BatchBuilder builder({.producer_id = 7,
                        .producer_epoch = 3,
                        .base_sequence = 40,
                        .transactional = true,
                        .leader_epoch = 9,
                        .base_offset = 1000});
  EXPECT_EQ(builder.count(), 0U);
  EXPECT_EQ(builder.uncompressed_bytes(), kHeaderBytes);
  builder.add(500, bytes_of("k"), bytes_of("v"));
  builder.add(900, std::nullopt, bytes_of("w"));
  builder.add(200, bytes_of("x"), std::nullopt);
  EXPECT_EQ(builder.count(), 3U);
  size_t expected_bytes = builder.uncompressed_bytes();
  Slice batch = builder.build();
  EXPECT_EQ(batch.size(), expected_bytes);
  BatchHeader header = header_of(batch);
  EXPECT_EQ(header.base_offset, 1000);
  EXPECT_EQ(header.total_bytes(), batch.size());
  EXPECT_EQ(header.leader_epoch, 9);
  EXPECT_EQ(header.attributes, kTransactionalBit);
  EXPECT_EQ(header.last_offset_delta, 2);
  EXPECT_EQ(header.base_timestamp_ms, 500);
  EXPECT_EQ(header.max_timestamp_ms, 900);
  EXPECT_EQ(header.producer_id, 7);
  EXPECT_EQ(header.producer_epoch, 3);
  EXPECT_EQ(header.base_sequence, 40);
  EXPECT_EQ(header.record_count, 3);
  EXPECT_EQ(header.last_sequence(), 42);
  EXPECT_EQ(header.next_offset(), 1003);
  EXPECT_EQ(batch_crc(batch), header.crc);
  // It is empty and as good as new.
  EXPECT_EQ(builder.count(), 0U);
  builder.add(1, std::nullopt, std::nullopt);
  EXPECT_EQ(header_of(builder.build()).max_timestamp_ms, 1);
}

TEST(BatchBuilder, record_bytes_are_kafkas) {
  // Length 26 = 13, attributes 0, timestamp delta 0, offset delta 0, key 1, value 1, one header.
  BatchBuilder builder({});
  std::vector<Header> headers{{Slice::copy_of("h"), Slice::copy_of("i")}};
  builder.add(5, bytes_of("k"), bytes_of("v"), headers);
  std::vector<std::byte> body = vector_of(body_of(builder.build()));
  constexpr std::array<uint8_t, 13> kExpected = {24, 0, 0, 0, 2, 'k', 2, 'v', 2, 2, 'h', 2, 'i'};
  ASSERT_EQ(body.size(), kExpected.size());
  for (size_t i = 0; i < body.size(); ++i) {
    EXPECT_EQ(static_cast<uint8_t>(body[i]), kExpected[i]) << i;
  }
}

TEST(Batch, null_and_empty_are_told_apart) {
  BatchBuilder builder({});
  std::vector<Header> headers{{Slice(), std::nullopt}, {Slice::copy_of("a"), Slice()}};
  builder.add(1, std::nullopt, bytes_of(""), headers);
  builder.add(2, bytes_of(""), std::nullopt);
  Slice batch = builder.build();
  auto records = read_records(header_of(batch), batch, kPlenty);
  ASSERT_TRUE(records.has_value());
  ASSERT_EQ(records->size(), 2U);
  EXPECT_EQ(text((*records)[0].key), "(null)");
  EXPECT_EQ(text((*records)[0].value), "");
  ASSERT_EQ((*records)[0].headers.size(), 2U);
  EXPECT_EQ((*records)[0].headers[0].key.size(), 0U);
  EXPECT_EQ(text((*records)[0].headers[0].value), "(null)");
  EXPECT_EQ((*records)[0].headers[1].key.text(), "a");
  EXPECT_EQ(text((*records)[0].headers[1].value), "");
  EXPECT_EQ(text((*records)[1].key), "");
  EXPECT_EQ(text((*records)[1].value), "(null)");
}

TEST(Batch, records_are_the_same_however_the_slices_are_cut) {
  BatchBuilder builder({});
  std::string large = text_of(300);
  std::vector<Header> headers{{Slice::copy_of("name"), Slice::copy_of("content")}};
  for (int i = 0; i < 4; ++i) builder.add(i * 1000, bytes_of("key"), bytes_of(large), headers);
  Slice batch = builder.build();
  BatchHeader header = header_of(batch);
  for (size_t size = 1; size <= batch.size(); size += size < 70 ? 1 : 37) {
    Slices pieces = in_pieces(batch, size);
    auto records = read_records(header, pieces, kPlenty);
    ASSERT_TRUE(records.has_value()) << size << ": " << records.error().to_string();
    ASSERT_EQ(records->size(), 4U);
    for (size_t i = 0; i < 4; ++i) {
      const Record& record = (*records)[i];
      ASSERT_EQ(record.offset_delta, static_cast<int64_t>(i));
      ASSERT_EQ(record.timestamp_delta_ms, static_cast<int64_t>(i) * 1000);
      ASSERT_EQ(text(record.key), "key");
      ASSERT_EQ(text(record.value), large);
      ASSERT_EQ(record.headers.size(), 1U);
      ASSERT_EQ(text(record.headers[0].value), "content");
    }
  }
}

TEST(Batch, records_in_one_piece_share_the_batchs_buffer) {
  Slice batch = sound_batch(2);
  auto records = read_records(header_of(batch), batch, kPlenty);
  ASSERT_TRUE(records.has_value());
  for (const Record& record : *records) {
    EXPECT_GE(record.value->data(), batch.data());
    EXPECT_LE(record.value->data() + record.value->size(), batch.data() + batch.size());
  }
}

TEST(Batch, walk_tells_deltas_and_keys_and_ends_with_the_visitors_error) {
  BatchBuilder builder({.codec = Codec::lz4});
  builder.add(100, bytes_of("k"), bytes_of("v"));
  builder.add(90, std::nullopt, bytes_of("v"));
  builder.add(105, bytes_of(""), bytes_of("v"));
  Slice batch = builder.build();
  std::vector<RecordSummary> seen;
  auto walked = walk_records(header_of(batch), batch, kPlenty, [&](const RecordSummary& r) {
    seen.push_back(r);
    return base::Result<>();
  });
  ASSERT_TRUE(walked.has_value());
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[1].offset_delta, 1);
  EXPECT_EQ(seen[1].timestamp_delta_ms, -10);
  EXPECT_TRUE(seen[0].has_key);
  EXPECT_FALSE(seen[1].has_key);
  EXPECT_TRUE(seen[2].has_key);

  size_t visits = 0;
  walked = walk_records(header_of(batch), batch, kPlenty, [&](const RecordSummary&) {
    ++visits;
    return base::Result<>(base::fail(Errc::wrong_state, "enough"));
  });
  ASSERT_FALSE(walked.has_value());
  EXPECT_EQ(walked.error().code, Errc::wrong_state);
  EXPECT_EQ(visits, 1U);
}

TEST(Batch, timestamps_follow_the_type_of_the_batch) {
  BatchHeader header{.base_timestamp_ms = 1000, .max_timestamp_ms = 5000};
  EXPECT_EQ(header.timestamp_ms(7), 1007);
  header.attributes |= kLogAppendTimeBit;
  EXPECT_EQ(header.timestamp_ms(7), 5000);
  // What a peer may write does not overflow into undefined behaviour.
  BatchHeader extreme{.base_timestamp_ms = std::numeric_limits<int64_t>::max()};
  EXPECT_EQ(extreme.timestamp_ms(1), std::numeric_limits<int64_t>::min());
}

TEST(Batch, empty_batches_that_compaction_leaves_are_read) {
  for (Codec codec : kAllCodecs) {
    BatchHeader header{.attributes = static_cast<int16_t>(codec), .last_offset_delta = 4};
    Slice batch = sealed(header, {});
    ASSERT_TRUE(check_header(header_of(batch), kPlenty).has_value());
    auto records = read_records(header_of(batch), batch, kPlenty);
    ASSERT_TRUE(records.has_value()) << to_string(codec);
    EXPECT_TRUE(records->empty());
  }
}

// The error of reading a batch of `count` records with this body.
std::optional<Errc> error_of(int32_t count, std::initializer_list<int> body) {
  std::vector<std::byte> bytes;
  for (int b : body) bytes.push_back(static_cast<std::byte>(b));
  Slice batch = sealed({.last_offset_delta = count - 1, .record_count = count}, slice_of(bytes));
  auto whole = read_records(header_of(batch), batch, kPlenty);
  auto pieces = read_records(header_of(batch), in_pieces(batch, 1), kPlenty);
  EXPECT_EQ(whole.has_value(), pieces.has_value());
  if (whole.has_value()) return std::nullopt;
  EXPECT_EQ(whole.error().code, pieces.error().code);
  return whole.error().code;
}

TEST(Batch, malformed_records_are_corrupt) {
  // Length 6 (12 in zigzag), attributes, two deltas, no key, no value, no headers.
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 1, 0}), std::nullopt);
  EXPECT_EQ(error_of(2, {12, 0, 0, 0, 1, 1, 0}), Errc::corrupt);             // one is missing
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 1, 0, 0}), Errc::corrupt);          // left over
  EXPECT_EQ(error_of(1, {14, 0, 0, 0, 1, 1, 0}), Errc::corrupt);             // too long
  EXPECT_EQ(error_of(1, {10, 0, 0, 0, 1, 1, 0}), Errc::corrupt);             // too short
  EXPECT_EQ(error_of(1, {0}), Errc::corrupt);                                // empty
  EXPECT_EQ(error_of(1, {1, 0, 0, 0, 1, 1, 0}), Errc::corrupt);              // length -1
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 3, 1, 0}), Errc::corrupt);             // key length -2
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 3, 0}), Errc::corrupt);             // value length -2
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 8, 1, 0}), Errc::corrupt);             // key beyond
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 8, 0}), Errc::corrupt);             // value beyond
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 1, 1}), Errc::corrupt);             // -1 headers
  EXPECT_EQ(error_of(1, {12, 0, 0, 0, 1, 1, 2}), Errc::corrupt);             // 1 header, none
  EXPECT_EQ(error_of(1, {16, 0, 0, 0, 1, 1, 2, 1, 1}), Errc::corrupt);       // null header key
  EXPECT_EQ(error_of(1, {16, 0, 0, 0, 1, 1, 2, 0, 1}), std::nullopt);        // empty one
  EXPECT_EQ(error_of(1, {0xff, 0xff, 0xff, 0xff, 0x0f}), Errc::corrupt);     // huge length
  EXPECT_EQ(error_of(1, {0xfe, 0xff, 0xff, 0xff, 0x0f}), Errc::corrupt);     // 2^31 - 1
  EXPECT_EQ(error_of(1, {0x80, 0x80, 0x80, 0x80, 0x80, 0}), Errc::corrupt);  // endless varint
  EXPECT_EQ(error_of(std::numeric_limits<int32_t>::max(), {12, 0, 0, 0, 1, 1, 0}), Errc::corrupt);
  EXPECT_EQ(error_of(0, {12, 0, 0, 0, 1, 1, 0}), Errc::corrupt);
}

TEST(Batch, bytes_that_are_not_the_headers_length_are_corrupt) {
  Slice batch = sound_batch(3);
  BatchHeader header = header_of(batch);
  for (size_t size = 0; size < batch.size(); ++size) {
    auto records = read_records(header, batch.cut(0, size), kPlenty);
    ASSERT_FALSE(records.has_value()) << size;
    ASSERT_EQ(records.error().code, Errc::corrupt);
  }
}

TEST(Batch, unknown_codecs_are_unsupported) {
  for (int codec : {5, 6, 7}) {
    Slice batch = changed(sound_batch(1),
                          [codec](BatchHeader& h) { h.attributes = static_cast<int16_t>(codec); });
    auto records = read_records(header_of(batch), batch, kPlenty);
    ASSERT_FALSE(records.has_value());
    EXPECT_EQ(records.error().code, Errc::unsupported);
  }
}

TEST(Batch, reading_stops_at_the_limit_of_uncompressed_bytes) {
  for (Codec codec : kAllCodecs) {
    if (codec == Codec::none) continue;
    BatchBuilder builder({.codec = codec});
    builder.add(0, std::nullopt, bytes_of(std::string(100'000, 'z')));
    size_t plain = builder.uncompressed_bytes() - kHeaderBytes;
    Slice batch = builder.build();
    EXPECT_TRUE(read_records(header_of(batch), batch, plain).has_value()) << to_string(codec);
    auto records = read_records(header_of(batch), batch, plain - 1);
    ASSERT_FALSE(records.has_value()) << to_string(codec);
    EXPECT_EQ(records.error().code, Errc::too_large) << to_string(codec);
  }
}

}  // namespace
}  // namespace verdict::record
