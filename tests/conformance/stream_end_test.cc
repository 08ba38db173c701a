// How streams end: half-close, close, abort, and what the other end sees of it.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::seconds;
using StreamPtr = std::unique_ptr<runtime::Stream>;

CONFORMANCE_SUITE(StreamEnds);

TEST_P(StreamEnds, half_close_by_the_client_lets_the_server_answer) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        Slices request = must(read_to_end(node, *stream));
        EXPECT_TRUE(is_pattern(1, 0, request.flatten()));
        EXPECT_EQ(request.size(), 100'000U);
        must(write(node, *stream, pattern(2, 0, 200'000)));
        // The end is read again and again, also after writing.
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      },
      [](Node& node, StreamPtr stream) {
        must(write(node, *stream, pattern(1, 0, 100'000)));
        stream->shutdown_write();
        Slices answer = must(read_to_end(node, *stream));
        EXPECT_TRUE(is_pattern(2, 0, answer.flatten()));
        EXPECT_EQ(answer.size(), 200'000U);
      });
}

TEST_P(StreamEnds, half_close_by_the_server_lets_the_client_go_on_writing) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        must(write(node, *stream, text("welcome")));
        stream->shutdown_write();
        Slices all = must(read_to_end(node, *stream));
        EXPECT_EQ(all.size(), 100'000U);
        EXPECT_TRUE(is_pattern(1, 0, all.flatten()));
      },
      [](Node& node, StreamPtr stream) {
        EXPECT_EQ(must(read_to_end(node, *stream)).flatten().text(), "welcome");
        must(write(node, *stream, pattern(1, 0, 100'000)));
        stream->shutdown_write();
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      });
}

TEST_P(StreamEnds, both_ends_half_close_at_the_same_time) {
  auto end = [](Node& node, StreamPtr stream) {
    must(write(node, *stream, text("last words")));
    stream->shutdown_write();
    stream->shutdown_write();
    EXPECT_EQ(must(read_to_end(node, *stream)).flatten().text(), "last words");
  };
  connected(lab(), end, end);
}

TEST_P(StreamEnds, a_write_after_half_close_fails_with_closed) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    ends.client->shutdown_write();
    EXPECT_TRUE(fails(write(node, *ends.client, text("late")), Errc::closed));
    Slice late = text("late");
    EXPECT_TRUE(fails(ends.client->try_write({&late, 1}), Errc::closed));
    // Reading goes on.
    must(write(node, *ends.server, text("answer")));
    EXPECT_EQ(must(ends.client->read_exact(6, soon(node))).flatten().text(), "answer");
  });
}

TEST_P(StreamEnds, what_was_written_before_a_close_arrives_and_then_the_end) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        must(node.clock.sleep(milliseconds(20)));  // the peer is gone by now
        Slices all = must(read_to_end(node, *stream));
        EXPECT_EQ(all.size(), 150'000U);
        EXPECT_TRUE(is_pattern(1, 0, all.flatten()));
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(must(stream->read_some(9, soon(node))).empty());
      },
      [](Node& node, StreamPtr stream) {
        must(write(node, *stream, pattern(1, 0, 150'000)));
        stream.reset();
      });
}

TEST_P(StreamEnds, a_close_wakes_a_reader_that_waits) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        EXPECT_TRUE(must(stream->read_some(10, soon(node))).empty());
        EXPECT_TRUE(fails(stream->read_exact(10, soon(node)), Errc::closed));
      },
      [](Node& node, StreamPtr stream) {
        settle(node);
        stream.reset();
      });
}

TEST_P(StreamEnds, read_exact_tells_a_clean_end_from_one_in_the_middle) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        EXPECT_EQ(must(stream->read_exact(4, soon(node))).size(), 4U);
        EXPECT_TRUE(fails(stream->read_exact(4, soon(node)), Errc::reset));
        EXPECT_TRUE(fails(stream->read_exact(4, soon(node)), Errc::closed));
      },
      [](Node& node, StreamPtr stream) { must(write(node, *stream, text("123456"))); });
}

TEST_P(StreamEnds, an_abort_is_a_reset_for_a_reader_that_waits) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        EXPECT_TRUE(fails(stream->read_some(10, soon(node)), Errc::reset));
        EXPECT_TRUE(fails(stream->read_some(10, soon(node)), Errc::reset));
        EXPECT_TRUE(fails(write(node, *stream, text("x")), Errc::reset));
      },
      [](Node& node, StreamPtr stream) {
        settle(node);
        stream->abort();
        must(node.clock.sleep(milliseconds(20)));
      });
}

