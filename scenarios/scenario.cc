#include "scenarios/scenario.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/hash.h"
#include "fault/plan.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

using base::Errc;
using base::Result;

// Keeps the first error with its place.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text.empty()) return;
    text = std::to_string(line + 1) + ":" + std::to_string(column + 1) + ": " + message;
  }
  std::string text;
};

// Where `word` first stands in the text: so that a judgement names a place as a syntax error does.
std::string place_of(std::string_view text, std::string_view word) {
  size_t at = text.find(word);
  if (at == std::string_view::npos) return "1:1";
  auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n') + 1;
  size_t start = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  size_t column = start == std::string_view::npos ? at + 1 : at - start;
  return std::to_string(line) + ":" + std::to_string(column);
}

struct Judge {
  std::string_view text;
  std::string_view file;

  std::unexpected<base::Error> refuse(std::string_view word, std::string why) const {
    return base::fail(Errc::invalid,
                      std::string(file) + ":" + place_of(text, word) + ": " + std::move(why));
  }

  Result<> cluster(const proto::Scenario& s) const {
    if (s.cluster().brokers() == 0) return refuse("cluster", "say how many brokers: brokers: 1");
    if (s.cluster().brokers() > 1) {
      return refuse("brokers", "brokers: " + std::to_string(s.cluster().brokers()) +
                                   " needs replication, which is not built yet; write brokers: 1");
    }
    constexpr uint32_t kShardsMax = 3;
    if (s.cluster().shards_max() > kShardsMax) {
      return refuse("shards_max", "shards_max is at most " + std::to_string(kShardsMax));
    }
    if (s.cluster().topics().empty()) {
      return refuse("cluster", "name a topic: topics { name: \"orders\" partitions: 2 }");
    }
    for (const proto::Topic& topic : s.cluster().topics()) {
      constexpr uint32_t kPartitionsMax = 64;
      if (topic.name().empty()) return refuse("topics", "a topic needs a name");
      if (topic.partitions() == 0 || topic.partitions() > kPartitionsMax) {
        return refuse(topic.name(), "a topic has 1 to " + std::to_string(kPartitionsMax) +
                                        " partitions; write partitions: 2");
      }
    }
    return {};
  }

  Result<> workload(const proto::Scenario& s) const {
    const proto::Workload& w = s.workload();
    constexpr uint32_t kClientsMax = 32;
    if (w.producers() < 2) {
      return refuse(s.has_workload() ? "producers" : s.name(),
                    "with fewer than two producers per partition divergent logs look alike; write "
                    "producers: 2 or more");
    }
    if (w.producers() + w.consumers() + w.admins() > kClientsMax) {
      return refuse("workload", "at most " + std::to_string(kClientsMax) + " clients");
    }
    if (w.records() == 0) return refuse("workload", "say how many records: records: 300");
    if (w.value_bytes_max() < w.value_bytes_min()) {
      return refuse("value_bytes_max", "value_bytes_max is below value_bytes_min");
    }
    if (w.acks_none_permille() + w.acks_leader_permille() > 1000) {
      return refuse("acks_none_permille", "shares of acks are permille and at most 1000 together");
    }
    return {};
  }

  Result<> faults(const proto::Scenario& s) const {
    for (const std::string& name : s.faults().kinds()) {
      auto known = fault::kinds();
      if (std::any_of(known.begin(), known.end(),
                      [&](const fault::KindInfo& k) { return k.name == name; })) {
        continue;
      }
      std::string names;
      for (const fault::KindInfo& k : known) {
        names += (names.empty() ? "" : ", ") + std::string(k.name);
      }
      return refuse(name, "unknown fault '" + name + "'; there are " + names);
    }
    for (const std::string& line : s.faults().plan()) {
      auto parsed = fault::parse_plan(line);
      if (!parsed) return refuse(line, "plan: " + parsed.error().detail);
    }
    if (!s.faults().plan().empty() && !s.faults().kinds().empty()) {
      return refuse("kinds", "a scenario with a plan draws no faults; leave kinds or plan out");
    }
    if (s.faults().min() > s.faults().max()) return refuse("faults", "min is above max");
    if (s.phases().safety_s() == 0 || s.phases().liveness_s() == 0) {
      return refuse(s.has_phases() ? "phases" : s.name(),
                    "write phases { safety_s: 40 liveness_s: 60 }");
    }
    return {};
  }
};

}  // namespace

Result<proto::Scenario> parse_scenario(std::string_view text, std::string_view file) {
  proto::Scenario scenario;
  google::protobuf::TextFormat::Parser parser;
  FirstError errors;
  parser.RecordErrorsTo(&errors);
  if (!parser.ParseFromString(std::string(text), &scenario)) {
    return base::fail(Errc::invalid, std::string(file) + ":" + errors.text +
                                         " (the fields are in scenarios/proto/verdict.proto)");
  }
  Judge judge{text, file};
  if (scenario.name().empty()) {
    return base::fail(Errc::invalid, std::string(file) + ":1:1: write name: \"...\" first");
  }
  TRY(judge.cluster(scenario));
  TRY(judge.workload(scenario));
  TRY(judge.faults(scenario));
  return scenario;
}

Result<proto::Scenario> find_scenario(std::string_view name) {
  std::string names;
  for (const CatalogueEntry& entry : catalogue()) {
    if (entry.file.substr(0, entry.file.rfind('.')) == name) {
      return parse_scenario(entry.text, entry.file);
    }
    names += (names.empty() ? "" : ", ") + std::string(entry.file.substr(0, entry.file.rfind('.')));
  }
  return base::fail(Errc::not_found, "no scenario '" + std::string(name) + "'; there are " + names +
                                         ", or give a .txtpb file");
}

proto::Scenario scenario_of_seed(uint64_t seed) {
  uint64_t total = 0;
  std::vector<proto::Scenario> all;
  for (const CatalogueEntry& entry : catalogue()) {
    auto scenario = parse_scenario(entry.text, entry.file);
    CHECK(scenario.has_value());
    total += scenario->weight();
    all.push_back(std::move(*scenario));
  }
  CHECK(total > 0);
  uint64_t at = base::combine(base::hash_text("scenario of seed"), seed) % total;
  for (proto::Scenario& scenario : all) {
    if (at < scenario.weight()) return std::move(scenario);
    at -= scenario.weight();
  }
  CHECK(false);
  return all.front();
}

}  // namespace verdict::scenarios
