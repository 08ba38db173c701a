#include "broker/client/admin.h"
#include "broker/client/consumer.h"
#include "scenarios/client_parts.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

using runtime::Instant;
using runtime::Node;

constexpr uint32_t kTopicsPerAdmin = 6;
constexpr int64_t kFarOffset = 1LL << 40;  // beyond the end of any log of a trial

// One life of one admin: topics of its own come and go, by request or by use, while somebody still
// reads from them.
class AdminLife {
 public:
  AdminLife(Node& node, Load& load, Load::Client& self)
      : node_(node),
        load_(load),
        dice_(load, self),
        options_(cluster_options(load, self.name)),
        admin_(node, options_),
        visitors_(node.tasks) {}

  void run() {
    while (!load_.finish && load_.admin_topics < kTopicsPerAdmin * load_.admins.size()) {
      int64_t gap = load_.safety_ns / kTopicsPerAdmin;
      if (!node_.clock.sleep(runtime::nanoseconds(dice_.between(gap / 4, gap)))) break;
      if (load_.finish) break;
      ++load_.admin_topics;
      constexpr uint64_t kByUsePermille = 250;
      if (dice_.permille(kByUsePermille)) {
        create_by_use("used-" + std::to_string(load_.admin_topics));
      } else {
        create_and_perhaps_delete("made-" + std::to_string(load_.admin_topics));
      }
    }
    visitors_.stop();
    admin_.stop();
  }

 private:
  // A client that asks for a topic which is not there gets one with the broker's defaults.
  void create_by_use(const std::string& name) {
    client::ClusterOptions options = options_;
    options.create_missing_topics = true;
    client::Admin user(node_, options);
    Instant deadline = in(node_, 5 * kSecond);
    while (node_.clock.now() < deadline) {
      auto seen = user.describe_topics(std::vector{name}, deadline);
      if (!seen) break;
      if (!seen->empty() && seen->front().error_code == 0) {
        TopicFact fact;
        fact.name = name;
        fact.id = seen->front().id;
        fact.partitions = static_cast<int32_t>(seen->front().partitions.size());
        fact.state = TopicState::exists;
        fact.at_ns = load_.world_now_ns();
        load_.history.note_topic(std::move(fact));
        break;
      }
      if (!node_.clock.sleep(runtime::milliseconds(100))) break;
    }
    user.stop();
  }

  void create_and_perhaps_delete(const std::string& name) {
    client::NewTopic topic;
    topic.name = name;
    topic.partitions = static_cast<int32_t>(1 + dice_.below(3));
    topic.configs = {{"max.message.bytes", std::to_string(100'000 + dice_.below(1'000))},
                     {"retention.ms", std::to_string(1'000'000 + dice_.below(1'000'000))}};
    bool goes_again = dice_.below(2) == 0;
    bool visited = dice_.below(2) == 0;
    int64_t stays_ns = dice_.between(0, 2 * kSecond);
    if (!create_topic(node_, load_, admin_, topic) || !goes_again) return;
    if (visited) {
      visitors_.spawn("visitor of " + name, [this, name] { visit(name); });
      if (!node_.clock.sleep(runtime::nanoseconds(stays_ns))) return;
    }
    note_deletion(name, TopicState::maybe);
    auto deleted = admin_.delete_topics({name}, in(node_, 5 * kSecond));
    if (deleted && !deleted->empty() && deleted->front().error_code == 0) {
      note_deletion(name, TopicState::deleted);
    }
  }

  // Reads where nothing is, then waits at the end of an empty partition.
  void visit(const std::string& name) {
    client::ConsumerOptions options;
    options.cluster = options_;
    options.max_wait = runtime::seconds(2);
    options.reset = client::ResetPolicy::earliest;
    client::Consumer consumer(node_, options);
    consumer.assign({{name, 0, {kFarOffset}}});
    Instant end = in(node_, 4 * kSecond);
    while (node_.clock.now() < end) {
      auto polled = consumer.poll(end);
      if (!polled || !polled->errors.empty()) break;
    }
    consumer.stop();
  }

  void note_deletion(const std::string& name, TopicState state) {
    for (TopicFact& fact : load_.history.topics()) {
      if (fact.name != name) continue;
      fact.state = state;
      fact.at_ns = load_.world_now_ns();
    }
  }

  Node& node_;
  Load& load_;
  ClientDice dice_;
  client::ClusterOptions options_;
  client::Admin admin_;
  runtime::Nursery visitors_;  // last: dies first
};

}  // namespace

void run_admin(Node& node, Load& load, size_t index) {
  Load::Client& self = load.admins[index];
  AdminLife life(node, load, self);
  life.run();
  self.ended = load.finish || load.admin_topics >= kTopicsPerAdmin * load.admins.size();
}

}  // namespace verdict::scenarios
