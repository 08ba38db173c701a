#include "broker/client/producer_core.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/base/check.h"
#include "broker/client/probes.h"
#include "broker/rpc/backoff.h"
#include "broker/wire/init_producer_id.h"

namespace verdict::client {

using base::Errc;
using base::fail;
using base::Result;
using base::Slice;
using base::Slices;
using runtime::Instant;

namespace {

// What a record costs the buffer beyond its bytes, about.
constexpr size_t kRecordOverhead = 32;
constexpr size_t kHeaderOverhead = 12;

size_t charge_of(const Outgoing& record) {
  size_t bytes = kRecordOverhead;
  if (record.key) bytes += record.key->size();
  if (record.value) bytes += record.value->size();
  for (const record::Header& header : record.headers) {
    bytes += kHeaderOverhead + header.key.size();
    if (header.value) bytes += header.value->size();
  }
  return bytes;
}

std::optional<std::span<const std::byte>> bytes_of(const std::optional<Slice>& slice) {
  if (!slice) return std::nullopt;
  return slice->bytes();
}

}  // namespace

ProducerCore::ProducerCore(runtime::Node& node, ProducerOptions options)
    : ShardBound(node.tasks),
      node_(node),
      options_(std::move(options)),
      space_(node.tasks),
      flushed_(node.tasks),
      work_(node.tasks),
      wanted_(node.tasks),
      cluster_(node, options_.cluster, [this] { kick(); }) {
  CHECK(options_.max_in_flight >= 1 && options_.max_in_flight <= Producer::kInFlightMax);
  CHECK(!options_.idempotent || options_.acks == Acks::all);
  identity_wanted_ = options_.idempotent;  // with the first look at the metadata
  cluster_.nursery().spawn("client.sender", [this] { run_sender(); });
  cluster_.nursery().spawn("client.keeper", [this] { run_keeper(); });
}

Result<runtime::Future<Delivery>> ProducerCore::send(Outgoing record, Instant deadline) {
  check_shard();
  if (record.partition < 0 || record.topic.empty() || record.topic.size() > kTopicNameMax) {
    return fail(Errc::invalid, "no partition " + record.topic + "-" +
                                   std::to_string(record.partition) + " can exist");
  }
  const size_t bytes = charge_of(record);
  if (bytes + record::kHeaderBytes > std::min(options_.request_bytes, options_.buffer_bytes)) {
    return fail(Errc::too_large, "a record of " + std::to_string(bytes) + " bytes");
  }
  while (!stopped_ && buffered_ + bytes > options_.buffer_bytes) {
    node_.observer.reached(kProbeBufferFull);
    if (node_.clock.now() >= deadline)
      return fail(Errc::exhausted, "the producer's buffer is full");
    const runtime::Wake wake = space_.wait(deadline);
    if (wake == runtime::Wake::cancelled) return fail(Errc::cancelled, "send");
  }
  if (stopped_) return fail(Errc::wrong_state, "the producer is stopped");
  Partition* to = partition(record.topic, record.partition);
  if (to == nullptr) return fail(Errc::exhausted, "too many partitions");

  Batch& batch = open_batch(*to, bytes);
  const int64_t timestamp_ms =
      record.timestamp_ms >= 0 ? record.timestamp_ms : node_.clock.wall().ms();
  batch.builder.add(timestamp_ms, bytes_of(record.key), bytes_of(record.value), record.headers);
  runtime::Promise<Delivery> promise(node_.tasks);
  runtime::Future<Delivery> future = promise.future();
  batch.records.push_back({.promise = std::move(promise), .timestamp_ms = timestamp_ms});
  batch.bytes += bytes;
  buffered_ += bytes;
  CHECK(buffered_ <= options_.buffer_bytes);
  if (batch.builder.uncompressed_bytes() >= options_.batch_bytes) batch.full = true;
  const bool first = batch.records.size() == 1;
  if (batch.full || (first && batch.ready_at < wake_at_)) kick();
  return future;
}

ProducerCore::Partition* ProducerCore::partition(const std::string& topic, int32_t index) {
  TopicPartition at{topic, index};
  const auto known = partitions_.find(at);
  if (known != partitions_.end()) return &known->second;
  if (partitions_.size() >= kPartitionsMax) return nullptr;
  Partition& made = partitions_[at];
  made.at = std::move(at);
  return &made;
}

ProducerCore::Batch& ProducerCore::open_batch(Partition& partition, size_t record_bytes) {
  if (!partition.batches.empty()) {
    Batch& last = *partition.batches.back();
    const bool fits = last.builder.uncompressed_bytes() + record_bytes <= options_.batch_bytes;
    if (!last.full && last.generation == generation_ && fits) return last;
    last.full = true;
  }
  const Instant now = node_.clock.now();
  auto batch = std::make_unique<Batch>(record::BatchBuilder::Options{.codec = options_.codec});
  batch->generation = generation_;
  batch->created = now;
  batch->ready_at = now + options_.linger;
  ++open_by_generation_[generation_];
  partition.batches.push_back(std::move(batch));
  return *partition.batches.back();
}

Result<> ProducerCore::flush(Instant deadline) {
  check_shard();
  const uint64_t mine = generation_++;
  if (!open_by_generation_.empty()) kick();
  while (!open_by_generation_.empty() && open_by_generation_.begin()->first <= mine) {
    const runtime::Wake wake = flushed_.wait(deadline);
    const bool open = !open_by_generation_.empty() && open_by_generation_.begin()->first <= mine;
    if (wake != runtime::Wake::notified && open) return runtime::to_result(wake, "flush");
  }
  return {};
}

void ProducerCore::stop() {
  check_shard();
  stopped_ = true;
  cluster_.stop();
  for (auto& [at, partition] : partitions_) {
    CHECK(partition.in_flight == 0);
    while (!partition.batches.empty()) {
      finish_failed(partition, *partition.batches.front(), 0, "the producer was stopped");
    }
  }
  CHECK(buffered_ == 0);
  CHECK(open_by_generation_.empty());
  space_.notify_all();
}

// ---- the sender

void ProducerCore::kick() { work_.set(); }

void ProducerCore::wake_at_latest(Instant at) { wake_at_ = std::min(wake_at_, at); }

void ProducerCore::run_sender() {
  for (;;) {
    work_.reset();
    while (send_round(node_.clock.now())) {
    }
    const auto woken = work_.wait(wake_at_);
    if (!woken && woken.error().code != Errc::timed_out) return;
  }
}

bool ProducerCore::send_round(Instant now) {
  struct Request {
    std::vector<Part> parts;
    size_t bytes = 0;
  };
  base::OrderedMap<int32_t, Request> requests;
  wake_at_ = Instant::never();
  for (auto& [at, partition] : partitions_) {
    if (partition.batches.empty()) continue;
    expire(partition, now);
    if (partition.gap && partition.in_flight == 0) close_gap(partition);
    if (partition.batches.empty()) continue;
    const std::optional<Leader> leader = cluster_.leader(at);
    if (!leader) {
      want_metadata();
      continue;
    }
    Batch* batch = next_batch(partition, leader->node, now);
    if (batch == nullptr) continue;
    Request& request = requests[leader->node];
    // What does not fit goes with the next round.
    if (!request.parts.empty() && request.bytes + batch->bytes > options_.request_bytes) continue;
    request.bytes += batch->bytes;
    request.parts.push_back({.partition = &partition, .batch = batch});
  }
  bool sent = false;
  for (auto& [node, request] : requests) {
    rpc::Peer* peer = ready_peer(node, now);
    if (peer != nullptr && send_request(node, *peer, std::move(request.parts))) sent = true;
  }
  return sent;
}

void ProducerCore::expire(Partition& partition, Instant now) {
  for (size_t i = 0; i < partition.batches.size();) {
    Batch& batch = *partition.batches[i];
    const Instant end = batch.created + options_.delivery_timeout;
    if (!batch.in_flight && end <= now) {
      node_.observer.reached(kProbeDeliveryTimedOut);
      finish_failed(partition, batch, 0, "not delivered in time");
      continue;
    }
    if (!batch.in_flight) wake_at_latest(end);
    ++i;
  }
}

ProducerCore::Batch* ProducerCore::next_batch(Partition& partition, int32_t node, Instant now) {
  if (partition.gap) return nullptr;
  if (partition.in_flight > 0 && partition.in_flight_node != node) return nullptr;
  if (options_.idempotent && !identity_.id.valid()) {
    identity_wanted_ = true;
    wanted_.set();
    return nullptr;
  }
  const bool first_is_out = partition.in_flight > 0 && !partition.known_to_broker;
  if (options_.idempotent && first_is_out) return nullptr;
  for (const auto& batch : partition.batches) {
    if (batch->in_flight) continue;
    const bool front = batch == partition.batches.front();
    if (options_.idempotent && batch->attempts > 0 && !front) return nullptr;
    return may_go(*batch, now) ? batch.get() : nullptr;
  }
  return nullptr;
}

bool ProducerCore::may_go(const Batch& batch, Instant now) {
  const bool closed = batch.attempts == 0 && (batch.full || batch.generation < generation_);
  if (closed || batch.ready_at <= now) return true;
  wake_at_latest(batch.ready_at);
  return false;
}

rpc::Peer* ProducerCore::ready_peer(int32_t node, Instant now) {
  Lane& lane = lanes_[node];
  if (lane.in_flight >= options_.max_in_flight) return nullptr;
  if (now < lane.muted_until) {
    wake_at_latest(lane.muted_until);
    return nullptr;
  }
  rpc::Peer* peer = cluster_.peer(node);
  CHECK(peer != nullptr);
  if (peer->connected()) return peer;
  // The leader may have moved while its broker cannot be reached.
  if (peer->failures() > 0) want_metadata();
  peer->want();
  return nullptr;
}

bool ProducerCore::send_request(int32_t node, rpc::Peer& peer, std::vector<Part> parts) {
  const auto version =
      peer.version(wire::ProduceRequest::kApiKey, kSpeakProduce.min, kSpeakProduce.max);
  if (!version) {
    const bool never = version.error().code == Errc::unsupported;
    for (const Part& part : parts) {
      if (never) finish_failed(*part.partition, *part.batch, 35, version.error().detail);
    }
    return false;
  }
  wire::ProduceRequest request;
  request.acks = static_cast<int16_t>(options_.acks);
  request.timeout_ms = static_cast<int32_t>(options_.cluster.request_timeout.ms());
  for (const Part& part : parts) {
    const TopicPartition& at = part.partition->at;
    if (request.topic_data.empty() || request.topic_data.back().name != at.topic) {
      request.topic_data.push_back({.name = at.topic});
    }
    request.topic_data.back().partition_data.push_back(
        {.index = at.partition, .records = encode(*part.partition, *part.batch)});
  }
  const Instant deadline = node_.clock.after(options_.cluster.request_timeout);
  const auto submitted = peer.submit(
      request, *version, deadline,
      [this, node, parts, at_version = *version](Result<Slices> body) {
        on_answer(node, parts, at_version, std::move(body));
      },
      options_.acks != Acks::none);
  if (!submitted) return false;
  ++lanes_[node].in_flight;
  for (const Part& part : parts) {
    CHECK(!part.batch->in_flight);
    part.batch->in_flight = true;
    ++part.batch->attempts;
    ++part.partition->in_flight;
    part.partition->in_flight_node = node;
  }
  return true;
}

void ProducerCore::close_batch(Batch& batch) {
  batch.full = true;
  if (!batch.plain.empty()) return;
  CHECK(batch.builder.count() == batch.records.size());
  batch.plain = batch.builder.build();
}

void ProducerCore::assign_sequence(Partition& partition, Batch& batch) {
  if (batch.base_sequence >= 0) return;
  const bool front = partition.batches.front().get() == &batch;
  // A new epoch begins at sequence 0, and only when nothing of the old one is open.
  if (front && partition.identity != identity_) {
    partition.identity = identity_;
    partition.next_sequence = 0;
    partition.known_to_broker = false;
  }
  CHECK(partition.identity.id.valid());
  batch.identity = partition.identity;
  batch.base_sequence = partition.next_sequence;
  const int64_t next =
      int64_t{partition.next_sequence} + static_cast<int64_t>(batch.records.size());
  partition.next_sequence = static_cast<int32_t>(next & INT32_MAX);
}

Slices ProducerCore::encode(Partition& partition, Batch& batch) {
  close_batch(batch);
  if (!options_.idempotent) return batch.plain;
  assign_sequence(partition, batch);
  const size_t bytes = batch.plain.size();
  const Slice body = batch.plain.cut(record::kHeaderBytes, bytes - record::kHeaderBytes);
  record::BatchHeader header = record::read_header(batch.plain.bytes());
  header.producer_id = batch.identity.id.value;
  header.producer_epoch = batch.identity.epoch;
  header.base_sequence = batch.base_sequence;
  header.crc = record::batch_crc(header, body);
  std::array<std::byte, record::kHeaderBytes> raw{};
  record::write_header(header, raw);
  return {Slice::copy_of(raw), body};
}

// ---- the keeper

void ProducerCore::want_metadata() {
  if (metadata_wanted_) return;
  metadata_wanted_ = true;
  wanted_.set();
}

void ProducerCore::run_keeper() {
  while (wanted_.wait(Instant::never())) {
    wanted_.reset();
    const auto kept = keep();
    if (!kept && kept.error().code == Errc::cancelled) return;
    kick();
    // However often the sender finds that it does not know enough.
    ++keeper_attempts_;
    const runtime::Duration pause =
        rpc::backoff(node_.random, keeper_attempts_, options_.cluster.retry_backoff_min,
                     options_.cluster.retry_backoff_max);
    if (!node_.clock.sleep(pause)) return;
  }
}

Result<> ProducerCore::keep() {
  const Instant deadline = node_.clock.after(options_.cluster.request_timeout);
  if (std::exchange(metadata_wanted_, false)) {
    std::vector<std::string> topics;
    for (const auto& [at, partition] : partitions_) {
      if (topics.empty() || topics.back() != at.topic) topics.push_back(at.topic);
    }
    TRY(cluster_.refresh(topics, deadline));
  }
  if (std::exchange(identity_wanted_, false)) TRY(ask_identity(deadline));
  return {};
}

Result<> ProducerCore::ask_identity(Instant deadline) {
  if (identity_.id.valid()) return {};
  const wire::InitProducerIdRequest request{.transaction_timeout_ms = INT32_MAX};
  const auto response =
      TRY(cluster_.call_any<wire::InitProducerIdResponse>(request, kSpeakInitProducerId, deadline));
  if (response.error_code != 0 || response.producer_id < 0) {
    node_.observer.warning("no producer id", {{"error", response.error_code}});
    return {};
  }
  identity_ = {.id = {response.producer_id}, .epoch = response.producer_epoch};
  identities_.push_back(identity_);
  return {};
}

void ProducerCore::bump_epoch() {
  CHECK(identity_.id.valid());
  node_.observer.reached(kProbeEpochBumped);
  if (identity_.epoch == INT16_MAX) {
    identity_ = {};
    return;
  }
  ++identity_.epoch;
}

}  // namespace verdict::client
