#include "scenarios/workload.h"

#include <algorithm>
#include <array>
#include <deque>

#include "broker/base/check.h"
#include "broker/client/admin.h"
#include "broker/client/consumer.h"
#include "broker/client/producer.h"
#include "scenarios/client_parts.h"
#include "scenarios/proto/verdict.pb.h"

namespace verdict::scenarios {
namespace {

using runtime::Instant;
using runtime::Node;

// Half of the lives pack nothing: codecs take more of a trial's time than the broker does.
using record::Codec;
constexpr std::array kCodecs = {Codec::none, Codec::none,   Codec::none, Codec::none,
                                Codec::gzip, Codec::snappy, Codec::lz4,  Codec::zstd};
constexpr size_t kOutstandingMax = 200;       // records of one producer without outcome
constexpr uint64_t kSmallBufferOneIn = 8;     // lives of producers
constexpr size_t kRecordOverheadBytes = 200;  // more than key, record and batch add to a value

// False when the client is asked to stop.
bool wait_for_topics(Node& node, const Load& load) {
  while (!load.topics_ready && !load.finish) {
    if (!node.clock.sleep(runtime::milliseconds(50))) return false;
  }
  return load.topics_ready;
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
    options.codec = kCodecs[dice_.below(kCodecs.size())];
    options.linger = runtime::milliseconds(static_cast<int64_t>(dice_.below(20)));
    options.batch_bytes = 1 + dice_.below(4'000);
    options.max_in_flight = 1 + static_cast<uint32_t>(dice_.below(5));
    options.delivery_timeout = runtime::seconds(dice_.between(4, 20));
    if (dice_.below(kSmallBufferOneIn) == 0) {
      // Holds one of the largest records, so that nothing is refused for its size alone.
      options.buffer_bytes = 2 * kRecordOverheadBytes + w.value_bytes_max() + dice_.below(2'000);
    }
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
  ClientDice dice_;
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
  ClientDice dice(load, self);
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

}  // namespace verdict::scenarios
