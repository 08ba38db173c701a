// Fetch: long polls, limits, epochs.

#include "broker/server/probes.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/errors.h"
#include "tests/unit/server/broker_rig.h"

namespace verdict::server {
namespace {

using wire::ErrorCode;

int16_t number(ErrorCode error) { return static_cast<int16_t>(error); }

class Fetch : public testing::TestWithParam<uint32_t> {
 protected:
  Fetch() : rig({.seed = 11 + GetParam(), .shards = GetParam(), .settings = {}}) { rig.start(); }
  BrokerRig rig;
};

INSTANTIATE_TEST_SUITE_P(Shards, Fetch, testing::Values(1U, 3U));

TEST_P(Fetch, a_long_poll_ends_with_the_first_record_and_not_before) {
  rig.run([&](Client& client) {
    client.create("t", 3);
    client.create("other", 3);
    Client writer(client.node(), rig.address());
    for (int32_t partition = 0; partition < 3; ++partition) {
      auto request = Client::fetch_request("t", partition, 0, 20'000);
      const int32_t id = client.send(request, 12);
      ASSERT_TRUE(client.node().clock.sleep(runtime::seconds(1)).has_value());
      for (int32_t p = 0; p < 3; ++p) writer.produce("other", p, batch_of({"not for you"}));
      const auto before = client.node().clock.now();
      writer.produce("t", partition, batch_of({"wake"}));
      const auto answer = client.receive<wire::FetchResponse>(12, id);
      EXPECT_LT((client.node().clock.now() - before).ms(), 500);
      EXPECT_EQ(records_of(answer.responses[0].partitions[0].records.value()),
                (std::vector<Fetched>{{0, "wake"}}));
    }
  });
  // Records of other partitions woke nobody.
  EXPECT_EQ(rig.world.probe_count(kProbeFetchParked), 3U);
  EXPECT_EQ(rig.world.probe_count(kProbeFetchWoken), 3U);
}

TEST_P(Fetch, a_long_poll_without_news_takes_its_time_and_gives_empty_records) {
  rig.run([](Client& client) {
    client.create("t");
    const auto before = client.node().clock.now();
    const auto data = client.fetch("t", 0, 0, 700);
    EXPECT_GE((client.node().clock.now() - before).ms(), 700);
    EXPECT_LT((client.node().clock.now() - before).ms(), 1'500);
    ASSERT_TRUE(data.records.has_value());  // empty, never null
    EXPECT_TRUE(data.records->empty());
  });
}

TEST_P(Fetch, min_bytes_are_waited_for) {
  rig.run([&](Client& client) {
    client.create("t");
    Client writer(client.node(), rig.address());
    auto request = Client::fetch_request("t", 0, 0, 30'000);
    request.min_bytes = 400;
    const int32_t id = client.send(request, 12);
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(client.node().clock.sleep(runtime::milliseconds(50)).has_value());
      writer.produce("t", 0, batch_of({std::string(100, 'x')}));
    }
    const auto answer = client.receive<wire::FetchResponse>(12, id);
    EXPECT_GE(answer.responses[0].partitions[0].records->size(), 400U);
  });
}

TEST_P(Fetch, a_long_poll_ends_when_its_topic_is_deleted) {
  rig.run([&](Client& client) {
    client.create("t");
    const int32_t id = client.send(Client::fetch_request("t", 0, 0, 60'000), 12);
    Client other(client.node(), rig.address());
    ASSERT_TRUE(client.node().clock.sleep(runtime::seconds(1)).has_value());
    wire::DeleteTopicsRequest request;
    request.topics.emplace_back().name = "t";
    other.ask<wire::DeleteTopicsResponse>(request, 6);
    const auto before = client.node().clock.now();
    const auto answer = client.receive<wire::FetchResponse>(12, id);
    EXPECT_LT((client.node().clock.now() - before).ms(), 1'000);
    EXPECT_NE(answer.responses[0].partitions[0].error_code, 0);
  });
}

TEST_P(Fetch, offsets_outside_the_log_are_out_of_range_and_the_end_is_not) {
  rig.run([](Client& client) {
    client.create("t");
    client.produce("t", 0, batch_of({"a", "b", "c"}));
    EXPECT_EQ(client.fetch("t", 0, 3).error_code, 0);
    EXPECT_EQ(client.fetch("t", 0, 4).error_code, number(ErrorCode::offset_out_of_range));
    EXPECT_EQ(client.fetch("t", 0, -5).error_code, number(ErrorCode::offset_out_of_range));
    EXPECT_EQ(client.fetch("none", 0, 0).error_code, number(ErrorCode::unknown_topic_or_partition));
    EXPECT_EQ(client.fetch("t", 4, 0).error_code, number(ErrorCode::unknown_topic_or_partition));
    // An offset in the middle of a batch gives the whole batch.
    EXPECT_EQ(records_of(client.fetch("t", 0, 1).records.value()).size(), 3U);
  });
}

TEST_P(Fetch, the_first_batch_comes_however_large_and_the_rest_keeps_to_the_limits) {
  rig.run([](Client& client) {
    client.create("t", 3);
    for (int32_t p = 0; p < 3; ++p) {
      for (int i = 0; i < 3; ++i) client.produce("t", p, batch_of({std::string(1'000, 'x')}));
    }
    auto request = Client::fetch_request("t", 0, 0);
    auto& partitions = request.topics[0].partitions;
    for (int32_t p = 1; p < 3; ++p) {
      partitions.push_back(partitions[0]);
      partitions.back().partition = p;
    }
    request.max_bytes = 1;
    auto answer = client.ask<wire::FetchResponse>(request, 12).responses.at(0);
    ASSERT_EQ(answer.partitions.size(), 3U);
    EXPECT_EQ(records_of(answer.partitions[0].records.value()).size(), 1U);
    EXPECT_TRUE(answer.partitions[1].records->empty());
    EXPECT_TRUE(answer.partitions[2].records->empty());
    request.max_bytes = 3'000;
    answer = client.ask<wire::FetchResponse>(request, 12).responses.at(0);
    size_t bytes = 0;
    for (size_t p = 0; p < 3; ++p) {
      EXPECT_EQ(answer.partitions[p].partition_index, static_cast<int32_t>(p));
      bytes += answer.partitions[p].records->size();
    }
    EXPECT_GT(bytes, 2'000U);
    EXPECT_LE(bytes, 3'000U);
    // A small partition limit still moves every partition that comes first.
    request.max_bytes = 1 << 20;
    for (auto& partition : partitions) partition.partition_max_bytes = 10;
    answer = client.ask<wire::FetchResponse>(request, 12).responses.at(0);
    EXPECT_EQ(records_of(answer.partitions[0].records.value()).size(), 1U);
  });
}

TEST_P(Fetch, leader_epochs_are_fenced_and_divergence_is_told) {
  rig.run([](Client& client) {
    client.create("t");
    client.produce("t", 0, batch_of({"a"}));
  });
  rig.crash();
  rig.start();
  rig.run([](Client& client) {
    client.produce("t", 0, batch_of({"b"}));
    const auto metadata = client.ask<wire::MetadataResponse>(wire::MetadataRequest{}, 12);
    const int32_t epoch = metadata.topics.at(0).partitions.at(0).leader_epoch;
    EXPECT_GE(epoch, 1);
    const auto fetch = [&](int32_t current, int32_t last, int64_t from) {
      auto request = Client::fetch_request("t", 0, from);
      request.topics[0].partitions[0].current_leader_epoch = current;
      request.topics[0].partitions[0].last_fetched_epoch = last;
      return client.ask<wire::FetchResponse>(request, 12).responses[0].partitions[0];
    };
    EXPECT_EQ(fetch(epoch, -1, 0).error_code, 0);
    EXPECT_EQ(fetch(epoch - 1, -1, 0).error_code, number(ErrorCode::fenced_leader_epoch));
    EXPECT_EQ(fetch(epoch + 1, -1, 0).error_code, number(ErrorCode::unknown_leader_epoch));
    // Epoch 0 ended at 1: a reader that has two records of it followed another history.
    const auto diverged = fetch(epoch, 0, 2);
    EXPECT_EQ(diverged.error_code, 0);
    EXPECT_EQ(diverged.diverging_epoch.epoch, 0);
    EXPECT_EQ(diverged.diverging_epoch.end_offset, 1);
    EXPECT_TRUE(diverged.records->empty());
    EXPECT_EQ(fetch(epoch, 0, 1).diverging_epoch.epoch, -1);
    EXPECT_EQ(fetch(epoch, epoch, 2).diverging_epoch.epoch, -1);
  });
}

TEST_P(Fetch, read_committed_gets_an_empty_list_of_aborted_transactions) {
  rig.run([](Client& client) {
    client.create("t");
    client.produce("t", 0, batch_of({"a"}));
    auto request = Client::fetch_request("t", 0, 0);
    request.isolation_level = 1;
    const auto data = client.ask<wire::FetchResponse>(request, 11).responses[0].partitions[0];
    ASSERT_TRUE(data.aborted_transactions.has_value());
    EXPECT_TRUE(data.aborted_transactions->empty());
    EXPECT_EQ(records_of(data.records.value()).size(), 1U);
  });
}

}  // namespace
}  // namespace verdict::server
