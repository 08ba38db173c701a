// Every rule of the leader by itself: a batch that breaks it and nothing else, and the refusal.

#include "broker/record/validate.h"

#include <limits>

#include "broker/base/endian.h"
#include "tests/unit/record/batches.h"

namespace verdict::record {
namespace {

using base::Slice;
using base::Slices;

std::string to_text(const std::expected<ValidatedBatch, Refused>& judged) {
  if (judged) return "accepted";
  return std::to_string(static_cast<int>(judged.error().code)) + ": " + judged.error().message;
}

// The verdict, the same for the batch in one piece and in many.
std::string judge(const Slices& records, const AppendRules& rules = {}, int64_t now_ms = kNowMs) {
  std::string whole = to_text(validate_for_append(records, rules, now_ms));
  EXPECT_EQ(to_text(validate_for_append(in_pieces(records, 13), rules, now_ms)), whole);
  return whole;
}

template <class Change>
std::string judge_changed(Change change) {
  return judge(changed(sound_batch(3), change));
}

TEST(Validate, sound_batches_pass_in_place_with_their_crc) {
  for (Codec codec : kAllCodecs) {
    Slice batch = sound_batch(3, {.codec = codec,
                                  .producer_id = 5,
                                  .producer_epoch = 1,
                                  .base_sequence = 7,
                                  .transactional = true});
    auto judged = validate_for_append(batch, {}, kNowMs);
    ASSERT_TRUE(judged.has_value()) << to_text(judged);
    EXPECT_EQ(judged->header, header_of(batch));
    EXPECT_EQ(judged->max_timestamp_ms, kNowMs + 2);
    EXPECT_EQ(judged->max_timestamp_offset_delta, 2);
    ASSERT_EQ(judged->body.count(), 1U);
    EXPECT_EQ(judged->body.begin()->data(), batch.data() + kHeaderBytes);  // nothing was copied
  }
}

TEST(Validate, position_is_written_in_front_of_the_untouched_body) {
  Slice batch = sound_batch(3);
  auto judged = validate_for_append(in_pieces(batch, 50), {}, kNowMs);
  ASSERT_TRUE(judged.has_value());
  Slice placed = judged->with_position(123'456'789'012, 42).flatten();
  ASSERT_EQ(placed.size(), batch.size());
  BatchHeader header = header_of(placed);
  EXPECT_EQ(header.base_offset, 123'456'789'012);
  EXPECT_EQ(header.leader_epoch, 42);
  EXPECT_EQ(header.crc, batch_crc(placed));
  EXPECT_EQ(placed.text().substr(16), batch.text().substr(16));
  EXPECT_EQ(read_records(header, placed, kPlenty)->size(), 3U);
}

TEST(Validate, there_must_be_a_batch) {
  EXPECT_EQ(judge({}), "87: There is no whole batch for the partition");
  EXPECT_EQ(judge(Slice::copy_of(std::string(11, '\0'))),
            "87: There is no whole batch for the partition");
}

TEST(Validate, length_too_small_for_any_format_is_corrupt) {
  EXPECT_EQ(judge(Slice::copy_of(std::string(100, '\0'))),
            "2: A batch length of 0 is too small for any batch");
  std::vector<std::byte> bytes = vector_of(sound_batch(1));
  base::store_be(bytes.data() + 8, int32_t{-7});
  EXPECT_EQ(judge(slice_of(bytes)), "2: A batch length of -7 is too small for any batch");
  base::store_be(bytes.data() + 8, int32_t{13});
  EXPECT_EQ(judge(slice_of(bytes)), "2: A batch length of 13 is too small for any batch");
}

TEST(Validate, length_too_small_for_a_header_is_corrupt) {
  for (int32_t length : {14, 30, 48}) {
    std::vector<std::byte> bytes = vector_of(sound_batch(1));
    base::store_be(bytes.data() + 8, length);
    bytes.resize(kLengthFieldEnd + static_cast<size_t>(length));
    EXPECT_EQ(judge(slice_of(bytes)), "2: The batch is too short for its header");
  }
}

TEST(Validate, only_magic_2_is_taken) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.magic = 1; }),
            "87: Only batches of magic 2 are taken, this one has 1");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.magic = 0; }),
            "87: Only batches of magic 2 are taken, this one has 0");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.magic = 3; }), "2: Unknown batch magic 3");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.magic = -1; }), "2: Unknown batch magic -1");
}

