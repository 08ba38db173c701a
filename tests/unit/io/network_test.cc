#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "broker/io/system_error.h"
#include "tests/unit/io/io_fixture.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using runtime::Instant;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Stream;
using runtime::Wake;

class NetworkTest : public IoTest {};

// Takes every free descriptor of this process until it is destroyed.
class NoDescriptors {
 public:
  NoDescriptors() {
    CHECK(getrlimit(RLIMIT_NOFILE, &before_) == 0);
    // The smallest number that is free, and none above it.
    int free = dup(0);
    CHECK(free >= 0);
    ::close(free);
    rlimit none = before_;
    none.rlim_cur = static_cast<rlim_t>(free);
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { CHECK(setrlimit(RLIMIT_NOFILE, &before_) == 0); }

 private:
  rlimit before_{};
};

TEST_F(NetworkTest, without_a_descriptor_accept_says_exhausted_and_the_connection_waits) {
  run([](Node& node) {
    auto listener = must(node.network.listen({"127.0.0.1", 0}, {}));
    // Once through all of it first: the checks of the sanitizers need descriptors the first time.
    EXPECT_TRUE(fails(listener->accept(node.clock.now()), Errc::timed_out));
    EXPECT_FALSE(listener->acceptable().ready());
    auto client = must(node.network.connect(listener->local(), soon(node)));
    {
      NoDescriptors none;
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(fails(listener->accept(soon(node)), Errc::exhausted));
        EXPECT_TRUE(listener->acceptable().ready());
      }
      EXPECT_TRUE(fails(node.network.connect(listener->local(), soon(node)), Errc::exhausted));
    }
    auto server = must(listener->accept(soon(node)));
    EXPECT_EQ(server->peer(), client->local());
    EXPECT_EQ(server->local(), listener->local());
    EXPECT_TRUE(write(node, *server, Slice::copy_of("welcome")));
    EXPECT_EQ(must(client->read_some(100, soon(node))).text(), "welcome");
  });
}

TEST_F(NetworkTest, without_a_descriptor_and_without_a_connection_accept_just_waits) {
  run([](Node& node) {
    auto listener = must(node.network.listen({"127.0.0.1", 0}, {}));
    EXPECT_TRUE(fails(listener->accept(node.clock.now()), Errc::timed_out));
    // Unknown to the listener, so that it asks the kernel again.
    auto client = must(node.network.connect(listener->local(), soon(node)));
    must(listener->accept(soon(node)));
    NoDescriptors none;
    EXPECT_EQ(must(listener->try_accept()), nullptr);
    EXPECT_TRUE(fails(listener->accept(node.clock.after(milliseconds(5))), Errc::timed_out));
  });
}

TEST_F(NetworkTest, a_gather_of_more_slices_than_the_kernel_takes_arrives_in_order) {
  run([](Node& node) {
    // 5,000 slices of 1 to 4,999 bytes: 12 MB, more than the buffers between the two ends hold.
    constexpr size_t kSlices = 5000;
    Slices all;
    for (size_t i = 1; i < kSlices; ++i) {
      base::MutableBuffer buffer(i);
      for (size_t k = 0; k < i; ++k) buffer.data()[k] = static_cast<std::byte>(i * 7 + k);
      all.push_back(std::move(buffer).freeze(i));
    }
    Ends ends = connect_ends(node);
    Nursery nursery(node.tasks);
    nursery.spawn("writer", [&] {
      EXPECT_TRUE(ends.server->write_all(all.span(), soon(node)));
      ends.server->shutdown_write();
    });
    Slices got = must(ends.client->read_exact(all.size(), soon(node)));
    EXPECT_TRUE(must(ends.client->read_some(1, soon(node))).empty());
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(got.flatten().text(), all.flatten().text());
  });
}

TEST_F(NetworkTest, a_small_request_is_received_at_once_and_handed_out_in_parts) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    EXPECT_TRUE(write(node, *ends.client, Slice::copy_of("LEN:the body")));
    EXPECT_TRUE(runtime::wait_for(ends.server->readable(), soon(node)));
    Slice head = must(ends.server->read_exact(4, soon(node))).flatten();
    EXPECT_TRUE(ends.server->readable().ready());
    Slice body = must(ends.server->read_exact(8, soon(node))).flatten();
    EXPECT_EQ(head.text(), "LEN:");
    EXPECT_EQ(body.text(), "the body");
    EXPECT_EQ(body.data(), head.data() + 4) << "one buffer, so one system call";
    EXPECT_FALSE(ends.server->readable().ready());
  });
}

