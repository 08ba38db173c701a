// Streams are TCP: bytes arrive in order, without gap or repetition.

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using runtime::Instant;
using runtime::microseconds;
using runtime::milliseconds;
using runtime::Node;
using runtime::Nursery;
using runtime::Stream;
using StreamPtr = std::unique_ptr<Stream>;

constexpr size_t kMiB = 1 << 20;

CONFORMANCE_SUITE(Streams);

// Writes `total` bytes of the pattern in pieces and lists of random size.
void write_pattern(Node& node, Stream& stream, uint64_t seed, size_t total) {
  Dice dice(seed);
  size_t sent = 0;
  while (sent < total) {
    Slices list;
    for (uint64_t pieces = dice.between(1, 5); pieces > 0 && sent < total; --pieces) {
      size_t size = dice.below(8) == 0 ? dice.between(1, 200'000) : dice.between(1, 2'000);
      size = std::min(size, total - sent);
      list.push_back(pattern(seed, sent, size));
      sent += size;
    }
    ASSERT_TRUE(ok(stream.write_all(list.span(), soon(node))));
    if (dice.below(4) == 0) must(node.clock.sleep(microseconds(200)));
  }
}

// Reads the pattern to its end in reads of random size.
void read_pattern(Node& node, Stream& stream, uint64_t seed, size_t total) {
  Dice dice(seed + 1'000);
  size_t got = 0;
  while (got < total) {
    size_t limit = dice.below(8) == 0 ? dice.between(1, 300'000) : dice.between(1, 3'000);
    Slice slice = must(stream.read_some(limit, soon(node)));
    ASSERT_FALSE(slice.empty());
    ASSERT_LE(slice.size(), limit);
    ASSERT_TRUE(is_pattern(seed, got, slice)) << "at " << got;
    got += slice.size();
    if (dice.below(8) == 0) must(node.clock.sleep(microseconds(300)));
  }
  ASSERT_EQ(got, total);
}

TEST_P(Streams, echo) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        for (;;) {
          Slice slice = must(stream->read_some(100, soon(node)));
          if (slice.empty()) return;
          must(write(node, *stream, slice));
        }
      },
      [](Node& node, StreamPtr stream) {
        for (const char* word : {"a", "longer", "the longest of them all"}) {
          must(write(node, *stream, text(word)));
          std::string_view expected(word);
          Slices back = must(stream->read_exact(expected.size(), soon(node)));
          EXPECT_EQ(back.flatten().text(), expected);
        }
      });
}

TEST_P(Streams, bytes_arrive_in_order_without_gap_or_repetition_both_ways_at_once) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    auto both = [seed](uint64_t mine, uint64_t theirs) {
      return [seed, mine, theirs](Node& node, StreamPtr stream) {
        constexpr size_t kTotal = kMiB;
        Nursery nursery(node.tasks);
        nursery.spawn("writer", [&] { write_pattern(node, *stream, seed * 10 + mine, kTotal); });
        nursery.spawn("reader", [&] { read_pattern(node, *stream, seed * 10 + theirs, kTotal); });
        nursery.join_all(kNever);
        stream->shutdown_write();
        EXPECT_TRUE(must(stream->read_some(100, soon(node))).empty());
      };
    };
    connected(lab(), both(1, 2), both(2, 1));
  }
}

TEST_P(Streams, frames_straddle_buffers) {
  constexpr uint64_t kFrames = 300;
  auto frame_size = [](Dice& dice) {
    return dice.below(10) == 0 ? dice.between(1, 150'000) : dice.between(1, 500);
  };
  connected(
      lab(),
      [&](Node& node, StreamPtr stream) {
        Dice dice(7);
        for (uint64_t i = 0; i < kFrames; ++i) {
          size_t size = frame_size(dice);
          Slices frame = must(stream->read_exact(size, soon(node)));
          ASSERT_EQ(frame.size(), size);
          ASSERT_TRUE(is_pattern(i, 0, frame.flatten())) << "frame " << i;
        }
        EXPECT_TRUE(fails(stream->read_exact(1, soon(node)), Errc::closed));
      },
      [&](Node& node, StreamPtr stream) {
        Dice dice(7);
        Dice cuts(8);
        Slices buffer;
        for (uint64_t i = 0; i < kFrames; ++i) {
          buffer.push_back(pattern(i, 0, frame_size(dice)));
          // What goes out ends anywhere within a frame.
          size_t n = cuts.below(buffer.size() + 1);
          ASSERT_TRUE(ok(stream->write_all(buffer.cut(0, n).span(), soon(node))));
          buffer = buffer.cut(n, buffer.size() - n);
        }
        ASSERT_TRUE(ok(stream->write_all(buffer.span(), soon(node))));
      });
}

TEST_P(Streams, read_exact_joins_what_comes_in_parts_and_leaves_the_rest) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        EXPECT_TRUE(must(stream->read_exact(0, soon(node))).empty());
        Slices first = must(stream->read_exact(25, soon(node)));
        EXPECT_EQ(first.size(), 25U);
        EXPECT_TRUE(is_pattern(1, 0, first.flatten()));
        Slices second = must(stream->read_exact(5, soon(node)));
        EXPECT_TRUE(is_pattern(1, 25, second.flatten()));
      },
      [](Node& node, StreamPtr stream) {
        for (uint64_t at = 0; at < 30; at += 3) {
          must(write(node, *stream, pattern(1, at, 3)));
          must(node.clock.sleep(milliseconds(1)));
        }
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      });
}

