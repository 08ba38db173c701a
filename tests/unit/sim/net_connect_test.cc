// Connects that hang, are refused, overflow or find no descriptor.

#include "tests/unit/sim/net_rig.h"

namespace verdict::sim {
namespace {

using runtime::Instant;
using runtime::Stream;

class Connecting : public NetRig {
 public:
  Connecting() : NetRig(1, plain_net()) {
    add("s");
    add("c");
    boot(0, [this](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      std::vector<std::unique_ptr<Stream>> streams;
      while (accepting) {
        auto stream = (*listener)->accept(Instant::never());
        if (!stream) return;
        streams.push_back(std::move(*stream));
      }
      p.sleep_ms(3'600'000);
    });
    run_ms(10);
  }
  void connect(int64_t timeout_ms) {
    boot(1, [this, timeout_ms](NetProgram& p) {
      Instant start = p.now();
      auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(timeout_ms));
      outcome = stream ? "ok" : std::string(base::to_string(stream.error().code));
      took_ms = (p.now() - start).ms();
      p.sleep_ms(3'600'000);
    });
  }
  std::string outcome;
  int64_t took_ms = 0;
  bool accepting = true;
};

TEST(NetConnectFault, under_a_cut_it_hangs_to_its_deadline) {
  for (bool forward : {true, false}) {
    Connecting rig;
    rig.net.cut(rig.node(forward ? 1 : 0), rig.node(forward ? 0 : 1));
    rig.connect(5'000);
    rig.run_ms(20'000);
    EXPECT_EQ(rig.outcome, "timed_out");
    EXPECT_EQ(rig.took_ms, 5'000);
    EXPECT_EQ(rig.net.effects().connects_held, 3U);  // at 0, 1 and 3 seconds
  }
}

TEST(NetConnectFault, healed_in_time_it_succeeds_with_the_next_attempt) {
  for (bool forward : {true, false}) {
    Connecting rig;
    rig.net.cut(rig.node(forward ? 1 : 0), rig.node(forward ? 0 : 1));
    rig.connect(10'000);
    rig.run_ms(1'500);
    rig.heal_both(0, 1);
    rig.run_ms(10'000);
    EXPECT_EQ(rig.outcome, "ok");
    EXPECT_EQ(rig.took_ms, 3'000);
  }
}

TEST(NetConnectFault, without_a_deadline_it_gives_up_after_the_last_attempt) {
  Connecting rig;
  rig.cut_both(0, 1);
  rig.connect(1'000'000);
  rig.run_ms(200'000);
  EXPECT_EQ(rig.outcome, "timed_out");
  EXPECT_EQ(rig.took_ms, 127'000);  // 1 + 2 + 4 + ... + 64 seconds
}

TEST(NetConnectFault, to_a_machine_without_power_it_hangs_until_that_is_back) {
  Connecting rig;
  rig.power_off(0);
  rig.connect(10'000);
  rig.run_ms(2'000);
  EXPECT_EQ(rig.outcome, "");
  rig.power_on(0);
  rig.run_ms(10'000);
  EXPECT_EQ(rig.outcome, "refused");  // nobody booted it
  EXPECT_EQ(rig.took_ms, 3'000);
}

TEST(NetConnectFault, refused_and_hung_by_decree) {
  Connecting rig;
  rig.net.refuse_connects(rig.node(0), true);
  rig.connect(3'000);
  rig.run_ms(5'000);
  EXPECT_EQ(rig.outcome, "refused");
  EXPECT_EQ(rig.net.effects().connects_refused, 1U);
  rig.crash(1);
  rig.net.refuse_connects(rig.node(0), false);
  rig.net.hang_connects(rig.node(0), true);
  rig.connect(2'500);
  rig.run_ms(5'000);
  EXPECT_EQ(rig.outcome, "timed_out");
  EXPECT_EQ(rig.net.effects().connects_hung, 2U);
  rig.crash(1);
  rig.net.hang_connects(rig.node(0), false);
  rig.connect(2'500);
  rig.run_ms(5'000);
  EXPECT_EQ(rig.outcome, "ok");
}

TEST(NetConnectFault, a_full_backlog_drops_or_refuses) {
  size_t refused = 0;
  size_t hung = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    NetRig rig(seed, plain_net());
    rig.add("s");
    rig.add("c");
    rig.net.limit_backlog(rig.node(0), 2);
    rig.boot(0, [](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      p.sleep_ms(3'600'000);  // never accepts
    });
    std::vector<std::string> outcomes;
    rig.boot(1, [&](NetProgram& p) {
      std::vector<std::unique_ptr<Stream>> streams;
      for (int i = 0; i < 4; ++i) {
        auto stream = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
        outcomes.push_back(stream ? "ok" : std::string(base::to_string(stream.error().code)));
        if (stream) streams.push_back(std::move(*stream));
      }
    });
    rig.run_ms(20'000);
    ASSERT_EQ(outcomes.size(), 4U);
    EXPECT_EQ(outcomes[0], "ok");
    EXPECT_EQ(outcomes[1], "ok");
    for (size_t i = 2; i < 4; ++i) {
      (outcomes[i] == "refused" ? refused : hung) += 1;
      EXPECT_NE(outcomes[i], "ok");
    }
    EXPECT_GE(rig.net.effects().accept_overflows, 2U);
  }
  EXPECT_GT(refused, 0U);
  EXPECT_GT(hung, 0U);
}

TEST(NetConnectFault, without_descriptors_accept_and_connect_fail_and_can_be_tried_again) {
  NetRig rig(1, plain_net());
  rig.add("s");
  rig.add("c");
  Seen seen;
  rig.net.limit_descriptors(rig.node(0), 1);
  rig.boot(0, [&](NetProgram& p) {
    auto listener = p.network.listen({"", kPort}, {});
    auto first = (*listener)->accept(Instant::never());
    EXPECT_TRUE(first.has_value());
    auto second = (*listener)->accept(Instant::never());
    seen.push_back(second ? "ok" : std::string(base::to_string(second.error().code)));
    first->reset();
    second = (*listener)->accept(Instant::never());
    seen.push_back(second ? "ok" : std::string(base::to_string(second.error().code)));
  });
  rig.boot(1, [&](NetProgram& p) {
    auto a = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
    auto b = p.network.connect({"10.0.0.1", kPort}, p.in_ms(2'000));
    p.sleep_ms(5'000);
  });
  rig.run_ms(2'000);
  EXPECT_EQ(seen, (Seen{"exhausted", "ok"}));
  EXPECT_EQ(rig.net.effects().accepts_exhausted, 1U);
}

}  // namespace
}  // namespace verdict::sim
