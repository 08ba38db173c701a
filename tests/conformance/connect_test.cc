// Connections come about: listen, connect, accept, resolve.

#include <set>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using runtime::Endpoint;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::seconds;
using StreamPtr = std::unique_ptr<runtime::Stream>;

CONFORMANCE_SUITE(Connect);

// A port at which nobody listens: it was ours a moment ago.
Endpoint nobody(Lab& lab, Node& node) {
  auto listener = listen(lab, node);
  Endpoint at = listener->local();
  listener->close();
  return at;
}

TEST_P(Connect, is_refused_where_nobody_listens) {
  run([this](Node& node) {
    Endpoint at = nobody(lab(), node);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(fails(node.network.connect(at, soon(node)), Errc::refused));
    }
  });
}

TEST_P(Connect, is_refused_on_another_node_where_nobody_listens) {
  Endpoint at;
  bool done = false;
  lab().run_pair(
      [&](Node& node) {
        at = nobody(lab(), node);
        wait_until(node, [&] { return done; });
      },
      [&](Node& node) {
        wait_until(node, [&] { return at.port != 0; });
        EXPECT_TRUE(fails(node.network.connect(at, soon(node)), Errc::refused));
        done = true;
      });
}

TEST_P(Connect, succeeds_before_the_listener_accepts) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    StreamPtr client = must(node.network.connect(listener->local(), soon(node)));
    must(write(node, *client, text("early")));
    StreamPtr server = must(listener->accept(soon(node)));
    EXPECT_EQ(must(server->read_exact(5, soon(node))).flatten().text(), "early");
  });
}

TEST_P(Connect, with_a_deadline_in_the_past_ends_at_once) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    auto result = node.network.connect(listener->local(), node.clock.now() - seconds(1));
    EXPECT_TRUE(result.has_value() || fails(result, Errc::timed_out));
    // Whatever came of it, the listener goes on.
    StreamPtr client = must(node.network.connect(listener->local(), soon(node)));
    EXPECT_TRUE(ok(listener->accept(soon(node))));
  });
}

TEST_P(Connect, can_be_cancelled_or_abandoned_while_pending) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    for (int i = 0; i < 20; ++i) {
      Nursery nursery(node.tasks);
      nursery.spawn("connector", [&] {
        auto result = node.network.connect(listener->local(), soon(node));
        EXPECT_TRUE(result.has_value() || fails(result, Errc::cancelled));
      });
      for (int k = 0; k < i % 4; ++k) node.tasks.yield();
      nursery.stop();
      {
        auto abandoned = must(node.network.begin_connect(listener->local()));
      }
    }
    StreamPtr client = must(node.network.connect(listener->local(), soon(node)));
    must(write(node, *client, text("I am the one")));
    client->shutdown_write();
    // Connections that were given up may still come out of the queue, closed or reset.
    for (;;) {
      StreamPtr server = must(listener->accept(soon(node)));
      auto said = read_to_end(node, *server);
      if (said && said->flatten().text() == "I am the one") break;
      EXPECT_TRUE(!said || said->empty());
    }
  });
}

TEST_P(Connect, tells_its_outcome_to_who_began_it) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    StreamPtr client = must(node.network.begin_connect(listener->local()));
    must(wait_for(client->writable(), soon(node)));
    ASSERT_TRUE(client->connect_result().has_value());
    EXPECT_TRUE(ok(*client->connect_result()));
    EXPECT_TRUE(ok(*client->connect_result()));  // and again
    auto refused = node.network.begin_connect(nobody(lab(), node));
    if (!refused) {
      EXPECT_TRUE(fails(refused, Errc::refused));  // some kernels know at once
      return;
    }
    must(wait_for((*refused)->writable(), soon(node)));
    ASSERT_TRUE((*refused)->connect_result().has_value());
    EXPECT_TRUE(fails(*(*refused)->connect_result(), Errc::refused));
  });
}

