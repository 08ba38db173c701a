#include <optional>

#include "broker/client/admin.h"
#include "broker/client/consumer.h"
#include "broker/client/producer.h"
#include "scenarios/client_parts.h"

namespace verdict::scenarios {
namespace {

using runtime::Instant;
using runtime::Node;

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