TEST(Validate, more_than_one_batch_is_refused) {
  Slices two(sound_batch(1));
  two.push_back(sound_batch(1));
  EXPECT_EQ(judge(two), "87: There is more than one batch for the partition");
}

TEST(Validate, cut_end_of_a_second_batch_is_left_out) {
  // As in Kafka, where record sets may end anywhere.
  Slice batch = sound_batch(1);
  Slices more(batch);
  more.push_back(sound_batch(2).cut(0, 70));
  EXPECT_EQ(judge(more), "accepted");
  auto judged = validate_for_append(more, {}, kNowMs);
  ASSERT_TRUE(judged.has_value());
  EXPECT_EQ(judged->with_position(0, -1).flatten().text(), batch.text());
}

TEST(Validate, bytes_after_the_batch_that_cannot_start_another_are_corrupt) {
  Slices more(sound_batch(1));
  more.push_back(Slice::copy_of(std::string(12, '\0')));
  EXPECT_EQ(judge(more), "2: A batch length of 0 is too small for any batch");
}

TEST(Validate, zstd_needs_version_7_of_produce) {
  AppendRules old{.zstd_allowed = false};
  EXPECT_EQ(judge(sound_batch(1, {.codec = Codec::zstd}), old),
            "76: zstd needs version 7 of Produce or a later one");
  EXPECT_EQ(judge(sound_batch(1, {.codec = Codec::lz4}), old), "accepted");
  EXPECT_EQ(judge(sound_batch(1, {.codec = Codec::zstd})), "accepted");
}

TEST(Validate, base_offset_must_be_zero) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.base_offset = 5; }),
            "87: The base offset of the batch should be 0, but it is 5");
}

TEST(Validate, size_is_held_against_max_message_bytes_as_compressed) {
  std::string value(10'000, 'v');
  BatchBuilder builder({.codec = Codec::gzip});
  builder.add(kNowMs, std::nullopt, bytes_of(value));
  Slice batch = builder.build();
  ASSERT_LT(batch.size(), 200U);
  auto size = static_cast<int64_t>(batch.size());
  EXPECT_EQ(judge(batch, {.message_bytes_max = size}), "accepted");
  EXPECT_EQ(judge(batch, {.message_bytes_max = size - 1}),
            "10: The batch has " + std::to_string(size) + " bytes, max.message.bytes is " +
                std::to_string(size - 1));
}

TEST(Validate, crc_must_fit) {
  Slice batch = sound_batch(1);
  std::vector<std::byte> bytes = vector_of(batch);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(judge(slice_of(bytes)), "2: The batch is corrupt: stored crc " +
                                        std::to_string(header_of(batch).crc) + ", computed crc " +
                                        std::to_string(batch_crc(slice_of(bytes))));
}

TEST(Validate, codec_must_be_known) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.attributes = 5; }),
            "76: Unknown compression codec 5");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.attributes = 7; }),
            "76: Unknown compression codec 7");
}

TEST(Validate, offsets_and_count_must_fit_each_other) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.last_offset_delta = -1; }),
            "87: The batch has an invalid offset range: [0, -1]");
  EXPECT_EQ(judge_changed(
                [](BatchHeader& h) { h.last_offset_delta = std::numeric_limits<int32_t>::min(); }),
            "87: The batch has an invalid offset range: [0, -2147483648]");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.record_count = 0; }),
            "87: Invalid record count of the batch: 0");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.record_count = -1; }),
            "87: Invalid record count of the batch: -1");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.record_count = 2; }),
            "87: The offset range [0, 2] of the batch does not fit its record count 2");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.last_offset_delta = 3; }),
            "87: The offset range [0, 3] of the batch does not fit its record count 3");
}