TEST_P(Connect, a_pending_one_takes_no_bytes_and_has_none) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    StreamPtr client = must(node.network.begin_connect(listener->local()));
    if (!client->connect_result().has_value()) {
      EXPECT_FALSE(client->writable().ready());
      EXPECT_FALSE(must(client->try_read(10)).has_value());
      base::Slice early = text("early");
      EXPECT_EQ(must(client->try_write({&early, 1})), 0U);
    }
    // The blocking calls wait for the outcome.
    must(write(node, *client, text("hello")));
    StreamPtr server = must(listener->accept(soon(node)));
    EXPECT_EQ(must(server->read_exact(5, soon(node))).flatten().text(), "hello");
  });
}

TEST_P(Connect, a_hundred_at_once_are_all_accepted) {
  run([this](Node& node) {
    constexpr size_t kCount = 100;
    auto listener = listen(lab(), node);
    Nursery nursery(node.tasks);
    for (uint64_t i = 0; i < kCount; ++i) {
      nursery.spawn("client", [&, i] {
        StreamPtr stream = must(node.network.connect(listener->local(), soon(node)));
        must(write(node, *stream, pattern(i, 0, 8)));
        EXPECT_EQ(must(stream->read_exact(8, soon(node))).flatten().text(),
                  pattern(i, 0, 8).text());
      });
    }
    std::set<std::string> peers;
    std::set<std::string> said;
    for (size_t i = 0; i < kCount; ++i) {
      StreamPtr stream = must(listener->accept(soon(node)));
      peers.insert(stream->peer().to_string());
      base::Slice word = must(stream->read_exact(8, soon(node))).flatten();
      said.insert(std::string(word.text()));
      must(write(node, *stream, word));
    }
    nursery.join_all(kNever);
    EXPECT_EQ(peers.size(), kCount);
    EXPECT_EQ(said.size(), kCount);
    EXPECT_EQ(must(listener->try_accept()), nullptr);
  });
}

TEST_P(Connect, several_fibers_accept_from_one_listener) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    Nursery nursery(node.tasks);
    int accepted = 0;
    int closed = 0;
    for (int i = 0; i < 3; ++i) {
      nursery.spawn("acceptor", [&] {
        for (;;) {
          auto stream = listener->accept(soon(node));
          if (!stream) {
            EXPECT_TRUE(fails(stream, Errc::closed));
            ++closed;
            return;
          }
          ++accepted;
        }
      });
    }
    for (int i = 0; i < 20; ++i) must(node.network.connect(listener->local(), soon(node)));
    wait_until(node, [&] { return accepted == 20; });
    listener->close();
    nursery.join_all(kNever);
    EXPECT_EQ(closed, 3);
  });
}

CONFORMANCE_SUITE(Listen);

TEST_P(Listen, port_zero_takes_a_free_one) {
  run([this](Node& node) {
    auto a = listen(lab(), node);
    auto b = listen(lab(), node);
    EXPECT_NE(a->local().port, 0);
    EXPECT_NE(b->local().port, 0);
    EXPECT_NE(a->local().port, b->local().port);
    EXPECT_EQ(a->local().host, lab().host());
  });
}

TEST_P(Listen, a_port_in_use_is_refused_and_free_again_after_close) {
  run([this](Node& node) {
    auto first = listen(lab(), node);
    Endpoint at = first->local();
    EXPECT_TRUE(fails(node.network.listen(at, {}), Errc::address_in_use));
    // Connections of the old listener do not keep the port.
    StreamPtr client = must(node.network.connect(at, soon(node)));
    StreamPtr server = must(first->accept(soon(node)));
    first->close();
    auto second = must(node.network.listen(at, {}));
    EXPECT_EQ(second->local(), at);
    StreamPtr other = must(node.network.connect(at, soon(node)));
    EXPECT_TRUE(ok(second->accept(soon(node))));
    // And they live on.
    must(write(node, *client, text("x")));
    EXPECT_EQ(must(server->read_exact(1, soon(node))).size(), 1U);
    server.reset();
    second.reset();  // a listener that dies closes
    EXPECT_TRUE(ok(node.network.listen(at, {})));
  });
}

