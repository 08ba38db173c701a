#pragma once
// Producer: sends records in batches per partition and tells of each what became of it.
//
// Made, stopped and destroyed by one fiber; other fibers of the shard may send.
//
// Invariants:
//   - every record accepted by send() gets exactly one Delivery, at the latest delivery_timeout
//     plus request_timeout later, or by stop();
//   - `failed` is said only of a record that no broker has written or will write; what left and
//     was not answered is `unknown`;
//   - idempotent: a batch keeps its producer id, epoch and sequence through its retries, at most
//     kInFlightMax requests are open, and a retry is sent only when nothing before it is open. The
//     epoch is bumped only for batches that no broker can have taken (KIP-360); the others end as
//     unknown.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/client/cluster.h"
#include "broker/record/batch.h"
#include "broker/runtime/node.h"

namespace verdict::client {

enum class Acks : int8_t { all = -1, none = 0, leader = 1 };

struct ProducerOptions {
  ClusterOptions cluster;  // bootstrap, client_id, time-outs, back-offs
  Acks acks = Acks::all;
  bool idempotent = true;  // needs acks = all
  record::Codec codec = record::Codec::none;
  runtime::Duration linger = runtime::milliseconds(5);
  size_t batch_bytes = 16'384;       // a batch is closed when it reaches this
  size_t request_bytes = 1'048'576;  // all batches of one request, unless one is larger
  size_t buffer_bytes = 32U << 20;   // of records without outcome
  uint32_t max_in_flight = 5;        // open requests per broker, 1 to kInFlightMax
  runtime::Duration delivery_timeout = runtime::seconds(120);
  int32_t retries = INT32_MAX;  // attempts after the first
};

struct Outgoing {
  std::string topic;
  int32_t partition = 0;
  std::optional<base::Slice> key;
  std::optional<base::Slice> value;
  std::vector<record::Header> headers;
  int64_t timestamp_ms = -1;  // -1: the wall clock
};

// What became of one record.
struct Delivery {
  enum class Outcome : uint8_t {
    acked,    // written, as far as acks asked for
    failed,   // surely not written
    unknown,  // perhaps written
  };
  Outcome outcome = Outcome::unknown;
  int32_t partition = 0;
  int64_t offset = -1;  // acked, with acks other than none
  int64_t timestamp_ms = -1;
  int16_t error_code = 0;  // Kafka's, when a broker refused
  std::string detail;      // for people; empty when acked
};

class ProducerCore;

class Producer {
 public:
  static constexpr uint32_t kInFlightMax = 5;  // what a broker remembers per producer id

  Producer(runtime::Node& node, ProducerOptions options);
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;
  ~Producer();

  // Takes the record into the buffer; suspends while that is full, at most until `deadline` (one in
  // the past: never). Errors: exhausted (full), cancelled, too_large, invalid, wrong_state
  // (stopped); the record is then surely not written.
  base::Result<runtime::Future<Delivery>> send(Outgoing record, runtime::Instant deadline);
  // Sends what lingers and waits until every record sent before has its outcome. timed_out.
  base::Result<> flush(runtime::Instant deadline);
  // Ends all open records as failed or unknown and closes the connections; before destruction.
  void stop();

  // As given by the broker; epoch as bumped since. Invalid until the first idempotent batch.
  base::ProducerId producer_id() const;
  int16_t producer_epoch() const;
  // Ids in the order in which brokers gave them, with the epoch as given.
  struct Identity {
    base::ProducerId id;
    int16_t epoch = -1;
    bool operator==(const Identity&) const = default;
  };
  const std::vector<Identity>& identities() const;
  size_t buffered_bytes() const;

 private:
  std::unique_ptr<ProducerCore> core_;
};

}  // namespace verdict::client
