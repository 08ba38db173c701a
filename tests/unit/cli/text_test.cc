// What people write on the command line, and what they get to read.

#include <gtest/gtest.h>

#include "cli/bootstrap.h"
#include "cli/offset_spec.h"
#include "cli/record_format.h"

namespace verdict::cli {
namespace {

using base::Slice;
using client::ConsumedRecord;
using runtime::Endpoint;
using Kind = OffsetSpec::Kind;
using Endpoints = std::vector<Endpoint>;

TEST(Bootstrap, addresses_have_hosts_and_ports_and_commas_between_them) {
  EXPECT_EQ(parse_bootstrap("127.0.0.1:9093").value(), (Endpoints{{"127.0.0.1", 9093}}));
  EXPECT_EQ(parse_bootstrap("a:1,b.example:65535").value(),
            (Endpoints{{"a", 1}, {"b.example", 65535}}));
  EXPECT_EQ(parse_bootstrap("localhost").value(), (Endpoints{{"localhost", 9092}}));
  EXPECT_EQ(parse_bootstrap("[::1]:9094").value(), (Endpoints{{"::1", 9094}}));
  EXPECT_EQ(parse_bootstrap("::1").value(), (Endpoints{{"::1", 9092}}));
}

TEST(Bootstrap, what_is_no_address_is_refused_with_an_example) {
  for (const char* wrong : {"", ":9092", "a:", "a:0", "a:65536", "a:9x", "a:-1", "a,,b", "a,",
                            "a b", "http://a:9092", "[::1]9092", "[]:1"}) {
    const auto parsed = parse_bootstrap(wrong);
    ASSERT_FALSE(parsed.has_value()) << wrong;
    EXPECT_NE(parsed.error().detail.find("127.0.0.1:9092"), std::string::npos) << wrong;
  }
  std::string many = "a";
  for (size_t i = 0; i < kBootstrapMax; ++i) many += ",a";
  EXPECT_FALSE(parse_bootstrap(many).has_value());
}

TEST(OffsetSpec, it_is_beginning_end_a_number_or_so_many_before_the_end) {
  EXPECT_EQ(parse_offset_spec("beginning").value(), (OffsetSpec{Kind::beginning, 0}));
  EXPECT_EQ(parse_offset_spec("end").value(), (OffsetSpec{Kind::end, 0}));
  EXPECT_EQ(parse_offset_spec("0").value(), (OffsetSpec{Kind::absolute, 0}));
  EXPECT_EQ(parse_offset_spec("17").value(), (OffsetSpec{Kind::absolute, 17}));
  EXPECT_EQ(parse_offset_spec("-5").value(), (OffsetSpec{Kind::before_end, 5}));
  EXPECT_EQ(parse_offset_spec("9223372036854775807").value().count, INT64_MAX);
  for (const char* wrong :
       {"", "-", "--5", "5x", "last", "9223372036854775808", "1.5", " 1", "+1"}) {
    EXPECT_FALSE(parse_offset_spec(wrong).has_value()) << wrong;
  }
}

TEST(OffsetSpec, in_a_partition_it_is_an_offset_that_can_be_read) {
  EXPECT_EQ(first_offset({Kind::beginning}, 10, 20).value(), 10);
  EXPECT_EQ(first_offset({Kind::end}, 10, 20).value(), 20);
  EXPECT_EQ(first_offset({Kind::before_end, 3}, 10, 20).value(), 17);
  EXPECT_EQ(first_offset({Kind::before_end, 11}, 10, 20).value(), 10);
  EXPECT_EQ(first_offset({Kind::before_end, INT64_MAX}, 10, 20).value(), 10);
  EXPECT_EQ(first_offset({Kind::before_end, 0}, 10, 20).value(), 20);
  EXPECT_EQ(first_offset({Kind::absolute, 10}, 10, 20).value(), 10);
  EXPECT_EQ(first_offset({Kind::absolute, 20}, 10, 20).value(), 20);
  EXPECT_EQ(first_offset({Kind::end}, 0, 0).value(), 0);
}

TEST(OffsetSpec, an_offset_outside_of_the_partition_is_refused_with_its_range) {
  for (const int64_t outside : {int64_t{0}, int64_t{9}, int64_t{21}, INT64_MAX}) {
    const auto first = first_offset({Kind::absolute, outside}, 10, 20);
    ASSERT_FALSE(first.has_value()) << outside;
    EXPECT_NE(first.error().detail.find("begins at 10 and ends before 20"), std::string::npos);
  }
}

ConsumedRecord record_with(std::optional<std::string> key, std::optional<std::string> value) {
  ConsumedRecord record{.topic = "t", .partition = 3, .offset = 41, .timestamp_ms = 1'700};
  if (key) record.key = Slice::copy_of(*key);
  if (value) record.value = Slice::copy_of(*value);
  return record;
}

std::string printed(std::string_view format, const ConsumedRecord& record) {
  std::string text;
  RecordFormat::parse(format).value().append(record, text);
  return text;
}

TEST(RecordFormat, every_place_prints_its_part_of_the_record) {
  ConsumedRecord record = record_with("key", "some value");
  record.headers.push_back({.key = Slice::copy_of("a"), .value = Slice::copy_of("1")});
  record.headers.push_back({.key = Slice::copy_of("b"), .value = std::nullopt});
  EXPECT_EQ(printed("%t/%p/%o/%T", record), "t/3/41/1700");
  EXPECT_EQ(printed("%k=%s\\n", record), "key=some value\n");
  EXPECT_EQ(printed("%K %S %h", record), "3 10 a=1,b=");
  EXPECT_EQ(printed("100%% of %%s", record), "100% of %s");
  EXPECT_EQ(printed("", record), "");
}

TEST(RecordFormat, what_is_absent_prints_as_nothing_and_has_the_length_minus_one) {
  EXPECT_EQ(printed("[%k][%s][%h] %K %S", record_with(std::nullopt, std::nullopt)), "[][][] -1 -1");
  EXPECT_EQ(printed("[%k][%s] %K %S", record_with("", "")), "[][] 0 0");
}

TEST(RecordFormat, bytes_of_a_record_are_printed_as_they_are) {
  const std::string bytes("\0\xff%s\\n\r\n", 8);
  EXPECT_EQ(printed("%s", record_with(std::nullopt, bytes)), bytes);
}

TEST(RecordFormat, backslashes_stand_for_bytes_between_places_only) {
  EXPECT_EQ(printed("\\t%p\\x41\\x7f\\0\\\\", record_with("k", "v")),
            std::string("\t3A\x7f\0\\", 6));
  EXPECT_EQ(unescape("a\\tb").value(), "a\tb");
  EXPECT_EQ(unescape("").value(), "");
}

TEST(RecordFormat, what_means_nothing_is_refused_with_its_column) {
  for (const char* wrong : {"%", "%q", "a%", "\\q", "\\", "\\x4", "\\xzz", "%s\\"}) {
    EXPECT_FALSE(RecordFormat::parse(wrong).has_value()) << wrong;
  }
  const auto parsed = RecordFormat::parse("%s %z");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().detail.find("column 4"), std::string::npos) << parsed.error().detail;
}

TEST(RecordFormat, json_has_one_object_per_record_and_survives_any_bytes) {
  std::string text;
  append_json(record_with(std::nullopt, "a \"b\""), text);
  EXPECT_EQ(text,
            "{\"topic\":\"t\",\"partition\":3,\"offset\":41,\"timestamp\":1700,\"key\":null,"
            "\"value\":\"a \\\"b\\\"\",\"headers\":[]}\n");
  text.clear();
  append_json(record_with("k", "\xff"), text);
  EXPECT_NE(text.find("\xEF\xBF\xBD"), std::string::npos);
}

}  // namespace
}  // namespace verdict::cli
