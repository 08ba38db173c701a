#include "broker/client/producer.h"

#include <algorithm>
#include <set>

#include "tests/unit/client/client_rig.h"

namespace verdict::client {
namespace {

using base::Errc;
using runtime::Node;
using Outcome = Delivery::Outcome;
using Kind = Mishap::Kind;
using Futures = std::vector<runtime::Future<Delivery>>;

// Sends `count` values "0", "1", ... with `gap` between them, flushes, and returns the outcomes.
std::vector<Delivery> send_all(Node& node, Producer& producer, int count,
                               runtime::Duration gap = {}, int32_t partitions = 1) {
  Futures futures;
  for (int i = 0; i < count; ++i) {
    auto sent = producer.send(outgoing(std::to_string(i), i % partitions), in_seconds(node, 60));
    EXPECT_TRUE(sent.has_value());
    futures.push_back(std::move(*sent));
    if (gap.ns > 0) (void)node.clock.sleep(gap);
  }
  EXPECT_TRUE(producer.flush(in_seconds(node, 300)));
  std::vector<Delivery> deliveries;
  for (auto& future : futures) deliveries.push_back(*future.take());
  return deliveries;
}

std::vector<std::string> numbers(int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back(std::to_string(i));
  return all;
}

TEST(Producer, records_are_written_in_order_and_each_is_told_its_offset) {
  for (const record::Codec codec : {record::Codec::none, record::Codec::zstd}) {
    ClientRig rig;
    rig.run([&](Node& node) {
      Producer producer(node, {.cluster = rig.cluster(), .codec = codec, .batch_bytes = 300});
      const auto deliveries = send_all(node, producer, 200);
      for (size_t i = 0; i < deliveries.size(); ++i) {
        EXPECT_EQ(deliveries[i].outcome, Outcome::acked);
        EXPECT_EQ(deliveries[i].offset, static_cast<int64_t>(i));
        EXPECT_GT(deliveries[i].timestamp_ms, 0);
      }
      EXPECT_EQ(producer.producer_id().value, 4'000);
      EXPECT_EQ(producer.identities().size(), 1U);
      EXPECT_EQ(producer.buffered_bytes(), 0U);
      producer.stop();
    });
    EXPECT_EQ(rig.log().values(), numbers(200));
    EXPECT_GT(rig.log().batches.size(), 5U);
    EXPECT_EQ(rig.log().batches[1].header.codec_bits(), static_cast<int>(codec));
    EXPECT_EQ(rig.ended, 1);
  }
}

TEST(Producer, what_lingers_together_travels_together) {
  ClientRig rig;
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = runtime::milliseconds(20)});
    send_all(node, producer, 1);
    rig.broker.produces = 0;
    Futures futures;
    for (int i = 0; i < 30; ++i) {
      futures.push_back(*producer.send(outgoing("x", i % 2), in_seconds(node, 1)));
    }
    EXPECT_EQ(futures[29].wait(in_seconds(node, 1))->outcome, Outcome::acked);
    producer.stop();
  });
  EXPECT_EQ(rig.broker.produces, 1);
  EXPECT_EQ(rig.log(1).batches.size(), 1U);
}

// Every tenth request or so meets a mishap.
std::function<Mishap(const wire::ProduceRequest&)> mishaps(uint64_t seed, int* count) {
  return [seed, count](const wire::ProduceRequest&) -> Mishap {
    const uint64_t draw = base::combine(seed, static_cast<uint64_t>(++*count)) % 40;
    if (draw == 0) return {.kind = Kind::lost_before};
    if (draw == 1) return {.kind = Kind::lost_after};
    if (draw == 2) return {.kind = Kind::refuse, .error_code = 6};
    if (draw == 3) return {.kind = Kind::refuse, .error_code = 19};
    if (draw == 4) return {.kind = Kind::hang};
    return {};
  };
}

TEST(Producer, with_idempotence_every_record_is_there_once_and_in_order_whatever_gets_lost) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    ClientRig rig(seed);
    int count = 0;
    rig.broker.mishap = mishaps(seed, &count);
    rig.run([&](Node& node) {
      Producer producer(
          node, {.cluster = rig.cluster(), .linger = runtime::milliseconds(1), .batch_bytes = 200});
      const auto deliveries = send_all(node, producer, 300, runtime::microseconds(300));
      for (size_t i = 0; i < deliveries.size(); ++i) {
        EXPECT_EQ(deliveries[i].outcome, Outcome::acked) << seed << " " << deliveries[i].detail;
        EXPECT_EQ(deliveries[i].offset, static_cast<int64_t>(i)) << seed;
      }
      EXPECT_EQ(producer.producer_epoch(), 0) << seed;
      producer.stop();
    });
    EXPECT_EQ(rig.log().values(), numbers(300)) << seed;
    EXPECT_EQ(rig.ended, 1);
  }
}

