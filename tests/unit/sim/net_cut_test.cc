// What a cut between two nodes holds, what it ends, and what healing brings back.

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using base::Slice;
using runtime::Instant;

TEST(NetCut, bytes_stall_and_arrive_in_order_after_healing) {
  Wire w;
  w.client_sends("one ");
  w.run_ms(20);
  EXPECT_EQ(w.joined(w.server_saw), "one ");
  w.net.cut(w.node(w.client), w.node(w.server));
  for (const char* text : {"two ", "three ", "four"}) w.client_sends(text);
  w.run_ms(2000);
  size_t before = w.joined(w.server_saw).size();
  EXPECT_LT(before, std::string("one two ").size());  // a part of one write may have got through
  w.net.heal(w.node(w.client), w.node(w.server));
  w.run_ms(150);
  EXPECT_EQ(w.joined(w.server_saw).size(), before);  // nobody retransmits so soon
  w.run_ms(3000);
  EXPECT_EQ(w.joined(w.server_saw), "one two three four");
  EXPECT_GE(w.net.effects().bytes_held, std::string("three four").size());
  EXPECT_EQ(w.net.effects(w.node(w.server), w.node(w.client)).bytes_held, 0U);
}

TEST(NetCut, a_cut_longer_than_the_user_timeout_ends_the_connection) {
  Wire w;
  w.cut_both(w.server, w.client);
  w.client_sends("lost");
  w.run_ms(29'000);
  EXPECT_EQ(w.client_saw, Seen{});
  w.run_ms(2'000);
  EXPECT_EQ(w.client_saw, Seen{"timed_out"});
  EXPECT_EQ(w.net.effects().timeouts, 1U);
  // The server had nothing to send, so it learns only when it writes.
  w.heal_both(w.server, w.client);
  w.run_ms(10'000);
  EXPECT_EQ(w.server_saw, Seen{});
  w.server_sends("anybody there");
  w.run_ms(1'000);
  EXPECT_EQ(w.server_saw, Seen{"reset"});
}

TEST(NetCut, a_cut_without_traffic_harms_nobody) {
  Wire w;
  w.cut_both(w.server, w.client);
  w.run_ms(300'000);
  w.heal_both(w.server, w.client);
  w.client_sends("still here");
  w.run_ms(5'000);
  EXPECT_EQ(w.joined(w.server_saw), "still here");
  EXPECT_EQ(w.net.effects(), NetEffects{});
}

TEST(NetCut, one_way_bytes_pass_but_room_does_not_come_back) {
  Wire w;
  w.net.cut(w.node(w.server), w.node(w.client));
  w.client_sends(std::string(200 * 1024, 'x'));  // the window is 64 KiB
  w.run_ms(5'000);
  EXPECT_EQ(w.joined(w.server_saw).size(), 64U * 1024);
  EXPECT_GT(w.net.effects(w.node(w.server), w.node(w.client)).acks_held, 0U);
  w.net.heal(w.node(w.server), w.node(w.client));
  w.run_ms(10'000);
  EXPECT_EQ(w.joined(w.server_saw).size(), 200U * 1024);
  EXPECT_EQ(w.client_saw, Seen{});
}

TEST(NetCut, bytes_that_arrive_but_are_not_acknowledged_time_out_too) {
  Wire w;
  w.net.cut(w.node(w.server), w.node(w.client));
  w.client_sends("heard");
  w.run_ms(35'000);
  EXPECT_EQ(w.server_saw, Seen{"heard"});
  EXPECT_EQ(w.client_saw, Seen{"timed_out"});
}

// A client that asks again and again instead of waiting; the server's program may be paused.
struct Poller {
  explicit Poller(bool server_paused) : rig(1, plain_net()) {
    rig.add("s");
    rig.add("c");
    rig.boot(0, [](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      auto stream = (*listener)->accept(Instant::never());
      while (stream && (*stream)->read_some(1 << 20, Instant::never())) {
      }
    });
    rig.boot(1, [this](NetProgram& p) {
      auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
      ASSERT_TRUE(stream.has_value());
      p.sleep_ms(100);
      Slice slice = Slice::copy_of(std::string(10'000, 'x'));
      for (; end.empty(); p.sleep_ms(50)) {
        auto n = (*stream)->try_write({&slice, 1});
        if (n) {
          taken += *n;
        } else {
          end = base::to_string(n.error().code);
        }
      }
    });
    rig.run_ms(50);
    rig.node(0).paused = server_paused;
  }
  NetRig rig;
  size_t taken = 0;
  std::string end;
};

TEST(NetCut, one_way_a_writer_that_polls_gets_no_room_either) {
  Poller p(false);
  p.rig.net.cut(p.rig.node(0), p.rig.node(1));
  p.rig.run_ms(20'000);
  EXPECT_EQ(p.taken, 64U * 1024);
  p.rig.net.heal(p.rig.node(0), p.rig.node(1));
  p.rig.run_ms(20'000);
  EXPECT_GT(p.taken, 1'000'000U);
}

TEST(NetCut, a_full_window_is_probed_and_times_out_under_a_cut) {
  for (bool towards : {true, false}) {
    Poller p(true);
    p.rig.run_ms(5'000);
    EXPECT_EQ(p.taken, 64U * 1024);  // arrived and acknowledged, but not read
    p.rig.net.cut(p.rig.node(towards ? 1 : 0), p.rig.node(towards ? 0 : 1));
    p.rig.run_ms(29'000);
    EXPECT_EQ(p.end, "");
    p.rig.run_ms(2'000);
    EXPECT_EQ(p.end, "timed_out");
  }
}

TEST(NetCut, a_writer_that_waits_for_room_times_out_under_a_cut_of_either_way) {
  for (bool towards : {true, false}) {
    Wire w;
    w.node(w.server).paused = true;
    w.client_sends(std::string(200 * 1024, 'x'));
    w.run_ms(1'000);
    w.net.cut(w.node(towards ? w.client : w.server), w.node(towards ? w.server : w.client));
    w.run_ms(29'000);
    EXPECT_EQ(w.client_saw, Seen{});
    w.run_ms(2'000);
    EXPECT_EQ(w.client_saw, Seen{"timed_out"});
  }
}

TEST(NetCut, a_full_window_alone_never_times_out) {
  Poller p(true);
  p.rig.run_ms(1'000);
  p.rig.cut_both(0, 1);
  p.rig.run_ms(10'000);
  p.rig.heal_both(0, 1);
  p.rig.run_ms(600'000);
  EXPECT_EQ(p.end, "");
}

TEST(NetCut, the_time_of_a_healed_cut_is_forgotten) {
  Wire w;
  for (int i = 0; i < 5; ++i) {
    w.cut_both(w.server, w.client);
    w.client_sends("once more ");
    w.run_ms(25'000);
    w.heal_both(w.server, w.client);
    w.run_ms(5'000);
  }
  EXPECT_EQ(w.joined(w.server_saw).size(), 5 * std::string("once more ").size());
  EXPECT_EQ(w.client_saw, Seen{});
}

TEST(NetCut, bytes_written_between_healing_and_retransmission_keep_their_place) {
  Wire w;
  w.net.cut(w.node(w.client), w.node(w.server));
  w.client_sends("first ");
  w.run_ms(5'000);
  w.net.heal(w.node(w.client), w.node(w.server));
  w.client_sends("second");
  w.run_ms(100);
  EXPECT_LT(w.joined(w.server_saw).size(), std::string("first ").size());
  w.run_ms(5'000);
  EXPECT_EQ(w.joined(w.server_saw), "first second");
}

TEST(NetCut, a_reset_that_answers_is_sent_anew_after_healing) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  std::string wrote;
  rig.boot(0, [](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {});
    auto stream = (*listener)->accept(Instant::never());
    stream->reset();
    p.sleep_ms(3'600'000);
  });
  rig.boot(1, [&](NetProgram& p) {
    auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
    ASSERT_TRUE(stream.has_value());
    p.sleep_ms(100);
    Slice slice = Slice::copy_of("to a closed stream");
    EXPECT_TRUE((*stream)->write_all({&slice, 1}, Instant::never()).has_value());
    p.sleep_ms(10'000);
    auto late = (*stream)->try_write({&slice, 1});
    wrote = late ? "taken" : std::string(base::to_string(late.error().code));
  });
  rig.run_ms(50);
  rig.net.cut(rig.node(0), rig.node(1));  // so the answer to the write is lost
  rig.run_ms(2'000);
  rig.net.heal(rig.node(0), rig.node(1));
  rig.run_ms(20'000);
  EXPECT_EQ(wrote, "reset");
}

TEST(NetCut, a_second_cut_before_the_retransmission_holds_on) {
  Wire w;
  w.net.cut(w.node(w.client), w.node(w.server));
  w.client_sends("patience");
  w.run_ms(1000);
  size_t before = w.joined(w.server_saw).size();
  for (int i = 0; i < 10; ++i) {
    w.net.heal(w.node(w.client), w.node(w.server));
    w.run_ms(50);
    w.net.cut(w.node(w.client), w.node(w.server));
    w.run_ms(1000);
  }
  EXPECT_EQ(w.joined(w.server_saw).size(), before);
  w.net.heal(w.node(w.client), w.node(w.server));
  w.run_ms(3000);
  EXPECT_EQ(w.joined(w.server_saw), "patience");
}

TEST(NetCut, a_cut_may_fall_within_a_write) {
  // Seeds differ in how much of the write got through; no byte is lost or doubled.
  size_t torn = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Wire w(plain_net(), seed);
    w.net.cut(w.node(w.client), w.node(w.server));
    w.client_sends(std::string(1000, 'x'));
    w.run_ms(500);
    size_t part = w.joined(w.server_saw).size();
    if (part > 0 && part < 1000) ++torn;
    w.net.heal(w.node(w.client), w.node(w.server));
    w.run_ms(3000);
    EXPECT_EQ(w.joined(w.server_saw), std::string(1000, 'x'));
  }
  EXPECT_GT(torn, 10U);
}

TEST(NetCut, a_crash_under_a_cut_shows_as_the_end_after_healing) {
  Wire w;
  w.cut_both(w.server, w.client);
  w.crash(w.client);
  w.run_ms(1'000);
  EXPECT_EQ(w.server_saw, Seen{});
  w.heal_both(w.server, w.client);
  w.run_ms(5'000);
  EXPECT_EQ(w.server_saw, Seen{"end"});  // the machine sends FIN again
}

TEST(NetCut, a_reset_under_a_cut_is_lost_and_sent_anew_when_the_peer_speaks) {
  Wire w;
  w.node(w.client).paused = true;
  w.server_sends("unread");
  w.run_ms(20);
  w.cut_both(w.server, w.client);
  w.crash(w.client);
  w.heal_both(w.server, w.client);
  w.run_ms(5'000);
  EXPECT_EQ(w.server_saw, Seen{});
  w.server_sends("hello?");
  w.run_ms(20);
  EXPECT_EQ(w.server_saw, Seen{"reset"});
}

}  // namespace
}  // namespace verdict::sim
