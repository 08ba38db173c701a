// What the leader changes in a batch that it accepts: times, codec, numbering, and then the CRC.

#include "broker/record/compression.h"
#include "broker/record/validate.h"
#include "tests/unit/record/batches.h"

namespace verdict::record {
namespace {

using base::Slice;
using base::Slices;

// The batch as it would be written, checked to be one that can be followed and read.
Slice written(const Slices& records, const AppendRules& rules, int64_t now_ms = kNowMs) {
  auto judged = validate_for_append(records, rules, now_ms);
  EXPECT_TRUE(judged.has_value()) << judged.error().message;
  if (!judged) return {};
  Slice batch = judged->with_position(500, 3).flatten();
  BatchHeader header = header_of(batch);
  EXPECT_TRUE(check_header(header, batch.size()).has_value());
  EXPECT_EQ(header.total_bytes(), batch.size());
  EXPECT_EQ(header.crc, batch_crc(batch));
  EXPECT_EQ(header.max_timestamp_ms, judged->max_timestamp_ms);
  return batch;
}

std::vector<Record> records_of(const Slice& batch) {
  auto records = read_records(header_of(batch), batch, kPlenty);
  EXPECT_TRUE(records.has_value());
  return records ? *records : std::vector<Record>();
}

void expect_same_records(const Slice& a, const Slice& b) {
  std::vector<Record> left = records_of(a);
  std::vector<Record> right = records_of(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i].offset_delta, right[i].offset_delta);
    EXPECT_EQ(left[i].timestamp_delta_ms, right[i].timestamp_delta_ms);
    EXPECT_EQ(text(left[i].key), text(right[i].key));
    EXPECT_EQ(text(left[i].value), text(right[i].value));
    ASSERT_EQ(left[i].headers.size(), right[i].headers.size());
  }
}

TEST(ValidateRewrite, log_append_time_sets_the_bit_the_time_and_a_new_crc) {
  for (Codec codec : kAllCodecs) {
    Slice sent =
        sound_batch(3, {.codec = codec, .producer_id = 1, .producer_epoch = 0, .base_sequence = 0});
    Slice batch = written(sent, {.log_append_time = true}, kNowMs + 77);
    BatchHeader header = header_of(batch);
    EXPECT_TRUE(header.log_append_time());
    EXPECT_EQ(header.max_timestamp_ms, kNowMs + 77);
    EXPECT_NE(header.crc, header_of(sent).crc);
    EXPECT_EQ(header.codec_bits(), static_cast<int>(codec));
    EXPECT_EQ(header.producer_id, 1);
    EXPECT_EQ(header.timestamp_ms(2), kNowMs + 77);
    EXPECT_EQ(body_of(batch).flatten().text(), body_of(sent).flatten().text());
  }
  auto judged = validate_for_append(sound_batch(3), {.log_append_time = true}, kNowMs + 77);
  EXPECT_EQ(judged->max_timestamp_offset_delta, 0);  // all have it, so the first
}

TEST(ValidateRewrite, max_timestamp_is_found_not_believed) {
  for (Codec codec : kAllCodecs) {
    BatchBuilder builder({.codec = codec});
    for (int64_t delta : {5, 90, 20, 90, -30}) builder.add(kNowMs + delta, std::nullopt, {});
    Slice lying = changed(builder.build(), [](BatchHeader& h) { h.max_timestamp_ms = 12; });
    auto judged = validate_for_append(lying, {}, kNowMs);
    ASSERT_TRUE(judged.has_value());
    EXPECT_EQ(judged->max_timestamp_ms, kNowMs + 90);
    EXPECT_EQ(judged->max_timestamp_offset_delta, 1);
    EXPECT_EQ(header_of(written(lying, {})).max_timestamp_ms, kNowMs + 90);
  }
}

TEST(ValidateRewrite, records_without_timestamps_have_no_max) {
  BatchBuilder builder({});
  builder.add(-1, std::nullopt, bytes_of("v"));
  auto judged = validate_for_append(builder.build(), {}, kNowMs);
  ASSERT_TRUE(judged.has_value());
  EXPECT_EQ(judged->max_timestamp_ms, -1);
  EXPECT_EQ(judged->max_timestamp_offset_delta, 0);
}

