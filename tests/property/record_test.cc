// Batches of any records, in any codec and any slicing.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/crc32c.h"
#include "broker/base/endian.h"
#include "broker/record/batch.h"
#include "broker/record/compression.h"
#include "broker/record/validate.h"

namespace verdict::record {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using Text = std::optional<std::string>;

constexpr size_t kUncompressedMax = 1U << 24;
constexpr int64_t kNowMs = 1'795'219'103'829;

// A record as plain values, to compare with.
struct Plain {
  int64_t timestamp_ms = 0;
  Text key;
  Text value;
  std::vector<std::pair<std::string, Text>> headers;
  bool operator==(const Plain&) const = default;
};

rc::Gen<std::string> any_bytes() {
  // Mostly short; some long enough for two bytes of length, or for more than a codec's block.
  return rc::gen::weightedOneOf<std::string>(
      {{12, rc::gen::string<std::string>()},
       {2, rc::gen::map(rc::gen::inRange(0, 20'000),
                        [](int n) { return std::string(static_cast<size_t>(n), 'r'); })},
       {1, rc::gen::map(rc::gen::inRange(60'000, 140'000), [](int n) {
          std::string text;
          for (uint32_t i = 0; i < static_cast<uint32_t>(n); ++i) {
            text += static_cast<char>((i * i) >> 7);
          }
          return text;
        })}});
}

rc::Gen<Text> any_text() {
  return rc::gen::oneOf(rc::gen::just(Text()), rc::gen::map(any_bytes(), [](std::string s) {
                          return Text(std::move(s));
                        }));
}

rc::Gen<Plain> any_record() {
  auto header = rc::gen::pair(rc::gen::string<std::string>(), any_text());
  auto headers = rc::gen::weightedOneOf<std::vector<std::pair<std::string, Text>>>(
      {{3, rc::gen::just(std::vector<std::pair<std::string, Text>>())},
       {1, rc::gen::container<std::vector<std::pair<std::string, Text>>>(header)}});
  auto timestamp = rc::gen::oneOf(rc::gen::inRange<int64_t>(kNowMs - 100'000, kNowMs + 100'000),
                                  rc::gen::just<int64_t>(-1), rc::gen::just<int64_t>(0));
  return rc::gen::build<Plain>(
      rc::gen::set(&Plain::timestamp_ms, timestamp), rc::gen::set(&Plain::key, any_text()),
      rc::gen::set(&Plain::value, any_text()), rc::gen::set(&Plain::headers, headers));
}

std::vector<Plain> some_records() {
  return *rc::gen::nonEmpty(rc::gen::container<std::vector<Plain>>(any_record())).as("records");
}

Codec some_codec() {
  return *rc::gen::element(Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd);
}

std::optional<std::span<const std::byte>> bytes_of(const Text& text) {
  if (!text) return std::nullopt;
  return std::as_bytes(std::span(text->data(), text->size()));
}

Slice build(const std::vector<Plain>& records, BatchBuilder::Options options) {
  BatchBuilder builder(options);
  for (const Plain& r : records) {
    std::vector<Header> headers;
    for (const auto& [key, value] : r.headers) {
      Header header{Slice::copy_of(key), std::nullopt};
      if (value) header.value = Slice::copy_of(*value);
      headers.push_back(std::move(header));
    }
    builder.add(r.timestamp_ms, bytes_of(r.key), bytes_of(r.value), headers);
  }
  return builder.build();
}

std::vector<Plain> read(const Slices& batch) {
  BatchHeader header = read_header(batch.cut(0, kHeaderBytes).flatten().bytes());
  RC_ASSERT(check_header(header, batch.size()).has_value());
  RC_ASSERT(batch_crc(batch) == header.crc);
  auto records = read_records(header, batch, kUncompressedMax);
  RC_ASSERT(records.has_value());
  auto text = [](const std::optional<Slice>& s) {
    return s ? Text(std::string(s->text())) : Text();
  };
  std::vector<Plain> plain;
  for (const Record& r : *records) {
    RC_ASSERT(r.offset_delta == static_cast<int64_t>(plain.size()));
    Plain p{header.timestamp_ms(r.timestamp_delta_ms), text(r.key), text(r.value), {}};
    for (const Header& h : r.headers) p.headers.emplace_back(h.key.text(), text(h.value));
    plain.push_back(std::move(p));
  }
  return plain;
}

// Cuts at random places, each piece in a buffer of its own.
Slices in_random_pieces(const Slices& whole) {
  size_t piece_max = *rc::gen::element<size_t>(3, 17, 100, 5000, 1U << 20);
  Slices pieces;
  for (size_t at = 0; at < whole.size();) {
    size_t drawn = piece_max < 100 ? *rc::gen::inRange<size_t>(1, piece_max + 1) : piece_max;
    // Few pieces for large batches: the draw is what costs.
    size_t count = std::min(std::max(drawn, whole.size() / 200), whole.size() - at);
    pieces.push_back(Slice::copy_of(whole.cut(at, count).flatten().bytes()));
    at += count;
  }
  return pieces;
}

RC_GTEST_PROP(RecordProperty, what_is_built_is_read_in_any_codec_and_slicing, ()) {
  std::vector<Plain> records = some_records();
  Slice batch = build(records, {.codec = some_codec(), .base_offset = 1000});
  RC_ASSERT(read(batch) == records);
  RC_ASSERT(read(in_random_pieces(batch)) == records);
}

RC_GTEST_PROP(RecordProperty, header_says_what_is_in_the_batch, ()) {
  std::vector<Plain> records = some_records();
  Slice batch = build(records, {.codec = some_codec()});
  BatchHeader header = read_header(batch.bytes());
  RC_ASSERT(header.total_bytes() == batch.size());
  RC_ASSERT(header.record_count == static_cast<int32_t>(records.size()));
  RC_ASSERT(header.base_timestamp_ms == records.front().timestamp_ms);
  auto later = [](const Plain& a, const Plain& b) { return a.timestamp_ms < b.timestamp_ms; };
  RC_ASSERT(header.max_timestamp_ms ==
            std::max_element(records.begin(), records.end(), later)->timestamp_ms);
}

RC_GTEST_PROP(RecordProperty, crc_covers_exactly_the_bytes_from_the_attributes_on, ()) {
  Slice batch = build(some_records(), {.codec = some_codec()});
  std::vector<std::byte> bytes(batch.bytes().begin(), batch.bytes().end());
  RC_ASSERT(batch_crc(batch) == base::crc32c_portable(0, std::span(bytes).subspan(kCrcStart)));
  auto at = *rc::gen::inRange<size_t>(0, bytes.size());
  bytes[at] ^= static_cast<std::byte>(*rc::gen::inRange(1, 256));
  bool same = batch_crc(Slice::copy_of(std::span<const std::byte>(bytes))) == batch_crc(batch);
  RC_ASSERT(same == (at < kCrcStart));
}

RC_GTEST_PROP(RecordProperty, accepted_batches_hold_the_same_records_whatever_the_topic_says, ()) {
  std::vector<Plain> records = some_records();
  Slices sent = in_random_pieces(build(records, {.codec = some_codec()}));
  AppendRules rules{.message_bytes_max = 1 << 24, .log_append_time = *rc::gen::arbitrary<bool>()};
  if (*rc::gen::arbitrary<bool>()) rules.compression = some_codec();
  auto judged = validate_for_append(sent, rules, kNowMs);
  RC_ASSERT(judged.has_value());
  Slices placed = judged->with_position(*rc::gen::inRange<int64_t>(0, 1'000'000'000'000), 7);
  std::vector<Plain> kept = read(placed);
  if (rules.log_append_time) {
    for (Plain& r : records) r.timestamp_ms = kNowMs;
  }
  RC_ASSERT(kept == records);
  auto max = static_cast<size_t>(judged->max_timestamp_offset_delta);
  RC_ASSERT(kept.at(max).timestamp_ms == judged->max_timestamp_ms);
}

RC_GTEST_PROP(RecordProperty, damage_with_a_fitting_crc_is_refused_or_readable, ()) {
  // A hostile client; the CRC vouches for any bytes it likes.
  Slice batch = build(some_records(), {.codec = some_codec()});
  std::vector<std::byte> bytes(batch.bytes().begin(), batch.bytes().end());
  auto flips = *rc::gen::inRange(1, 6);
  for (int i = 0; i < flips; ++i) {
    // Near the front, where the lengths and the codecs' own headers are, more often than not.
    size_t range = *rc::gen::arbitrary<bool>() ? std::min<size_t>(bytes.size(), 100) : bytes.size();
    auto at = *rc::gen::inRange<size_t>(kCrcStart, range);
    bytes[at] = static_cast<std::byte>(*rc::gen::arbitrary<uint8_t>());
  }
  base::store_be(bytes.data() + 17, batch_crc(Slice::copy_of(std::span<const std::byte>(bytes))));
  Slices sent = in_random_pieces(Slice::copy_of(std::span<const std::byte>(bytes)));
  auto judged = validate_for_append(sent, {.message_bytes_max = 1 << 24}, kNowMs);
  if (!judged) {
    RC_ASSERT(!judged.error().message.empty());
    return;
  }
  std::vector<Plain> kept = read(judged->with_position(5, 1));
  RC_ASSERT(kept.size() == static_cast<size_t>(judged->header.record_count));
}

RC_GTEST_PROP(RecordProperty, codecs_end_at_the_limit_for_any_bytes, ()) {
  Codec codec = *rc::gen::element(Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd);
  std::string plain = *any_bytes();
  RC_PRE(!plain.empty());
  Slice packed = compress(codec, 0, Slice::copy_of(plain));
  auto limit = *rc::gen::inRange<size_t>(0, plain.size() + 2);
  auto unpacked = decompress(codec, in_random_pieces(packed), limit);
  RC_ASSERT(unpacked.has_value() == (plain.size() <= limit));
  if (unpacked) {
    RC_ASSERT(unpacked->text() == plain);
  } else {
    RC_ASSERT(unpacked.error().code == Errc::too_large);
  }
}

}  // namespace
}  // namespace verdict::record