TEST_P(StreamEnds, an_abort_wakes_a_writer_that_waits) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        std::vector<Slice> much(64, pattern(1, 0, 1 << 20));
        EXPECT_TRUE(fails(stream->write_all(much, soon(node)), Errc::reset));
      },
      [](Node& node, StreamPtr stream) {
        must(node.clock.sleep(milliseconds(20)));
        stream->abort();
        must(node.clock.sleep(milliseconds(20)));
      });
}

TEST_P(StreamEnds, nothing_works_on_a_stream_that_this_side_aborted) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    must(write(node, *ends.server, text("unread")));
    ends.client->abort();
    ends.client->abort();
    EXPECT_TRUE(fails(ends.client->read_some(10, soon(node)), Errc::closed));
    EXPECT_TRUE(fails(write(node, *ends.client, text("x")), Errc::closed));
    EXPECT_TRUE(ends.client->readable().ready());  // it would give an error at once
    EXPECT_TRUE(ends.client->writable().ready());
    ends.client->shutdown_write();
  });
}

TEST_P(StreamEnds, an_abort_wakes_the_waiters_of_this_side) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    Nursery nursery(node.tasks);
    int ended = 0;
    nursery.spawn("reader", [&] {
      EXPECT_TRUE(fails(ends.client->read_some(10, soon(node)), Errc::closed));
      ++ended;
    });
    nursery.spawn("writer", [&] {
      std::vector<Slice> much(64, pattern(1, 0, 1 << 20));
      EXPECT_TRUE(fails(ends.client->write_all(much, soon(node)), Errc::closed));
      ++ended;
    });
    settle(node);
    EXPECT_EQ(ended, 0);
    ends.client->abort();
    nursery.join_all(kNever);
    EXPECT_EQ(ended, 2);
  });
}

TEST_P(StreamEnds, writing_to_a_closed_peer_ends_with_reset_or_closed) {
  connected(
      lab(), [](Node&, StreamPtr stream) { stream.reset(); },
      [](Node& node, StreamPtr stream) {
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
        runtime::Instant end = node.clock.after(seconds(20));
        base::Result<> result;
        while (result && node.clock.now() < end) {
          result = write(node, *stream, text("hello?"));
          settle(node);
        }
        EXPECT_TRUE(fails(result, Errc::reset, Errc::closed));
        EXPECT_TRUE(fails(write(node, *stream, text("again")), Errc::reset, Errc::closed));
      });
}

TEST_P(StreamEnds, a_close_with_bytes_unread_ends_the_stream_and_gives_no_wrong_bytes) {
  // TCP answers bytes that nobody will read with a reset, which may overtake what was written.
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        must(wait_for(stream->readable(), soon(node)));
        must(write(node, *stream, pattern(3, 0, 1'000)));
        stream.reset();
      },
      [](Node& node, StreamPtr stream) {
        must(write(node, *stream, text("you will not read this")));
        must(node.clock.sleep(milliseconds(20)));
        size_t got = 0;
        for (;;) {
          auto slice = stream->read_some(300, soon(node));
          if (!slice) {
            EXPECT_TRUE(fails(slice, Errc::reset));
            return;
          }
          if (slice->empty()) break;
          EXPECT_TRUE(is_pattern(3, got, *slice));
          got += slice->size();
        }
        EXPECT_EQ(got, 1'000U);  // a clean end comes after everything
      });
}

TEST_P(StreamEnds, streams_of_a_node_that_ended_are_closed) {
  // The server's body returns with its stream still open in a shared pointer that dies with it.
  bool server_ended = false;
  connected(
      lab(),
      [&](Node& node, StreamPtr stream) {
        auto kept = std::make_shared<StreamPtr>(std::move(stream));
        must(write(node, **kept, text("x")));
        server_ended = true;
      },
      [&](Node& node, StreamPtr stream) {
        EXPECT_EQ(must(read_to_end(node, *stream)).size(), 1U);
        EXPECT_TRUE(server_ended);
      });
}

}  // namespace
}  // namespace verdict::conformance