TEST(Producer, without_idempotence_a_lost_answer_writes_twice_and_one_in_flight_keeps_the_order) {
  ClientRig rig;
  rig.broker.mishap = [&](const auto&) -> Mishap {
    return {.kind = rig.broker.produces == 2 ? Kind::lost_after : Kind::none};
  };
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(),
                             .acks = Acks::leader,
                             .idempotent = false,
                             .linger = {},
                             .max_in_flight = 1});
    for (const Delivery& one : send_all(node, producer, 20, runtime::milliseconds(2))) {
      EXPECT_EQ(one.outcome, Outcome::acked);
    }
    EXPECT_FALSE(producer.producer_id().valid());
    producer.stop();
  });
  std::vector<std::string> values = rig.log().values();
  EXPECT_EQ(values.size(), 21U);
  values.erase(std::unique(values.begin(), values.end()), values.end());
  EXPECT_EQ(values, numbers(20));
}

TEST(Producer, a_refused_batch_has_surely_failed_and_those_after_it_arrive) {
  ClientRig rig;
  rig.broker.mishap = [&](const auto&) -> Mishap {
    if (rig.broker.produces != 3) return {};
    return {.kind = Kind::refuse, .error_code = 10};
  };
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = {}});
    const auto deliveries = send_all(node, producer, 50, runtime::microseconds(200));
    std::vector<std::string> acked;
    for (size_t i = 0; i < deliveries.size(); ++i) {
      EXPECT_NE(deliveries[i].outcome, Outcome::unknown);
      if (deliveries[i].outcome == Outcome::acked) acked.push_back(std::to_string(i));
      if (deliveries[i].outcome == Outcome::failed) {
        EXPECT_EQ(deliveries[i].error_code, 10);
        EXPECT_EQ(deliveries[i].detail, "MESSAGE_TOO_LARGE");
      }
    }
    EXPECT_LT(acked.size(), 50U);
    EXPECT_EQ(rig.log().values(), acked);
    producer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Producer, after_the_broker_lost_its_tail_the_epoch_is_bumped_and_sending_goes_on) {
  ClientRig rig;
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = {}});
    send_all(node, producer, 20, runtime::milliseconds(1));
    const int64_t before = rig.log().end();
    rig.log().lose_from(15);
    EXPECT_LT(rig.log().end(), before);
    for (const Delivery& one : send_all(node, producer, 20, runtime::milliseconds(1))) {
      EXPECT_EQ(one.outcome, Outcome::acked) << one.detail;
    }
    EXPECT_EQ(producer.producer_epoch(), 1);
    EXPECT_EQ(producer.producer_id().value, 4'000);
    producer.stop();
  });
  std::vector<std::string> values = rig.log().values();
  values.erase(values.begin(), values.begin() + (static_cast<int64_t>(values.size()) - 20));
  EXPECT_EQ(values, numbers(20));
}

