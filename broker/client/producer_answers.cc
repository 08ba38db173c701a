#include <algorithm>
#include <utility>

#include "broker/base/check.h"
#include "broker/client/probes.h"
#include "broker/client/producer_core.h"
#include "broker/rpc/backoff.h"
#include "broker/wire/errors.h"

namespace verdict::client {

using base::Errc;
using base::Result;
using base::Slices;
using wire::ErrorCode;

namespace {

// Errors by which a broker says that it did not append the batch. All others leave it open: also
// NOT_LEADER_OR_FOLLOWER may be told of a batch that was appended and then waited.
bool surely_not_appended(ErrorCode code) {
  switch (code) {
    case ErrorCode::corrupt_message:
    case ErrorCode::message_too_large:
    case ErrorCode::record_list_too_large:
    case ErrorCode::not_enough_replicas:
    case ErrorCode::invalid_required_acks:
    case ErrorCode::topic_authorization_failed:
    case ErrorCode::cluster_authorization_failed:
    case ErrorCode::invalid_timestamp:
    case ErrorCode::unsupported_version:
    case ErrorCode::invalid_request:
    case ErrorCode::unsupported_for_message_format:
    case ErrorCode::policy_violation:
    case ErrorCode::out_of_order_sequence_number:
    case ErrorCode::invalid_producer_epoch:
    case ErrorCode::unknown_producer_id:
    case ErrorCode::unsupported_compression_type:
    case ErrorCode::invalid_record:
    case ErrorCode::invalid_topic_exception:
      return true;
    default:
      return false;
  }
}

bool breaks_sequence(ErrorCode code) {
  return code == ErrorCode::out_of_order_sequence_number ||
         code == ErrorCode::unknown_producer_id || code == ErrorCode::invalid_producer_epoch;
}

using Answer = wire::ProduceResponse::PartitionProduceResponse;

const Answer* find_answer(const wire::ProduceResponse& response, const TopicPartition& at) {
  for (const auto& topic : response.responses) {
    if (topic.name != at.topic) continue;
    for (const Answer& answer : topic.partition_responses) {
      if (answer.index == at.partition) return &answer;
    }
  }
  return nullptr;
}

std::string text_of(const Answer& answer) {
  std::string text(wire::to_string(static_cast<ErrorCode>(answer.error_code)));
  if (answer.error_message) text += ": " + *answer.error_message;
  return text;
}

}  // namespace

void ProducerCore::on_answer(int32_t node, const std::vector<Part>& parts, int16_t version,
                             Result<Slices> body) {
  Lane& lane = lanes_[node];
  CHECK(lane.in_flight > 0);
  bool more = lane.in_flight-- == options_.max_in_flight;
  for (const Part& part : parts) land(*part.partition, *part.batch);

  wire::ProduceResponse response;
  std::optional<base::Error> trouble;
  if (!body) {
    trouble = std::move(body).error();
    want_metadata();
  } else if (options_.acks != Acks::none) {
    auto decoded = wire::ProduceResponse::decode(*body, version);
    if (decoded) response = std::move(*decoded);
    if (!decoded) trouble = std::move(decoded).error();
  }
  if (response.throttle_time_ms > 0) {
    lane.muted_until = node_.clock.after(runtime::milliseconds(response.throttle_time_ms));
  }
  for (const Part& part : parts) {
    Partition& partition = *part.partition;
    const Answer* answer = find_answer(response, partition.at);
    if (trouble) {
      lost(partition, *part.batch, *trouble);
    } else if (options_.acks == Acks::none) {
      acked(partition, *part.batch, {.base_offset = -1});
    } else if (answer == nullptr) {
      lost(partition, *part.batch, {Errc::invalid, "the answer lacks the partition"});
    } else {
      judge(partition, *part.batch, *answer);
    }
    more = more || !partition.batches.empty();
  }
  if (more) kick();
}

void ProducerCore::land(Partition& partition, Batch& batch) {
  CHECK(batch.in_flight);
  CHECK(partition.in_flight > 0);
  batch.in_flight = false;
  --partition.in_flight;
}

void ProducerCore::judge(Partition& partition, Batch& batch, const Answer& answer) {
  const auto code = static_cast<ErrorCode>(answer.error_code);
  if (code == ErrorCode::none || code == ErrorCode::duplicate_sequence_number) {
    return acked(partition, batch, answer);
  }
  if (!surely_not_appended(code)) batch.maybe_written = true;
  if (metadata_is_stale(answer.error_code)) want_metadata();
  if (options_.idempotent && breaks_sequence(code)) {
    node_.observer.reached(kProbeSequenceRefused);
    // The first in line shows that something before it is missing at the broker; what stands
    // behind it may just be early.
    if (partition.batches.front().get() == &batch) partition.gap = true;
    return retry(partition, batch, answer.error_code, text_of(answer));
  }
  if (retriable(answer.error_code)) {
    return retry(partition, batch, answer.error_code, text_of(answer));
  }
  finish_failed(partition, batch, answer.error_code, text_of(answer));
}

void ProducerCore::lost(Partition& partition, Batch& batch, const base::Error& why) {
  batch.maybe_written = true;
  if (options_.acks == Acks::none) {
    return finish_failed(partition, batch, 0, why.to_string());
  }
  retry(partition, batch, 0, why.to_string());
}

void ProducerCore::retry(Partition& partition, Batch& batch, int16_t error_code,
                         std::string detail) {
  CHECK(!batch.in_flight);
  CHECK(batch.attempts > 0);
  if (batch.attempts > options_.retries) {
    return finish_failed(partition, batch, error_code, std::move(detail));
  }
  node_.observer.reached(kProbeBatchRetried);
  const auto attempt = static_cast<uint32_t>(batch.attempts);
  batch.ready_at =
      node_.clock.after(rpc::backoff(node_.random, attempt, options_.cluster.retry_backoff_min,
                                     options_.cluster.retry_backoff_max));
}

void ProducerCore::close_gap(Partition& partition) {
  CHECK(partition.gap);
  CHECK(partition.in_flight == 0);
  // Unless another partition's gap has made a new epoch already.
  if (identity_.id.valid() && partition.identity == identity_) bump_epoch();
  for (size_t i = 0; i < partition.batches.size();) {
    Batch& batch = *partition.batches[i];
    if (batch.base_sequence >= 0 && batch.maybe_written) {
      // Under a new sequence a broker could not tell that it has it already.
      finish_failed(partition, batch, 0, "its place in the sequence was lost");
      continue;
    }
    batch.base_sequence = -1;
    ++i;
  }
  partition.gap = false;
  partition.identity = {};
  partition.next_sequence = 0;
}

void ProducerCore::acked(Partition& partition, Batch& batch, const Answer& answer) {
  keeper_attempts_ = 0;
  if (batch.identity == partition.identity) partition.known_to_broker = true;
  for (size_t i = 0; i < batch.records.size(); ++i) {
    Waiting& record = batch.records[i];
    const bool at_append = answer.log_append_time_ms >= 0;
    Delivery delivery{.outcome = Delivery::Outcome::acked, .partition = partition.at.partition};
    delivery.timestamp_ms = at_append ? answer.log_append_time_ms : record.timestamp_ms;
    if (answer.base_offset >= 0) delivery.offset = answer.base_offset + static_cast<int64_t>(i);
    record.promise.set(std::move(delivery));
  }
  remove(partition, batch);
}

void ProducerCore::finish_failed(Partition& partition, Batch& batch, int16_t error_code,
                                 std::string detail) {
  CHECK(!batch.in_flight);
  const auto outcome = batch.maybe_written ? Delivery::Outcome::unknown : Delivery::Outcome::failed;
  for (Waiting& record : batch.records) {
    record.promise.set({.outcome = outcome,
                        .partition = partition.at.partition,
                        .timestamp_ms = record.timestamp_ms,
                        .error_code = error_code,
                        .detail = detail});
  }
  forget_sequence(partition, batch);
  remove(partition, batch);
}

void ProducerCore::forget_sequence(Partition& partition, const Batch& batch) {
  if (batch.base_sequence < 0 || partition.gap) return;
  const int64_t end = int64_t{batch.base_sequence} + static_cast<int64_t>(batch.records.size());
  const bool last = static_cast<int32_t>(end & INT32_MAX) == partition.next_sequence;
  if (last && !batch.maybe_written && batch.identity == partition.identity) {
    partition.next_sequence = batch.base_sequence;
    return;
  }
  partition.gap = true;
}

void ProducerCore::remove(Partition& partition, Batch& batch) {
  CHECK(buffered_ >= batch.bytes);
  buffered_ -= batch.bytes;
  const auto open = open_by_generation_.find(batch.generation);
  CHECK(open != open_by_generation_.end() && open->second > 0);
  if (--open->second == 0) {
    open_by_generation_.erase(open);
    flushed_.notify_all();
  }
  const auto at = std::find_if(partition.batches.begin(), partition.batches.end(),
                               [&](const auto& held) { return held.get() == &batch; });
  CHECK(at != partition.batches.end());
  partition.batches.erase(at);
  space_.notify_all();
}

}  // namespace verdict::client