TEST_P(Streams, a_read_gives_what_is_there_and_no_more_than_its_limit) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    must(write(node, *ends.client, pattern(1, 0, 10)));
    EXPECT_EQ(must(ends.server->read_some(1, soon(node))).size(), 1U);
    EXPECT_TRUE(is_pattern(1, 1, must(ends.server->read_exact(3, soon(node))).flatten()));
    // Six bytes are left; a limit of a million does not make it wait for more.
    Slice rest = must(ends.server->read_some(1'000'000, soon(node)));
    EXPECT_GE(rest.size(), 1U);
    EXPECT_LE(rest.size(), 6U);
    EXPECT_TRUE(is_pattern(1, 4, rest));
  });
}

TEST_P(Streams, write_all_suspends_while_the_peer_does_not_read_and_honours_its_deadline) {
  bool timed_out = false;
  connected(
      lab(),
      [&](Node& node, StreamPtr stream) {
        wait_until(node, [&] { return timed_out; });
        // What had been taken before the deadline is a prefix; then the writer gave up.
        size_t got = 0;
        for (;;) {
          auto slice = stream->read_some(kMiB, soon(node));
          if (!slice) {
            EXPECT_TRUE(fails(slice, Errc::reset));
            break;
          }
          ASSERT_FALSE(slice->empty());
          ASSERT_TRUE(
              is_pattern(2, got % kMiB, slice->cut(0, std::min(slice->size(), kMiB - got % kMiB))));
          got += slice->size();
        }
        EXPECT_LT(got, 64 * kMiB);
      },
      [&](Node& node, StreamPtr stream) {
        std::vector<Slice> much(64, pattern(2, 0, kMiB));
        Instant deadline = node.clock.after(milliseconds(100));
        EXPECT_TRUE(fails(stream->write_all(much, deadline), Errc::timed_out));
        EXPECT_GE(node.clock.now(), deadline);
        stream->abort();
        timed_out = true;
      });
}

TEST_P(Streams, write_all_goes_on_as_the_peer_reads) {
  constexpr size_t kTotal = 12 * kMiB;
  bool written = false;
  connected(
      lab(),
      [&](Node& node, StreamPtr stream) {
        must(node.clock.sleep(milliseconds(50)));
        EXPECT_FALSE(written);
        size_t got = 0;
        while (got < kTotal) {
          Slice slice = must(stream->read_some(kMiB, soon(node)));
          ASSERT_FALSE(slice.empty());
          ASSERT_TRUE(is_pattern(3, got, slice));
          got += slice.size();
        }
        EXPECT_EQ(got, kTotal);
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      },
      [&](Node& node, StreamPtr stream) {
        Slice all = pattern(3, 0, kTotal);
        EXPECT_TRUE(ok(stream->write_all({&all, 1}, soon(node))));
        written = true;
      });
}

TEST_P(Streams, several_writers_each_pass_when_the_buffer_drains) {
  // Writers that suspend on one stream are all woken; their slices may mix, none is lost.
  constexpr size_t kWriters = 4;
  constexpr size_t kEach = 3 * kMiB;
  connected(
      lab(),
      [&](Node& node, StreamPtr stream) {
        size_t got = 0;
        for (;;) {
          Slice slice = must(stream->read_some(kMiB, soon(node)));
          if (slice.empty()) break;
          got += slice.size();
        }
        EXPECT_EQ(got, kWriters * kEach);
      },
      [&](Node& node, StreamPtr stream) {
        Nursery nursery(node.tasks);
        for (size_t i = 0; i < kWriters; ++i) {
          nursery.spawn("writer",
                        [&, i] { EXPECT_TRUE(ok(write(node, *stream, pattern(i, 0, kEach)))); });
        }
        nursery.join_all(kNever);
      });
}

