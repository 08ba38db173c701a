#include "broker/rpc/connection.h"

#include <gtest/gtest.h>

#include "broker/wire/init_producer_id.h"
#include "broker/wire/metadata.h"
#include "sim/world.h"
#include "tests/unit/rpc/scripted_peer.h"

namespace verdict::rpc {
namespace {

using base::Errc;
using base::Result;
using runtime::Node;
using wire::InitProducerIdRequest;
using wire::InitProducerIdResponse;

constexpr int64_t kSecond = 1'000'000'000;

// Answers InitProducerId with the epoch that was asked for: an echo.
base::Slices echo(const wire::RequestFrame& request) {
  const auto asked = InitProducerIdRequest::decode(request.body, request.version());
  EXPECT_TRUE(asked.has_value());
  const InitProducerIdResponse response{.producer_id = asked->transaction_timeout_ms};
  return wire::response_frame(response, request.version(), request.header.correlation_id);
}

Script echo_script() {
  return [](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
    return {.frame = echo(request)};
  };
}

// A server node with a script and a client node with a body; runs until the client has ended.
struct Pair {
  explicit Pair(uint64_t seed = 1) : world(options(seed)) {
    server = world.add_node({.name = "server"});
    client = world.add_node({.name = "client"});
  }
  static sim::WorldOptions options(uint64_t seed) {
    sim::WorldOptions made;
    made.kernel.seed = seed;
    return made;
  }
  runtime::Endpoint endpoint() const { return {world.address(server), kScriptedPort}; }
  void boot_server(Script script) { world.boot(server, scripted_program(std::move(script))); }
  void boot_client(std::function<void(Node&, Peer&)> body, PeerOptions peer_options = {}) {
    world.boot(client, [this, body = std::move(body), peer_options](Node& node) {
      runtime::Nursery nursery(node.tasks);
      Peer peer(node, nursery, endpoint(), peer_options);
      body(node, peer);
      nursery.stop();
      ++ended;
    });
  }
  void run(int64_t seconds = 600) {
    world.run_until(world.now_ns() + seconds * kSecond, [this] { return !world.running(client); });
  }
  sim::World world;
  uint32_t server = 0;
  uint32_t client = 0;
  int ended = 0;
};

Result<InitProducerIdResponse> ask(Node& node, Peer& peer, int32_t what, int64_t ms = 5'000) {
  return peer.call<InitProducerIdResponse>(InitProducerIdRequest{.transaction_timeout_ms = what}, 0,
                                           4, node.clock.after(runtime::milliseconds(ms)));
}

TEST(Peer, answers_reach_their_requests_with_several_in_flight) {
  Pair pair;
  pair.boot_server(echo_script());
  std::vector<int64_t> answers;
  pair.boot_client([&](Node& node, Peer& peer) {
    ASSERT_TRUE(peer.wait_connected(node.clock.after(runtime::seconds(5))));
    const int16_t version = *peer.version(InitProducerIdRequest::kApiKey, 0, 4);
    EXPECT_EQ(version, 4);
    for (int32_t i = 0; i < 20; ++i) {
      const auto sent = peer.submit(
          InitProducerIdRequest{.transaction_timeout_ms = i}, version,
          node.clock.after(runtime::seconds(5)), [&answers, version](Result<base::Slices> body) {
            ASSERT_TRUE(body.has_value());
            answers.push_back(InitProducerIdResponse::decode(*body, version)->producer_id);
          });
      ASSERT_TRUE(sent.has_value());
    }
    EXPECT_EQ(peer.open_requests(), 20U);
    EXPECT_EQ(ask(node, peer, 99)->producer_id, 99);
  });
  pair.run();
  ASSERT_EQ(answers.size(), 20U);
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i], static_cast<int64_t>(i));
  EXPECT_EQ(pair.ended, 1);
}

TEST(Peer, more_requests_than_the_limit_are_refused_and_have_not_left) {
  Pair pair;
  int seen = 0;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
    ++seen;
    return {};
  });
  size_t accepted = 0;
  pair.boot_client([&](Node& node, Peer& peer) {
    ASSERT_TRUE(peer.wait_connected(node.clock.after(runtime::seconds(5))));
    for (size_t i = 0; i < Peer::kOpenMax + 5; ++i) {
      const auto sent = peer.submit(InitProducerIdRequest{}, 4,
                                    node.clock.after(runtime::seconds(5)), [](auto) {});
      if (sent) ++accepted;
      EXPECT_TRUE(sent || sent.error().code == Errc::exhausted);
    }
    (void)node.clock.sleep(runtime::seconds(1));
  });
  pair.run();
  EXPECT_EQ(accepted, Peer::kOpenMax);
  EXPECT_EQ(static_cast<size_t>(seen), Peer::kOpenMax);
}

