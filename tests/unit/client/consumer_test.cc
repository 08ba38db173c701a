#include "broker/client/consumer.h"

#include "broker/client/admin.h"
#include "broker/client/fetched.h"
#include "tests/unit/client/client_rig.h"

namespace verdict::client {
namespace {

using base::Errc;
using runtime::Node;

// A batch as a leader of the model's present epoch appends it.
void append(ModelPartition& log, std::vector<std::string> values) {
  record::BatchBuilder builder({});
  for (const std::string& value : values) {
    builder.add(1'000, std::nullopt, base::Slice::copy_of(value).bytes());
  }
  ASSERT_EQ(log.append(builder.build()).first, 0);
}

struct Collected {
  std::vector<std::string> values;
  std::vector<int64_t> offsets;
  std::vector<Truncated> truncated;
  std::vector<PartitionError> errors;
};

// Polls for `ms`.
void collect(Node& node, Consumer& consumer, int64_t ms, Collected& into) {
  const runtime::Instant end = node.clock.after(runtime::milliseconds(ms));
  while (node.clock.now() < end) {
    auto polled = consumer.poll(end);
    ASSERT_TRUE(polled.has_value());
    for (const ConsumedRecord& record : polled->records) {
      into.values.emplace_back(record.value->text());
      into.offsets.push_back(record.offset);
    }
    for (const auto& one : polled->truncated) into.truncated.push_back(one);
    for (const auto& one : polled->errors) into.errors.push_back(one);
  }
}

using Values = std::vector<std::string>;

TEST(Consumer, everything_from_the_start_on_arrives_once_and_in_order) {
  ClientRig rig;
  Values expected;
  for (int i = 0; i < 100; ++i) {
    append(rig.log(), {"a" + std::to_string(i), "b" + std::to_string(i)});
    expected.push_back("a" + std::to_string(i));
    expected.push_back("b" + std::to_string(i));
  }
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster(), .partition_max_bytes = 500});
    consumer.assign({{"t", 0, StartAt::earliest()}});
    Collected all;
    collect(node, consumer, 2'000, all);
    append(rig.log(), {"late"});
    collect(node, consumer, 2'000, all);
    expected.push_back("late");
    EXPECT_EQ(all.values, expected);
    for (size_t i = 0; i < all.offsets.size(); ++i)
      EXPECT_EQ(all.offsets[i], static_cast<int64_t>(i));
    EXPECT_EQ(consumer.position("t", 0), 201);
    EXPECT_EQ(consumer.high_watermark("t", 0), 201);
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, polls_shorter_than_a_round_trip_come_to_their_records_on_one_connection) {
  ClientRig rig;
  append(rig.log(), {"0", "1"});
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, StartAt::earliest()}});
    Values all;
    for (int i = 0; i < 20'000 && all.size() < 2; ++i) {
      auto polled = consumer.poll(node.clock.after(runtime::microseconds(10)));
      ASSERT_TRUE(polled.has_value());
      for (const ConsumedRecord& record : polled->records) {
        all.emplace_back(record.value->text());
      }
    }
    EXPECT_EQ(all, (Values{"0", "1"}));
    EXPECT_EQ(consumer.last_trouble(), "");
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
  EXPECT_EQ(rig.broker.metadata_requests, 1);
}