TEST_P(Streams, several_readers_of_one_stream_share_its_bytes_and_all_see_its_end) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        Nursery nursery(node.tasks);
        std::vector<int> seen(256, 0);
        int ends = 0;
        for (int i = 0; i < 4; ++i) {
          nursery.spawn("reader", [&] {
            for (;;) {
              Slice slice = must(stream->read_some(3, soon(node)));
              if (slice.empty()) break;
              for (std::byte b : slice.bytes()) ++seen[static_cast<size_t>(b)];
            }
            ++ends;
          });
        }
        nursery.join_all(kNever);
        EXPECT_EQ(ends, 4);
        for (int count : seen) EXPECT_EQ(count, 1);
      },
      [](Node& node, StreamPtr stream) {
        for (int i = 0; i < 256; ++i) {
          char c = static_cast<char>(i);
          must(write(node, *stream, text(std::string_view(&c, 1))));
          if (i % 16 == 0) must(node.clock.sleep(milliseconds(1)));
        }
      });
}

TEST_P(Streams, reader_and_writer_wait_on_one_stream_at_the_same_time) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        // Lets the peer's writer fill everything first, while its reader waits too.
        must(node.clock.sleep(milliseconds(50)));
        must(write(node, *stream, text("now")));
        Slices all = must(read_to_end(node, *stream));
        EXPECT_EQ(all.size(), 16 * kMiB);
      },
      [](Node& node, StreamPtr stream) {
        Nursery nursery(node.tasks);
        std::vector<std::string> order;
        nursery.spawn("reader", [&] {
          EXPECT_EQ(must(stream->read_exact(3, soon(node))).flatten().text(), "now");
          order.push_back("read");
        });
        nursery.spawn("writer", [&] {
          std::vector<Slice> much(16, pattern(1, 0, kMiB));
          EXPECT_TRUE(ok(stream->write_all(much, soon(node))));
          order.push_back("written");
        });
        nursery.join_all(kNever);
        EXPECT_EQ(order, (std::vector<std::string>{"read", "written"}));
      });
}

TEST_P(Streams, try_read_gives_nothing_until_bytes_are_here) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    EXPECT_FALSE(must(ends.server->try_read(10)).has_value());
    EXPECT_FALSE(ends.server->readable().ready());
    must(write(node, *ends.client, text("12345")));
    must(wait_for(ends.server->readable(), soon(node)));
    EXPECT_TRUE(ends.server->readable().ready());
    EXPECT_EQ(must(ends.server->try_read(2))->text(), "12");
    EXPECT_TRUE(ends.server->readable().ready());  // as long as its condition holds
    EXPECT_EQ(must(ends.server->try_read(10))->text(), "345");
    EXPECT_FALSE(must(ends.server->try_read(10)).has_value());
    EXPECT_FALSE(ends.server->readable().ready());
    ends.client->shutdown_write();
    must(wait_for(ends.server->readable(), soon(node)));
    EXPECT_TRUE(must(ends.server->try_read(10))->empty());
    EXPECT_TRUE(ends.server->readable().ready());  // the end stays
    EXPECT_TRUE(must(ends.server->try_read(10))->empty());
  });
}

TEST_P(Streams, try_write_takes_a_prefix_until_the_buffer_is_full) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    Slice piece = pattern(4, 0, kMiB);
    size_t written = 0;
    // The peer does not read: sooner or later nothing is taken any more.
    for (int idle = 0; idle < 3;) {
      size_t at = written % kMiB;
      Slice rest = piece.cut(at, kMiB - at);
      size_t n = must(ends.client->try_write({&rest, 1}));
      ASSERT_LE(n, rest.size());
      written += n;
      ASSERT_LT(written, 64 * kMiB);
      if (n == 0) ++idle;
      if (n == 0) settle(node);
    }
    EXPECT_GT(written, 0U);
    EXPECT_FALSE(ends.client->writable().ready());
    size_t got = 0;
    while (got < written) {
      Slice slice = must(ends.server->read_some(kMiB - got % kMiB, soon(node)));
      ASSERT_TRUE(is_pattern(4, got % kMiB, slice));
      got += slice.size();
    }
    EXPECT_EQ(got, written);
    must(wait_for(ends.client->writable(), soon(node)));
    EXPECT_TRUE(ends.client->writable().ready());
    EXPECT_GT(must(ends.client->try_write({&piece, 1})), 0U);
  });
}

