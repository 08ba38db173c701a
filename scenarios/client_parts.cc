#include "scenarios/client_parts.h"

#include "broker/base/hash.h"
#include "broker/client/admin.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

constexpr sim::ChoiceStream kClientStream{"client"};
constexpr int16_t kTopicExists = 36;

TopicFact fact_of(const client::NewTopic& topic) {
  TopicFact fact;
  fact.name = topic.name;
  fact.partitions = topic.partitions;
  for (const auto& [key, value] : topic.configs) fact.configs[key] = value;
  return fact;
}

}  // namespace

ClientDice::ClientDice(Load& load, const Load::Client& client)
    : choices_(load.choices),
      point_(load.choices, kClientStream,
             base::combine(base::hash_text(client.name), client.boots)) {
  load.choices.name_entity(base::combine(base::hash_text(client.name), client.boots),
                           client.name + " boot " + std::to_string(client.boots));
}

client::ClusterOptions cluster_options(const Load& load, const std::string& client_id) {
  client::ClusterOptions options;
  options.bootstrap = {{load.bootstrap_host, load.bootstrap_port}};
  options.client_id = client_id;
  options.request_timeout = runtime::seconds(5);
  return options;
}

runtime::Instant in(runtime::Node& node, int64_t ns) {
  return node.clock.after(runtime::nanoseconds(ns));
}

std::vector<PartitionName> all_partitions(const Load& load) {
  std::vector<PartitionName> all;
  for (const proto::Topic& topic : load.scenario.cluster().topics()) {
    for (uint32_t p = 0; p < topic.partitions(); ++p) {
      all.push_back({topic.name(), static_cast<int32_t>(p)});
    }
  }
  return all;
}

bool create_topic(runtime::Node& node, Load& load, client::Admin& admin,
                  const client::NewTopic& topic) {
  auto result = admin.create_topics({topic}, false, in(node, 5 * kSecond));
  if (!result || result->empty()) return false;
  const client::TopicResult& told = result->front();
  if (told.error_code != 0 && told.error_code != kTopicExists) return false;
  TopicFact fact = fact_of(topic);
  fact.id = told.id;
  if (told.error_code == kTopicExists || fact.id.is_zero()) {
    auto described = admin.describe_topics(std::vector{topic.name}, in(node, 5 * kSecond));
    if (!described || described->empty() || described->front().error_code != 0) return false;
    fact.id = described->front().id;
  }
  fact.state = TopicState::exists;
  fact.at_ns = load.world_now_ns();
  load.history.note_topic(std::move(fact));
  return true;
}

}  // namespace verdict::scenarios
