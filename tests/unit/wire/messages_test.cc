// What holds for every message that the generator makes.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "broker/wire/api_table.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/fetch.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/metadata.h"
#include "broker/wire/metadata_records.h"
#include "broker/wire/produce.h"
#include "tests/unit/wire/all_messages.h"

namespace verdict::wire {
namespace {

using base::Slice;
using base::Slices;

constexpr int kValuesPerVersion = 200;

Slice bytes_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int b : bytes) text += static_cast<char>(b);
  return Slice::copy_of(text);
}

std::string place(const MessageUnderTest& message, int version) {
  return std::string(message.name) + " v" + std::to_string(version);
}

TEST(Messages, random_values_of_every_version_are_the_same_after_encoding_and_decoding) {
  std::set<std::pair<int16_t, bool>> apis;
  for (const MessageUnderTest& message : all_messages()) {
    for (int16_t version = message.version_min; version <= message.version_max; ++version) {
      for (int i = 0; i < kValuesPerVersion; ++i) {
        Arbitrary any(
            base::combine(base::hash_text(place(message, version)), static_cast<uint64_t>(i)));
        ASSERT_TRUE(message.round_trips(any, version)) << place(message, version) << " #" << i;
      }
    }
    apis.insert({message.api_key, message.name.ends_with("Request")});
  }
  // The table holds every API that is offered, both ways.
  for (const Api& api : api_table()) {
    if (api.advertised.empty()) continue;
    EXPECT_TRUE(apis.contains({api.key, true})) << api.name;
    EXPECT_TRUE(apis.contains({api.key, false})) << api.name;
  }
}

// A random value of 200 is hardly ever a default, so a codec that forgot a field would be seen;
// this shows that the comparison itself sees every kind of field.
TEST(Messages, values_that_differ_in_one_field_are_not_equal) {
  const FetchResponse::PartitionData base;
  FetchResponse::PartitionData other;
  EXPECT_EQ(base, other);
  other.records = Slices(bytes_of({1}));
  EXPECT_NE(base, other);
  other = {};
  other.aborted_transactions.emplace();
  EXPECT_NE(base, other);
  other = {};
  other.diverging_epoch.end_offset = 7;
  EXPECT_NE(base, other);
  other = {};
  other.unknown_tags.push_back({.number = 9, .bytes = bytes_of({1})});
  EXPECT_NE(base, other);
}

TEST(Messages, bytes_of_a_produce_request_are_those_of_kafkas_documentation) {
  ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 1000;
  request.topic_data.push_back({.name = "ab"});
  request.topic_data[0].partition_data.push_back({.index = 5, .records = bytes_of({0xaa, 0xbb})});
  const Slice old = bytes_of({0xff, 0xff, 0xff, 0xff, 0,    0,   3,   0xe8,  // no id, acks, timeout
                              0,    0,    0,    1,    0,    2,   'a', 'b',   // one topic
                              0,    0,    0,    1,    0,    0,   0,   5,     // one partition
                              0,    0,    0,    2,    0xaa, 0xbb});
  EXPECT_EQ(request.encode(3).flatten().text(), old.text());
  const Slice flexible = bytes_of({0, 0xff, 0xff, 0,   0, 3, 0xe8,        // no id, acks, timeout
                                   2, 3,    'a',  'b',                    // one topic
                                   2, 0,    0,    0,   5, 3, 0xaa, 0xbb,  // one partition
                                   0, 0,    0});  // tagged fields, innermost first
  EXPECT_EQ(request.encode(9).flatten().text(), flexible.text());
  EXPECT_EQ(*ProduceRequest::decode(flexible, 9), request);
}

TEST(Messages, records_are_cut_out_of_the_request_and_never_copied) {
  ProduceRequest request;
  request.topic_data.push_back({.name = "t"});
  const Slice records = Slice::copy_of(std::string(100'000, 'r'));
  request.topic_data[0].partition_data.push_back({.index = 0, .records = records});

  const Slices encoded = request.encode(7);
  ASSERT_EQ(encoded.count(), 2U);  // nothing comes behind the records in this version
  EXPECT_EQ(encoded.begin()[1].data(), records.data());

  const Slice frame = encoded.flatten();
  auto decoded = ProduceRequest::decode(frame, 7);
  ASSERT_TRUE(decoded);
  const auto& found = decoded->topic_data[0].partition_data[0].records;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->count(), 1U);
  EXPECT_EQ(found->begin()->data(), frame.data() + frame.size() - records.size());
}

TEST(Messages, records_that_straddle_slices_stay_a_list) {
  FetchResponse response;
  response.responses.push_back({.topic = "t"});
  response.responses[0].partitions.push_back({.records = Slice::copy_of(std::string(1000, 'r'))});
  const Slice whole = response.encode(12).flatten();
  Slices parts;
  parts.push_back(whole.cut(0, 500));
  parts.push_back(whole.cut(500, whole.size() - 500));
  auto decoded = FetchResponse::decode(parts, 12);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->responses[0].partitions[0].records->count(), 2U);
  EXPECT_EQ(*decoded, response);
}

