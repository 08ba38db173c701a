#include <gtest/gtest.h>

#include "broker/meta/metadata_log.h"

namespace verdict::meta {
namespace {

TEST(QuorumState, is_written_as_kafka_writes_it) {
  const QuorumState state{NodeId{1}, LeaderEpoch{2}, {1}};
  EXPECT_EQ(state.to_json(),
            "{\"clusterId\":\"\",\"leaderId\":1,\"leaderEpoch\":2,\"votedId\":-1,"
            "\"appliedOffset\":0,\"currentVoters\":[{\"voterId\":1}],\"data_version\":0}");
}

TEST(QuorumState, is_read_back_whatever_the_order_and_the_spaces) {
  const QuorumState state{NodeId{7}, LeaderEpoch{41}, {3, 7}};
  EXPECT_EQ(*QuorumState::from_json(state.to_json()), state);
  EXPECT_EQ(*QuorumState::from_json(" { \"data_version\" : 1 , \"leaderEpoch\":41,\n"
                                    "\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                                    "\"x\":[{\"y\":null},true,-1,\"z\"],\"leaderId\":7 } "),
            (QuorumState{NodeId{7}, LeaderEpoch{41}, {}}));
}

TEST(QuorumState, a_torn_or_foreign_file_is_refused_at_every_length) {
  const std::string whole = QuorumState{NodeId{1}, LeaderEpoch{2}, {1}}.to_json();
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(QuorumState::from_json(whole.substr(0, length)).has_value()) << length;
  }
  EXPECT_FALSE(QuorumState::from_json(whole + "x").has_value());
  EXPECT_FALSE(QuorumState::from_json("{}").has_value());
  EXPECT_FALSE(QuorumState::from_json("{\"leaderId\":1,\"leaderEpoch\":-3}").has_value());
  EXPECT_FALSE(QuorumState::from_json("{\"leaderId\":1,\"leaderEpoch\":2147483647}").has_value());
  EXPECT_FALSE(QuorumState::from_json(std::string(100'000, '[')).has_value());
  EXPECT_FALSE(QuorumState::from_json("{\"x\":" + std::string(100'000, '[')).has_value());
}

TEST(QuorumState, a_flipped_byte_never_crashes) {
  const std::string whole = QuorumState{NodeId{1}, LeaderEpoch{2}, {1}}.to_json();
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      refused += QuorumState::from_json(damaged).has_value() ? 0 : 1;
    }
  }
  EXPECT_GT(refused, whole.size());
}

}  // namespace
}  // namespace verdict::meta