TEST(Validate, count_must_fit_the_records) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.record_count = 4, h.last_offset_delta = 3; }),
            "87: record 3 of 4 is not whole");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.record_count = 2, h.last_offset_delta = 1; }),
            "87: bytes are left over after 2 records");
  // The same inside a compressed block, where no length of the batch tells.
  Slice packed = changed(sound_batch(3, {.codec = Codec::zstd}),
                         [](BatchHeader& h) { h.record_count = 4, h.last_offset_delta = 3; });
  EXPECT_EQ(judge(packed), "87: record 3 of 4 is not whole");
}

TEST(Validate, control_batches_are_not_for_clients) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.attributes |= kControlBit; }),
            "87: Clients may not write control records");
}

TEST(Validate, delete_horizons_are_not_for_clients) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.attributes |= kDeleteHorizonBit; }),
            "87: Clients may not set a delete horizon");
}

TEST(Validate, producers_with_an_id_need_a_sequence) {
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.producer_id = 4; }),
            "87: Invalid sequence number -1 in a batch with producer id 4");
  EXPECT_EQ(judge_changed([](BatchHeader& h) { h.producer_id = 4, h.base_sequence = 0; }),
            "accepted");
}

TEST(Validate, malformed_records_are_invalid) {
  BatchHeader header = header_of(sound_batch(1));
  Slice batch = sealed(header, Slice::copy_of(std::string_view("\x0c\0\0\0\x08\x01\0", 7)));
  EXPECT_EQ(judge(batch), "87: record 0: bad key length");
}

TEST(Validate, broken_compressed_blocks_are_invalid) {
  for (Codec codec : kAllCodecs) {
    if (codec == Codec::none) continue;
    BatchHeader header = header_of(sound_batch(1, {.codec = codec}));
    EXPECT_EQ(judge(sealed(header, Slice::copy_of("rubbish"))),
              "87: the " + std::string(to_string(codec)) + " block is damaged");
  }
}

