#include "scenarios/scenario.h"

#include <gtest/gtest.h>

#include <set>

#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

constexpr const char* kGood = R"(name: "small"
cluster {
  brokers: 1
  topics { name: "orders" partitions: 1 }
}
workload { producers: 2 records: 20 value_bytes_min: 20 value_bytes_max: 30 }
faults {
  plan: "at 3s crash broker-1 for 500ms"
}
phases { safety_s: 5 liveness_s: 30 }
)";

std::string changed(const std::string& from, const std::string& to) {
  std::string text = kGood;
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Scenario, a_good_one_is_read) {
  auto scenario = parse_scenario(kGood, "small.txtpb");
  ASSERT_TRUE(scenario.has_value()) << scenario.error().detail;
  EXPECT_EQ(scenario->name(), "small");
  EXPECT_EQ(scenario->faults().plan_size(), 1);
}

TEST(Scenario, errors_name_file_line_column_and_remedy) {
  struct Case {
    std::string text;
    const char* place;
    const char* remedy;
  };
  for (const Case& c : {
           Case{changed("brokers: 1", "brokers: x"), "s.txtpb:3:12", "integer"},
           Case{changed("brokers: 1", "borkers: 1"), "s.txtpb:3:10", "verdict.proto"},
           Case{changed("brokers: 1", "brokers: 3"), "s.txtpb:3:3", "brokers: 1"},
           Case{changed("producers: 2", "producers: 1"), "s.txtpb:6:12", "producers: 2"},
           Case{changed("records: 20", "records: 0"), "s.txtpb:6:1", "records: 300"},
           Case{changed("partitions: 1", "partitions: 99"), "s.txtpb:4:19", "partitions: 2"},
           Case{changed("crash broker-1", "explode broker-1"), "s.txtpb:8:10", "power_loss"},
           Case{changed("  plan:", "  kinds: \"boom\" plan:"), "s.txtpb:8:11", "clock_drift"},
           Case{changed("  plan:", "  kinds: \"crash\" plan:"), "s.txtpb:8:3", "leave kinds or"},
           Case{changed("safety_s: 5", "safety_s: 0"), "s.txtpb:10:1", "safety_s: 40"},
           Case{"", "s.txtpb:1:1", "name:"},
       }) {
    auto scenario = parse_scenario(c.text, "s.txtpb");
    ASSERT_FALSE(scenario.has_value()) << c.text;
    EXPECT_TRUE(scenario.error().detail.starts_with(c.place)) << scenario.error().detail;
    EXPECT_NE(scenario.error().detail.find(c.remedy), std::string::npos) << scenario.error().detail;
  }
}

TEST(Scenario, the_whole_catalogue_parses_and_carries_its_file_name) {
  std::set<std::string> names;
  for (const CatalogueEntry& entry : catalogue()) {
    auto scenario = parse_scenario(entry.text, entry.file);
    ASSERT_TRUE(scenario.has_value()) << scenario.error().detail;
    EXPECT_EQ(scenario->name() + ".txtpb", entry.file);
    EXPECT_FALSE(scenario->about().empty());
    names.insert(scenario->name());
  }
  EXPECT_GE(names.size(), 10U);
  auto unknown = find_scenario("nothing_like_it");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().detail.find("process_crash"), std::string::npos);
}

TEST(Scenario, every_scenario_with_a_weight_is_picked_and_no_other) {
  std::set<std::string> picked;
  for (uint64_t seed = 1; seed <= 2'000; ++seed) picked.insert(scenario_of_seed(seed).name());
  for (const CatalogueEntry& entry : catalogue()) {
    auto scenario = parse_scenario(entry.text, entry.file);
    ASSERT_TRUE(scenario.has_value());
    EXPECT_EQ(picked.contains(scenario->name()), scenario->weight() > 0) << scenario->name();
  }
}

}  // namespace
}  // namespace verdict::scenarios
