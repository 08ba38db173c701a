#include "fault/plan.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "fault/swarm.h"

namespace verdict::fault {
namespace {

TEST(Plan, every_form_of_line_is_read_and_printed_back) {
  const char* text =
      "at 12.345s power_loss broker-1 for 800ms\n"
      "at probe server.reply_sent 17 power_loss broker-1 for 2s\n"
      "at sync 5 of *.log before crash broker-1 for 300ms\n"
      "at sync 6 of *.log after crash broker-1 for 300ms\n"
      "at write 9 of orders-0/*.log power_loss broker-1 for 1s\n"
      "at 3s cut client-2 broker-1 for 5s\n"
      "at 4s disk_slow broker-1 factor 40 for 10s\n"
      "at 5ms clock_step broker-1 by -3s\n"
      "at 6us clock_drift broker-1 ppm - 200 for 1s\n"
      "at 7s sync_fails broker-1 on *.log\n"
      "at 7s sync_fails broker-1\n"
      "at 8s io_errors broker-1 on *.index permille 50 for 1s\n";
  auto plan = parse_plan(text);
  ASSERT_TRUE(plan.has_value()) << plan.error().detail;
  ASSERT_EQ(plan->faults.size(), 12U);
  EXPECT_EQ(print(*plan), text);
  EXPECT_EQ(plan->faults[0].trigger.at_ns, 12'345'000'000);
  EXPECT_EQ(plan->faults[2].trigger.before, true);
  EXPECT_EQ(plan->faults[7].amount, -3'000'000'000);
  EXPECT_EQ(plan->faults[8].amount, -200);
}

TEST(Plan, comments_and_empty_lines_are_skipped) {
  auto plan = parse_plan("# a plan\n\n  at 1s pause broker-1 for 2s  # stop\n");
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->faults.size(), 1U);
}

TEST(Plan, errors_name_line_column_and_remedy) {
  struct Case {
    const char* text;
    const char* place;
    const char* remedy;
  };
  for (const Case& c : {
           Case{"at 1s pause broker-1 for 2s\nin 3s crash b for 1s\n", "line 2, column 1", "'at'"},
           Case{"at soon crash b for 1s\n", "line 1, column 4", "1.5s"},
           Case{"at 1s explode b for 1s\n", "line 1, column 7", "power_loss"},
           Case{"at 1s crash b\n", "line 1, column 14", "'for'"},
           Case{"at 1s crash b for long\n", "line 1, column 19", "length of time"},
           Case{"at 1s disk_slow b for 1s\n", "line 1, column 19", "factor"},
           Case{"at sync x of *.log before crash b for 1s\n", "line 1, column 9", "number"},
           Case{"at sync 1 of *.log crash b for 1s\n", "line 1, column 20", "before"},
           Case{"at sync 0 of *.log after crash b for 1s\n", "line 1", "start at 1"},
           Case{"at 1s reset_connections b c d\n", "line 1, column 29", "end here"},
       }) {
    auto plan = parse_plan(c.text);
    ASSERT_FALSE(plan.has_value()) << c.text;
    EXPECT_NE(plan.error().detail.find(c.place), std::string::npos) << plan.error().detail;
    EXPECT_NE(plan.error().detail.find(c.remedy), std::string::npos) << plan.error().detail;
  }
}

TEST(Plan, durations_are_exact) {
  for (int64_t ns : {0L, 1L, 999L, 1'000L, 1'001L, 12'345'678L, 1'500'000'000L, -3'000'000'000L,
                     86'400'000'000'000L, 1'000'000'001L}) {
    auto back = parse_duration(print_duration(ns));
    ASSERT_TRUE(back.has_value()) << print_duration(ns);
    EXPECT_EQ(*back, ns) << print_duration(ns);
  }
  EXPECT_EQ(print_duration(12'345'000'000), "12.345s");
  for (const char* bad : {"", "5", "s", "1.2.3s", "1h", "0.0000000001s", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(bad).has_value()) << bad;
  }
}

Budget full_budget() {
  Budget budget;
  for (const KindInfo& kind : kinds()) budget.kinds.push_back(kind.kind);
  budget.from_ns = 1'000'000'000;
  budget.to_ns = 40'000'000'000;
  budget.brokers = {"broker-1"};
  budget.clients = {"producer-1", "producer-2"};
  budget.aim_probes = {"server.reply_sent"};
  budget.aim_paths = {"*.log"};
  return budget;
}

TEST(Swarm, drawn_plans_print_and_parse_back) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    sim::Choices choices(seed);
    Plan plan = draw_plan(choices, full_budget());
    EXPECT_GE(plan.faults.size(), 1U);
    EXPECT_LE(plan.faults.size(), 12U);
    auto back = parse_plan(print(plan));
    ASSERT_TRUE(back.has_value()) << back.error().detail << "\n" << print(plan);
    EXPECT_EQ(*back, plan) << print(plan);
  }
}

TEST(Swarm, every_kind_occurs_and_runs_differ_in_kind) {
  std::map<Kind, int> seen;
  int aimed = 0;
  int kills = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    sim::Choices choices(seed);
    std::set<Kind> here;
    for (const Fault& fault : draw_plan(choices, full_budget()).faults) {
      here.insert(fault.kind);
      if (fault.kind != Kind::crash && fault.kind != Kind::power_loss) continue;
      ++kills;
      aimed += fault.trigger.on != Trigger::On::time;
    }
    for (Kind kind : here) ++seen[kind];
  }
  for (const KindInfo& kind : kinds()) {
    EXPECT_GT(seen[kind.kind], 50) << kind.name;
    EXPECT_LT(seen[kind.kind], 600) << kind.name;
  }
  EXPECT_GT(aimed * 10, kills * 3);
  EXPECT_LT(aimed * 10, kills * 5);
}

}  // namespace
}  // namespace verdict::fault
