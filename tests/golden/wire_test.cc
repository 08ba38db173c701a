// Every request and response that Apache Kafka 4.3.1 and nine unmodified clients exchanged, of the
// APIs that are built, decodes completely and encodes again to the same bytes.

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/endian.h"
#include "broker/wire/api_table.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/control_records.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/fetch.h"
#include "broker/wire/frame.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/metadata.h"
#include "broker/wire/metadata_record.h"
#include "broker/wire/metadata_records.h"
#include "broker/wire/produce.h"

namespace verdict::wire {
namespace {

using base::Slice;
using base::Slices;

struct Exchange {
  int16_t api = -1;
  int16_t version = -1;
  Slice request;
  Slice response;
};

Slice from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return Slice::copy_of(bytes);
}

// One exchange a line: API key, version, request, response; without the frame's length.
std::vector<Exchange> exchanges() {
  std::vector<Exchange> all;
  std::ifstream file("tests/golden/data/wire_exchanges.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Exchange one;
    std::string request;
    std::string response;
    words >> one.api >> one.version >> request >> response;
    one.request = from_hex(request);
    one.response = from_hex(response);
    all.push_back(one);
  }
  return all;
}

std::string place(const Exchange& one) {
  const Api* api = find_api(one.api);
  return (api == nullptr ? "?" : std::string(api->name)) + " v" + std::to_string(one.version);
}

// The whole frame without its length, for comparison.
std::string behind_length(const Slices& frame) {
  return std::string(
      frame.cut(kFrameLengthBytes, frame.size() - kFrameLengthBytes).flatten().text());
}

template <class Request>
void check_request(const Exchange& one) {
  auto frame = parse_request(one.request);
  ASSERT_TRUE(frame) << frame.error().to_string();
  ASSERT_TRUE(frame->version_known());
  ASSERT_EQ(frame->header.request_api_key, one.api);
  ASSERT_EQ(frame->version(), one.version);
  auto body = Request::decode(frame->body, one.version);
  ASSERT_TRUE(body) << body.error().to_string();
  const Slices again =
      request_frame(*body, one.version, frame->header.correlation_id, frame->header.client_id);
  EXPECT_EQ(behind_length(again), one.request.text());
}

template <class Response>
void check_response(const Exchange& one) {
  if (one.response.empty()) {
    ASSERT_EQ(one.api, 0) << "only a Produce with acks=0 has no response";
    return;
  }
  auto frame = parse_response(one.response, *find_api(one.api), one.version);
  ASSERT_TRUE(frame) << frame.error().to_string();
  auto body = Response::decode(frame->body, one.version);
  ASSERT_TRUE(body) << body.error().to_string();
  const Slices again = response_frame(*body, one.version, frame->correlation_id);
  EXPECT_EQ(behind_length(again), one.response.text());
}

using Check = void (*)(const Exchange&);
const std::map<int16_t, std::pair<Check, Check>> kChecks = {
    {0, {check_request<ProduceRequest>, check_response<ProduceResponse>}},
    {1, {check_request<FetchRequest>, check_response<FetchResponse>}},
    {2, {check_request<ListOffsetsRequest>, check_response<ListOffsetsResponse>}},
    {3, {check_request<MetadataRequest>, check_response<MetadataResponse>}},
    {18, {check_request<ApiVersionsRequest>, check_response<ApiVersionsResponse>}},
    {19, {check_request<CreateTopicsRequest>, check_response<CreateTopicsResponse>}},
    {20, {check_request<DeleteTopicsRequest>, check_response<DeleteTopicsResponse>}},
    {22, {check_request<InitProducerIdRequest>, check_response<InitProducerIdResponse>}},
    {32, {check_request<DescribeConfigsRequest>, check_response<DescribeConfigsResponse>}},
};

TEST(WireGolden, every_recorded_exchange_decodes_and_encodes_to_the_same_bytes) {
  std::map<std::pair<int16_t, int16_t>, int> covered;
  RecordProperty("exchanges", static_cast<int>(exchanges().size()));
  for (const Exchange& one : exchanges()) {
    SCOPED_TRACE(place(one));
    ASSERT_TRUE(kChecks.contains(one.api));
    const auto& [request, response] = kChecks.at(one.api);
    request(one);
    response(one);
    ++covered[{one.api, one.version}];
  }
  // What the clients spoke; a recording that lost one of these would test less than it seems.
  const std::map<int16_t, std::vector<int16_t>> spoken = {{0, {7, 10, 11, 13}},
                                                          {1, {4, 11, 16, 17, 18}},
                                                          {2, {1, 2, 3, 7, 9, 11}},
                                                          {3, {0, 1, 4, 6, 12, 13}},
                                                          {18, {0, 2, 3, 4}},
                                                          {19, {3, 4, 7}},
                                                          {20, {1, 6}},
                                                          {22, {1, 4, 5}},
                                                          {32, {1, 4}}};
  for (const auto& [api, versions] : spoken) {
    for (const int16_t version : versions) {
      EXPECT_GT((covered[{api, version}]), 0) << "API " << api << " v" << version;
    }
  }
}

template <class Record>
base::Result<Slices> recode_metadata(const MetadataRecord& frame) {
  auto record = Record::decode(frame.body, frame.version);
  if (!record) return std::unexpected(record.error());
  return Slices(encode_metadata_record(*record, frame.version));
}

using Recode = base::Result<Slices> (*)(const MetadataRecord&);
const std::map<int, Recode> kRecode = {
    {0, recode_metadata<RegisterBrokerRecord>},
    {1, recode_metadata<UnregisterBrokerRecord>},
    {2, recode_metadata<TopicRecord>},
    {3, recode_metadata<PartitionRecord>},
    {4, recode_metadata<ConfigRecord>},
    {5, recode_metadata<PartitionChangeRecord>},
    {9, recode_metadata<RemoveTopicRecord>},
    {12, recode_metadata<FeatureLevelRecord>},
    {15, recode_metadata<ProducerIdsRecord>},
    {17, recode_metadata<BrokerRegistrationChangeRecord>},
    {20, recode_metadata<NoOpRecord>},
    {23, recode_metadata<BeginTransactionRecord>},
    {24, recode_metadata<EndTransactionRecord>},
    {27, recode_metadata<RegisterControllerRecord>},
    {28, recode_metadata<ClearElrRecord>},
};

// The bodies of Kafka's control records begin with the version that they are written in. That of
// an end of transaction has it in front of the body, the others have it as their first field.
base::Result<Slices> recode_control(int type, const Slice& value) {
  const auto version = base::load_be<int16_t>(value.data());
  const auto recode = [](const auto& body, int16_t at) -> base::Result<Slices> {
    if (!body) return std::unexpected(body.error());
    return body->encode(at);
  };
  switch (type) {
    case 0:
    case 1: {
      auto body = recode(EndTxnMarker::decode(value.cut(2, value.size() - 2), version), version);
      if (!body) return body;
      Slices whole(value.cut(0, 2));
      whole.append(*body);
      return whole;
    }
    case 2:
      return recode(LeaderChangeMessage::decode(value, version), version);
    case 3:
      return recode(SnapshotHeaderRecord::decode(value, version), version);
    case 4:
      return recode(SnapshotFooterRecord::decode(value, version), version);
    default:
      return base::fail(base::Errc::invalid, "control type " + std::to_string(type));
  }
}

// Values of records from the metadata logs and snapshots of Kafka's nodes, one of each kind and
// more, and of transaction markers.
TEST(WireGolden, every_record_of_kafkas_metadata_log_decodes_and_encodes_to_the_same_bytes) {
  std::map<std::pair<std::string, int>, int> covered;
  std::ifstream file("tests/golden/data/wire_records.txt");
  for (std::string line; std::getline(file, line);) {
    SCOPED_TRACE(line);
    std::istringstream words(line);
    std::string kind;
    std::string hex;
    int type = -1;
    words >> kind >> type >> hex;
    const Slice value = from_hex(hex);
    ++covered[{kind, type}];
    base::Result<Slices> again;
    if (kind == "control") {
      again = recode_control(type, value);
    } else {
      auto frame = decode_metadata_record(value);
      ASSERT_TRUE(frame) << frame.error().to_string();
      ASSERT_EQ(frame->type, type);
      ASSERT_TRUE(kRecode.contains(type));
      again = kRecode.at(type)(*frame);
    }
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(again->flatten().text(), value.text());
  }
  int values = 0;
  for (const auto& [kind, count] : covered) values += count;
  RecordProperty("values", values);
  for (const int type : {0, 2, 3, 4, 5, 9, 12, 15, 17, 20, 23, 24, 27, 28}) {
    EXPECT_GT((covered[{"metadata", type}]), 0) << type;
  }
  for (const int type : {0, 1, 2, 3, 4}) EXPECT_GT((covered[{"control", type}]), 0) << type;
}

// The ranges in our table are those that Kafka itself announces.
TEST(WireGolden, table_of_apis_agrees_with_what_kafka_announces) {
  int seen = 0;
  for (const Exchange& one : exchanges()) {
    if (one.api != kApiVersionsKey) continue;
    auto frame = parse_response(one.response, *find_api(one.api), one.version);
    ASSERT_TRUE(frame);
    auto body = ApiVersionsResponse::decode(frame->body, one.version);
    ASSERT_TRUE(body);
    for (const auto& announced : body->api_keys) {
      const Api* api = find_api(announced.api_key);
      ASSERT_NE(api, nullptr) << announced.api_key;
      const int16_t low = announced.api_key == 0 ? int16_t{0} : api->valid.min;
      EXPECT_EQ(announced.min_version, low) << api->name;
      // The newest version may be unstable, which Kafka does not announce.
      EXPECT_LE(announced.max_version, api->valid.max) << api->name;
      EXPECT_GE(announced.max_version + 1, api->valid.max) << api->name;
      ++seen;
    }
  }
  EXPECT_GT(seen, 500);
}

}  // namespace
}  // namespace verdict::wire