TEST(Consumer, it_begins_inside_a_batch_at_the_end_or_where_it_seeks) {
  ClientRig rig;
  append(rig.log(), {"0", "1", "2", "3"});
  append(rig.log(1), {"x"});
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, {2}}, {"t", 1, StartAt::latest()}});
    Collected all;
    collect(node, consumer, 1'000, all);
    EXPECT_EQ(all.values, (Values{"2", "3"}));
    EXPECT_EQ(consumer.position("t", 1), 1);
    append(rig.log(1), {"y"});
    consumer.seek("t", 0, {3});
    collect(node, consumer, 1'000, all);
    EXPECT_EQ(all.values, (Values{"2", "3", "3", "y"}));
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, a_replaced_tail_is_reported_as_truncated_and_read_again) {
  ClientRig rig;
  append(rig.log(), {"0", "1"});
  append(rig.log(), {"2", "3"});
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, StartAt::earliest()}});
    Collected all;
    collect(node, consumer, 1'000, all);
    // A power loss takes the second batch; the next leadership writes others there.
    rig.log().lose_from(2);
    append(rig.log(), {"new2", "new3", "new4"});
    collect(node, consumer, 3'000, all);
    EXPECT_EQ(all.values, (Values{"0", "1", "2", "3", "new2", "new3", "new4"}));
    ASSERT_EQ(all.truncated.size(), 1U);
    EXPECT_EQ(all.truncated[0].from_offset, 4);
    EXPECT_EQ(all.truncated[0].to_offset, 2);
    EXPECT_TRUE(all.errors.empty());
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, an_old_answer_about_the_leader_does_not_take_the_epoch_back) {
  ClientRig rig;
  rig.log().leader_epoch = 5;
  append(rig.log(), {"0"});
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, {0}}});
    Collected all;
    collect(node, consumer, 500, all);
    const int before = rig.broker.metadata_requests;
    // Fenced, then told an epoch from before, then the truth.
    rig.log().leader_epoch = 6;
    rig.broker.told_epoch = 3;
    append(rig.log(), {"1"});
    collect(node, consumer, 5'000, all);
    EXPECT_EQ(all.values, (Values{"0", "1"}));
    EXPECT_GE(rig.broker.metadata_requests, before + 2);
    EXPECT_EQ(rig.broker.epochs_taken_back, 0);
    EXPECT_LE(rig.broker.metadata_requests, before + 10);
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, out_of_range_is_reported_and_pauses_or_resets_by_policy) {
  for (const ResetPolicy policy :
       {ResetPolicy::report, ResetPolicy::earliest, ResetPolicy::latest}) {
    ClientRig rig;
    append(rig.log(), {"0", "1"});
    rig.run([&](Node& node) {
      Consumer consumer(node, {.cluster = rig.cluster(), .reset = policy});
      consumer.assign({{"t", 0, {100}}});
      Collected all;
      collect(node, consumer, 1'000, all);
      if (policy == ResetPolicy::report) {
        ASSERT_EQ(all.errors.size(), 1U);
        EXPECT_EQ(all.errors[0].error_code, 1);
        consumer.seek("t", 0, {1});
        collect(node, consumer, 1'000, all);
        EXPECT_EQ(all.values, Values{"1"});
      } else {
        EXPECT_TRUE(all.errors.empty());
        EXPECT_EQ(all.values, policy == ResetPolicy::earliest ? (Values{"0", "1"}) : Values{});
        EXPECT_EQ(consumer.position("t", 0), 2);
      }
      consumer.stop();
    });
    EXPECT_EQ(rig.ended, 1);
  }
}

TEST(Consumer, changed_bytes_are_reported_and_not_returned) {
  ClientRig rig;
  append(rig.log(), {"0"});
  append(rig.log(), {"1"});
  ModelBatch& batch = rig.log().batches[1];
  std::string bytes(batch.bytes.flatten().text());
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  batch.bytes = base::Slice::copy_of(bytes);
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, StartAt::earliest()}});
    Collected all;
    collect(node, consumer, 1'000, all);
    EXPECT_EQ(all.values, Values{"0"});
    ASSERT_EQ(all.errors.size(), 1U);
    EXPECT_EQ(all.errors[0].error_code, 2);
    EXPECT_EQ(consumer.position("t", 0), 1);
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, it_waits_without_asking_all_the_time_and_survives_a_broker_that_comes_back) {
  ClientRig rig;
  append(rig.log(), {"0"});
  rig.world.at(2'000'000'000, [&] { rig.world.crash(rig.server); });
  rig.world.at(5'000'000'000, [&] {
    append(rig.log(), {"1"});
    rig.boot_server();
  });
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, StartAt::earliest()}, {"absent", 0, StartAt::earliest()}});
    Collected all;
    collect(node, consumer, 10'000, all);
    EXPECT_EQ(all.values, (Values{"0", "1"}));
    EXPECT_TRUE(all.errors.empty());
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
  // One unknown topic: a look about every second.
  EXPECT_LE(rig.broker.metadata_requests, 40);
}

