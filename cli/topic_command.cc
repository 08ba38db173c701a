#include "cli/topic_command.h"

#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/client_session.h"

namespace verdict::cli {

using base::Errc;
using base::Result;
using client::Admin;
using client::OffsetQuery;
using nlohmann::ordered_json;

Result<std::pair<std::string, std::string>> parse_config(std::string_view text) {
  const size_t at = text.find('=');
  if (at == text.npos || at == 0) {
    return base::fail(
        Errc::invalid,
        "'" + std::string(text) + "' is no config; write key=value, as in retention.ms=1000");
  }
  return std::pair(std::string(text.substr(0, at)), std::string(text.substr(at + 1)));
}

namespace {

constexpr int16_t kNoError = 0;
// Where a config comes from, in Kafka's numbers.
constexpr int8_t kSourceTopic = 1;
constexpr int8_t kSourceDefault = 5;

struct TopicOptions {
  ClientOptions client;
  std::string format = "text";
  std::vector<std::string> names;
  int32_t partitions = -1;
  int16_t replication = -1;
  std::vector<std::string> configs;

  bool json() const { return format == "json"; }
};

// ---- create, delete

// Prints a sentence for each refusal; the exit code.
int judge(Session& session, const std::vector<client::TopicResult>& results, size_t asked) {
  int exit_code = 0;
  for (const client::TopicResult& result : results) {
    if (result.error_code == kNoError) continue;
    exit_code = session.refused("topic '" + result.name + "'", result.error_code, result.message);
  }
  if (results.size() != asked) {
    exit_code =
        session.end(kExitRefused, "the broker answered for " + std::to_string(results.size()) +
                                      " topics of " + std::to_string(asked));
  }
  return exit_code;
}

int create(Session& session, const TopicOptions& options) {
  client::NewTopic topic{.name = options.names.front(),
                         .partitions = options.partitions,
                         .replication_factor = options.replication};
  for (const std::string& config : options.configs) {
    auto parsed = parse_config(config);
    if (!parsed) return session.end(kExitUsage, parsed.error().detail);
    topic.configs.push_back(std::move(*parsed));
  }
  Admin admin(session.node(), session.cluster());
  const auto results = admin.create_topics({topic}, false, session.deadline());
  admin.stop();
  return results ? judge(session, *results, 1) : session.end(results.error());
}

int remove(Session& session, const TopicOptions& options) {
  Admin admin(session.node(), session.cluster());
  const auto results = admin.delete_topics(options.names, session.deadline());
  admin.stop();
  return results ? judge(session, *results, options.names.size()) : session.end(results.error());
}

// ---- list

int list(Session& session, const TopicOptions& options) {
  Admin admin(session.node(), session.cluster());
  auto topics = admin.describe_topics(std::nullopt, session.deadline());
  admin.stop();
  if (!topics) return session.end(topics.error());
  std::sort(topics->begin(), topics->end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  ordered_json out = ordered_json::array();
  for (const client::TopicDescription& topic : *topics) {
    if (!options.json()) std::printf("%s\n", topic.name.c_str());
    out.push_back({{"name", topic.name},
                   {"id", topic.id.to_string()},
                   {"partitions", topic.partitions.size()},
                   {"internal", topic.internal}});
  }
  if (options.json()) std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

// ---- describe

struct Range {
  int64_t start = -1;  // -1: not known
  int64_t end = -1;
};

struct Described {
  client::TopicDescription topic;
  std::map<int32_t, Range> ranges;
  std::vector<client::ConfigEntry> configs;  // other than the default
};

std::vector<OffsetQuery> queries(const client::TopicDescription& topic, int64_t which) {
  std::vector<OffsetQuery> made;
  for (const client::PartitionDescription& partition : topic.partitions) {
    if (partition.leader < 0) continue;  // nobody could tell
    made.push_back({.at = {topic.name, partition.partition}, .timestamp_ms = which});
  }
  return made;
}

Result<> learn_ranges(Session& session, Admin& admin, Described& described) {
  const runtime::Instant end = session.deadline();
  for (const int64_t which : {OffsetQuery::kEarliest, OffsetQuery::kLatest}) {
    const auto listed = TRY(admin.list_offsets_once(queries(described.topic, which), end));
    for (const client::ListedOffset& one : listed) {
      if (one.error_code != kNoError) continue;
      Range& range = described.ranges[one.at.partition];
      (which == OffsetQuery::kEarliest ? range.start : range.end) = one.offset;
    }
  }
  return {};
}

Result<> learn_configs(Session& session, Admin& admin, Described& described) {
  const auto resources = TRY(admin.describe_configs(client::ResourceType::topic,
                                                    {described.topic.name}, session.deadline()));
  for (const client::ResourceConfigs& resource : resources) {
    if (resource.error_code != kNoError) {
      return base::fail(Errc::invalid, describe_refusal(resource.error_code, resource.message));
    }
    for (const client::ConfigEntry& entry : resource.entries) {
      if (entry.source != kSourceDefault) described.configs.push_back(entry);
    }
  }
  return {};
}

std::string joined(const std::vector<int32_t>& numbers) {
  std::string text;
  for (const int32_t number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

std::string known(int64_t number) { return number < 0 ? "-" : std::to_string(number); }

std::string value_of(const client::ConfigEntry& entry) {
  return entry.sensitive ? "(hidden)" : entry.value.value_or("");
}

void print_text(const Described& described) {
  const client::TopicDescription& topic = described.topic;
  const size_t replicas = topic.partitions.empty() ? 0 : topic.partitions.front().replicas.size();
  std::printf("topic %s, id %s, %zu partitions, replication %zu\n", topic.name.c_str(),
              topic.id.to_string().c_str(), topic.partitions.size(), replicas);
  std::printf("%9s %6s %5s %-12s %-12s %12s %12s\n", "partition", "leader", "epoch", "replicas",
              "isr", "start", "end");
  for (const client::PartitionDescription& partition : topic.partitions) {
    const auto at = described.ranges.find(partition.partition);
    const Range range = at == described.ranges.end() ? Range{} : at->second;
    std::printf("%9" PRId32 " %6s %5s %-12s %-12s %12s %12s\n", partition.partition,
                known(partition.leader).c_str(), known(partition.leader_epoch).c_str(),
                joined(partition.replicas).c_str(), joined(partition.isr).c_str(),
                known(range.start).c_str(), known(range.end).c_str());
  }
  for (const client::ConfigEntry& entry : described.configs) {
    std::printf("%s=%s (%s)\n", entry.name.c_str(), value_of(entry).c_str(),
                entry.source == kSourceTopic ? "topic" : "broker");
  }
}

void print_json(const Described& described) {
  const client::TopicDescription& topic = described.topic;
  ordered_json out = {{"name", topic.name},
                      {"id", topic.id.to_string()},
                      {"internal", topic.internal},
                      {"partitions", ordered_json::array()},
                      {"configs", ordered_json::object()}};
  const auto number = [](int64_t n) { return n < 0 ? ordered_json() : ordered_json(n); };
  for (const client::PartitionDescription& partition : topic.partitions) {
    const auto at = described.ranges.find(partition.partition);
    const Range range = at == described.ranges.end() ? Range{} : at->second;
    out["partitions"].push_back({{"partition", partition.partition},
                                 {"leader", number(partition.leader)},
                                 {"leader_epoch", number(partition.leader_epoch)},
                                 {"replicas", partition.replicas},
                                 {"isr", partition.isr},
                                 {"start_offset", number(range.start)},
                                 {"end_offset", number(range.end)}});
  }
  for (const client::ConfigEntry& entry : described.configs) {
    out["configs"][entry.name] = {{"value", value_of(entry)},
                                  {"source", entry.source == kSourceTopic ? "topic" : "broker"}};
  }
  std::printf("%s\n", out.dump(2).c_str());
}

int describe(Session& session, const TopicOptions& options) {
  Admin admin(session.node(), session.cluster());
  int exit_code = 0;
  Described described;
  auto found = find_topic(session, admin, options.names.front(), exit_code);
  if (found) {
    described.topic = std::move(*found);
    auto learned = learn_ranges(session, admin, described);
    if (learned) learned = learn_configs(session, admin, described);
    if (!learned) exit_code = session.end(learned.error());
  }
  admin.stop();
  if (exit_code != 0) return exit_code;
  if (options.json()) {
    print_json(described);
  } else {
    print_text(described);
  }
  return 0;
}

using Verb = int (*)(Session&, const TopicOptions&);

// A verb of the noun; its options live as long as its callback.
std::pair<CLI::App*, std::shared_ptr<TopicOptions>> add_verb(CLI::App& noun, const char* name,
                                                             const char* about, Verb verb,
                                                             int& exit_status) {
  CLI::App* command = noun.add_subcommand(name, about);
  auto options = std::make_shared<TopicOptions>();
  add_client_options(*command, options->client);
  const std::string title = std::string("topic ") + name;
  command->callback([=, &exit_status] {
    exit_status = run_client(title, options->client, AtInterrupt::cancel,
                             [&](Session& session) { return verb(session, *options); });
  });
  return {command, options};
}

}  // namespace

void add_topic_command(CLI::App& app, int& exit_status) {
  CLI::App* noun = app.add_subcommand("topic", "Topics of a cluster");
  noun->require_subcommand(1);
  const auto [create_verb, created] =
      add_verb(*noun, "create", "Makes a topic", create, exit_status);
  created->names.resize(1);
  create_verb->add_option("name", created->names.front())->required();
  create_verb->add_option("-p,--partitions", created->partitions, "The broker's default if absent")
      ->check(CLI::PositiveNumber);
  create_verb
      ->add_option("-r,--replication", created->replication, "The broker's default if absent")
      ->check(CLI::PositiveNumber);
  create_verb->add_option("-c,--config", created->configs, "key=value, with Kafka's names")
      ->allow_extra_args(false);

  const auto [delete_verb, deleted] =
      add_verb(*noun, "delete", "Deletes topics and their records", remove, exit_status);
  delete_verb->add_option("name", deleted->names)->required();

  const auto [list_verb, listed] = add_verb(*noun, "list", "Names of topics", list, exit_status);
  const auto [describe_verb, described] = add_verb(
      *noun, "describe", "Partitions, offsets and configs of a topic", describe, exit_status);
  described->names.resize(1);
  describe_verb->add_option("name", described->names.front())->required();
  list_verb->add_option("--format", listed->format)->check(CLI::IsMember({"text", "json"}));
  describe_verb->add_option("--format", described->format)->check(CLI::IsMember({"text", "json"}));
}

}  // namespace verdict::cli