TEST_F(NetworkTest, readiness_tells_the_truth_around_every_kind_of_read) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    Stream& server = *ends.server;
    EXPECT_FALSE(server.readable().ready());
    EXPECT_TRUE(server.writable().ready());
    EXPECT_EQ(must(server.try_read(10)), std::nullopt);
    EXPECT_FALSE(server.readable().ready());
    // More than is read ahead, so that the kernel keeps the rest.
    base::MutableBuffer big(100'000);
    std::fill_n(big.data(), 100'000, std::byte{'b'});
    EXPECT_TRUE(write(node, *ends.client, std::move(big).freeze(100'000)));
    size_t left = 100'000;
    while (left > 0) {
      EXPECT_TRUE(runtime::wait_for(server.readable(), soon(node)));
      auto got = must(server.try_read(left % 2 == 0 ? 999 : 50'000));
      ASSERT_TRUE(got.has_value()) << "ready means that a read gives something";
      ASSERT_FALSE(got->empty());
      left -= got->size();
    }
    EXPECT_FALSE(server.readable().ready());
    ends.client->shutdown_write();
    EXPECT_TRUE(runtime::wait_for(server.readable(), soon(node)));
    EXPECT_TRUE(must(server.read_some(1, soon(node))).empty());
    EXPECT_TRUE(server.readable().ready()) << "the end stays";
    EXPECT_TRUE(must(server.read_some(1, soon(node))).empty());
  });
}

TEST_F(NetworkTest, the_peers_end_right_behind_its_last_bytes_is_seen) {
  run([](Node& node) {
    // The end may come before, with or after the event of the bytes; no order may lose it.
    for (int i = 0; i < 200; ++i) {
      Ends ends = connect_ends(node);
      EXPECT_TRUE(write(node, *ends.client, Slice::copy_of("last words")));
      if (i % 2 == 0) node.tasks.yield();
      ends.client.reset();
      if (i % 4 < 2) node.tasks.yield();
      EXPECT_EQ(must(ends.server->read_some(100, soon(node))).text(), "last words");
      EXPECT_TRUE(must(ends.server->read_some(100, soon(node))).empty());
    }
  });
}

TEST_F(NetworkTest, a_full_send_buffer_is_not_ready_and_becomes_so) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    base::MutableBuffer buffer(256 * 1024);
    std::fill_n(buffer.data(), buffer.capacity(), std::byte{1});
    Slice chunk = std::move(buffer).freeze(256 * 1024);
    size_t sent = 0;
    for (;;) {
      size_t n = must(ends.client->try_write({&chunk, 1}));
      sent += n;
      if (n == 0) break;
    }
    EXPECT_FALSE(ends.client->writable().ready());
    EXPECT_EQ(must(ends.server->read_exact(sent, soon(node))).size(), sent);
    EXPECT_TRUE(runtime::wait_for(ends.client->writable(), soon(node)));
    EXPECT_GT(must(ends.client->try_write({&chunk, 1})), 0U);
  });
}

TEST_F(NetworkTest, closing_with_unread_bytes_does_not_destroy_what_was_written) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    base::MutableBuffer unread(500'000);
    std::fill_n(unread.data(), unread.capacity(), std::byte{'u'});
    Slice request = std::move(unread).freeze(500'000);
    size_t sent = must(ends.client->try_write({&request, 1}));
    ASSERT_GT(sent, 0U);
    EXPECT_TRUE(runtime::wait_for(ends.server->readable(), soon(node)));
    EXPECT_TRUE(write(node, *ends.server, Slice::copy_of("request refused")));
    ends.server.reset();
    EXPECT_EQ(must(ends.client->read_exact(15, soon(node))).flatten().text(), "request refused");
    EXPECT_TRUE(must(ends.client->read_some(1, soon(node))).empty()) << "an end, not a reset";
  });
}

TEST_F(NetworkTest, an_error_of_the_connection_is_told_again_and_again) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    ends.server->abort();
    EXPECT_TRUE(fails(ends.server->try_read(1), Errc::closed));
    EXPECT_TRUE(runtime::wait_for(ends.client->readable(), soon(node)));
    Slice byte = Slice::copy_of("x");
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(fails(ends.client->read_some(1, soon(node)), Errc::reset));
      EXPECT_TRUE(fails(ends.client->write_all({&byte, 1}, soon(node)), Errc::reset));
      EXPECT_TRUE(ends.client->readable().ready());
      EXPECT_TRUE(ends.client->writable().ready());
    }
  });
}

TEST_F(NetworkTest, a_write_into_a_connection_that_is_gone_is_an_error_and_no_signal) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    ends.server->abort();
    Slice byte = Slice::copy_of("x");
    base::Result<> result;
    for (int i = 0; i < 1000 && result; ++i) {
      result = write(node, *ends.client, byte);
      node.tasks.yield();
    }
    EXPECT_TRUE(fails(result, Errc::reset));
    EXPECT_TRUE(fails(ends.client->read_some(1, soon(node)), Errc::reset)) << "and not an end";
  });
}