TEST(Producer, what_may_be_written_under_a_lost_sequence_ends_as_unknown_not_twice) {
  ClientRig rig;
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = {}});
    send_all(node, producer, 10, runtime::milliseconds(1));
    // The batch is written, the answer lost; then the broker loses what came before it too.
    rig.broker.mishap = [](const auto&) -> Mishap { return {.kind = Kind::lost_after}; };
    auto open = *producer.send(outgoing("open"), in_seconds(node, 1));
    (void)node.clock.sleep(runtime::milliseconds(50));
    rig.broker.mishap = nullptr;
    rig.log().lose_from(5);
    EXPECT_EQ(open.wait(in_seconds(node, 60))->outcome, Outcome::unknown);
    EXPECT_EQ(send_all(node, producer, 5)[4].outcome, Outcome::acked);
    EXPECT_EQ(producer.producer_epoch(), 1);
    producer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Producer, nothing_is_unknown_that_never_left_and_nothing_failed_that_did) {
  ClientRig rig;
  rig.run([&](Node& node) {
    ProducerOptions options{.cluster = rig.cluster(), .linger = {}};
    options.delivery_timeout = runtime::seconds(3);
    Producer producer(node, options);
    rig.broker.mishap = [](const auto&) -> Mishap { return {.kind = Kind::hang}; };
    const runtime::Instant before = node.clock.now();
    const auto left = send_all(node, producer, 1);
    EXPECT_EQ(left[0].outcome, Outcome::unknown);
    EXPECT_LE((node.clock.now() - before).ms(), 5'100);
    auto nowhere = outgoing("x");
    nowhere.topic = "absent";
    auto stayed = *producer.send(nowhere, in_seconds(node, 1));
    EXPECT_EQ(stayed.wait(in_seconds(node, 10))->outcome, Outcome::failed);
    producer.stop();
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Producer, a_full_buffer_refuses_or_suspends_and_stop_tells_of_every_record) {
  ClientRig rig;
  rig.broker.mishap = [](const auto&) -> Mishap { return {.kind = Kind::hang}; };
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = {}, .buffer_bytes = 1'000});
    Futures futures;
    const std::string value(100, 'v');
    for (;;) {
      auto sent = producer.send(outgoing(value), runtime::Instant{});
      if (!sent) {
        EXPECT_EQ(sent.error().code, Errc::exhausted);
        break;
      }
      futures.push_back(std::move(*sent));
    }
    EXPECT_LE(producer.buffered_bytes(), 1'000U);
    const auto before = node.clock.now();
    EXPECT_EQ(producer.send(outgoing(value), in_seconds(node, 1)).error().code, Errc::exhausted);
    EXPECT_GE((node.clock.now() - before).ms(), 1'000);
    EXPECT_EQ(producer.flush(in_seconds(node, 1)).error().code, Errc::timed_out);
    EXPECT_EQ(producer.send(outgoing(std::string(2'000, 'v')), runtime::Instant{}).error().code,
              Errc::too_large);
    producer.stop();
    for (auto& future : futures) {
      ASSERT_TRUE(future.ready());
      EXPECT_NE(future.take()->outcome, Outcome::acked);
    }
    EXPECT_EQ(producer.send(outgoing("x"), runtime::Instant{}).error().code, Errc::wrong_state);
  });
  EXPECT_EQ(rig.ended, 1);
}

TEST(Producer, without_acks_records_arrive_and_have_no_offset) {
  ClientRig rig;
  rig.run([&](Node& node) {
    Producer producer(
        node, {.cluster = rig.cluster(), .acks = Acks::none, .idempotent = false, .linger = {}});
    for (const Delivery& one : send_all(node, producer, 20, runtime::milliseconds(1))) {
      EXPECT_EQ(one.outcome, Outcome::acked);
      EXPECT_EQ(one.offset, -1);
    }
    (void)node.clock.sleep(runtime::seconds(1));
    producer.stop();
  });
  EXPECT_EQ(rig.log().values(), numbers(20));
}

TEST(Producer, it_survives_a_broker_that_dies_and_comes_back) {
  ClientRig rig;
  rig.world.at(30'000'000, [&] { rig.world.crash(rig.server); });
  rig.world.at(3'000'000'000, [&] { rig.boot_server(); });
  rig.run([&](Node& node) {
    Producer producer(node, {.cluster = rig.cluster(), .linger = {}});
    for (const Delivery& one : send_all(node, producer, 100, runtime::milliseconds(1), 2)) {
      EXPECT_EQ(one.outcome, Outcome::acked) << one.detail;
    }
    producer.stop();
  });
  EXPECT_EQ(rig.log(0).values().size() + rig.log(1).values().size(), 100U);
  EXPECT_EQ(rig.ended, 1);
}

TEST(Producer, a_kill_or_a_stop_at_any_moment_leaves_nothing_behind) {
  for (int64_t step = 0; step < 150; ++step) {
    const auto seed = static_cast<uint64_t>(step) + 1;
    ClientRig rig(seed);
    int count = 0;
    rig.broker.mishap = mishaps(seed, &count);
    const bool stop = step % 2 == 0;
    if (!stop) rig.world.at(step * 1'000'000, [&] { rig.world.crash(rig.client); });
    rig.run([&](Node& node) {
      Producer producer(node, {.cluster = rig.cluster(), .linger = {}, .batch_bytes = 200});
      Futures futures;
      const auto end = node.clock.after(runtime::milliseconds(stop ? step : 1'000));
      while (node.clock.now() < end) {
        futures.push_back(*producer.send(outgoing("v"), in_seconds(node, 60)));
        (void)node.clock.sleep(runtime::microseconds(500));
      }
      producer.stop();
      for (auto& future : futures) EXPECT_TRUE(future.ready());
    });
    EXPECT_EQ(rig.ended, stop ? 1 : 0) << step;
  }
}

}  // namespace
}  // namespace verdict::client
