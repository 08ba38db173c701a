// Connections between healthy machines.

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;
using runtime::Instant;
using runtime::Listener;
using runtime::Stream;

// A server "s" whose body gets every accepted stream, a client "c" whose body gets its stream.
class Pair : public NetRig {
 public:
  using OnStream = std::function<void(NetProgram&, Stream&)>;
  Pair(NetOptions options, OnStream server, OnStream client, uint64_t seed = 1)
      : NetRig(seed, options) {
    add("s");
    add("c");
    boot(0, [server](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      CHECK(listener.has_value());
      auto stream = (*listener)->accept(Instant::never());
      if (stream) server(p, **stream);
    });
    boot(1, [client](NetProgram& p) {
      auto stream = p.network.connect({"s", kPort}, p.in_ms(5000));
      CHECK(stream.has_value());
      client(p, **stream);
    });
  }
};

TEST(NetStream, what_is_written_is_read_and_the_end_after_it) {
  std::string got;
  std::string peer;
  bool ended = false;
  Pair rig(
      plain_net(),
      [&](NetProgram&, Stream& stream) {
        peer = stream.peer().host;
        for (;;) {
          auto slice = stream.read_some(3, Instant::never());
          ASSERT_TRUE(slice.has_value());
          if (slice->empty()) break;
          got += slice->text();
        }
        ended = true;
      },
      [&](NetProgram&, Stream& stream) {
        EXPECT_EQ(stream.peer().to_string(), "10.0.0.1:9092");
        EXPECT_EQ(stream.local().host, "10.0.0.2");
        Slice parts[] = {Slice::copy_of("hello"), Slice(), Slice::copy_of(" world")};
        EXPECT_TRUE(stream.write_all(parts, Instant::never()).has_value());
      });
  rig.run_ms(1000);
  EXPECT_EQ(got, "hello world");
  EXPECT_EQ(peer, "10.0.0.2");
  EXPECT_TRUE(ended);
  EXPECT_EQ(rig.net.open_connections(), 0U);
}

TEST(NetStream, payload_is_handed_on_and_never_copied) {
  const std::byte* sent = nullptr;
  const std::byte* received = nullptr;
  Pair rig(
      plain_net(),
      [&](NetProgram&, Stream& stream) {
        auto slice = stream.read_some(1 << 20, Instant::never());
        if (slice) received = slice->data();
      },
      [&](NetProgram& p, Stream& stream) {
        Slice slice = Slice::copy_of(std::string(1000, 'x'));
        sent = slice.data();
        (void)stream.write_all({&slice, 1}, Instant::never());
        p.sleep_ms(100);
      });
  rig.run_ms(1000);
  EXPECT_NE(sent, nullptr);
  EXPECT_EQ(sent, received);
}

TEST(NetStream, half_close_ends_one_direction_only) {
  std::string answer;
  std::optional<Errc> write_error;
  Pair rig(
      plain_net(),
      [&](NetProgram& p, Stream& stream) {
        auto all = stream.read_exact(4, Instant::never());
        auto end = stream.read_some(1, Instant::never());
        ASSERT_TRUE(all && end);
        EXPECT_TRUE(end->empty());
        p.sleep_ms(10);
        Slice text = Slice::copy_of("answer");
        EXPECT_TRUE(stream.write_all({&text, 1}, Instant::never()).has_value());
      },
      [&](NetProgram&, Stream& stream) {
        Slice text = Slice::copy_of("ping");
        EXPECT_TRUE(stream.write_all({&text, 1}, Instant::never()).has_value());
        stream.shutdown_write();
        auto refused = stream.try_write({&text, 1});
        if (!refused) write_error = refused.error().code;
        auto slices = stream.read_exact(6, Instant::never());
        if (slices) answer = slices->flatten().text();
      });
  rig.run_ms(1000);
  EXPECT_EQ(answer, "answer");
  EXPECT_EQ(write_error, Errc::closed);
}

