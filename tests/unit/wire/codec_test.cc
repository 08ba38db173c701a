// The primitive types, at their limits and across slices.

#include "broker/wire/codec.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <string>

#include "tests/unit/wire/arbitrary.h"

namespace verdict::wire {
namespace {

using base::Slice;
using base::Slices;

Slices bytes_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int b : bytes) text += static_cast<char>(b);
  return Slice::copy_of(text);
}

std::string text_of(const Slices& bytes) { return std::string(bytes.flatten().text()); }

TEST(Codec, integers_are_big_endian_and_may_straddle_slices) {
  Writer out;
  out.value(int8_t{-2});
  out.value(int16_t{0x0102});
  out.value(uint16_t{0xfffe});
  out.value(int32_t{0x01020304});
  out.value(std::numeric_limits<int64_t>::min());
  out.value(true);
  out.value(1.5);
  out.value(base::Uuid{.high = 1, .low = 2});
  const Slices whole = std::move(out).finish();
  EXPECT_EQ(text_of(whole).substr(0, 9), text_of(bytes_of({0xfe, 1, 2, 0xff, 0xfe, 1, 2, 3, 4})));
  Arbitrary any(1);
  for (int i = 0; i < 100; ++i) {
    const Slices parts = any.shredded(whole);
    Reader in(parts);
    int8_t a = 0;
    int16_t b = 0;
    uint16_t c = 0;
    int32_t d = 0;
    int64_t e = 0;
    bool f = false;
    double g = 0;
    base::Uuid h;
    in.value(a, "a");
    in.value(b, "b");
    in.value(c, "c");
    in.value(d, "d");
    in.value(e, "e");
    in.value(f, "f");
    in.value(g, "g");
    in.value(h, "h");
    in.expect_end();
    ASSERT_TRUE(in.ok());
    EXPECT_EQ(a, -2);
    EXPECT_EQ(b, 0x0102);
    EXPECT_EQ(c, 0xfffe);
    EXPECT_EQ(d, 0x01020304);
    EXPECT_EQ(e, std::numeric_limits<int64_t>::min());
    EXPECT_TRUE(f);
    EXPECT_EQ(g, 1.5);
    EXPECT_EQ(h, (base::Uuid{.high = 1, .low = 2}));
  }
}

TEST(Codec, varints_end_where_their_bits_end) {
  struct Case {
    Slices bytes;
    std::optional<uint64_t> value;
  };
  const Case cases[] = {
      {bytes_of({0}), 0},
      {bytes_of({0x7f}), 127},
      {bytes_of({0x80, 1}), 128},
      {bytes_of({0xff, 0xff, 0xff, 0xff, 0x0f}), UINT32_MAX},
      {bytes_of({0xff, 0xff, 0xff, 0xff, 0x1f}), std::nullopt},  // 33 bits
      {bytes_of({0x80, 0x80, 0x80, 0x80, 0x80, 0}), std::nullopt},
      {bytes_of({0x80}), std::nullopt},
      {bytes_of({}), std::nullopt},
  };
  Arbitrary any(2);
  for (const Case& c : cases) {
    for (const Slices& bytes : {c.bytes, any.shredded(c.bytes)}) {
      Reader in(bytes);
      const uint64_t v = in.uvarint(32, "v");
      EXPECT_EQ(in.ok(), c.value.has_value());
      EXPECT_EQ(v, c.value.value_or(0));
    }
  }
}

TEST(Codec, null_and_empty_are_different) {
  for (const Lengths lengths : {Lengths::fixed, Lengths::compact}) {
    Writer out;
    out.text(lengths, std::optional<std::string>());
    out.text(lengths, std::optional<std::string>(""));
    out.bytes(lengths, std::optional<Slices>());
    out.bytes(lengths, std::optional<Slices>(Slices()));
    out.null_array(lengths);
    out.array(lengths, 0);
    const Slices bytes = std::move(out).finish();
    EXPECT_EQ(bytes.size(), lengths == Lengths::compact ? 6U : 20U);
    Reader in(bytes);
    std::optional<std::string> text;
    std::optional<Slices> payload;
    in.text(lengths, text, "1");
    EXPECT_FALSE(text);
    in.text(lengths, text, "2");
    EXPECT_EQ(text, "");
    in.records(lengths, payload, "3");
    EXPECT_FALSE(payload);
    in.records(lengths, payload, "4");
    EXPECT_TRUE(payload && payload->empty());
    EXPECT_EQ(in.array_or_null(lengths, 1, "5"), std::nullopt);
    EXPECT_EQ(in.array_or_null(lengths, 1, "6"), 0U);
    in.expect_end();
    EXPECT_TRUE(in.ok());
  }
}

