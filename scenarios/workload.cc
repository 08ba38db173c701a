#include "scenarios/workload.h"

#include <algorithm>
#include <deque>

#include "broker/base/check.h"
#include "broker/base/hash.h"
#include "broker/client/admin.h"
#include "broker/client/consumer.h"
#include "broker/client/producer.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

using runtime::Instant;
using runtime::Node;

constexpr sim::ChoiceStream kClientStream{"client"};
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMillisecond;
constexpr int16_t kTopicExists = 36;
constexpr size_t kOutstandingMax = 200;  // records of one producer without outcome

// What one life of one client does, drawn by its name and boot: stable however others behave.
class Dice {
 public:
  Dice(Load& load, const Load::Client& client)
      : choices_(load.choices),
        point_(load.choices, kClientStream,
               base::combine(base::hash_text(client.name), client.boots)) {}
  uint64_t below(uint64_t bound) { return choices_.draw(point_, bound); }
  bool permille(uint64_t chance) { return choices_.happens(point_, chance); }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

 private:
  sim::Choices& choices_;
  sim::ChoicePoint point_;
};

client::ClusterOptions cluster_options(const Load& load, const std::string& client_id) {
  client::ClusterOptions options;
  options.bootstrap = {{load.bootstrap_host, load.bootstrap_port}};
  options.client_id = client_id;
  options.request_timeout = runtime::seconds(5);
  return options;
}

Instant in(Node& node, int64_t ns) { return node.clock.after(runtime::nanoseconds(ns)); }

std::vector<PartitionName> all_partitions(const Load& load) {
  std::vector<PartitionName> all;
  for (const proto::Topic& topic : load.scenario.cluster().topics()) {
    for (uint32_t p = 0; p < topic.partitions(); ++p) {
      all.push_back({topic.name(), static_cast<int32_t>(p)});
    }
  }
  return all;
}

// False when the client is asked to stop.
bool wait_for_topics(Node& node, const Load& load) {
  while (!load.topics_ready && !load.finish) {
    if (!node.clock.sleep(runtime::milliseconds(50))) return false;
  }
  return load.topics_ready;
}

TopicFact fact_of(const client::NewTopic& topic) {
  TopicFact fact;
  fact.name = topic.name;
  fact.partitions = topic.partitions;
  for (const auto& [key, value] : topic.configs) fact.configs[key] = value;
  return fact;
}

// Creates one topic; true when it is there now, by this call or an earlier one.
bool create_topic(Node& node, Load& load, client::Admin& admin, const client::NewTopic& topic) {
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

}  // namespace

void run_setup(Node& node, Load& load) {
  client::Admin admin(node, cluster_options(load, "setup"));
  for (const proto::Topic& topic : load.scenario.cluster().topics()) {
    client::NewTopic wanted;
    wanted.name = topic.name();
    wanted.partitions = static_cast<int32_t>(topic.partitions());
    wanted.configs.assign(topic.config().begin(), topic.config().end());
    std::sort(wanted.configs.begin(), wanted.configs.end());
    while (!create_topic(node, load, admin, wanted)) {
      if (load.finish || !node.clock.sleep(runtime::milliseconds(100))) {
        admin.stop();
        return;
      }
    }
  }
  for (const PartitionName& name : all_partitions(load)) load.history.partition(name);
  load.topics_ready = true;
  admin.stop();
}

// ---------------------------------------------------------------- producers

namespace {

// One life of one producer.
class ProducerLife {
 public:
  ProducerLife(Node& node, Load& load, Load::Client& self)
      : node_(node),
        load_(load),
        self_(self),
        dice_(load, self),
        options_(draw_options()),
        session_(load.history.add_session({self.name, options_.idempotent, acks()})),
        producer_(node, options_),
        outcomes_(node.tasks, kOutstandingMax),
        nursery_(node.tasks) {}

  void run() {
    nursery_.spawn("outcomes", [this] { collect(); });
    auto partitions = all_partitions(load_);
    while (self_.records_left > 0 && !load_.finish) {
      if (!pause()) break;
      auto burst = std::min<uint64_t>(self_.records_left, 1 + dice_.below(4));
      for (uint64_t i = 0; i < burst; ++i) {
        if (!send(partitions[dice_.below(partitions.size())])) break;
      }
      note_ids();
    }
    (void)producer_.flush(in(node_, 8 * kSecond));  // what has no outcome then stays unknown
    note_ids();
    producer_.stop();
    outcomes_.close();
    nursery_.join_all(Instant::never());
  }