TEST(ValidateRewrite, topics_codec_replaces_the_producers) {
  for (Codec from : kAllCodecs) {
    for (Codec to : kAllCodecs) {
      Slice sent = sound_batch(200, {.codec = from,
                                     .producer_id = 9,
                                     .producer_epoch = 2,
                                     .base_sequence = 70,
                                     .transactional = true});
      Slice batch = written(in_pieces(sent, 100), {.compression = to});
      BatchHeader header = header_of(batch);
      EXPECT_EQ(header.codec_bits(), static_cast<int>(to));
      EXPECT_TRUE(header.transactional());
      EXPECT_EQ(header.base_sequence, 70);
      EXPECT_EQ(header.producer_id, 9);
      EXPECT_EQ(header.producer_epoch, 2);
      EXPECT_EQ(header.max_timestamp_ms, kNowMs + 199);
      expect_same_records(sent, batch);
      if (from == to) {
        EXPECT_EQ(header.crc, header_of(sent).crc);
      }
    }
  }
}

TEST(ValidateRewrite, topics_codec_and_log_append_time_go_together) {
  Slice sent = sound_batch(20);
  Slice batch = written(sent, {.log_append_time = true, .compression = Codec::zstd}, kNowMs + 5);
  EXPECT_EQ(header_of(batch).attributes, kLogAppendTimeBit | 4);
  EXPECT_EQ(header_of(batch).max_timestamp_ms, kNowMs + 5);
  expect_same_records(sent, batch);
}

TEST(ValidateRewrite, compression_level_is_the_topics) {
  BatchBuilder builder({});
  std::string value = text_of(100'000);
  builder.add(kNowMs, std::nullopt, bytes_of(value));
  Slice sent = builder.build();
  AppendRules fast{.compression = Codec::gzip, .compression_level = 1};
  AppendRules small{.compression = Codec::gzip, .compression_level = 9};
  EXPECT_LT(written(sent, small).size(), written(sent, fast).size());
}

TEST(ValidateRewrite, size_limit_holds_for_the_batch_compressed_anew) {
  // What was small as gzip is large uncompressed.
  BatchBuilder builder({.codec = Codec::gzip});
  std::string value(5'000, 'v');
  builder.add(kNowMs, std::nullopt, bytes_of(value));
  AppendRules rules{.message_bytes_max = 5'000, .compression = Codec::none};
  auto judged = validate_for_append(builder.build(), rules, kNowMs);
  ASSERT_FALSE(judged.has_value());
  EXPECT_EQ(judged.error().code, Refusal::message_too_large);
  EXPECT_TRUE(judged.error().message.find("compressed anew") != std::string::npos);
}

TEST(ValidateRewrite, wrong_inner_offsets_are_put_right) {
  // Some clients give every record the offset delta 0. Kafka rebuilds such batches if compressed,
  // and stores them as they are if not, where readers then see one offset many times.
  std::string body;
  for (int i = 0; i < 100; ++i) {
    // Length 8, attributes, timestamp delta i % 60, offset delta 0, key of one byte, a value, none.
    body +=
        {16, 0, static_cast<char>(2 * (i % 60)), 0, 2, static_cast<char>('A' + i % 20), 2, 'v', 0};
  }
  for (Codec codec : kAllCodecs) {
    Slice packed = compress(codec, 0, Slice::copy_of(body));
    Slice sent = sealed({.attributes = static_cast<int16_t>(codec),
                         .last_offset_delta = 99,
                         .base_timestamp_ms = kNowMs,
                         .max_timestamp_ms = kNowMs + 59,
                         .record_count = 100},
                        packed);
    Slice batch = written(sent, {});
    EXPECT_EQ(header_of(batch).codec_bits(), static_cast<int>(codec));
    std::vector<Record> records = records_of(batch);
    ASSERT_EQ(records.size(), 100U);
    for (size_t i = 0; i < 100; ++i) {
      EXPECT_EQ(records[i].offset_delta, static_cast<int64_t>(i));
      EXPECT_EQ(records[i].timestamp_delta_ms, static_cast<int64_t>(i % 60));
      EXPECT_EQ(text(records[i].key), std::string(1, static_cast<char>('A' + i % 20)));
      EXPECT_EQ(text(records[i].value), "v");
    }
  }
}

}  // namespace
}  // namespace verdict::record