TEST_P(Streams, a_read_that_timed_out_loses_nothing) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    for (int i = 0; i < 3; ++i) {
      Instant deadline = node.clock.after(milliseconds(2));
      EXPECT_TRUE(fails(ends.server->read_some(10, deadline), Errc::timed_out));
      EXPECT_GE(node.clock.now(), deadline);
    }
    must(write(node, *ends.client, text("abc")));
    EXPECT_EQ(must(ends.server->read_exact(3, soon(node))).flatten().text(), "abc");
  });
}

TEST_P(Streams, bytes_that_are_here_are_read_whatever_the_deadline) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    must(write(node, *ends.client, text("abc")));
    must(wait_for(ends.server->readable(), soon(node)));
    EXPECT_TRUE(ok(ends.server->read_some(1, node.clock.now() - milliseconds(1))));
  });
}

TEST_P(Streams, slices_that_were_read_never_change) {
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        std::vector<Slice> kept;
        size_t got = 0;
        while (got < 2 * kMiB) {
          kept.push_back(must(stream->read_some(5'000, soon(node))));
          got += kept.back().size();
        }
        size_t at = 0;
        for (const Slice& slice : kept) {
          ASSERT_TRUE(is_pattern(5, at, slice));
          at += slice.size();
        }
      },
      [](Node& node, StreamPtr stream) {
        must(write(node, *stream, pattern(5, 0, 2 * kMiB)));
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      });
}

TEST_P(Streams, a_write_of_nothing_and_of_empty_slices_succeeds) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    EXPECT_TRUE(ok(ends.client->write_all({}, soon(node))));
    std::vector<Slice> list = {Slice(), text("a"), Slice(), Slice(), text("b"), Slice()};
    EXPECT_TRUE(ok(ends.client->write_all(list, soon(node))));
    EXPECT_EQ(must(ends.server->read_exact(2, soon(node))).flatten().text(), "ab");
  });
}

TEST_P(Streams, a_gathered_write_of_thousands_of_slices_arrives_whole) {
  // More than the kernel takes in one call.
  constexpr size_t kCount = 5'000;
  connected(
      lab(),
      [](Node& node, StreamPtr stream) {
        Slices all = must(stream->read_exact(kCount * 7, soon(node)));
        EXPECT_TRUE(is_pattern(6, 0, all.flatten()));
      },
      [](Node& node, StreamPtr stream) {
        std::vector<Slice> list;
        for (size_t i = 0; i < kCount; ++i) list.push_back(pattern(6, i * 7, 7));
        EXPECT_TRUE(ok(stream->write_all(list, soon(node))));
        EXPECT_TRUE(must(stream->read_some(1, soon(node))).empty());
      });
}

TEST_P(Streams, both_ends_know_their_addresses) {
  run([this](Node& node) {
    Ends ends = connect_within(lab(), node);
    EXPECT_EQ(ends.client->local(), ends.server->peer());
    EXPECT_EQ(ends.client->peer(), ends.server->local());
    EXPECT_EQ(ends.server->local().host, lab().host());
    EXPECT_NE(ends.client->local().port, 0);
    EXPECT_NE(ends.client->local(), ends.server->local());
  });
}

TEST_P(Streams, many_streams_of_one_node_do_not_mix) {
  run([this](Node& node) {
    constexpr size_t kPairs = 50;
    Nursery nursery(node.tasks);
    size_t right = 0;
    for (size_t i = 0; i < kPairs; ++i) {
      nursery.spawn("pair", [&, i] {
        Ends ends = connect_within(lab(), node);
        for (uint64_t k = 0; k < 20; ++k) {
          must(write(node, *ends.client, pattern(i, k * 100, 100)));
          auto got = must(ends.server->read_exact(100, soon(node)));
          ASSERT_TRUE(is_pattern(i, k * 100, got.flatten()));
        }
        ++right;
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(right, kPairs);
  });
}

}  // namespace
}  // namespace verdict::conformance
