// Each API: shape, errors, and what its versions make of it. On brokers of one to three shards.

#include <set>

#include "broker/server/request.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/errors.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_offsets.h"
#include "tests/unit/server/broker_rig.h"

namespace verdict::server {
namespace {

using wire::ErrorCode;

int16_t number(ErrorCode error) { return static_cast<int16_t>(error); }

class Apis : public testing::TestWithParam<uint32_t> {
 protected:
  Apis() : rig({.seed = 3 + GetParam(), .shards = GetParam(), .settings = {}}) { rig.start(); }
  BrokerRig rig;
};

INSTANTIATE_TEST_SUITE_P(Shards, Apis, testing::Values(1U, 2U, 3U));

TEST_P(Apis, api_versions_offers_exactly_the_table_in_every_version) {
  rig.run([](Client& client) {
    for (int16_t version = 0; version <= 4; ++version) {
      wire::ApiVersionsRequest request;
      request.client_software_name = "test-client";
      request.client_software_version = "1.0";
      const auto answer = client.ask<wire::ApiVersionsResponse>(request, version);
      EXPECT_EQ(answer.error_code, 0);
      std::set<int16_t> keys;
      for (const auto& api : answer.api_keys) {
        const wire::Api* known = wire::find_api(api.api_key);
        ASSERT_NE(known, nullptr);
        EXPECT_EQ(api.min_version, known->advertised.min);
        EXPECT_EQ(api.max_version, known->advertised.max);
        keys.insert(api.api_key);
        if (api.api_key != 0) {
          EXPECT_NE(find_handler(api.api_key), nullptr);
        }
      }
      EXPECT_EQ(keys, (std::set<int16_t>{0, 1, 2, 3, 18, 19, 20, 22, 32}));
      for (const auto& feature : answer.supported_features) {
        if (version < 4) {
          EXPECT_GE(feature.min_version, 1);
        }
      }
      if (version >= 3) {
        EXPECT_FALSE(answer.finalized_features.empty());
      }
    }
    wire::ApiVersionsRequest odd;
    odd.client_software_name = "-bad name";
    odd.client_software_version = "1";
    EXPECT_EQ(client.ask<wire::ApiVersionsResponse>(odd, 3).error_code,
              number(ErrorCode::invalid_request));
  });
}

TEST_P(Apis, metadata_tells_all_none_and_some_topics_as_each_version_means_it) {
  rig.run([](Client& client) {
    client.create("a", 3);
    client.create("b");
    for (int16_t version = 0; version <= 12; ++version) {
      wire::MetadataRequest all;
      if (version == 0) all.topics.emplace();
      const auto answer = client.ask<wire::MetadataResponse>(all, version);
      ASSERT_EQ(answer.topics.size(), 2U) << version;
      EXPECT_EQ(answer.topics[0].name, "a");
      EXPECT_EQ(answer.topics[0].partitions.size(), 3U);
      EXPECT_EQ(answer.topics[0].topic_authorized_operations, INT32_MIN);
      EXPECT_EQ(answer.cluster_authorized_operations, INT32_MIN);
      ASSERT_EQ(answer.brokers.size(), 1U);
      EXPECT_EQ(answer.brokers[0].node_id, 1);
      EXPECT_EQ(answer.brokers[0].port, kPort);
      EXPECT_EQ(answer.brokers[0].rack, std::nullopt);
      if (version >= 1) {
        EXPECT_EQ(answer.controller_id, 1);
      }
      if (version >= 2) {
        EXPECT_FALSE(answer.cluster_id.value_or("").empty());
      }
      if (version >= 10) {
        EXPECT_FALSE(answer.topics[0].topic_id.is_zero());
      }
      for (const auto& partition : answer.topics[0].partitions) {
        EXPECT_EQ(partition.leader_id, 1);
        EXPECT_EQ(partition.replica_nodes, std::vector<int32_t>{1});
        EXPECT_EQ(partition.isr_nodes, std::vector<int32_t>{1});
      }
      if (version > 0) {
        wire::MetadataRequest none;
        none.topics.emplace();
        EXPECT_TRUE(client.ask<wire::MetadataResponse>(none, version).topics.empty());
      }
      wire::MetadataRequest one;
      one.topics.emplace().emplace_back().name = "b";
      EXPECT_EQ(client.ask<wire::MetadataResponse>(one, version).topics.size(), 1U);
    }
  });
}

TEST_P(Apis, metadata_creates_what_it_names_and_answers_a_topic_that_serves) {
  rig.run([](Client& client) {
    wire::MetadataRequest request;
    request.topics.emplace().emplace_back().name = "new";
    request.topics->emplace_back().name = "bad name";
    const auto answer = client.ask<wire::MetadataResponse>(request, 4);
    ASSERT_EQ(answer.topics.size(), 2U);
    EXPECT_EQ(answer.topics[0].error_code, 0);
    EXPECT_EQ(answer.topics[0].partitions.size(), 1U);
    EXPECT_EQ(answer.topics[1].error_code, number(ErrorCode::invalid_topic_exception));
    const auto produced = client.produce("new", 0, batch_of({"x"}));
    EXPECT_EQ(produced.responses[0].partition_responses[0].error_code, 0);
    request.topics->at(0).name = "other";
    request.topics->resize(1);
    request.allow_auto_topic_creation = false;
    EXPECT_EQ(client.ask<wire::MetadataResponse>(request, 4).topics[0].error_code,
              number(ErrorCode::unknown_topic_or_partition));
  });
}

TEST_P(Apis, metadata_finds_topics_by_id) {
  rig.run([](Client& client) {
    client.create("a");
    wire::MetadataRequest all;
    const base::Uuid id = client.ask<wire::MetadataResponse>(all, 12).topics.at(0).topic_id;
    wire::MetadataRequest by_id;
    by_id.topics.emplace().emplace_back().topic_id = id;
    by_id.topics->emplace_back().topic_id = {1, 2};
    const auto answer = client.ask<wire::MetadataResponse>(by_id, 12);
    ASSERT_EQ(answer.topics.size(), 2U);
    EXPECT_EQ(answer.topics[0].name, "a");
    EXPECT_EQ(answer.topics[1].error_code, number(ErrorCode::unknown_topic_id));
    // Before version 12 a null name is refused, and does no harm.
    EXPECT_EQ(client.ask<wire::MetadataResponse>(by_id, 10).topics[0].error_code,
              number(ErrorCode::invalid_request));
  });
}

TEST_P(Apis, what_is_produced_in_any_version_is_fetched_in_any_version) {
  rig.run([](Client& client) {
    client.create("t", 4);
    for (int16_t version = 3; version <= 9; ++version) {
      for (int32_t partition = 0; partition < 4; ++partition) {
        const auto answer =
            client.produce("t", partition, batch_of({"v" + std::to_string(version), "second"}),
                           version, version % 2 == 0 ? -1 : 1);
        const auto& part = answer.responses.at(0).partition_responses.at(0);
        EXPECT_EQ(part.error_code, 0);
        EXPECT_EQ(part.base_offset, (version - 3) * 2);
        if (version >= 5) {
          EXPECT_EQ(part.log_start_offset, 0);
        }
        EXPECT_EQ(part.log_append_time_ms, -1);
      }
    }
    std::vector<Fetched> expected;
    for (int64_t version = 3; version <= 9; ++version) {
      expected.push_back({(version - 3) * 2, "v" + std::to_string(version)});
      expected.push_back({(version - 3) * 2 + 1, "second"});
    }
    for (int16_t version = 4; version <= 12; ++version) {
      for (int32_t partition = 0; partition < 4; ++partition) {
        const auto data = client.fetch("t", partition, 0, 0, version);
        EXPECT_EQ(data.error_code, 0);
        EXPECT_EQ(data.high_watermark, 14);
        EXPECT_EQ(data.last_stable_offset, 14);
        EXPECT_FALSE(data.aborted_transactions.has_value());
        EXPECT_EQ(data.preferred_read_replica, -1);
        EXPECT_EQ(records_of(data.records.value()), expected);
      }
    }
  });
}

TEST_P(Apis, produce_refuses_each_partition_with_its_own_error) {
  rig.run([](Client& client) {
    client.create("t");
    const auto error = [&](const base::Slices& records, int32_t partition = 0,
                           const std::string& topic = "t", int16_t acks = -1) {
      return client.produce(topic, partition, records, 9, acks)
          .responses.at(0)
          .partition_responses.at(0);
    };
    const base::Slice good = batch_of({"a"});
    EXPECT_EQ(error(good, 7).error_code, number(ErrorCode::unknown_topic_or_partition));
    EXPECT_EQ(error(good, 0, "nope").error_code, number(ErrorCode::unknown_topic_or_partition));
    EXPECT_EQ(error(good, 0, "t", 2).error_code, number(ErrorCode::invalid_required_acks));
    EXPECT_EQ(error(good, 0, "t", -2).error_code, number(ErrorCode::invalid_required_acks));
    std::string broken(good.text());
    broken.back() ^= 1;
    const auto corrupt = error(base::Slice::copy_of(broken));
    EXPECT_EQ(corrupt.error_code, number(ErrorCode::corrupt_message));
    EXPECT_EQ(corrupt.base_offset, -1);
    const auto late = error(batch_of({"a", "b"}, {}, 9'000'000'000'000));
    EXPECT_EQ(late.error_code, number(ErrorCode::invalid_timestamp));
    EXPECT_FALSE(late.record_errors.empty());
    EXPECT_EQ(client.fetch("t", 0, 0).high_watermark, 0);
    // One good and one bad partition in a request: the good one is written.
    auto both = Client::produce_request("t", 0, good);
    both.topic_data[0].partition_data.push_back(both.topic_data[0].partition_data[0]);
    both.topic_data[0].partition_data[1].index = 5;
    const auto answer = client.ask<wire::ProduceResponse>(both, 9);
    EXPECT_EQ(answer.responses[0].partition_responses[0].error_code, 0);
    EXPECT_EQ(answer.responses[0].partition_responses[1].error_code,
              number(ErrorCode::unknown_topic_or_partition));
    EXPECT_EQ(client.fetch("t", 0, 0).high_watermark, 1);
  });
}

TEST_P(Apis, a_produce_without_acks_is_not_answered_and_its_error_closes_the_connection) {
  rig.run([](Client& client) {
    client.create("t");
    client.send(Client::produce_request("t", 0, batch_of({"quiet"}), 0), 9);
    // The next answer is the one to the next request.
    EXPECT_EQ(client.fetch("t", 0, 0, 5'000).high_watermark, 1);
    client.send(Client::produce_request("t", 9, batch_of({"lost"}), 0), 9);
    EXPECT_TRUE(client.is_closed());
  });
}

TEST_P(Apis, log_append_time_is_the_brokers_and_is_told) {
  rig.run([](Client& client) {
    client.create("t", 1, {{"message.timestamp.type", "LogAppendTime"}});
    const auto part =
        client.produce("t", 0, batch_of({"a"}, {}, 5)).responses[0].partition_responses[0];
    EXPECT_EQ(part.error_code, 0);
    EXPECT_GT(part.log_append_time_ms, 1'700'000'000'000);
    const auto records = client.fetch("t", 0, 0).records.value().flatten();
    const auto header = record::read_header(records.bytes());
    EXPECT_TRUE(header.log_append_time());
    EXPECT_EQ(header.max_timestamp_ms, part.log_append_time_ms);
  });
}

TEST_P(Apis, answers_come_in_the_order_of_pipelined_requests) {
  rig.run([](Client& client) {
    client.create("t", 3);
    struct Sent {
      int32_t id;
      bool produce;
      int32_t partition;
      int64_t offset;
    };
    std::vector<Sent> sent;
    std::vector<int64_t> next(3, 0);
    // A long poll that no produce here ends stands in the middle: all wait for it.
    for (int i = 0; i < 40; ++i) {
      const int32_t partition = i % 3;
      if (i % 5 == 4) {
        sent.push_back({client.send(Client::fetch_request("t", partition, 0, 300), 12), false,
                        partition, next[static_cast<size_t>(partition)]});
      } else {
        sent.push_back(
            {client.send(Client::produce_request("t", partition, batch_of({std::to_string(i)})), 9),
             true, partition, next[static_cast<size_t>(partition)]++});
      }
    }
    for (const Sent& one : sent) {
      if (one.produce) {
        const auto answer = client.receive<wire::ProduceResponse>(9, one.id);
        EXPECT_EQ(answer.responses[0].partition_responses[0].base_offset, one.offset);
      } else {
        const auto answer = client.receive<wire::FetchResponse>(12, one.id);
        EXPECT_EQ(answer.responses[0].partitions[0].high_watermark, one.offset);
      }
    }
  });
}

TEST_P(Apis, answers_that_leave_together_keep_their_order_among_synced_and_silent_ones) {
  rig.run([](Client& client) {
    client.create("plain");
    client.create("synced", 1, {{"flush.messages", "1"}});
    std::vector<std::pair<int32_t, int64_t>> expected;  // correlation, offset
    int64_t plain = 0;
    int64_t synced = 0;
    for (int i = 0; i < 120; ++i) {
      const bool to_synced = i % 7 == 0;
      const auto acks = static_cast<int16_t>(i % 5 == 1 ? 0 : 1);
      const int32_t id = client.send(
          Client::produce_request(to_synced ? "synced" : "plain", 0, batch_of({"v"}), acks), 9);
      const int64_t offset = to_synced ? synced++ : plain++;
      if (acks != 0) expected.emplace_back(id, offset);
    }
    for (const auto& [id, offset] : expected) {
      const auto answer = client.receive<wire::ProduceResponse>(9, id);
      EXPECT_EQ(answer.responses[0].partition_responses[0].error_code, 0);
      EXPECT_EQ(answer.responses[0].partition_responses[0].base_offset, offset);
    }
    EXPECT_EQ(client.fetch("synced", 0, 0).high_watermark, synced);
  });
}

TEST_P(Apis, list_offsets_finds_ends_and_timestamps) {
  rig.run([](Client& client) {
    client.create("t");
    for (int64_t i = 0; i < 5; ++i) client.produce("t", 0, batch_of({"x", "y"}, {}, 1'000 + i));
    const auto find = [&](int64_t timestamp, int16_t version = 7, int32_t partition = 0,
                          int32_t epoch = -1) {
      wire::ListOffsetsRequest request;
      request.replica_id = -1;
      auto& topic = request.topics.emplace_back();
      topic.name = "t";
      auto& part = topic.partitions.emplace_back();
      part.partition_index = partition;
      part.timestamp = timestamp;
      part.current_leader_epoch = epoch;
      return client.ask<wire::ListOffsetsResponse>(request, version).topics.at(0).partitions.at(0);
    };
    for (int16_t version = 1; version <= 7; ++version) {
      EXPECT_EQ(find(-1, version).offset, 10);
      EXPECT_EQ(find(-2, version).offset, 0);
      EXPECT_EQ(find(1'002, version).offset, 4);
      EXPECT_EQ(find(1'002, version).timestamp, 1'002);
      EXPECT_EQ(find(0, version).offset, 0);
      EXPECT_EQ(find(2'000, version).offset, -1);
      EXPECT_EQ(find(2'000, version).error_code, 0);
    }
    EXPECT_EQ(find(-3).offset, 8);
    EXPECT_EQ(find(-3).timestamp, 1'004);
    EXPECT_EQ(find(-3, 6).error_code, number(ErrorCode::unsupported_version));
    EXPECT_EQ(find(-4).error_code, number(ErrorCode::unsupported_version));
    EXPECT_EQ(find(-1, 7, 3).error_code, number(ErrorCode::unknown_topic_or_partition));
    EXPECT_EQ(find(-1, 7, 0, 99).error_code, number(ErrorCode::unknown_leader_epoch));
    EXPECT_GE(find(-1).leader_epoch, 0);
  });
}

TEST_P(Apis, topics_are_created_refused_and_deleted) {
  rig.run([](Client& client) {
    for (int16_t version = 2; version <= 7; ++version) {
      wire::CreateTopicsRequest request;
      auto& topic = request.topics.emplace_back();
      topic.name = "t" + std::to_string(version);
      topic.num_partitions = 5;
      topic.replication_factor = 1;
      request.validate_only = true;
      EXPECT_EQ(client.ask<wire::CreateTopicsResponse>(request, version).topics[0].error_code, 0);
      request.validate_only = false;
      const auto made = client.ask<wire::CreateTopicsResponse>(request, version).topics.at(0);
      EXPECT_EQ(made.error_code, 0);
      if (version >= 5) {
        EXPECT_EQ(made.num_partitions, 5);
        EXPECT_FALSE(made.configs.value().empty());
      }
      if (version >= 7) {
        EXPECT_FALSE(made.topic_id.is_zero());
      }
      // At once, in all partitions.
      for (int32_t p = 0; p < 5; ++p) EXPECT_EQ(client.fetch(topic.name, p, 0).error_code, 0);
      EXPECT_EQ(client.ask<wire::CreateTopicsResponse>(request, version).topics[0].error_code,
                number(ErrorCode::topic_already_exists));
    }
    for (int16_t version = 1; version <= 6; ++version) {
      wire::DeleteTopicsRequest request;
      const std::string name = "t" + std::to_string(version + 1);
      if (version >= 6) {
        request.topics.emplace_back().name = name;
      } else {
        request.topic_names = {name};
      }
      EXPECT_EQ(client.ask<wire::DeleteTopicsResponse>(request, version).responses[0].error_code,
                0);
      EXPECT_EQ(client.fetch(name, 0, 0).error_code, number(ErrorCode::unknown_topic_or_partition));
      EXPECT_EQ(client.ask<wire::DeleteTopicsResponse>(request, version).responses[0].error_code,
                number(ErrorCode::unknown_topic_or_partition));
    }
    EXPECT_TRUE(client.ask<wire::MetadataResponse>(wire::MetadataRequest{}, 12).topics.empty());
  });
}

TEST_P(Apis, a_topic_created_again_has_another_id_and_nothing_of_the_old_one) {
  rig.run([](Client& client) {
    base::Uuid last;
    for (int round = 0; round < 3; ++round) {
      client.create("t", 2);
      const auto id =
          client.ask<wire::MetadataResponse>(wire::MetadataRequest{}, 12).topics[0].topic_id;
      EXPECT_NE(id, last);
      last = id;
      EXPECT_EQ(client.fetch("t", 1, 0).high_watermark, 0);
      client.produce("t", 1, batch_of({"of round " + std::to_string(round)}));
      EXPECT_EQ(client.fetch("t", 1, 0).high_watermark, 1);
      wire::DeleteTopicsRequest request;
      request.topics.emplace_back().topic_id = id;
      EXPECT_EQ(client.ask<wire::DeleteTopicsResponse>(request, 6).responses[0].error_code, 0);
    }
  });
}

TEST_P(Apis, describe_configs_tells_values_and_where_they_come_from) {
  rig.run([](Client& client) {
    client.create("t", 1, {{"flush.messages", "1"}});
    for (int16_t version = 1; version <= 4; ++version) {
      wire::DescribeConfigsRequest request;
      request.include_synonyms = true;
      auto& topic = request.resources.emplace_back();
      topic.resource_type = 2;
      topic.resource_name = "t";
      topic.configuration_keys = {"flush.messages", "segment.bytes"};
      auto& broker = request.resources.emplace_back();
      broker.resource_type = 4;
      broker.resource_name = "1";
      auto& missing = request.resources.emplace_back();
      missing.resource_type = 2;
      missing.resource_name = "none";
      auto& other = request.resources.emplace_back();
      other.resource_type = 4;
      other.resource_name = "17";
      const auto answer = client.ask<wire::DescribeConfigsResponse>(request, version);
      ASSERT_EQ(answer.results.size(), 4U);
      ASSERT_EQ(answer.results[0].configs.size(), 2U);
      EXPECT_EQ(answer.results[0].configs[0].value, "1");
      EXPECT_EQ(answer.results[0].configs[0].config_source, 1);
      EXPECT_EQ(answer.results[0].configs[1].config_source, 5);
      EXPECT_GT(answer.results[1].configs.size(), 20U);
      EXPECT_EQ(answer.results[2].error_code, number(ErrorCode::unknown_topic_or_partition));
      EXPECT_EQ(answer.results[3].error_code, number(ErrorCode::invalid_request));
    }
  });
}

TEST_P(Apis, no_producer_id_is_given_twice) {
  rig.run([&](Client& client) {
    std::set<int64_t> ids;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 6; ++i) {
      clients.push_back(std::make_unique<Client>(client.node(), rig.address()));
    }
    for (int round = 0; round < 400; ++round) {
      auto& one = *clients[static_cast<size_t>(round) % clients.size()];
      const auto answer = one.ask<wire::InitProducerIdResponse>(wire::InitProducerIdRequest{},
                                                                static_cast<int16_t>(round % 5));
      EXPECT_EQ(answer.error_code, 0);
      EXPECT_EQ(answer.producer_epoch, 0);
      EXPECT_TRUE(ids.insert(answer.producer_id).second) << answer.producer_id;
    }
    wire::InitProducerIdRequest transactional;
    transactional.transactional_id = "tx";
    EXPECT_EQ(client.ask<wire::InitProducerIdResponse>(transactional, 4).error_code,
              number(ErrorCode::coordinator_not_available));
  });
}

TEST_P(Apis, an_idempotent_retry_gets_its_first_offset_and_a_gap_is_refused) {
  rig.run([](Client& client) {
    client.create("t");
    const auto id =
        client.ask<wire::InitProducerIdResponse>(wire::InitProducerIdRequest{}, 4).producer_id;
    const auto send = [&](int32_t sequence, const std::string& value) {
      return client
          .produce("t", 0,
                   batch_of({value},
                            {.producer_id = id, .producer_epoch = 0, .base_sequence = sequence}))
          .responses[0]
          .partition_responses[0];
    };
    EXPECT_EQ(send(0, "a").base_offset, 0);
    EXPECT_EQ(send(1, "b").base_offset, 1);
    EXPECT_EQ(send(0, "a").base_offset, 0);
    EXPECT_EQ(send(0, "a").error_code, 0);
    EXPECT_EQ(send(3, "d").error_code, number(ErrorCode::out_of_order_sequence_number));
    EXPECT_EQ(client.fetch("t", 0, 0).high_watermark, 2);
  });
}

}  // namespace
}  // namespace verdict::server
