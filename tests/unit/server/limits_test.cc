// What a broker does with peers that lie, break off, or come to the wrong door.

#include "broker/wire/api_versions.h"
#include "tests/unit/server/broker_rig.h"

namespace verdict::server {
namespace {

using runtime::Instant;

// A well-formed ApiVersions request as bytes.
std::string good_frame(int32_t id = 1) {
  const base::Slice frame =
      wire::request_frame(wire::ApiVersionsRequest{}, 0, id, "test").flatten();
  return std::string(frame.text());
}

std::string frame_of(std::string_view payload) {
  std::string frame(4, '\0');
  base::store_be(reinterpret_cast<std::byte*>(frame.data()), static_cast<int32_t>(payload.size()));
  return frame + std::string(payload);
}

bool still_serves(Client& client) {
  client.reconnect();
  const auto answer = client.ask<wire::ApiVersionsResponse>(wire::ApiVersionsRequest{}, 0);
  return answer.error_code == 0 && !answer.api_keys.empty();
}

TEST(Limits, foreign_protocols_and_impossible_sizes_are_closed_without_an_answer) {
  BrokerRig rig;
  rig.start();
  rig.run([](Client& client) {
    const std::string tls("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
    const std::string huge("\x7f\xff\xff\xff", 4);
    const std::string negative("\xff\xff\xff\xff", 4);
    for (const std::string& start :
         {tls, huge, negative, std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n")}) {
      client.reconnect();
      ASSERT_TRUE(client.send_text(start).has_value());
      EXPECT_TRUE(client.is_closed());
    }
    EXPECT_TRUE(still_serves(client));
  });
}

TEST(Limits, a_frame_of_the_largest_size_is_read_and_one_byte_more_is_refused) {
  BrokerRig rig({.settings = {"socket.request.max.bytes=2000"}});
  rig.start();
  rig.run([](Client& client) {
    // A client id that fills the frame up to the limit.
    const size_t fixed = wire::request_frame(wire::ApiVersionsRequest{}, 0, 1, "").size() - 4;
    for (size_t size : {2000U, 2001U}) {
      client.reconnect();
      const std::string id(size - fixed, 'x');
      const auto frame = wire::request_frame(wire::ApiVersionsRequest{}, 0, 1, id);
      ASSERT_EQ(frame.size(), size + 4);
      ASSERT_TRUE(client.send_bytes(frame).has_value());
      if (size == 2000U) {
        EXPECT_TRUE(client.receive_frame().has_value());
      } else {
        EXPECT_TRUE(client.is_closed());
      }
    }
  });
}

TEST(Limits, unknown_keys_and_versions_close_the_connection_after_earlier_answers) {
  BrokerRig rig;
  rig.start();
  rig.run([](Client& client) {
    struct Case {
      int16_t key;
      int16_t version;
    };
    for (const Case& c : {Case{999, 0}, Case{-1, 0}, Case{3, 99}, Case{3, -1}, Case{0, 2},
                          Case{11, 0}, Case{1, 13}}) {
      client.reconnect();
      std::string payload(10, '\0');
      auto* at = reinterpret_cast<std::byte*>(payload.data());
      base::store_be(at, c.key);
      base::store_be(at + 2, c.version);
      base::store_be(at + 4, int32_t{77});
      base::store_be(at + 8, int16_t{-1});
      ASSERT_TRUE(client.send_text(good_frame(5) + frame_of(payload)).has_value());
      const auto first = client.receive_frame();
      ASSERT_TRUE(first.has_value()) << c.key << " " << c.version;
      EXPECT_EQ(base::load_be<int32_t>(first->flatten().data()), 5);
      EXPECT_TRUE(client.is_closed()) << c.key << " " << c.version;
    }
    EXPECT_TRUE(still_serves(client));
  });
}

TEST(Limits, api_versions_of_the_future_are_answered_in_version_0) {
  BrokerRig rig;
  rig.start();
  rig.run([](Client& client) {
    std::string payload(10, '\0');
    auto* at = reinterpret_cast<std::byte*>(payload.data());
    base::store_be(at, int16_t{18});
    base::store_be(at + 2, int16_t{50});
    base::store_be(at + 4, int32_t{77});
    base::store_be(at + 8, int16_t{-1});
    ASSERT_TRUE(client.send_text(frame_of(payload + "whatever follows")).has_value());
    const auto answer = client.receive<wire::ApiVersionsResponse>(0, 77);
    EXPECT_EQ(answer.error_code, 35);
    ASSERT_EQ(answer.api_keys.size(), 1U);
    EXPECT_EQ(answer.api_keys[0].api_key, 18);
    EXPECT_EQ(answer.api_keys[0].max_version, 4);
  });
}

TEST(Limits, a_request_that_breaks_off_at_any_byte_harms_nobody) {
  BrokerRig rig;
  rig.start();
  rig.run([](Client& client) {
    client.create("t");
    const base::Slice whole =
        wire::request_frame(Client::produce_request("t", 0, batch_of({"a", "b"})), 9, 1, "x")
            .flatten();
    for (size_t length = 0; length < whole.size(); ++length) {
      client.reconnect();
      ASSERT_TRUE(client.send_bytes(whole.cut(0, length)).has_value());
      client.stream().shutdown_write();
      EXPECT_TRUE(client.is_closed()) << length;
    }
    EXPECT_TRUE(still_serves(client));
    EXPECT_EQ(client.fetch("t", 0, 0).high_watermark, 0);
  });
}

TEST(Limits, mutated_requests_get_an_answer_or_a_closed_connection) {
  BrokerRig rig;
  rig.start();
  rig.run(
      [](Client& client) {
        client.create("t");
        std::vector<base::Slice> frames;
        frames.push_back(
            wire::request_frame(Client::produce_request("t", 0, batch_of({"a", "b"})), 9, 1, "x")
                .flatten());
        frames.push_back(
            wire::request_frame(Client::fetch_request("t", 0, 0), 12, 1, "x").flatten());
        wire::MetadataRequest metadata;
        metadata.topics.emplace().emplace_back().name = "t";
        frames.push_back(wire::request_frame(metadata, 12, 1, "x").flatten());
        uint64_t random = 7;
        for (int round = 0; round < 600; ++round) {
          std::string bytes(frames[static_cast<size_t>(round) % frames.size()].text());
          random = base::mix64(random);
          for (uint64_t flips = 1 + random % 3; flips > 0; --flips) {
            random = base::mix64(random);
            const size_t at = 4 + random % (bytes.size() - 4);  // the length stays true
            bytes[at] = static_cast<char>(random >> 32);
          }
          client.reconnect();
          ASSERT_TRUE(client.send_text(bytes).has_value());
          client.stream().shutdown_write();
          while (client.receive_frame()) {
          }
        }
        EXPECT_TRUE(still_serves(client));
      },
      100'000);
}

TEST(Limits, one_connection_too_many_waits_until_another_one_ends) {
  BrokerRig rig({.settings = {"max.connections=2"}});
  rig.start();
  rig.run([&](Client& first) {
    Client second(first.node(), rig.address());
    EXPECT_EQ(first.ask<wire::ApiVersionsResponse>(wire::ApiVersionsRequest{}, 0).error_code, 0);
    EXPECT_EQ(second.ask<wire::ApiVersionsResponse>(wire::ApiVersionsRequest{}, 0).error_code, 0);
    Client third(first.node(), rig.address());
    const int32_t id = third.send(wire::ApiVersionsRequest{}, 0);
    auto nothing = third.stream().read_some(1, first.node().clock.after(runtime::seconds(3)));
    ASSERT_FALSE(nothing.has_value());
    EXPECT_EQ(nothing.error().code, base::Errc::timed_out);
    second.stream().abort();
    EXPECT_EQ(third.receive<wire::ApiVersionsResponse>(0, id).error_code, 0);
  });
}

TEST(Limits, an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not) {
  BrokerRig rig({.settings = {"connections.max.idle.ms=2000"}});
  rig.start();
  rig.run([](Client& client) {
    client.create("t");
    const Instant asked = client.node().clock.now();
    EXPECT_EQ(client.fetch("t", 0, 0, 7'000).error_code, 0);
    EXPECT_GE((client.node().clock.now() - asked).ms(), 7'000);
    const Instant idle = client.node().clock.now();
    EXPECT_TRUE(client.is_closed());
    const int64_t waited = (client.node().clock.now() - idle).ms();
    EXPECT_GE(waited, 1'900);
    EXPECT_LE(waited, 6'000);
  });
}

TEST(Limits, memory_for_requests_is_charged_as_bytes_arrive_and_runs_out_for_nobody_for_ever) {
  // Connections that each claim a large request and send half of it hold all memory; they are
  // closed after a while, and the others go on.
  BrokerRig rig;
  sim::NodeOptions small;
  small.name = "small";
  small.knobs.set(kInFlightBytes, 1 << 20);
  rig.broker_node = rig.world.add_node(small);
  rig.start();
  rig.run([&](Client& client) {
    std::vector<std::unique_ptr<Client>> hogs;
    std::string half(4 + 400'000, 'x');
    base::store_be(reinterpret_cast<std::byte*>(half.data()), int32_t{800'000});
    for (int i = 0; i < 4; ++i) {
      hogs.push_back(std::make_unique<Client>(client.node(), rig.address()));
      (void)hogs.back()->stream().write_all(std::array{base::Slice::copy_of(half)},
                                            client.node().clock.after(runtime::seconds(2)));
    }
    // Whoever came last found nothing left and is closed.
    EXPECT_TRUE(hogs.back()->is_closed());
    hogs.clear();
    EXPECT_TRUE(still_serves(client));
  });
}

}  // namespace
}  // namespace verdict::server
