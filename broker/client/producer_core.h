#pragma once
// The inside of the producer: batches per partition, the order in which they may be sent, and what
// an answer means for them.
//
// Two fibers: the sender, which never waits for one broker, and the keeper, which asks for metadata
// and producer ids. Answers are handled where they arrive.
//
// Invariants:
//   - a partition's batches stand in the order of their sequences; one that is in flight stays in
//     its place until its answer came;
//   - a partition has requests open at one broker at a time;
//   - with idempotence, a batch that was sent before is sent again only from the front;
//   - a broker that knows nothing of a producer takes any sequence from it as the first, so until
//     one batch of an identity is acknowledged, no second one of that partition is sent;
//   - a partition with a gap in its sequences sends nothing until none of it is in flight; then it
//     goes on with a new epoch from sequence 0.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/client/cluster.h"
#include "broker/client/producer.h"
#include "broker/record/batch.h"
#include "broker/runtime/node.h"
#include "broker/wire/produce.h"

namespace verdict::client {

class ProducerCore : public runtime::ShardBound {
 public:
  static constexpr size_t kPartitionsMax = 100'000;
  static constexpr size_t kTopicNameMax = 249;

  ProducerCore(runtime::Node& node, ProducerOptions options);

  base::Result<runtime::Future<Delivery>> send(Outgoing record, runtime::Instant deadline);
  base::Result<> flush(runtime::Instant deadline);
  void stop();

  using Identity = Producer::Identity;
  const Identity& identity() const { return identity_; }
  const std::vector<Identity>& identities() const { return identities_; }
  size_t buffered_bytes() const { return buffered_; }

 private:
  struct Waiting {
    runtime::Promise<Delivery> promise;
    int64_t timestamp_ms;
  };
  struct Batch {
    explicit Batch(record::BatchBuilder::Options options) : builder(options) {}
    record::BatchBuilder builder;  // empty once closed
    base::Slice plain;             // the batch as built, without identity
    bool full = false;             // closed to further records
    std::vector<Waiting> records;
    size_t bytes = 0;  // charged to the buffer
    uint64_t generation = 0;
    runtime::Instant created;
    runtime::Instant ready_at;  // end of the linger, or of the back-off
    Identity identity;
    int32_t base_sequence = -1;  // -1: none assigned
    int32_t attempts = 0;        // that left
    bool in_flight = false;
    bool maybe_written = false;  // an attempt may have been written
  };
  struct Partition {
    TopicPartition at;
    std::deque<std::unique_ptr<Batch>> batches;
    Identity identity;
    int32_t next_sequence = 0;
    bool known_to_broker = false;  // a batch of this identity was acknowledged
    int32_t in_flight = 0;
    int32_t in_flight_node = -1;
    bool gap = false;
  };
  struct Lane {
    uint32_t in_flight = 0;
    runtime::Instant muted_until;
  };
  // One batch of a request.
  struct Part {
    Partition* partition;
    Batch* batch;
  };
  using Answer = wire::ProduceResponse::PartitionProduceResponse;

  // ---- the sender
  void run_sender();
  // Sends what may be sent; false when nothing was.
  bool send_round(runtime::Instant now);
  bool send_request(int32_t node, rpc::Peer& peer, std::vector<Part> parts);
  base::Slices encode(Partition& partition, Batch& batch);
  // The batch that may be sent next, null when none; lowers wake_at_ to when there may be one.
  Batch* next_batch(Partition& partition, int32_t node, runtime::Instant now);
  bool may_go(const Batch& batch, runtime::Instant now);
  // A peer that takes requests; null when there is none now.
  rpc::Peer* ready_peer(int32_t node, runtime::Instant now);
  void close_batch(Batch& batch);
  // Gives the batch its identity and sequence, if it has none yet.
  void assign_sequence(Partition& partition, Batch& batch);
  void expire(Partition& partition, runtime::Instant now);
  void kick();
  void wake_at_latest(runtime::Instant at);

  // ---- the keeper
  void run_keeper();
  base::Result<> keep();
  base::Result<> ask_identity(runtime::Instant deadline);
  void want_metadata();
  void bump_epoch();

  // ---- answers
  void on_answer(int32_t node, const std::vector<Part>& parts, int16_t version,
                 base::Result<base::Slices> body);
  void land(Partition& partition, Batch& batch);
  void judge(Partition& partition, Batch& batch, const Answer& answer);
  void acked(Partition& partition, Batch& batch, const Answer& answer);
  void lost(Partition& partition, Batch& batch, const base::Error& why);
  // Puts the batch back, to be sent after the back-off; ends it when it has no attempt left.
  void retry(Partition& partition, Batch& batch, int16_t error_code, std::string detail);
  // When nothing of a partition with a gap is in flight: starts it anew.
  void close_gap(Partition& partition);

  // ---- ends
  void finish_failed(Partition& partition, Batch& batch, int16_t error_code, std::string detail);
  void forget_sequence(Partition& partition, const Batch& batch);
  void remove(Partition& partition, Batch& batch);

  Partition* partition(const std::string& topic, int32_t index);
  Batch& open_batch(Partition& partition, size_t record_bytes);

  runtime::Node& node_;
  const ProducerOptions options_;
  base::OrderedMap<TopicPartition, Partition> partitions_;
  base::OrderedMap<int32_t, Lane> lanes_;
  size_t buffered_ = 0;
  runtime::WaitQueue space_;  // waiting for room in the buffer
  uint64_t generation_ = 0;   // of batches; grows with every flush
  base::OrderedMap<uint64_t, size_t> open_by_generation_;
  runtime::WaitQueue flushed_;
  bool stopped_ = false;

  Identity identity_;
  std::vector<Identity> identities_;

  runtime::Event work_;  // the sender has something to look at
  runtime::Instant wake_at_ = runtime::Instant::never();
  runtime::Event wanted_;  // the keeper has something to ask
  bool metadata_wanted_ = false;
  bool identity_wanted_ = false;
  uint32_t keeper_attempts_ = 0;  // since the last acknowledgement
  Cluster cluster_;               // last: its fibers use what is above
};

}  // namespace verdict::client