 private:
  struct Pending {
    uint64_t id;
    runtime::Future<client::Delivery> delivery;
  };

  client::ProducerOptions draw_options() {
    const proto::Workload& w = load_.scenario.workload();
    client::ProducerOptions options;
    options.cluster = cluster_options(load_, self_.name);
    options.idempotent = dice_.permille(w.idempotent_permille());
    uint64_t share = dice_.below(1000);
    if (!options.idempotent && share < w.acks_none_permille()) {
      options.acks = client::Acks::none;
    } else if (!options.idempotent && share < w.acks_none_permille() + w.acks_leader_permille()) {
      options.acks = client::Acks::leader;
    }
    options.codec = static_cast<record::Codec>(dice_.below(5));
    options.linger = runtime::milliseconds(static_cast<int64_t>(dice_.below(20)));
    options.batch_bytes = 1 + dice_.below(4'000);
    options.max_in_flight = 1 + static_cast<uint32_t>(dice_.below(5));
    options.delivery_timeout = runtime::seconds(dice_.between(4, 20));
    return options;
  }
  Acks acks() const { return static_cast<Acks>(static_cast<int8_t>(options_.acks)); }

  // Spreads what is left over the rest of the safety phase, unevenly.
  bool pause() {
    int64_t left_ns = std::max<int64_t>(load_.safety_ns - load_.world_now_ns(), 0);
    constexpr int64_t kMeanBurst = 2;
    int64_t mean = left_ns * kMeanBurst / std::max<int64_t>(1, self_.records_left);
    mean = std::min(mean, kSecond);
    return node_.clock.sleep(runtime::nanoseconds(dice_.between(mean / 4, mean))).has_value();
  }

  bool send(const PartitionName& where) {
    const proto::Workload& w = load_.scenario.workload();
    auto bytes = static_cast<uint32_t>(dice_.between(w.value_bytes_min(), w.value_bytes_max()));
    uint64_t id = 0;
    client::Outgoing record;
    record.topic = where.topic;
    record.partition = where.partition;
    record.value = load_.history.note_send(session_, load_.history.partition(where), bytes,
                                           load_.world_now_ns(), &id);
    if (dice_.below(2) == 1) {
      record.key = base::Slice::copy_of("key-" + std::to_string(dice_.below(10)));
    }
    --self_.records_left;
    auto delivery = producer_.send(std::move(record), in(node_, kSecond));
    if (!delivery) {
      load_.history.note_failed(id, load_.world_now_ns());
      return delivery.error().code != base::Errc::cancelled;
    }
    ++load_.open_requests;
    return outcomes_.send({id, std::move(*delivery)}, Instant::never()).has_value();
  }

  void collect() {
    for (;;) {
      auto pending = outcomes_.receive(Instant::never());
      if (!pending) return;
      auto delivery = pending->delivery.wait(Instant::never());
      --load_.open_requests;
      if (!delivery) return;
      switch (delivery->outcome) {
        case client::Delivery::Outcome::acked:
          if (options_.acks != client::Acks::none) {
            load_.history.note_acked(pending->id, delivery->offset, load_.world_now_ns());
          }
          break;
        case client::Delivery::Outcome::failed:
          load_.history.note_failed(pending->id, load_.world_now_ns());
          break;
        case client::Delivery::Outcome::unknown:
          break;
      }
    }
  }

  void note_ids() {
    for (; ids_noted_ < producer_.identities().size(); ++ids_noted_) {
      const auto& identity = producer_.identities()[ids_noted_];
      load_.history.note_producer_id(identity.id.value, identity.epoch);
    }
  }

  Node& node_;
  Load& load_;
  Load::Client& self_;
  Dice dice_;
  client::ProducerOptions options_;
  uint32_t session_;
  client::Producer producer_;
  runtime::Channel<Pending> outcomes_;
  size_t ids_noted_ = 0;
  runtime::Nursery nursery_;  // last: dies first
};

}  // namespace

void run_producer(Node& node, Load& load, size_t index) {
  Load::Client& self = load.producers[index];
  if (wait_for_topics(node, load)) {
    ProducerLife life(node, load, self);
    life.run();
  }
  self.ended = load.finish || self.records_left == 0;
}

// ---------------------------------------------------------------- consumers

namespace {

// Reads all partitions along until the safety phase ends.
void read_along(Node& node, Load& load, Load::Client& self) {
  Dice dice(load, self);
  client::ConsumerOptions options;
  options.cluster = cluster_options(load, self.name);
  options.max_wait = runtime::milliseconds(dice.between(500, 3'000));
  options.partition_max_bytes = static_cast<int32_t>(dice.between(200, 20'000));
  options.reset = client::ResetPolicy::earliest;
  client::Consumer consumer(node, options);
  std::vector<client::Assignment> assignment;
  base::OrderedMap<PartitionName, uint32_t> reader;  // a new session after every truncation
  for (const PartitionName& name : all_partitions(load)) {
    assignment.push_back({name.topic, name.partition, client::StartAt::earliest()});
    reader[name] = load.history.add_reader({self.name});
  }
  consumer.assign(std::move(assignment));
  while (!load.finish) {
    auto polled = consumer.poll(in(node, 5 * kSecond));
    if (!polled) break;
    for (const client::Truncated& t : polled->truncated) {
      reader[{t.topic, t.partition}] = load.history.add_reader({self.name});
    }
    for (const client::PartitionError& e : polled->errors) {
      reader[{e.topic, e.partition}] = load.history.add_reader({self.name});
      consumer.seek(e.topic, e.partition, client::StartAt::earliest());
    }
    for (const client::ConsumedRecord& r : polled->records) {
      PartitionName name{r.topic, r.partition};
      load.history.note_read(reader[name], load.history.partition(name), r.leader_epoch, r.offset,
                             r.value.value_or(base::Slice()), load.world_now_ns());
    }
  }
  consumer.stop();
}

}  // namespace

void run_consumer(Node& node, Load& load, size_t index) {
  Load::Client& self = load.consumers[index];
  if (wait_for_topics(node, load)) read_along(node, load, self);
  self.ended = load.finish;
}

// ---------------------------------------------------------------- admins

namespace {

constexpr uint32_t kTopicsPerAdmin = 6;

void note_deletion(Load& load, const std::string& name, TopicState state) {
  for (TopicFact& fact : load.history.topics()) {
    if (fact.name != name) continue;
    fact.state = state;
    fact.at_ns = load.world_now_ns();
  }
}

}  // namespace

void run_admin(Node& node, Load& load, size_t index) {
  Load::Client& self = load.admins[index];
  Dice dice(load, self);
  client::Admin admin(node, cluster_options(load, self.name));
  while (!load.finish && load.admin_topics < kTopicsPerAdmin * load.admins.size()) {
    int64_t gap = load.safety_ns / kTopicsPerAdmin;
    if (!node.clock.sleep(runtime::nanoseconds(dice.between(gap / 4, gap)))) break;
    if (load.finish) break;
    client::NewTopic topic;
    topic.name = "made-" + std::to_string(++load.admin_topics);
    topic.partitions = static_cast<int32_t>(1 + dice.below(3));
    topic.configs = {{"max.message.bytes", std::to_string(100'000 + dice.below(1'000))},
                     {"retention.ms", std::to_string(1'000'000 + dice.below(1'000'000))}};
    if (!create_topic(node, load, admin, topic) || dice.below(2) == 0) continue;
    note_deletion(load, topic.name, TopicState::maybe);
    auto deleted = admin.delete_topics({topic.name}, in(node, 5 * kSecond));
    if (deleted && !deleted->empty() && deleted->front().error_code == 0) {
      note_deletion(load, topic.name, TopicState::deleted);
    }
  }
  admin.stop();
  self.ended = load.finish || load.admin_topics >= kTopicsPerAdmin * load.admins.size();
}

// ---------------------------------------------------------------- the audit

namespace {

class Audit {
 public:
  Audit(Node& node, Load& load) : node_(node), load_(load) {}

  // False when a part of it can never be done.
  bool run() { return look_at_topics() && write_to_all() && read_all(); }

 private:
  bool rest() { return node_.clock.sleep(runtime::milliseconds(200)).has_value(); }

  bool look_at_topics() {
    client::Admin admin(node_, cluster_options(load_, "auditor"));
    bool done = false;
    while (!done) {
      done = try_look(admin);
      if (!done && !rest()) break;
    }
    admin.stop();
    return done;
  }

  bool try_look(client::Admin& admin) {
    auto topics = admin.describe_topics(std::nullopt, in(node_, 5 * kSecond));
    if (!topics) return false;
    std::vector<std::string> names;
    for (const auto& topic : *topics) names.push_back(topic.name);
    auto configs =
        admin.describe_configs(client::ResourceType::topic, names, in(node_, 5 * kSecond));
    if (!configs) return false;
    for (const client::TopicDescription& topic : *topics) {
      TopicSeen seen{topic.name, topic.id, static_cast<int32_t>(topic.partitions.size()), {}};
      for (const client::ResourceConfigs& resource : *configs) {
        if (resource.name != topic.name) continue;
        for (const client::ConfigEntry& entry : resource.entries) {
          if (entry.value) seen.configs[entry.name] = *entry.value;
        }
      }
      load_.history.note_seen(std::move(seen));
    }
    return true;
  }

  // One record more to every partition, until each is acknowledged: the cluster works again.
  bool write_to_all() {
    client::ProducerOptions options;
    options.cluster = cluster_options(load_, "auditor");
    options.delivery_timeout = runtime::seconds(5);
    uint32_t session = load_.history.add_session({"auditor", true, Acks::all});
    client::Producer producer(node_, options);
    bool done = true;
    for (const PartitionName& name : all_partitions(load_)) {
      while (done && !write_one(producer, session, name)) done = rest();
    }
    producer.stop();
    return done;
  }

  bool write_one(client::Producer& producer, uint32_t session, const PartitionName& name) {
    uint64_t id = 0;
    client::Outgoing record;
    record.topic = name.topic;
    record.partition = name.partition;
    record.value = load_.history.note_send(session, load_.history.partition(name), 32,
                                           load_.world_now_ns(), &id);
    auto sent = producer.send(std::move(record), in(node_, kSecond));
    if (!sent) {
      load_.history.note_failed(id, load_.world_now_ns());
      return false;
    }
    auto delivery = sent->wait(Instant::never());
    if (!delivery || delivery->outcome != client::Delivery::Outcome::acked) return false;
    load_.history.note_acked(id, delivery->offset, load_.world_now_ns());
    return true;
  }

  bool read_all() {
    client::ConsumerOptions options;
    options.cluster = cluster_options(load_, "auditor");
    client::Consumer consumer(node_, options);
    bool done = find_ranges(consumer) && read_to_ends(consumer);
    consumer.stop();
    return done;
  }

  bool find_ranges(client::Consumer& consumer) {
    auto partitions = all_partitions(load_);
    for (;;) {
      bool complete = true;
      for (const PartitionName& name : partitions) {
        std::optional<int64_t> start = ask(consumer, name, client::OffsetQuery::kEarliest);
        std::optional<int64_t> end = ask(consumer, name, client::OffsetQuery::kLatest);
        if (!start || !end) {
          complete = false;
          break;
        }
        ranges_[name] = {*start, *end};
      }
      if (complete) return true;
      if (!rest()) return false;
    }
  }

  std::optional<int64_t> ask(client::Consumer& consumer, const PartitionName& name, int64_t at) {
    auto listed =
        consumer.list_offsets({{{name.topic, name.partition}, at}}, in(node_, 5 * kSecond));
    if (!listed || listed->empty() || listed->front().error_code != 0) return std::nullopt;
    return listed->front().offset;
  }

  bool read_to_ends(client::Consumer& consumer) {
    uint32_t reader = load_.history.add_reader({"auditor", true});
    std::vector<client::Assignment> assignment;
    for (const auto& [name, range] : ranges_) {
      load_.history.note_final_range(load_.history.partition(name), range.start, range.end);
      assignment.push_back({name.topic, name.partition, {range.start}});
    }
    consumer.assign(assignment);
    for (;;) {
      bool complete = true;
      for (const auto& [name, range] : ranges_) {
        complete = complete &&
                   consumer.position(name.topic, name.partition).value_or(range.start) >= range.end;
      }
      if (complete) return true;
      auto polled = consumer.poll(in(node_, kSecond));
      if (!polled) return false;
      for (const client::ConsumedRecord& r : polled->records) {
        PartitionName name{r.topic, r.partition};
        if (r.offset >= ranges_[name].end) continue;
        load_.history.note_read(reader, load_.history.partition(name), r.leader_epoch, r.offset,
                                r.value.value_or(base::Slice()), load_.world_now_ns());
      }
      for (const client::PartitionError& e : polled->errors) {
        load_.history.note_stuck("the auditor cannot read " + e.topic + "-" +
                                 std::to_string(e.partition) + ": error " +
                                 std::to_string(e.error_code) + " " + e.detail);
        return true;
      }
    }
  }

  Node& node_;
  Load& load_;
  base::OrderedMap<PartitionName, History::Range> ranges_;
};

}  // namespace

void run_auditor(Node& node, Load& load) {
  Audit audit(node, load);
  load.audit_done = audit.run();
}

}  // namespace verdict::scenarios