TEST(NetStream, a_writer_without_reader_stops_at_the_window) {
  // 200 MiB to somebody who never reads: memory stays bounded, the writer is suspended.
  constexpr uint64_t kPiece = 64 * 1024;
  uint64_t written = 0;
  NetOptions options = plain_net();
  options.window_max_bytes = 1024 * 1024;
  Pair rig(
      options, [&](NetProgram& p, Stream&) { p.sleep_ms(3'600'000); },
      [&](NetProgram&, Stream& stream) {
        Slice piece = pattern_slice(1, 0, kPiece);
        for (uint64_t left = 200U << 20; left > 0; left -= kPiece) {
          if (!stream.write_all({&piece, 1}, Instant::never())) return;
          written += kPiece;
        }
      });
  rig.run_ms(60'000);
  EXPECT_GE(rig.net.bytes_on_the_way(), options.window_min_bytes);
  EXPECT_LE(rig.net.bytes_on_the_way(), options.window_max_bytes);
  EXPECT_LE(written, options.window_max_bytes);
  EXPECT_GT(written + kPiece, rig.net.bytes_on_the_way());
}

TEST(NetStream, a_slow_reader_paces_the_writer_and_gets_everything) {
  constexpr uint64_t kTotal = 1U << 20;
  uint64_t got = 0;
  bool right = true;
  Pair rig(
      plain_net(),
      [&](NetProgram& p, Stream& stream) {
        for (;;) {
          auto slice = stream.read_some(10'000, Instant::never());
          if (!slice || slice->empty()) return;
          right = right && matches_pattern(7, got, *slice);
          got += slice->size();
          p.sleep_ms(1);
        }
      },
      [&](NetProgram&, Stream& stream) {
        Slice all = pattern_slice(7, 0, kTotal);
        EXPECT_TRUE(stream.write_all({&all, 1}, Instant::never()).has_value());
      });
  rig.run_ms(60'000);
  EXPECT_EQ(got, kTotal);
  EXPECT_TRUE(right);
}

TEST(NetStream, one_direction_may_read_and_write_at_once) {
  uint64_t got[2] = {0, 0};
  auto body = [&got](size_t s) {
    return [&got, s](NetProgram& p, Stream& stream) {
      runtime::Nursery nursery(p.tasks);
      nursery.spawn("reader", [&] {
        while (got[s] < 300'000) {
          auto slice = stream.read_some(100'000, Instant::never());
          if (!slice || slice->empty()) return;
          EXPECT_TRUE(matches_pattern(1 - s, got[s], *slice));
          got[s] += slice->size();
        }
      });
      Slice all = pattern_slice(s, 0, 300'000);
      EXPECT_TRUE(stream.write_all({&all, 1}, Instant::never()).has_value());
      (void)nursery.join_all(Instant::never());
    };
  };
  Pair rig({}, body(0), body(1));
  rig.run_ms(60'000);
  EXPECT_EQ(got[0], 300'000U);
  EXPECT_EQ(got[1], 300'000U);
}

TEST(NetStream, bandwidth_limits_what_arrives) {
  NetOptions options = plain_net();
  options.bandwidth_bytes_per_s = 100'000;
  int64_t took_ms = 0;
  Pair rig(
      options,
      [&](NetProgram& p, Stream& stream) {
        Instant start = p.now();
        (void)stream.read_exact(50'000, Instant::never());
        took_ms = (p.now() - start).ms();
      },
      [&](NetProgram& p, Stream& stream) {
        for (int i = 0; i < 50; ++i) {
          Slice piece = pattern_slice(1, 0, 1000);
          (void)stream.write_all({&piece, 1}, Instant::never());
        }
        p.sleep_ms(10'000);
      });
  rig.run_ms(10'000);
  EXPECT_GE(took_ms, 490);
  EXPECT_LE(took_ms, 520);
}

TEST(NetStream, closing_with_unread_bytes_resets_the_peer) {
  std::optional<Errc> seen;
  Pair rig(
      plain_net(), [&](NetProgram& p, Stream&) { p.sleep_ms(10); },
      [&](NetProgram&, Stream& stream) {
        Slice text = Slice::copy_of("nobody reads this");
        (void)stream.write_all({&text, 1}, Instant::never());
        auto slice = stream.read_some(1, Instant::never());
        if (!slice) seen = slice.error().code;
      });
  rig.run_ms(1000);
  EXPECT_EQ(seen, Errc::reset);
}

TEST(NetStream, writing_to_a_peer_that_closed_ends_in_reset) {
  std::vector<std::optional<Errc>> results;
  Pair rig(
      plain_net(), [&](NetProgram&, Stream&) {},
      [&](NetProgram& p, Stream& stream) {
        auto end = stream.read_some(1, Instant::never());
        EXPECT_TRUE(end.has_value() && end->empty());
        Slice text = Slice::copy_of("late");
        for (int i = 0; i < 2; ++i) {
          auto wrote = stream.try_write({&text, 1});
          results.push_back(wrote ? std::nullopt : std::optional<Errc>(wrote.error().code));
          p.sleep_ms(10);
        }
      });
  rig.run_ms(1000);
  // The first write does not know yet; its answer is the RST.
  EXPECT_EQ(results, (std::vector<std::optional<Errc>>{std::nullopt, Errc::reset}));
}

TEST(NetStream, abort_resets_the_peer_and_closes_this_side) {
  std::optional<Errc> peer_saw;
  std::optional<Errc> own;
  Pair rig(
      plain_net(),
      [&](NetProgram&, Stream& stream) {
        auto slice = stream.read_some(1, Instant::never());
        if (!slice) peer_saw = slice.error().code;
      },
      [&](NetProgram&, Stream& stream) {
        stream.abort();
        auto slice = stream.read_some(1, Instant::never());
        if (!slice) own = slice.error().code;
      });
  rig.run_ms(1000);
  EXPECT_EQ(peer_saw, Errc::reset);
  EXPECT_EQ(own, Errc::closed);
}

TEST(NetStream, a_deadline_ends_a_read_that_gets_nothing) {
  std::optional<Errc> seen;
  int64_t at_ms = 0;
  Pair rig(
      plain_net(), [&](NetProgram& p, Stream&) { p.sleep_ms(1000); },
      [&](NetProgram& p, Stream& stream) {
        Instant start = p.now();
        auto slice = stream.read_some(1, p.in_ms(50));
        if (!slice) seen = slice.error().code;
        at_ms = (p.now() - start).ms();
      });
  rig.run_ms(2000);
  EXPECT_EQ(seen, Errc::timed_out);
  EXPECT_EQ(at_ms, 50);
}

TEST(NetStream, short_reads_cut_at_any_byte) {
  NetOptions options = plain_net();
  options.short_read_permille = 1000;
  std::vector<size_t> lengths(100, 0);
  Pair rig(
      options,
      [&](NetProgram&, Stream& stream) {
        for (;;) {
          auto slice = stream.read_some(100, Instant::never());
          if (!slice || slice->empty()) return;
          ++lengths[slice->size() - 1];
        }
      },
      [&](NetProgram&, Stream& stream) {
        for (int i = 0; i < 5000; ++i) {
          Slice piece = pattern_slice(1, 0, 100);
          (void)stream.write_all({&piece, 1}, Instant::never());
        }
      });
  rig.run_ms(60'000);
  for (size_t n = 1; n < 100; ++n) EXPECT_GT(lengths[n - 1], 0U) << n;
}

TEST(NetConnect, nobody_listening_refuses_after_a_round_trip) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  std::optional<Errc> seen;
  int64_t took_ns = 0;
  rig.boot(1, [&](NetProgram& p) {
    Instant start = p.now();
    auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(5000));
    if (!stream) seen = stream.error().code;
    took_ns = (p.now() - start).ns;
  });
  rig.run_ms(1000);
  EXPECT_EQ(seen, Errc::refused);
  EXPECT_GE(took_ns, 200'000);
  EXPECT_LT(took_ns, 300'000);
}

TEST(NetConnect, addresses_and_names) {
  NetRig rig(1, plain_net());
  rig.add("s");
  std::vector<std::string> facts;
  rig.boot(0, [&](NetProgram& p) {
    auto code = [](const auto& result) {
      return result ? std::string("ok") : std::string(base::to_string(result.error().code));
    };
    facts.push_back(p.network.resolve("s", p.in_ms(100))->front());
    facts.push_back(p.network.resolve("10.1.2.3", p.in_ms(100))->front());
    facts.push_back(p.network.resolve("localhost", p.in_ms(100))->front());
    facts.push_back(code(p.network.resolve("nowhere", p.in_ms(100))));
    facts.push_back(code(p.network.resolve("s", p.now())));
    facts.push_back(code(p.network.begin_connect({"s", 1})));
    facts.push_back(code(p.network.begin_connect({"10.9.9.9", 1})));
    facts.push_back(code(p.network.listen({"10.9.9.9", 1}, {})));
    auto first = p.network.listen({"", 77}, {});
    facts.push_back(code(first));
    facts.push_back(code(p.network.listen({"127.0.0.1", 77}, {})));
    (*first)->close();
    facts.push_back(code(p.network.listen({"s", 77}, {})));
    auto any = p.network.listen({"", 0}, {});
    facts.push_back((*any)->local().port != 0 ? "port" : "no port");
  });
  rig.run_ms(1000);
  EXPECT_EQ(facts, (std::vector<std::string>{"10.0.0.1", "10.1.2.3", "127.0.0.1", "not_found",
                                             "timed_out", "invalid", "unreachable", "unreachable",
                                             "ok", "address_in_use", "ok", "port"}));
}

TEST(NetConnect, localhost_reaches_only_the_node_itself) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  bool inside = false;
  std::string local;
  std::optional<Errc> outside;
  rig.boot(0, [&](NetProgram& p) {
    auto listener = p.network.listen({"127.0.0.1", kPort}, {});
    auto client = p.network.connect({"localhost", kPort}, p.in_ms(1000));
    auto server = (*listener)->accept(p.in_ms(1000));
    inside = client.has_value() && server.has_value();
    if (inside) local = (*server)->peer().host;
    p.sleep_ms(500);
  });
  rig.boot(1, [&](NetProgram& p) {
    p.sleep_ms(10);
    auto stream = p.network.connect({"s", kPort}, p.in_ms(400));
    if (!stream) outside = stream.error().code;
  });
  rig.run_ms(1000);
  EXPECT_TRUE(inside);
  EXPECT_EQ(local, "127.0.0.1");
  EXPECT_EQ(outside, Errc::refused);
}

TEST(NetConnect, half_closed_while_connecting_it_ends_at_once) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  bool ended = false;
  rig.boot(0, [&](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {});
    auto stream = (*listener)->accept(Instant::never());
    auto end = (*stream)->read_some(1, Instant::never());
    ended = end.has_value() && end->empty();
  });
  rig.boot(1, [&](NetProgram& p) {
    p.sleep_ms(1);
    auto stream = p.network.begin_connect({"10.0.0.1", kPort});
    (*stream)->shutdown_write();
    p.sleep_ms(1'000);
  });
  rig.run_ms(500);
  EXPECT_TRUE(ended);
}

TEST(NetConnect, a_client_that_gives_up_leaves_nothing_behind) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  int accepted = 0;
  rig.boot(0, [&](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {.backlog = 1});
    while (auto stream = (*listener)->accept(Instant::never())) ++accepted;
  });
  rig.boot(1, [&](NetProgram& p) {
    p.sleep_ms(1);
    for (int i = 0; i < 20; ++i) {
      auto stream = p.network.begin_connect({"10.0.0.1", kPort});
      // Gone at every point of the handshake.
      runtime::Instant until = p.now() + runtime::microseconds(20 * i);
      (void)p.tasks.scheduler().suspend(nullptr, 0, until, true);
    }
    auto last = p.network.connect({"10.0.0.1", kPort}, p.in_ms(5000));
    EXPECT_TRUE(last.has_value());
  });
  rig.run_ms(10'000);
  EXPECT_GE(accepted, 1);
  EXPECT_LT(accepted, 21);
  EXPECT_EQ(rig.net.open_connections(), 0U);
}

}  // namespace
}  // namespace verdict::sim