TEST(Messages, unknown_tagged_fields_survive_between_known_ones) {
  PartitionChangeRecord record;
  record.isr = {1, 2};           // tag 0
  record.leader = 4;             // tag 1
  record.directories.emplace();  // tag 8, unknown to version 0
  record.unknown_tags = {{.number = 6, .bytes = bytes_of({1, 2, 3})},
                         {.number = 4'000'000'000, .bytes = {}}};
  const Slices newer = record.encode(1);
  auto older = PartitionChangeRecord::decode(newer, 0);
  ASSERT_TRUE(older);
  EXPECT_EQ(older->leader, 4);
  EXPECT_FALSE(older->directories);
  ASSERT_EQ(older->unknown_tags.size(), 3U);
  EXPECT_EQ(older->unknown_tags[1].number, 8U);
  EXPECT_EQ(older->encode(0).flatten().text(), newer.flatten().text());
}

// A tag that was unknown in the version it came in may be known in the one that is written.
TEST(Messages, a_kept_tag_gives_way_to_a_known_field_of_its_number) {
  PartitionChangeRecord record;
  record.directories = {base::Uuid{.high = 1, .low = 2}};
  record.unknown_tags = {{.number = 8, .bytes = bytes_of({1, 2, 3})}};
  auto decoded = PartitionChangeRecord::decode(record.encode(1), 1);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->directories, record.directories);
  EXPECT_TRUE(decoded->unknown_tags.empty());
}

TEST(Messages, tags_that_do_not_ascend_are_refused) {
  for (const int second : {1, 2}) {
    const Slice bytes = bytes_of({0, 0, 0, 1, 1, 2, 2, 1, 7, second, 1, 7});  // tags 2, second
    auto decoded = EndTransactionRecord::decode(bytes.cut(5, bytes.size() - 5), 0);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code, base::Errc::invalid);
  }
}

TEST(Messages, a_tagged_field_that_is_not_read_to_its_end_is_refused) {
  const Slice good = bytes_of({1, 0, 3, 3, 'a', 'b'});  // tag 0, three bytes, "ab"
  auto named = BeginTransactionRecord::decode(good, 0);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->name, "ab");
  const Slice long_tag = bytes_of({1, 0, 4, 3, 'a', 'b', 0});
  auto refused = BeginTransactionRecord::decode(long_tag, 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Errc::invalid);
}

TEST(Messages, defaults_are_kafkas) {
  EXPECT_EQ(ListOffsetsRequest::ListOffsetsPartition{}.current_leader_epoch, -1);
  EXPECT_EQ(MetadataResponse::MetadataResponseTopic{}.topic_authorized_operations, INT32_MIN);
  EXPECT_EQ(FetchRequest{}.max_bytes, INT32_MAX);
  EXPECT_EQ(PartitionChangeRecord{}.leader, -2);
  EXPECT_TRUE(RegisterBrokerRecord{}.fenced);
}

TEST(Messages, null_is_refused_where_a_version_has_none) {
  // Metadata 0 has no null array of topics; version 1 has.
  const Slice null_topics = bytes_of({0xff, 0xff, 0xff, 0xff});
  auto refused = MetadataRequest::decode(null_topics, 0);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("MetadataRequest v0, field topics"), std::string::npos)
      << refused.error().to_string();
  auto accepted = MetadataRequest::decode(null_topics, 1);
  ASSERT_TRUE(accepted);
  EXPECT_FALSE(accepted->topics);
}

TEST(Messages, a_version_outside_the_range_is_unsupported) {
  for (const int version : {-1, 2, 14, 32767}) {
    auto decoded = ProduceRequest::decode(bytes_of({0}), static_cast<int16_t>(version));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code, base::Errc::unsupported);
  }
}

TEST(MessagesDeathTest, what_a_version_cannot_say_is_our_own_error) {
  EXPECT_DEATH((void)ProduceRequest().encode(2), "kVersionMin");
  EXPECT_DEATH((void)ProduceRequest().encode(14), "kVersionMax");
  FetchResponse response;
  response.session_id = 7;  // not ignorable
  EXPECT_DEATH((void)response.encode(4), "in.session_id");
  MetadataRequest request;
  request.topics.reset();
  EXPECT_DEATH((void)request.encode(0), "in.topics");
  ProduceRequest long_id;
  long_id.transactional_id = std::string(kStringBytesMax + 1, 'x');
  EXPECT_DEATH((void)long_id.encode(9), "kStringBytesMax");
}

TEST(Messages, what_may_be_ignored_is_left_out) {
  FetchResponse response;
  response.throttle_time_ms = 3;
  response.error_code = 5;  // ignorable, from version 7 on
  auto decoded = FetchResponse::decode(response.encode(4), 4);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->throttle_time_ms, 3);
  EXPECT_EQ(decoded->error_code, 0);
}

// Our own error texts quote what peers sent, which may be as long as a string can be.
TEST(Messages, prose_that_does_not_fit_is_cut) {
  DescribeConfigsResponse response;
  response.results.push_back({.error_message = std::string(40'000, 'x')});
  auto decoded = DescribeConfigsResponse::decode(response.encode(4), 4);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->results[0].error_message, std::string(kStringBytesMax, 'x'));
}

}  // namespace
}  // namespace verdict::wire