TEST_P(Listen, a_port_is_free_after_the_node_ended) {
  Endpoint at;
  run([&](Node& node) {
    auto listener = listen(lab(), node);
    at = listener->local();
    StreamPtr client = must(node.network.connect(at, soon(node)));
    StreamPtr server = must(listener->accept(soon(node)));
    server.reset();  // this side closes first and would be left in TIME_WAIT
    EXPECT_TRUE(must(client->read_some(1, soon(node))).empty());
  });
  run([&](Node& node) { EXPECT_TRUE(ok(node.network.listen(at, {}))); });
}

TEST_P(Listen, accept_times_out_and_goes_on) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    EXPECT_EQ(must(listener->try_accept()), nullptr);
    EXPECT_FALSE(listener->acceptable().ready());
    Instant deadline = node.clock.after(milliseconds(3));
    EXPECT_TRUE(fails(listener->accept(deadline), Errc::timed_out));
    EXPECT_GE(node.clock.now(), deadline);
    StreamPtr client = must(node.network.connect(listener->local(), soon(node)));
    must(wait_for(listener->acceptable(), soon(node)));
    EXPECT_TRUE(listener->acceptable().ready());
    EXPECT_NE(must(listener->try_accept()), nullptr);
  });
}

TEST_P(Listen, close_wakes_accept_and_ends_it_for_good) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    Nursery nursery(node.tasks);
    int ended = 0;
    for (int i = 0; i < 3; ++i) {
      nursery.spawn("acceptor", [&] {
        EXPECT_TRUE(fails(listener->accept(soon(node)), Errc::closed));
        ++ended;
      });
    }
    settle(node);
    EXPECT_EQ(ended, 0);
    listener->close();
    listener->close();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, 3);
    EXPECT_TRUE(fails(listener->accept(soon(node)), Errc::closed));
    EXPECT_TRUE(fails(listener->try_accept(), Errc::closed));
  });
}

TEST_P(Listen, connections_that_nobody_accepted_die_with_the_listener) {
  run([this](Node& node) {
    auto listener = listen(lab(), node);
    StreamPtr client = must(node.network.connect(listener->local(), soon(node)));
    listener->close();
    auto end = client->read_some(10, soon(node));
    if (end) {
      EXPECT_TRUE(end->empty());
    } else {
      EXPECT_TRUE(fails(end, Errc::reset));
    }
  });
}

CONFORMANCE_SUITE(Resolve);

TEST_P(Resolve, gives_a_numeric_address_back) {
  run([this](Node& node) {
    EXPECT_EQ(must(node.network.resolve(lab().host(), soon(node))),
              std::vector<std::string>{lab().host()});
    EXPECT_EQ(must(node.network.resolve("192.0.2.7", soon(node))),
              std::vector<std::string>{"192.0.2.7"});
  });
}

TEST_P(Resolve, knows_this_machine_by_name) {
  run([this](Node& node) {
    auto addresses = must(node.network.resolve("localhost", soon(node)));
    ASSERT_FALSE(addresses.empty());
    auto listener = listen(lab(), node);
    // Some machines also name an address of the other family, at which nobody listens.
    EXPECT_TRUE(ok(node.network.connect({"localhost", listener->local().port}, soon(node))));
  });
}

TEST_P(Resolve, fails_for_a_name_that_nobody_has) {
  run([](Node& node) {
    // RFC 6761: .invalid never exists. A machine without a name server may only time out.
    auto result = node.network.resolve("nobody.invalid", node.clock.after(seconds(10)));
    EXPECT_TRUE(fails(result, Errc::not_found, Errc::timed_out));
    auto connected = node.network.connect({"nobody.invalid", 9092}, node.clock.after(seconds(10)));
    EXPECT_TRUE(fails(connected, Errc::not_found, Errc::timed_out));
  });
}

}  // namespace
}  // namespace verdict::conformance