TEST(Codec, negative_lengths_but_null_are_invalid) {
  for (const int low : {0xfe, 0x80}) {
    const Slices bytes = bytes_of({0xff, 0xff, 0xff, low});
    std::optional<Slices> payload;
    Reader records(bytes);
    records.records(Lengths::fixed, payload, "f");
    EXPECT_FALSE(records.ok());
    Reader array(bytes);
    EXPECT_EQ(array.array_or_null(Lengths::fixed, 1, "f"), std::nullopt);
    EXPECT_FALSE(array.ok());
    const Slices short_bytes = bytes_of({0xff, low});
    Reader text(short_bytes);
    std::optional<std::string> out;
    text.text(Lengths::fixed, out, "f");
    EXPECT_FALSE(text.ok());
  }
}

TEST(Codec, strings_have_the_limit_of_the_protocol_in_both_forms) {
  const std::string longest(kStringBytesMax, 's');
  for (const Lengths lengths : {Lengths::fixed, Lengths::compact}) {
    Writer out;
    out.text(lengths, longest);
    const Slices bytes = std::move(out).finish();
    Reader in(bytes);
    std::string back;
    in.text(lengths, back, "s");
    EXPECT_TRUE(in.ok());
    EXPECT_EQ(back, longest);
  }
  Writer out;
  out.uvarint(kStringBytesMax + 2);  // one more than the longest
  out.payload(Slice::copy_of(longest + "s"));
  const Slices bytes = std::move(out).finish();
  Reader in(bytes);
  std::string back;
  in.text(Lengths::compact, back, "s");
  EXPECT_FALSE(in.ok());
}

TEST(Codec, the_first_failure_is_the_one_that_is_told) {
  const Slices bytes = bytes_of({1, 2});
  Reader in(bytes);
  int32_t v = 7;
  in.value(v, "first");
  in.value(v, "second");
  in.fail("third", "another reason");
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(v, 0);
  EXPECT_EQ(in.remaining(), 0U);
  EXPECT_EQ(in.error("Message", 3).to_string(),
            "invalid: Message v3, field first: the bytes end early");
}

TEST(Codec, a_writer_grows_and_keeps_payload_in_its_place) {
  Arbitrary any(3);
  for (int i = 0; i < 200; ++i) {
    Writer out;
    std::string expected;
    for (size_t left = any.below(30); left > 0; --left) {
      const std::string part(any.below(3) == 0 ? any.below(2000) : any.below(5),
                             static_cast<char>('a' + any.below(26)));
      if (any.one_in(2)) {
        out.payload(Slice::copy_of(part));
      } else {
        for (const char c : part) out.value(static_cast<uint8_t>(c));
      }
      expected += part;
    }
    ASSERT_EQ(out.size(), expected.size());
    ASSERT_EQ(text_of(std::move(out).finish()), expected);
  }
}

TEST(Codec, tagged_fields_of_any_size_carry_their_length) {
  for (const size_t size : {0, 1, 127, 128, 300, 20'000}) {
    Writer out;
    out.uvarint(2);
    const size_t outer = out.begin_tag(3);
    out.value(int8_t{9});
    const size_t inner = out.begin_tag(1);
    out.payload(Slice::copy_of(std::string(size, 'p')));  // copied, however long it is
    out.end_tag(inner);
    out.end_tag(outer);
    const size_t last = out.begin_tag(4);
    out.end_tag(last);
    const Slices bytes = std::move(out).finish();
    Reader in(bytes);
    EXPECT_EQ(in.tag_count("count"), 2U);
    int64_t previous = -1;
    const Reader::Tag tag = in.tag(previous, "tag");
    EXPECT_EQ(tag.number, 3U);
    EXPECT_EQ(tag.bytes.size(), 1 + 1 + base::uvarint_size(size) + size);
    EXPECT_EQ(in.tag(previous, "tag").bytes.size(), 0U);
    in.expect_end();
    EXPECT_TRUE(in.ok());
  }
}

}  // namespace
}  // namespace verdict::wire