TEST(Peer, a_request_without_answer_ends_all_open_ones_at_its_deadline_and_the_next_reconnects) {
  Pair pair;
  int connections = 0;
  int requests = 0;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) {
      ++connections;
      return {.frame = versions_answer(request)};
    }
    return ++requests <= 2 ? Reply{} : Reply{.frame = echo(request)};
  });
  std::optional<base::Error> other;
  int64_t waited_ms = 0;
  pair.boot_client(
      [&](Node& node, Peer& peer) {
        ASSERT_TRUE(peer.wait_connected(node.clock.after(runtime::seconds(5))));
        const auto far = node.clock.after(runtime::seconds(100));
        ASSERT_TRUE(peer.submit(InitProducerIdRequest{}, 4, far,
                                [&](Result<base::Slices> body) { other = body.error(); }));
        const runtime::Instant before = node.clock.now();
        EXPECT_EQ(ask(node, peer, 1, 700).error().code, Errc::timed_out);
        waited_ms = (node.clock.now() - before).ms();
        EXPECT_FALSE(peer.connected());
        EXPECT_EQ(ask(node, peer, 7)->producer_id, 7);
      },
      {.request_timeout = runtime::milliseconds(700)});
  pair.run();
  EXPECT_GE(waited_ms, 700);
  EXPECT_LT(waited_ms, 800);
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->code, Errc::timed_out);
  EXPECT_EQ(connections, 2);
  EXPECT_EQ(pair.ended, 1);
}

TEST(Peer, a_caller_that_gives_up_leaves_the_connection_to_the_others) {
  Pair pair;
  int connections = 0;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) {
      ++connections;
      return {.frame = versions_answer(request)};
    }
    return {.frame = echo(request), .delay = runtime::milliseconds(300)};
  });
  std::optional<int64_t> other;
  pair.boot_client([&](Node& node, Peer& peer) {
    ASSERT_TRUE(peer.wait_connected(node.clock.after(runtime::seconds(5))));
    ASSERT_TRUE(peer.submit(InitProducerIdRequest{.transaction_timeout_ms = 5}, 4,
                            node.clock.after(runtime::seconds(5)), [&](Result<base::Slices> body) {
                              ASSERT_TRUE(body.has_value());
                              other = InitProducerIdResponse::decode(*body, 4)->producer_id;
                            }));
    EXPECT_EQ(ask(node, peer, 6, 1).error().code, Errc::timed_out);
    EXPECT_EQ(peer.open_requests(), 2U);
    EXPECT_EQ(ask(node, peer, 7)->producer_id, 7);
    EXPECT_EQ(peer.open_requests(), 0U);
  });
  pair.run();
  EXPECT_EQ(other, 5);
  EXPECT_EQ(connections, 1);
  EXPECT_EQ(pair.ended, 1);
}

TEST(Peer, a_closed_connection_fails_the_open_call_with_the_place_named) {
  Pair pair;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
    return {.close = true};
  });
  std::optional<base::Error> why;
  pair.boot_client([&](Node& node, Peer& peer) { why = ask(node, peer, 1).error(); });
  pair.run();
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->code, Errc::closed);
  EXPECT_NE(why->detail.find(":9092"), std::string::npos);
}

