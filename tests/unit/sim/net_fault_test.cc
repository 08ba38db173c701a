// Cuts, crashes, power losses and the other hardships, one at a time.

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;
using runtime::Instant;
using runtime::Stream;

constexpr uint16_t kPort = 9092;
using Seen = std::vector<std::string>;

// A server that listens and reads; a client that connects, then writes and reads on demand. What
// each sees goes into a list: bytes, "end" or the name of an error.
class Wire : public NetRig {
 public:
  explicit Wire(NetOptions options = plain_net(), uint64_t seed = 1) : NetRig(seed, options) {
    server = add("s");
    client = add("c");
    boot_server();
    boot(client, [this](NetProgram& p) {
      auto stream = p.network.connect({"s", kPort}, p.in_ms(120'000));
      if (!stream) {
        client_saw.push_back(std::string(base::to_string(stream.error().code)));
        return;
      }
      connected_ms = kernel.now_ns() / kMs;
      serve(p, **stream, client_saw, client_writes);
    });
    run_ms(10);
  }
  void boot_server() {
    boot(server, [this](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      CHECK(listener.has_value());
      for (;;) {
        auto stream = (*listener)->accept(Instant::never());
        if (!stream) return;
        serve(p, **stream, server_saw, server_writes);
      }
    });
  }
  // The bytes of the next write, at a millisecond of world time.
  void client_sends(std::string text) { client_writes.push_back(std::move(text)); }
  void server_sends(std::string text) { server_writes.push_back(std::move(text)); }
  static std::string joined(const Seen& seen) {
    std::string all;
    for (const auto& s : seen) all += s;
    return all;
  }

  uint32_t server = 0;
  uint32_t client = 0;
  Seen server_saw, client_saw;
  int64_t connected_ms = -1;
  int64_t error_ms = -1;

 private:
  // Reads until end or error; every 5 ms writes what is asked for.
  void serve(NetProgram& p, Stream& stream, Seen& seen, std::vector<std::string>& writes) {
    runtime::Nursery nursery(p.tasks);
    nursery.spawn("writer", [&] {
      for (;;) {
        while (writes.empty()) {
          if (p.tasks.cancelled()) return;
          p.sleep_ms(5);
        }
        Slice slice = Slice::copy_of(writes.front());
        writes.erase(writes.begin());
        if (!stream.write_all({&slice, 1}, Instant::never())) return;
      }
    });
    for (;;) {
      auto slice = stream.read_some(1 << 20, Instant::never());
      if (slice && !slice->empty()) {
        seen.push_back(std::string(slice->text()));
        continue;
      }
      seen.push_back(slice ? "end" : std::string(base::to_string(slice.error().code)));
      error_ms = kernel.now_ns() / kMs;
      break;
    }
    nursery.stop();
  }
  std::vector<std::string> client_writes, server_writes;
};

// ---------------------------------------------------------------- cuts

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

// ---------------------------------------------------------------- crashes and power

TEST(NetCrash, the_machine_closes_what_a_crashed_process_had_open) {
  Wire w;
  w.server_sends("last words");
  w.run_ms(20);
  w.crash(w.server);
  w.run_ms(20);
  EXPECT_EQ(w.client_saw, (Seen{"last words", "end"}));
  w.client_sends("to nobody");
  w.run_ms(100);
  // The listener is gone as well.
  w.boot(w.server, [](NetProgram&) {});
  EXPECT_EQ(w.net.open_connections(), 0U);
}

TEST(NetCrash, unread_bytes_make_it_a_reset) {
  Wire w;
  w.node(w.server).paused = true;
  w.client_sends("never read");
  w.run_ms(20);
  w.crash(w.server);
  w.run_ms(20);
  EXPECT_EQ(w.client_saw, Seen{"reset"});
}

TEST(NetCrash, bytes_on_their_way_to_a_crashed_process_are_answered_with_reset) {
  NetOptions options = plain_net();
  options.latency_min_ns = 20 * kMs;
  NetRig rig(1, options);
  rig.add("s");
  rig.add("c");
  std::string read;
  std::string wrote;
  rig.boot(0, [](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {});
    auto stream = (*listener)->accept(Instant::never());
    p.sleep_ms(3'600'000);
  });
  rig.boot(1, [&](NetProgram& p) {
    auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
    ASSERT_TRUE(stream.has_value());
    p.sleep_ms(100);
    Slice slice = Slice::copy_of("on its way");
    EXPECT_TRUE((*stream)->write_all({&slice, 1}, Instant::never()).has_value());
    auto end = (*stream)->read_some(1, Instant::never());
    read = end && end->empty() ? "end" : "other";
    p.sleep_ms(100);
    auto late = (*stream)->try_write({&slice, 1});
    wrote = late ? "taken" : std::string(base::to_string(late.error().code));
  });
  rig.run_ms(150);
  rig.crash(0);
  rig.run_ms(1'000);
  EXPECT_EQ(read, "end");
  EXPECT_EQ(wrote, "reset");
}

TEST(NetCrash, connections_that_wait_to_be_accepted_are_reset) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  std::string seen;
  rig.boot(0, [](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {});
    p.sleep_ms(3'600'000);
  });
  rig.boot(1, [&](NetProgram& p) {
    auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
    ASSERT_TRUE(stream.has_value());
    auto slice = (*stream)->read_some(1, Instant::never());
    seen = slice ? "bytes" : std::string(base::to_string(slice.error().code));
  });
  rig.run_ms(100);
  rig.crash(0);
  rig.run_ms(100);
  EXPECT_EQ(seen, "reset");
  EXPECT_EQ(rig.net.open_connections(), 0U);
}

