// Crashes, power losses and the other hardships, one at a time.

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;
using runtime::Instant;
using runtime::Stream;

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