TEST_F(NetworkTest, many_fibers_may_wait_on_one_stream) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    int got = 0;
    Nursery nursery(node.tasks);
    for (int i = 0; i < 10; ++i) {
      nursery.spawn("reader", [&] {
        if (must(ends.server->read_some(1, soon(node))).size() == 1) ++got;
      });
    }
    node.tasks.yield();
    EXPECT_TRUE(write(node, *ends.client, Slice::copy_of("0123456789")));
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(got, 10);
  });
}

TEST_F(NetworkTest, refused_and_numeric_and_taken_addresses_are_told_apart) {
  run([](Node& node) {
    auto listener = must(node.network.listen({"127.0.0.1", 0}, {}));
    runtime::Endpoint at = listener->local();
    EXPECT_TRUE(fails(node.network.listen(at, {}), Errc::address_in_use));
    EXPECT_TRUE(fails(node.network.begin_connect({"localhost", 1}), Errc::invalid));
    EXPECT_TRUE(fails(node.network.listen({"192.0.2.1", 0}, {}), Errc::unreachable));
    listener->close();
    EXPECT_TRUE(fails(listener->accept(soon(node)), Errc::closed));
    auto stream = must(node.network.begin_connect(at));
    EXPECT_TRUE(runtime::wait_for(stream->writable(), soon(node)));
    auto result = stream->connect_result();
    ASSERT_TRUE(result.has_value());
    EXPECT_TRUE(fails(*result, Errc::refused));
    EXPECT_TRUE(fails(stream->try_read(1), Errc::refused));
  });
}

TEST_F(NetworkTest, a_listener_at_all_addresses_is_reached_by_ipv4_and_says_so) {
  run([](Node& node) {
    auto listener = must(node.network.listen({"", 0}, {}));
    runtime::Endpoint at{"127.0.0.1", listener->local().port};
    auto client = must(node.network.connect(at, soon(node)));
    auto server = must(listener->accept(soon(node)));
    EXPECT_EQ(server->local(), at);
    EXPECT_EQ(server->peer(), client->local());
  });
}

TEST_F(NetworkTest, both_ends_send_small_writes_without_delay) {
  run([](Node& node) {
    Ends ends = connect_ends(node);
    int connections = 0;
    for (int fd = 0; fd < 1024; ++fd) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
      if (peer.ss_family != AF_INET) continue;
      int on = 0;
      socklen_t on_size = sizeof on;
      ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &on_size), 0);
      EXPECT_NE(on, 0);
      ++connections;
    }
    EXPECT_GE(connections, 2);
  });
}

TEST_F(NetworkTest, names_are_resolved_and_addresses_are_themselves) {
  run([](Node& node) {
    auto local = must(node.network.resolve("localhost", soon(node)));
    EXPECT_TRUE(std::find(local.begin(), local.end(), "127.0.0.1") != local.end() ||
                std::find(local.begin(), local.end(), "::1") != local.end());
    EXPECT_EQ(must(node.network.resolve("10.1.2.3", soon(node))),
              std::vector<std::string>{"10.1.2.3"});
    EXPECT_EQ(must(node.network.resolve("fe80::1", soon(node))),
              std::vector<std::string>{"fe80::1"});
    EXPECT_TRUE(fails(node.network.resolve("", soon(node)), Errc::invalid));
    auto nobody = node.network.resolve("no-such-host.invalid", soon(node));
    ASSERT_FALSE(nobody.has_value());
    // A machine without a name server cannot know that the name does not exist.
    EXPECT_TRUE(nobody.error().code == Errc::not_found || nobody.error().code == Errc::timed_out)
        << nobody.error().to_string();
  });
}

TEST_F(NetworkTest, a_resolve_can_be_cancelled_and_its_late_answer_does_no_harm) {
  run([](Node& node) {
    Nursery nursery(node.tasks);
    nursery.spawn("asker", [&] {
      EXPECT_TRUE(fails(node.network.resolve("localhost", soon(node)), Errc::cancelled));
    });
    nursery.cancel_all();
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_FALSE(must(node.network.resolve("localhost", soon(node))).empty());
  });
}

TEST(SystemError, the_kernels_words_become_those_of_the_seam) {
  EXPECT_EQ(errc_of_file(ENOSPC), Errc::no_space);
  EXPECT_EQ(errc_of_file(EDQUOT), Errc::no_space);
  EXPECT_EQ(errc_of_file(EIO), Errc::io);
  EXPECT_EQ(errc_of_file(EROFS), Errc::io);
  EXPECT_EQ(errc_of_file(EMFILE), Errc::exhausted);
  EXPECT_EQ(errc_of_socket(ECONNRESET), Errc::reset);
  EXPECT_EQ(errc_of_socket(EPIPE), Errc::reset);
  EXPECT_EQ(errc_of_socket(ETIMEDOUT), Errc::timed_out);
  EXPECT_EQ(errc_of_socket(EHOSTUNREACH), Errc::unreachable);
  EXPECT_EQ(file_error(EIO, "sync", "a.log").to_string(), "io: sync a.log: Input/output error");
}

}  // namespace
}  // namespace verdict::io