TEST(NetPower, a_peer_without_power_is_silent_until_it_is_back_and_asked) {
  Wire w;
  w.power_off(w.server);
  w.run_ms(60'000);
  EXPECT_EQ(w.client_saw, Seen{});  // no FIN, no RST, nothing
  w.power_on(w.server);
  w.run_ms(60'000);
  EXPECT_EQ(w.client_saw, Seen{});  // and nobody asked
  w.client_sends("are you there");
  w.run_ms(100);
  EXPECT_EQ(w.client_saw, Seen{"reset"});
  EXPECT_EQ(w.net.open_connections(), 0U);
}

TEST(NetPower, bytes_sent_meanwhile_are_answered_with_reset_after_power_is_back) {
  Wire w;
  w.power_off(w.server);
  w.client_sends("unacknowledged");
  w.run_ms(5'000);
  EXPECT_EQ(w.client_saw, Seen{});
  EXPECT_EQ(w.net.effects().bytes_held, 14U);
  w.power_on(w.server);
  w.boot_server();
  w.run_ms(100);
  EXPECT_EQ(w.client_saw, Seen{});
  w.run_ms(10'000);
  EXPECT_EQ(w.client_saw, Seen{"reset"});
  EXPECT_EQ(w.server_saw, Seen{});
}

TEST(NetPower, bytes_to_a_machine_that_stays_dark_time_out) {
  Wire w;
  w.power_off(w.server);
  w.client_sends("unacknowledged");
  w.run_ms(40'000);
  EXPECT_EQ(w.client_saw, Seen{"timed_out"});
}

TEST(NetPower, a_writer_without_room_notices_too) {
  for (bool back : {true, false}) {
    Wire w;
    w.node(w.server).paused = true;
    w.client_sends(std::string(200 * 1024, 'x'));
    w.run_ms(1'000);
    EXPECT_EQ(w.net.bytes_on_the_way(), 64U * 1024);
    w.power_off(w.server);
    if (back) {
      w.run_ms(1'000);
      w.power_on(w.server);
      w.run_ms(1'000);
      EXPECT_EQ(w.client_saw, Seen{"reset"});
    } else {
      w.run_ms(40'000);
      EXPECT_EQ(w.client_saw, Seen{"timed_out"});
    }
  }
}

TEST(NetPower, what_was_sent_arrives_up_to_some_byte) {
  NetOptions options = plain_net();
  options.latency_min_ns = 20 * kMs;
  size_t torn = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Wire w(options, seed);
    w.run_ms(200);
    w.server_sends(std::string(1000, 'x'));
    w.run_ms(15);
    w.power_off(w.server);
    w.run_ms(1'000);
    size_t got = w.joined(w.client_saw).size();
    if (got > 0 && got < 1000) ++torn;
    EXPECT_LE(got, 1000U);
    EXPECT_EQ(w.joined(w.client_saw), std::string(got, 'x'));  // and neither end nor reset
  }
  EXPECT_GT(torn, 10U);
}

TEST(NetPause, a_paused_program_s_machine_still_takes_bytes) {
  Wire w;
  w.node(w.server).paused = true;
  w.client_sends("meanwhile");
  w.run_ms(10'000);
  EXPECT_EQ(w.server_saw, Seen{});
  EXPECT_EQ(w.net.bytes_on_the_way(), 9U);
  EXPECT_EQ(w.net.effects(), NetEffects{});
}

// ---------------------------------------------------------------- the rest

TEST(NetFault, reset_connections_hits_both_sides_and_only_that_pair) {
  Wire w;
  uint32_t other = w.add("other");
  std::string other_saw = "nothing";
  w.boot(other, [&](NetProgram& p) {
    auto stream = p.network.connect({"s", kPort}, p.in_ms(1'000));
    ASSERT_TRUE(stream.has_value());
    auto slice = (*stream)->read_some(1, p.in_ms(3'600'000));
    other_saw = slice ? "end" : std::string(base::to_string(slice.error().code));
  });
  w.run_ms(20);
  EXPECT_EQ(w.net.reset_connections(w.node(w.client), &w.node(w.server)), 1U);
  w.run_ms(100);
  EXPECT_EQ(w.client_saw, Seen{"reset"});
  EXPECT_EQ(w.server_saw, Seen{"reset"});
  EXPECT_EQ(other_saw, "nothing");
  EXPECT_EQ(w.net.effects().resets_hit_open, 2U);
  EXPECT_EQ(w.net.reset_connections(w.node(w.client)), 0U);
}

TEST(NetFault, of_a_half_open_connection_one_side_learns_when_it_writes) {
  Wire w;
  EXPECT_EQ(w.net.half_open(w.node(w.server), &w.node(w.client)), 1U);
  w.run_ms(60'000);
  EXPECT_EQ(w.server_saw, Seen{"reset"});
  EXPECT_EQ(w.client_saw, Seen{});
  EXPECT_EQ(w.net.effects().sides_forgotten, 1U);
  w.client_sends("hello?");
  w.run_ms(100);
  EXPECT_EQ(w.client_saw, Seen{"reset"});
}

TEST(NetFault, a_slow_link_delays_one_direction) {
  NetOptions options = plain_net();
  Wire w(options);
  w.net.slow_link(w.node(w.client), w.node(w.server), {.extra_latency_ns = 500 * kMs});
  w.client_sends("slow");
  w.server_sends("fast");
  w.run_ms(400);
  EXPECT_EQ(w.server_saw, Seen{});
  EXPECT_EQ(w.client_saw, Seen{"fast"});
  w.run_ms(200);
  EXPECT_EQ(w.server_saw, Seen{"slow"});
  EXPECT_EQ(w.net.effects().bytes_delayed, 4U);
  w.net.slow_link(w.node(w.client), w.node(w.server), {.bandwidth_bytes_per_s = 10'000});
  w.client_sends(std::string(5'000, 'x'));
  w.run_ms(400);
  EXPECT_EQ(w.joined(w.server_saw), "slow");
  w.run_ms(200);
  EXPECT_EQ(w.joined(w.server_saw).size(), 5'004U);
  w.net.slow_link(w.node(w.client), w.node(w.server), {});
  w.client_sends("quick");
  w.run_ms(20);
  EXPECT_EQ(w.joined(w.server_saw).size(), 5'009U);
  EXPECT_EQ(w.net.effects().bytes_delayed, 5'004U);
}

TEST(NetFault, short_reads_of_one_node) {
  Wire w;
  w.net.set_short_reads(w.node(w.server), 1000);
  w.client_sends("0123456789");
  w.server_sends("0123456789");
  w.run_ms(100);
  EXPECT_GT(w.server_saw.size(), 1U);
  EXPECT_EQ(w.joined(w.server_saw), "0123456789");
  EXPECT_EQ(w.client_saw, Seen{"0123456789"});
  EXPECT_EQ(w.net.effects().short_reads, w.server_saw.size() - 1);
}

}  // namespace
}  // namespace verdict::sim
