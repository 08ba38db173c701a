// Produce: written in the order of arrival, answered once it is committed.

#include "broker/wire/produce.h"

#include <algorithm>

#include "broker/base/hash_map.h"
#include "broker/server/probes.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::ErrorCode;
using wire::ProduceRequest;
using wire::ProduceResponse;
using PartitionResponse = ProduceResponse::PartitionProduceResponse;

// One partition's records on their way to its shard.
struct Append {
  replica::PartitionKey key;
  base::Slices records;
  size_t topic = 0;
  size_t partition = 0;
};

// What became of them. `ticket` is there when they are written and not committed yet.
struct Outcome {
  ErrorCode error = ErrorCode::none;
  std::string message;
  std::vector<record::RecordError> record_errors;
  replica::AppendTicket written;
  std::optional<replica::AppendTicket> ticket;
};

// A written batch that waits to be committed.
struct Open {
  replica::PartitionKey key;
  replica::AppendTicket ticket;
  size_t topic = 0;
  size_t partition = 0;
};

using Appends = std::vector<Append>;
using Opens = std::vector<Open>;
using Outcomes = std::vector<Outcome>;
using Codes = std::vector<ErrorCode>;
// Of the other shards: a request for this one alone pays nothing for them.
template <class T>
using ByShard = base::OrderedMap<uint32_t, T>;

Outcome append_here(BrokerShard& shard, const Append& append) {
  Outcome outcome;
  const auto partition = shard.find(append.key);
  if (partition == nullptr) {
    outcome.error = ErrorCode::not_leader_or_follower;
    return outcome;
  }
  auto appended = partition->append(append.records);
  if (!appended) {
    outcome.error = appended.error().code;
    outcome.message = std::move(appended.error().message);
    outcome.record_errors = std::move(appended.error().records);
    return outcome;
  }
  outcome.written = *appended;
  if (partition->high_watermark() < appended->through) outcome.ticket = *appended;
  return outcome;
}

Outcomes append_all_here(BrokerShard& shard, const Appends& appends) {
  Outcomes outcomes;
  outcomes.reserve(appends.size());
  for (const Append& append : appends) outcomes.push_back(append_here(shard, append));
  return outcomes;
}

Codes wait_here(BrokerShard& shard, const Opens& open, runtime::Duration limit) {
  const runtime::Instant deadline = shard.node().clock.after(limit);
  Codes codes;
  for (const Open& waiting : open) {
    const auto partition = shard.find(waiting.key);
    codes.push_back(partition == nullptr ? ErrorCode::unknown_topic_or_partition
                                         : partition->wait_committed(waiting.ticket, deadline));
  }
  return codes;
}

// One Produce from its first stage to its answer.
class Production final : public SecondStage {
 public:
  Production(const Request& request, ProduceRequest asked)
      : request_(request), shard_(request.shard()), asked_(std::move(asked)) {}

  base::Result<> append();
  bool would_wait() const override;
  Answer finish() override;

 private:
  void prepare(Appends& own, ByShard<Appends>& far);
  // Why the request as a whole is refused.
  std::optional<ErrorCode> refusal() const;
  // `open` gets what waits to be committed.
  void put(const Append& append, Outcome outcome, Opens& open);
  void put(const Opens& open, const Codes& codes);
  base::Result<> wait_committed();
  bool failed() const;
  PartitionResponse& at(size_t topic, size_t partition) {
    return response_.responses[topic].partition_responses[partition];
  }

  const Request& request_;  // outlives this
  BrokerShard& shard_;
  ProduceRequest asked_;
  ProduceResponse response_;
  Opens open_;  // of this shard
  ByShard<Opens> far_open_;
};

std::optional<ErrorCode> Production::refusal() const {
  if (asked_.acks < -1 || asked_.acks > 1) return ErrorCode::invalid_required_acks;
  // There is no coordinator that could have given this id a transaction.
  if (asked_.transactional_id) return ErrorCode::invalid_txn_state;
  return std::nullopt;
}

void Production::prepare(Appends& own, ByShard<Appends>& far) {
  const auto refused = refusal();
  const meta::ImagePointer image = shard_.image();
  for (size_t t = 0; t < asked_.topic_data.size(); ++t) {
    auto& topic = asked_.topic_data[t];
    const bool by_id = request_.version() >= 13;
    const meta::TopicState* state = by_id ? image->topic(topic.topic_id) : image->topic(topic.name);
    auto& out = response_.responses.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.topic_id;
    for (size_t p = 0; p < topic.partition_data.size(); ++p) {
      auto& data = topic.partition_data[p];
      PartitionResponse& answer = out.partition_responses.emplace_back();
      answer.index = data.index;
      answer.base_offset = -1;
      if (refused) {
        answer.error_code = code(*refused);
      } else if (state == nullptr || !state->partitions.contains(data.index)) {
        answer.error_code = code(by_id && state == nullptr ? ErrorCode::unknown_topic_id
                                                           : ErrorCode::unknown_topic_or_partition);
      } else if (!data.records) {
        answer.error_code = code(ErrorCode::invalid_record);
        answer.error_message = "no records";
      } else {
        const replica::PartitionKey key{state->id, data.index};
        const base::ShardId shard = shard_.shard_of(key);
        Appends& appends = shard == shard_.id() ? own : far[shard.value];
        appends.push_back({key, std::move(*data.records), t, p});
      }
    }
  }
}