TEST(Validate, bombs_are_too_large) {
  BatchBuilder builder({.codec = Codec::zstd});
  std::string zeros(1'000'000, '\0');
  builder.add(kNowMs, std::nullopt, bytes_of(zeros));
  Slice batch = builder.build();
  EXPECT_EQ(judge(batch, {.uncompressed_bytes_max = 999'999}),
            "10: the zstd block decompresses to more than 999999 bytes");
  EXPECT_EQ(judge(batch), "accepted");
}

TEST(Validate, compacted_topics_need_a_key_in_every_record) {
  BatchBuilder builder({});
  builder.add(kNowMs, std::nullopt, bytes_of("a"));
  builder.add(kNowMs, bytes_of("k"), bytes_of("b"));
  builder.add(kNowMs, bytes_of(""), std::nullopt);
  builder.add(kNowMs, std::nullopt, std::nullopt);
  Slice batch = builder.build();
  EXPECT_EQ(judge(batch), "accepted");
  auto judged = validate_for_append(batch, {.compacted = true}, kNowMs);
  ASSERT_FALSE(judged.has_value());
  const Refused& refused = judged.error();
  EXPECT_EQ(refused.code, Refusal::invalid_record);
  ASSERT_EQ(refused.records.size(), 2U);
  EXPECT_EQ(refused.records[0].index, 0);
  EXPECT_EQ(refused.records[1].index, 3);
  EXPECT_EQ(refused.records[1].message, "A compacted topic takes no message without a key");
  EXPECT_EQ(refused.message,
            "2 of the batch's records refused, the first: A compacted topic takes no message "
            "without a key");
}

TEST(Validate, timestamps_must_lie_within_the_bounds) {
  AppendRules rules{.timestamp_before_max_ms = 1000, .timestamp_after_max_ms = 500};
  auto with = [&](int64_t timestamp_ms) {
    BatchBuilder builder({});
    builder.add(kNowMs, std::nullopt, bytes_of("on time"));
    builder.add(timestamp_ms, std::nullopt, bytes_of("v"));
    return validate_for_append(builder.build(), rules, kNowMs);
  };
  EXPECT_TRUE(with(kNowMs - 1000).has_value());
  EXPECT_TRUE(with(kNowMs + 500).has_value());
  EXPECT_TRUE(with(-1).has_value());  // a record without a timestamp
  for (int64_t bad : {kNowMs - 1001, kNowMs + 501, int64_t{0}, int64_t{-2},
                      std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    auto judged = with(bad);
    ASSERT_FALSE(judged.has_value()) << bad;
    EXPECT_EQ(judged.error().code, Refusal::invalid_timestamp);
    ASSERT_EQ(judged.error().records.size(), 1U);
    EXPECT_EQ(judged.error().records[0].index, 1);
    EXPECT_EQ(judged.error().records[0].message,
              "Timestamp " + std::to_string(bad) + " is out of range: it should be in [" +
                  std::to_string(kNowMs - 1000) + ", " + std::to_string(kNowMs + 500) + "]");
  }
}

TEST(Validate, by_default_a_record_may_be_old_and_an_hour_ahead) {
  auto with = [](int64_t timestamp_ms) {
    BatchBuilder builder({});
    builder.add(timestamp_ms, std::nullopt, bytes_of("v"));
    return validate_for_append(builder.build(), {}, kNowMs).has_value();
  };
  EXPECT_TRUE(with(0));
  EXPECT_TRUE(with(kNowMs + 3'600'000));
  EXPECT_FALSE(with(kNowMs + 3'600'001));
}

TEST(Validate, bounds_do_not_hold_where_the_broker_sets_the_time) {
  BatchBuilder builder({});
  builder.add(kNowMs + 999'999'999, std::nullopt, bytes_of("v"));
  EXPECT_EQ(judge(builder.build(), {.log_append_time = true}), "accepted");
}

TEST(Validate, timestamp_type_is_not_the_producers_to_set) {
  Slice batch = changed(sound_batch(2), [](BatchHeader& h) { h.attributes |= kLogAppendTimeBit; });
  for (bool log_append_time : {false, true}) {
    auto judged = validate_for_append(batch, {.log_append_time = log_append_time}, kNowMs);
    ASSERT_FALSE(judged.has_value());
    EXPECT_EQ(judged.error().code, Refusal::invalid_timestamp);
    EXPECT_EQ(judged.error().records.size(), 2U);
  }
}

TEST(Validate, named_records_have_a_limit_and_the_count_has_not) {
  BatchBuilder builder({});
  constexpr int kRecords = 2500;
  for (int i = 0; i < kRecords; ++i) builder.add(kNowMs, std::nullopt, std::nullopt);
  auto judged = validate_for_append(builder.build(), {.compacted = true}, kNowMs);
  ASSERT_FALSE(judged.has_value());
  EXPECT_EQ(judged.error().records.size(), kRecordErrorsMax);
  EXPECT_TRUE(judged.error().message.starts_with("2500 of ")) << judged.error().message;
}

TEST(Validate, batch_must_fit_a_segment) {
  Slice batch = sound_batch(3);
  auto size = static_cast<int64_t>(batch.size());
  EXPECT_EQ(judge(batch, {.segment_bytes = size}), "accepted");
  EXPECT_EQ(judge(batch, {.segment_bytes = size - 1}), "18: The batch has " + std::to_string(size) +
                                                           " bytes, segment.bytes is " +
                                                           std::to_string(size - 1));
}

TEST(Validate, rules_are_judged_in_kafkas_order) {
  // Everything is wrong at once; each step puts right what was refused.
  Slice good = sound_batch(2);
  std::vector<std::byte> bytes = vector_of(changed(good, [](BatchHeader& h) {
    h.base_offset = 1;
    h.attributes = kControlBit | kLogAppendTimeBit | 5;
    h.last_offset_delta = -5;
    h.record_count = -1;
    h.producer_id = 1;
  }));
  bytes.back() ^= std::byte{1};
  AppendRules rules{.message_bytes_max = 10, .segment_bytes = 10};
  auto code = [&] { return to_text(validate_for_append(slice_of(bytes), rules, kNowMs)); };
  auto change = [&](auto fix) { bytes = vector_of(changed(slice_of(bytes), fix)); };
  EXPECT_TRUE(code().starts_with("87: The base offset")) << code();
  base::store_be(bytes.data(), int64_t{0});
  EXPECT_TRUE(code().starts_with("10: ")) << code();
  rules.message_bytes_max = 1000;
  EXPECT_TRUE(code().starts_with("2: The batch is corrupt")) << code();
  bytes.back() ^= std::byte{1};
  EXPECT_TRUE(code().starts_with("76: ")) << code();
  change([](BatchHeader& h) { h.attributes &= ~kCodecMask; });
  EXPECT_TRUE(code().starts_with("87: The batch has an invalid offset range")) << code();
  change([](BatchHeader& h) { h.last_offset_delta = 1; });
  EXPECT_TRUE(code().starts_with("87: Invalid record count")) << code();
  change([](BatchHeader& h) { h.record_count = 2; });
  EXPECT_TRUE(code().starts_with("87: Clients may not write control")) << code();
  change([](BatchHeader& h) { h.attributes &= ~kControlBit; });
  EXPECT_TRUE(code().starts_with("87: Invalid sequence")) << code();
  change([](BatchHeader& h) { h.base_sequence = 0; });
  EXPECT_TRUE(code().starts_with("32: ")) << code();
  change([](BatchHeader& h) { h.attributes &= ~kLogAppendTimeBit; });
  EXPECT_TRUE(code().starts_with("18: ")) << code();
  rules.segment_bytes = 1000;
  EXPECT_EQ(code(), "accepted");
}

TEST(Validate, every_truncation_is_refused) {
  for (Codec codec : kAllCodecs) {
    Slice batch = sound_batch(4, {.codec = codec});
    for (size_t size = 0; size < batch.size(); ++size) {
      ASSERT_EQ(judge(batch.cut(0, size)), "87: There is no whole batch for the partition") << size;
    }
  }
}

// Whether accepting `other` in place of `original` harms nobody: same bytes from the CRC's start
// on, which is all that is kept of what a client sent.
bool kept_equal(const ValidatedBatch& judged, const Slice& original) {
  return judged.with_position(0, -1).flatten().text() == original.text();
}

TEST(Validate, every_flipped_bit_is_refused_or_changes_nothing) {
  for (Codec codec : kAllCodecs) {
    Slice batch = sound_batch(4, {.codec = codec});
    std::vector<std::byte> bytes = vector_of(batch);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::vector<std::byte> other = bytes;
        other[i] ^= static_cast<std::byte>(1 << bit);
        auto judged = validate_for_append(slice_of(other), {}, kNowMs);
        bool epoch = i >= 12 && i < 16;  // the leader's to set, so a client's is of no matter
        ASSERT_EQ(judged.has_value(), epoch) << "byte " << i << " bit " << bit;
        ASSERT_TRUE(!judged || kept_equal(*judged, batch));
      }
    }
  }
}

TEST(Validate, no_byte_that_the_crc_vouches_for_leads_to_a_crash) {
  // A hostile client computes a CRC that fits its damage.
  for (Codec codec : kAllCodecs) {
    std::vector<std::byte> bytes = vector_of(sound_batch(4, {.codec = codec}));
    for (size_t i = kCrcStart; i < bytes.size(); ++i) {
      for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        std::vector<std::byte> other = bytes;
        other[i] = static_cast<std::byte>(value);
        base::store_be(other.data() + 17, batch_crc(slice_of(other)));
        auto judged =
            validate_for_append(slice_of(other), {.uncompressed_bytes_max = kPlenty}, kNowMs);
        if (!judged) continue;
        // What is accepted can be read again, and its records are numbered rightly.
        Slice placed = judged->with_position(77, 1).flatten();
        BatchHeader header = header_of(placed);
        ASSERT_TRUE(check_header(header, placed.size()).has_value());
        ASSERT_EQ(batch_crc(placed), header.crc);
        auto records = read_records(header, placed, kPlenty);
        ASSERT_TRUE(records.has_value()) << i;
        ASSERT_EQ(records->size(), static_cast<size_t>(header.record_count));
        for (size_t r = 0; r < records->size(); ++r) {
          ASSERT_EQ((*records)[r].offset_delta, static_cast<int64_t>(r));
          ASSERT_LE(header.timestamp_ms((*records)[r].timestamp_delta_ms), header.max_timestamp_ms);
        }
      }
    }
  }
}

}  // namespace
}  // namespace verdict::record
