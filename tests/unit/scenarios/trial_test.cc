// Whole trials: a pure function of scenario and seed, replayed from its choices and its plan.

#include "scenarios/trial.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "scenarios/host/trace_file.h"
#include "scenarios/proto/verdict.pb.h"
#include "scenarios/scenario.h"

namespace verdict::scenarios {
namespace {

proto::Scenario of_catalogue(std::string_view name) {
  auto scenario = find_scenario(name);
  EXPECT_TRUE(scenario.has_value());
  return scenario.has_value() ? *scenario : proto::Scenario();
}

TEST(Trial, the_same_seed_gives_the_same_hash_and_another_seed_another) {
  proto::Scenario scenario = of_catalogue("process_crash");
  TrialResult one = run_trial(scenario, 7, {});
  TrialResult two = run_trial(scenario, 7, {});
  TrialResult other = run_trial(scenario, 8, {});
  EXPECT_EQ(one.hash, two.hash);
  EXPECT_EQ(one.events, two.events);
  EXPECT_NE(one.hash, other.hash);
  EXPECT_EQ(one.verdict, Verdict::pass);
  EXPECT_GE(one.acked, 200U);
}

TEST(Trial, what_it_keeps_or_records_does_not_change_it) {
  proto::Scenario scenario = of_catalogue("power_loss_synced");
  TrialResult plain = run_trial(scenario, 3, {});
  TrialOptions options;
  options.record_choices = true;
  options.keep_trace = true;
  TrialResult watched = run_trial(scenario, 3, options);
  EXPECT_EQ(plain.hash, watched.hash);
  EXPECT_EQ(watched.trace.size(), watched.events);
  EXPECT_GT(watched.choices.size(), 1'000U);
  for (const sim::TraceEvent& event : watched.trace) {
    if (event.kind != sim::EventKind::probe) continue;
    EXPECT_TRUE(watched.entity_names.contains(event.entity));
  }
}

TEST(Trial, recorded_choices_and_plan_replay_it_under_another_seed) {
  proto::Scenario scenario = of_catalogue("everything_synced");
  TrialOptions recording;
  recording.record_choices = true;
  TrialResult original = run_trial(scenario, 11, recording);
  std::vector<sim::Choice> choices = host::choices_of(host::make_trace(scenario, 11, "", original));
  TrialOptions replaying;
  replaying.plan = original.plan;
  replaying.choices = &choices;
  TrialResult again = run_trial(scenario, 999, replaying);
  EXPECT_EQ(again.hash, original.hash);
  EXPECT_EQ(again.divergence, "");
}

TEST(Trial, a_replay_that_lacks_a_choice_names_it_in_words) {
  proto::Scenario scenario = of_catalogue("steady_load");
  TrialOptions recording;
  recording.record_choices = true;
  TrialResult original = run_trial(scenario, 2, recording);
  std::vector<sim::Choice> choices = original.choices;
  choices.resize(choices.size() / 2);
  TrialOptions replaying;
  replaying.plan = original.plan;
  replaying.choices = &choices;
  TrialResult again = run_trial(scenario, 2, replaying);
  EXPECT_NE(again.divergence.find(" of "), std::string::npos) << again.divergence;
  EXPECT_NE(again.divergence.find(", number "), std::string::npos) << again.divergence;
  EXPECT_EQ(again.divergence.find("0x"), std::string::npos) << again.divergence;
}

TEST(Trial, another_plan_under_a_recording_comes_to_its_end) {
  proto::Scenario scenario = of_catalogue("process_crash");
  TrialOptions recording;
  recording.record_choices = true;
  TrialResult original = run_trial(scenario, 6, recording);
  std::vector<sim::Choice> choices = host::choices_of(host::make_trace(scenario, 6, "", original));
  auto plan = fault::parse_plan("at 3s crash broker-1 for 300ms\n");
  ASSERT_TRUE(plan.has_value());
  TrialOptions replaying;
  replaying.plan = *plan;
  replaying.choices = &choices;
  TrialResult other = run_trial(scenario, 6, replaying);
  EXPECT_EQ(other.verdict, Verdict::pass);
  EXPECT_EQ(other.kills, 1U);
  EXPECT_NE(other.divergence, "");
}

TEST(Trial, a_scenario_with_a_plan_runs_just_that) {
  proto::Scenario scenario = of_catalogue("steady_load");
  scenario.mutable_faults()->add_plan("at 10s crash broker-1 for 500ms");
  scenario.mutable_faults()->add_plan("at 20s stop broker-1");
  TrialResult result = run_trial(scenario, 5, {});
  ASSERT_EQ(result.plan.faults.size(), 2U);
  EXPECT_EQ(result.kills, 1U);
  EXPECT_TRUE(result.outcomes[1].effective) << "the broker did not stop in good order";
  EXPECT_EQ(result.verdict, Verdict::pass);
}

TEST(TraceFile, what_is_written_is_read_back_and_damage_is_told) {
  proto::Scenario scenario = of_catalogue("steady_load");
  TrialOptions recording;
  recording.record_choices = true;
  TrialResult result = run_trial(scenario, 4, recording);
  proto::Trace trace = host::make_trace(scenario, 4, "", result);
  auto folder = std::filesystem::temp_directory_path() / "verdict_trace_file_test";
  std::string path = (folder / "a.trace").string();
  ASSERT_TRUE(host::write_trace(trace, path).has_value());
  auto back = host::read_trace(path);
  ASSERT_TRUE(back.has_value()) << back.error().detail;
  EXPECT_EQ(back->SerializeAsString(), trace.SerializeAsString());

  std::string bytes;
  {
    std::ifstream file(path, std::ios::binary);
    bytes.assign((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }
  for (const std::string& damaged :
       {std::string("no trace"), bytes.substr(0, bytes.size() / 2), bytes.substr(0, 20)}) {
    std::ofstream(path, std::ios::binary) << damaged;
    auto refused = host::read_trace(path);
    ASSERT_FALSE(refused.has_value());
    EXPECT_TRUE(refused.error().detail.starts_with(path)) << refused.error().detail;
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace verdict::scenarios