TEST(Consumer, it_tells_since_when_a_partition_is_quiet_and_why) {
  ClientRig rig;
  append(rig.log(), {"0"});
  rig.world.at(5'000'000'000, [&] { rig.world.crash(rig.server); });
  rig.run([&](Node& node) {
    Consumer consumer(node, {.cluster = rig.cluster()});
    consumer.assign({{"t", 0, StartAt::earliest()}});
    Collected all;
    // There is nothing to read most of the time, and the broker says so.
    for (int i = 0; i < 4; ++i) {
      collect(node, consumer, 1'000, all);
      EXPECT_LE((node.clock.now() - consumer.quiet_since()).ms(), 600);
    }
    EXPECT_EQ(consumer.last_trouble(), "");
    collect(node, consumer, 8'000, all);
    EXPECT_GE((node.clock.now() - consumer.quiet_since()).ms(), 6'000);
    EXPECT_NE(consumer.last_trouble(), "");
    EXPECT_EQ(all.values, Values{"0"});
    consumer.assign({});
    EXPECT_EQ(consumer.quiet_since(), node.clock.now());
    consumer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Consumer, a_kill_at_any_moment_leaves_nothing_behind) {
  for (int64_t step = 0; step < 100; ++step) {
    ClientRig rig(static_cast<uint64_t>(step) + 1);
    append(rig.log(), {"0"});
    rig.world.at(step * 300'000, [&] { rig.world.crash(rig.client); });
    rig.run([&](Node& node) {
      Consumer consumer(node, {.cluster = rig.cluster()});
      consumer.assign({{"t", 0, StartAt::earliest()}});
      Collected all;
      collect(node, consumer, 5'000, all);
      consumer.stop();
    });
    EXPECT_EQ(rig.ended, 0);
  }
}

TEST(Consumer, records_of_aborted_transactions_are_left_out_when_asked) {
  const auto batch = [](int64_t producer_id, bool control, const std::string& value, int64_t at) {
    record::BatchBuilder builder({.producer_id = producer_id,
                                  .producer_epoch = 0,
                                  .base_sequence = 0,
                                  .transactional = producer_id >= 0,
                                  .control = control,
                                  .base_offset = at});
    builder.add(1, std::nullopt, base::Slice::copy_of(value).bytes());
    return builder.build();
  };
  wire::FetchResponse::PartitionData data;
  data.records = base::Slices{batch(7, false, "aborted", 0), batch(8, false, "committed", 1)};
  data.records->append(batch(7, true, "marker", 2));
  data.records->append(batch(7, false, "later", 3));
  data.aborted_transactions.emplace();
  data.aborted_transactions->push_back({.producer_id = 7, .first_offset = 0});
  EXPECT_EQ(data.records->span().size(), 4U);
  ClientRig rig;
  rig.run([&](Node&) {});
  for (const bool committed_only : {true, false}) {
    FetchPosition position;
    std::vector<ConsumedRecord> out;
    ASSERT_TRUE(read_fetched(data, {"t", 0}, committed_only, position, out));
    Values values;
    for (const auto& record : out) values.emplace_back(record.value->text());
    EXPECT_EQ(values, committed_only ? (Values{"committed", "later"})
                                     : (Values{"aborted", "committed", "later"}));
    EXPECT_EQ(position.offset, 4);
  }
}

TEST(Admin, topics_are_made_described_listed_and_deleted) {
  ClientRig rig;
  append(rig.log(), {"0", "1", "2"});
  rig.run([&](Node& node) {
    Admin admin(node, rig.cluster());
    const auto soon = [&] { return in_seconds(node, 10); };
    const auto made =
        admin.create_topics({{.name = "n", .partitions = 3}, {.name = "t"}}, false, soon());
    ASSERT_TRUE(made.has_value());
    EXPECT_EQ((*made)[0].error_code, 0);
    EXPECT_EQ((*made)[0].id, rig.broker.topics.at("n"));
    EXPECT_EQ((*made)[1].error_code, 36);
    const auto seen = admin.describe_topics({{"n", "absent"}}, soon());
    ASSERT_TRUE(seen.has_value());
    EXPECT_EQ((*seen)[0].partitions.size(), 3U);
    EXPECT_EQ((*seen)[0].partitions[2].leader, 1);
    EXPECT_EQ((*seen)[1].error_code, 3);
    EXPECT_EQ(admin.describe_topics(std::nullopt, soon())->size(), 2U);
    const auto listed = admin.list_offsets({{{"t", 0}, OffsetQuery::kEarliest},
                                            {{"t", 0}, OffsetQuery::kLatest},
                                            {{"t", 1}, OffsetQuery::kLatest}},
                                           soon());
    ASSERT_TRUE(listed.has_value());
    EXPECT_EQ((*listed)[0].offset, 0);
    EXPECT_EQ((*listed)[1].offset, 3);
    EXPECT_EQ((*listed)[2].offset, 0);
    const auto once = admin.list_offsets_once({{{"t", 0}, -1}, {{"absent", 0}, -1}}, soon());
    ASSERT_TRUE(once.has_value());
    EXPECT_EQ((*once)[0].offset, 3);
    EXPECT_EQ((*once)[1].error_code, 5);
    EXPECT_EQ((*admin.delete_topics({"n"}, soon()))[0].error_code, 0);
    EXPECT_EQ((*admin.delete_topics({"n"}, soon()))[0].error_code, 3);
    EXPECT_EQ(admin.brokers(soon())->size(), 1U);
    const auto before = node.clock.now();
    EXPECT_EQ(admin.list_offsets({{{"absent", 0}, -1}}, in_seconds(node, 2)).error().code,
              Errc::timed_out);
    EXPECT_LE((node.clock.now() - before).ms(), 2'100);
    admin.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

}  // namespace
}  // namespace verdict::client