TEST(Peer, attempts_to_connect_back_off_to_the_limit_and_no_further) {
  Pair pair;  // no server: refused at once
  int attempts = 0;
  pair.boot_client([&](Node& node, Peer& peer) {
    const runtime::Instant end = node.clock.after(runtime::seconds(30));
    while (node.clock.now() < end) {
      EXPECT_EQ(ask(node, peer, 1, 60'000).error().code, Errc::refused);
      ++attempts;
    }
    EXPECT_EQ(peer.failures(), static_cast<uint32_t>(attempts));
  });
  pair.run();
  // 50, 100, 200, 400, 800 ms, then 1 s each, all with a fifth of jitter.
  EXPECT_GE(attempts, 27);
  EXPECT_LE(attempts, 45);
}

TEST(Peer, a_caller_waits_no_longer_than_its_deadline_for_a_connection_that_hangs) {
  Pair pair;
  pair.boot_server(echo_script());
  pair.world.net().hang_connects(pair.world.kernel_node(pair.server), true);
  int64_t waited_ms = 0;
  pair.boot_client([&](Node& node, Peer& peer) {
    const runtime::Instant before = node.clock.now();
    EXPECT_EQ(ask(node, peer, 1, 1'500).error().code, Errc::timed_out);
    waited_ms = (node.clock.now() - before).ms();
  });
  pair.run();
  EXPECT_GE(waited_ms, 1'500);
  EXPECT_LT(waited_ms, 1'600);
}

TEST(Peer, the_version_is_the_highest_that_both_speak_and_none_is_an_error) {
  Pair pair;
  std::vector<int16_t> spoken;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) {
      wire::ApiVersionsResponse response;
      response.api_keys.push_back(
          {.api_key = InitProducerIdRequest::kApiKey, .min_version = 1, .max_version = 2});
      return {.frame =
                  wire::response_frame(response, request.version(), request.header.correlation_id)};
    }
    spoken.push_back(request.version());
    return {.frame = echo(request)};
  });
  pair.boot_client([&](Node& node, Peer& peer) {
    EXPECT_EQ(ask(node, peer, 5)->producer_id, 5);
    const auto deadline = node.clock.after(runtime::seconds(5));
    EXPECT_EQ(
        (peer.call<InitProducerIdResponse>(InitProducerIdRequest{}, 3, 4, deadline)).error().code,
        Errc::unsupported);
    EXPECT_EQ(
        (peer.call<wire::MetadataResponse>(wire::MetadataRequest{}, 4, 12, deadline)).error().code,
        Errc::unsupported);
  });
  pair.run();
  EXPECT_EQ(spoken, std::vector<int16_t>{2});
}

TEST(Peer, an_older_peer_is_asked_again_in_its_own_version_of_ApiVersions) {
  Pair pair;
  std::vector<int16_t> asked;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key != wire::kApiVersionsKey) return {.frame = echo(request)};
    asked.push_back(request.version());
    if (request.version() <= 2) return {.frame = versions_answer(request)};
    wire::ApiVersionsResponse response{.error_code = 35};
    response.api_keys.push_back({.api_key = 18, .min_version = 0, .max_version = 2});
    return {.frame = wire::response_frame(response, 0, request.header.correlation_id)};
  });
  pair.boot_client([&](Node& node, Peer& peer) { EXPECT_EQ(ask(node, peer, 5)->producer_id, 5); });
  pair.run();
  EXPECT_EQ(asked, (std::vector<int16_t>{4, 2}));
  EXPECT_EQ(pair.ended, 1);
}

TEST(Peer, nonsense_from_the_peer_breaks_the_connection_with_invalid) {
  for (int kind = 0; kind < 3; ++kind) {
    Pair pair;
    pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
      if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
      const int32_t id = request.header.correlation_id;
      if (kind == 0) {
        return {.frame = wire::response_frame(InitProducerIdResponse{}, request.version(), id + 1)};
      }
      const auto length =
          kind == 1 ? std::string("\x7f\xff\xff\xff", 4) : std::string("\xff\0\0\0", 4);
      return {.frame = base::Slice::copy_of(length)};
    });
    std::optional<base::Error> why;
    pair.boot_client([&](Node& node, Peer& peer) { why = ask(node, peer, 1).error(); });
    pair.run();
    ASSERT_TRUE(why.has_value()) << kind;
    EXPECT_EQ(why->code, Errc::invalid) << kind;
  }
}

TEST(Peer, a_request_without_answer_by_nature_is_done_when_it_was_taken) {
  Pair pair;
  int seen = 0;
  pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
    if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
    ++seen;
    return {};
  });
  int done = 0;
  pair.boot_client([&](Node& node, Peer& peer) {
    ASSERT_TRUE(peer.wait_connected(node.clock.after(runtime::seconds(5))));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(peer.submit(
          InitProducerIdRequest{}, 4, node.clock.after(runtime::seconds(5)),
          [&](const auto& body) { done += body.has_value() ? 1 : 0; }, false));
    }
    (void)node.clock.sleep(runtime::seconds(60));
    EXPECT_TRUE(peer.connected());
  });
  pair.run();
  EXPECT_EQ(done, 3);
  EXPECT_EQ(seen, 3);
}

TEST(Peer, a_kill_at_any_moment_leaves_nothing_behind) {
  for (int64_t step = 0; step < 200; ++step) {
    Pair pair(static_cast<uint64_t>(step) + 1);
    int answered = 0;
    pair.boot_server([&](const wire::RequestFrame& request) -> Reply {
      if (request.api->key == wire::kApiVersionsKey) return {.frame = versions_answer(request)};
      ++answered;
      if (answered % 3 == 0) return {.close = true};
      return {.frame = echo(request), .delay = runtime::milliseconds(answered % 2)};
    });
    pair.boot_client([&](Node& node, Peer& peer) {
      for (int32_t i = 0; i < 100; ++i) (void)ask(node, peer, i, 300);
    });
    pair.world.at(step * 2'000'000, [&] { pair.world.crash(pair.client); });
    pair.run();
    EXPECT_EQ(pair.ended, 0);
  }
}

}  // namespace
}  // namespace verdict::rpc
