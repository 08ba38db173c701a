// Headers and lengths around messages, and the frame of metadata records.

#include "broker/wire/frame.h"

#include <gtest/gtest.h>

#include <string>

#include "broker/base/endian.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/errors.h"
#include "broker/wire/fetch.h"
#include "broker/wire/metadata.h"
#include "broker/wire/metadata_record.h"
#include "broker/wire/metadata_records.h"

namespace verdict::wire {
namespace {

using base::Slice;
using base::Slices;

std::string text_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int b : bytes) text += static_cast<char>(b);
  return text;
}

Slices behind_length(const Slices& frame) {
  EXPECT_EQ(base::load_be<int32_t>(frame.flatten().data()),
            static_cast<int32_t>(frame.size() - kFrameLengthBytes));
  return frame.cut(kFrameLengthBytes, frame.size() - kFrameLengthBytes);
}

TEST(Frame, requests_have_a_header_that_fits_their_version) {
  MetadataRequest body;
  body.topics.emplace().push_back({.name = "orders"});
  for (int16_t version = 0; version <= MetadataRequest::kVersionMax; ++version) {
    for (const std::optional<std::string>& client :
         {std::optional<std::string>(), std::optional<std::string>("me")}) {
      const Slices frame = request_frame(body, version, 77, client);
      auto request = parse_request(behind_length(frame));
      ASSERT_TRUE(request);
      ASSERT_TRUE(request->version_known());
      EXPECT_EQ(request->api->name, "Metadata");
      EXPECT_EQ(request->header.correlation_id, 77);
      EXPECT_EQ(request->header.client_id, client);
      EXPECT_EQ(request_header_version(*request->api, version), version >= 9 ? 2 : 1);
      auto decoded = MetadataRequest::decode(request->body, version);
      ASSERT_TRUE(decoded) << decoded.error().to_string();
      EXPECT_EQ(*decoded->topics, *body.topics);
    }
  }
}

TEST(Frame, client_id_has_the_old_length_in_both_headers) {
  const Slices frame = request_frame(ApiVersionsRequest(), 3, 1, "ab");
  EXPECT_EQ(behind_length(frame).flatten().text().substr(0, 13),
            text_of({0, 18, 0, 3, 0, 0, 0, 1, 0, 2, 'a', 'b', 0}));
}

TEST(Frame, tagged_fields_of_a_request_header_are_kept) {
  const Slice frame =
      Slice::copy_of(text_of({0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 1, 5, 2, 'x', 'y', 1, 1, 0}));
  auto request = parse_request(frame);
  ASSERT_TRUE(request) << request.error().to_string();
  ASSERT_EQ(request->header.unknown_tags.size(), 1U);
  EXPECT_EQ(request->header.unknown_tags[0].number, 5U);
  EXPECT_TRUE(ApiVersionsRequest::decode(request->body, 3));
}

TEST(Frame, an_unknown_key_or_version_is_seen_before_the_body) {
  const std::string rest = text_of({0, 0, 0, 9, 0xff, 0xff, 0xee});
  auto key = parse_request(Slice::copy_of(text_of({0, 4, 0, 0}) + rest));  // was LeaderAndIsr
  ASSERT_TRUE(key);
  EXPECT_EQ(key->api, nullptr);
  EXPECT_FALSE(key->version_known());
  auto version = parse_request(Slice::copy_of(text_of({0, 18, 0, 99}) + rest));
  ASSERT_TRUE(version);
  ASSERT_NE(version->api, nullptr);
  EXPECT_FALSE(version->version_known());
  EXPECT_EQ(version->header.correlation_id, 9);
  EXPECT_TRUE(version->body.empty());
}

TEST(Frame, a_header_that_ends_early_is_invalid) {
  const Slices frame = behind_length(request_frame(ApiVersionsRequest(), 3, 1, "ab"));
  for (size_t size = 0; size < 13; ++size) {
    auto request = parse_request(frame.cut(0, size));
    ASSERT_FALSE(request) << size;
    EXPECT_EQ(request.error().code, base::Errc::invalid);
  }
}

TEST(Frame, responses_to_api_versions_always_have_the_old_header) {
  const Api& versions = *find_api(kApiVersionsKey);
  for (int16_t version = 0; version <= 4; ++version) {
    EXPECT_EQ(response_header_version(versions, version), 0);
  }
  EXPECT_EQ(response_header_version(*find_api(3), 8), 0);
  EXPECT_EQ(response_header_version(*find_api(3), 9), 1);
  const Slices frame = response_frame(MetadataResponse(), 9, 0x01020304);
  EXPECT_EQ(behind_length(frame).flatten().text().substr(0, 5), text_of({1, 2, 3, 4, 0}));
}

TEST(Frame, a_response_is_one_buffer_but_for_its_payload) {
  FetchResponse body;
  body.responses.push_back({.topic = "t"});
  EXPECT_EQ(response_frame(body, 12, 1).count(), 1U);
  const Slice records = Slice::copy_of(std::string(5000, 'r'));
  body.responses[0].partitions.push_back({.records = records});
  const Slices frame = response_frame(body, 12, 1);
  EXPECT_EQ(frame.count(), 3U);
  EXPECT_EQ(frame.begin()[1].data(), records.data());
  auto response = parse_response(behind_length(frame), *find_api(1), 12);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->correlation_id, 1);
  EXPECT_EQ(*FetchResponse::decode(response->body, 12), body);
}

TEST(Frame, fallback_of_api_versions_is_a_version_0_body_with_error_35) {
  const Slices frame = behind_length(api_versions_fallback(42));
  EXPECT_EQ(frame.flatten().text(), text_of({0, 0, 0, 42, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4}));
}

TEST(MetadataRecord, has_its_frame_type_and_version_in_front) {
  TopicRecord topic;
  topic.name = "a";
  topic.topic_id = {.high = 1, .low = 2};
  const Slice value = encode_metadata_record(topic, 0);
  EXPECT_EQ(value.text().substr(0, 5), text_of({1, 2, 0, 2, 'a'}));
  auto frame = decode_metadata_record(value);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->type, TopicRecord::kApiKey);
  EXPECT_EQ(frame->version, 0);
  EXPECT_EQ(*TopicRecord::decode(frame->body, frame->version), topic);
}

TEST(MetadataRecord, another_frame_or_an_absurd_type_is_refused) {
  auto newer = decode_metadata_record(Slice::copy_of(text_of({2, 2, 0})));
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, base::Errc::unsupported);
  auto absurd = decode_metadata_record(Slice::copy_of(text_of({1, 0x80, 0x80, 2, 0})));
  ASSERT_FALSE(absurd);
  EXPECT_EQ(absurd.error().code, base::Errc::invalid);
  EXPECT_FALSE(decode_metadata_record(Slice::copy_of(text_of({1, 2}))));
  EXPECT_FALSE(decode_metadata_record(Slices()));
}

}  // namespace
}  // namespace verdict::wire