void Production::put(const Append& append, Outcome outcome, Opens& open) {
  PartitionResponse& answer = at(append.topic, append.partition);
  answer.error_code = code(outcome.error);
  if (outcome.error != ErrorCode::none) {
    if (!outcome.message.empty()) answer.error_message = std::move(outcome.message);
    for (record::RecordError& error : outcome.record_errors) {
      ProduceResponse::BatchIndexAndErrorMessage out;
      out.batch_index = error.index;
      out.batch_index_error_message = std::move(error.message);
      answer.record_errors.push_back(std::move(out));
    }
    return;
  }
  answer.base_offset = outcome.written.base.value;
  answer.log_append_time_ms = outcome.written.timestamp_ms;
  answer.log_start_offset = outcome.written.log_start.value;
  if (outcome.ticket) {
    open.push_back({append.key, *outcome.ticket, append.topic, append.partition});
  }
}

base::Result<> Production::append() {
  Appends own;
  ByShard<Appends> far;
  prepare(own, far);
  // The far shards first, so that they work while this one does. All have written before the next
  // request is looked at: that keeps the order.
  ByShard<runtime::Future<Outcomes>> futures;
  for (const auto& [shard, appends] : far) {
    futures[shard] = shard_.call<Outcomes>(
        {shard}, [theirs = appends](BrokerShard& there) { return append_all_here(there, theirs); });
  }
  for (const Append& append : own) put(append, append_here(shard_, append), open_);
  for (auto& [shard, future] : futures) {
    Outcomes outcomes = TRY(future.wait(runtime::Instant::never()));
    const Appends& appends = far.at(shard);
    CHECK(outcomes.size() == appends.size());
    Opens open;
    for (size_t k = 0; k < outcomes.size(); ++k) put(appends[k], std::move(outcomes[k]), open);
    if (!open.empty()) far_open_[shard] = std::move(open);
  }
  return {};
}

bool Production::would_wait() const {
  if (asked_.acks == 0) return false;
  if (!far_open_.empty()) return true;
  return std::any_of(open_.begin(), open_.end(), [this](const Open& waiting) {
    const auto partition = shard_.find(waiting.key);
    return partition != nullptr && partition->high_watermark() < waiting.ticket.through;
  });
}

void Production::put(const Opens& open, const Codes& codes) {
  CHECK(codes.size() == open.size());
  for (size_t k = 0; k < codes.size(); ++k) {
    if (codes[k] == ErrorCode::none) continue;
    PartitionResponse& answer = at(open[k].topic, open[k].partition);
    answer.error_code = code(codes[k]);
    answer.base_offset = -1;
    answer.log_append_time_ms = -1;
    answer.log_start_offset = -1;
  }
}

base::Result<> Production::wait_committed() {
  if (open_.empty() && far_open_.empty()) return {};
  const auto passed = shard_.node().clock.now() - request_.arrived;
  const auto limit = runtime::milliseconds(std::max<int64_t>(0, asked_.timeout_ms - passed.ms()));
  ByShard<runtime::Future<Codes>> futures;
  for (const auto& [shard, open] : far_open_) {
    futures[shard] = shard_.call<Codes>({shard}, [theirs = open, limit](BrokerShard& there) {
      return wait_here(there, theirs, limit);
    });
  }
  if (!open_.empty()) put(open_, wait_here(shard_, open_, limit));
  for (auto& [shard, future] : futures) {
    const Codes codes = TRY(future.wait(runtime::Instant::never()));
    put(far_open_.at(shard), codes);
  }
  return {};
}

bool Production::failed() const {
  for (const auto& topic : response_.responses) {
    for (const PartitionResponse& answer : topic.partition_responses) {
      if (answer.error_code != 0) return true;
    }
  }
  return false;
}

Answer Production::finish() {
  if (asked_.acks == 0) {
    // The only way to tell a client that does not listen.
    if (failed()) return base::fail(base::Errc::closed, "a produce without acks failed");
    return base::Slices{};
  }
  TRY(wait_committed());
  return answer_with(request_, response_);
}

}  // namespace

base::Result<std::unique_ptr<SecondStage>> begin_produce(const Request& request) {
  auto asked = TRY(ProduceRequest::decode(request.frame.body, request.version()));
  auto production = std::make_unique<Production>(request, std::move(asked));
  TRY(production->append());
  return production;
}

}  // namespace verdict::server
