// The tables of APIs and of error codes.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string_view>

#include "broker/wire/api_table.h"
#include "broker/wire/errors.h"
#include "tests/unit/wire/all_messages.h"

namespace verdict::wire {
namespace {

TEST(ApiTable, agrees_with_the_messages_that_are_built) {
  int compared = 0;
  for (const MessageUnderTest& message : all_messages()) {
    if (!message.name.ends_with("Request") && !message.name.ends_with("Response")) continue;
    const Api* api = find_api(message.api_key);
    ASSERT_NE(api, nullptr) << message.name;
    EXPECT_TRUE(message.name.starts_with(api->name)) << message.name;
    EXPECT_EQ(api->valid, (VersionRange{message.version_min, message.version_max})) << message.name;
    EXPECT_EQ(api->flexible_from, message.flexible_from) << message.name;
    ++compared;
  }
  EXPECT_GE(compared, 18);
}

TEST(ApiTable, offers_what_clients_need_and_only_what_has_messages) {
  std::set<int16_t> built;
  for (const MessageUnderTest& message : all_messages()) {
    if (message.name.ends_with("Request")) built.insert(message.api_key);
  }
  for (const Api& api : api_table()) {
    if (!api.advertised.empty()) {
      EXPECT_TRUE(built.contains(api.key)) << api.name;
      EXPECT_LE(api.advertised.max, api.valid.max) << api.name;
    }
    EXPECT_FALSE(api.served(static_cast<int16_t>(api.valid.max + 1))) << api.name;
    EXPECT_FALSE(api.served(-1)) << api.name;
  }
  // Announced from 0 for librdkafka's sake, and refused below 3.
  const Api& produce = *find_api(0);
  EXPECT_EQ(produce.advertised.min, 0);
  EXPECT_FALSE(produce.served(2));
  EXPECT_TRUE(produce.served(3));
  EXPECT_EQ(find_api(18)->advertised, (VersionRange{0, 4}));
}

TEST(ApiTable, has_no_key_that_kafka_dropped_or_never_had) {
  for (const int key : {-1, 4, 5, 6, 7, 93, 32767}) {
    EXPECT_EQ(find_api(static_cast<int16_t>(key)), nullptr) << key;
  }
  EXPECT_EQ(api_table().size(), 89U);
  EXPECT_EQ(find_api(92)->name, "DeleteShareGroupOffsets");
}

TEST(Errors, names_are_kafkas_and_all_different) {
  const std::map<int, std::string_view> known = {
      {-1, "UNKNOWN_SERVER_ERROR"},  {0, "NONE"},
      {1, "OFFSET_OUT_OF_RANGE"},    {17, "INVALID_TOPIC_EXCEPTION"},
      {35, "UNSUPPORTED_VERSION"},   {56, "KAFKA_STORAGE_ERROR"},
      {74, "FENCED_LEADER_EPOCH"},   {90, "PRODUCER_FENCED"},
      {100, "UNKNOWN_TOPIC_ID"},     {120, "TRANSACTION_ABORTABLE"},
      {129, "REBOOTSTRAP_REQUIRED"}, {133, "SHARE_SESSION_LIMIT_REACHED"}};
  for (const auto& [code, name] : known) EXPECT_EQ(to_string(static_cast<ErrorCode>(code)), name);
  std::set<std::string_view> names;
  for (int code = -1; code <= 133; ++code) names.insert(to_string(static_cast<ErrorCode>(code)));
  EXPECT_EQ(names.size(), 135U);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(to_string(static_cast<ErrorCode>(134)), "UNKNOWN_ERROR_CODE");
  EXPECT_EQ(to_string(static_cast<ErrorCode>(-2)), "UNKNOWN_ERROR_CODE");
}

}  // namespace
}  // namespace verdict::wire
