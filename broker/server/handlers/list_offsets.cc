// ListOffsets: offsets of partitions by timestamp, and their ends.

#include "broker/wire/list_offsets.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"

namespace verdict::server {

namespace {

using wire::ErrorCode;
using wire::ListOffsetsRequest;
using wire::ListOffsetsResponse;

struct Question {
  replica::PartitionKey key;
  int64_t timestamp_ms = 0;
  base::LeaderEpoch epoch;
  // Where the answer belongs.
  size_t topic = 0;
  size_t partition = 0;
};

using Answers = std::vector<replica::TimestampAnswer>;

Answers find_here(BrokerShard& shard, const std::vector<Question>& questions) {
  Answers answers;
  for (const Question& question : questions) {
    const auto partition = shard.find(question.key);
    if (partition == nullptr) {
      answers.push_back({.code = ErrorCode::not_leader_or_follower});
    } else {
      answers.push_back(partition->find_offset(question.timestamp_ms, question.epoch));
    }
  }
  return answers;
}

// The lowest version that knows a timestamp with a meaning of its own.
bool known_timestamp(int64_t timestamp_ms, int16_t version) {
  if (timestamp_ms >= replica::kEarliestOffset) return true;
  if (timestamp_ms == replica::kMaxTimestamp) return version >= 7;
  if (timestamp_ms == replica::kEarliestLocalOffset) return version >= 8;
  return timestamp_ms == replica::kLatestTieredOffset && version >= 9;
}

}  // namespace

Answer handle_list_offsets(const Request& request) {
  const auto asked = TRY(ListOffsetsRequest::decode(request.frame.body, request.version()));
  BrokerShard& shard = request.shard();
  const meta::ImagePointer image = shard.image();
  ListOffsetsResponse response;
  std::vector<std::vector<Question>> by_shard(shard.node().tasks.shard_count());
  for (size_t t = 0; t < asked.topics.size(); ++t) {
    const auto& topic = asked.topics[t];
    const meta::TopicState* state = image->topic(topic.name);
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const auto& partition = topic.partitions[p];
      auto& answer = out.partitions.emplace_back();
      answer.partition_index = partition.partition_index;
      if (state == nullptr || !state->partitions.contains(partition.partition_index)) {
        answer.error_code = code(ErrorCode::unknown_topic_or_partition);
      } else if (!known_timestamp(partition.timestamp, request.version())) {
        answer.error_code = code(ErrorCode::unsupported_version);
      } else {
        const replica::PartitionKey key{state->id, partition.partition_index};
        by_shard[shard.shard_of(key).value].push_back(
            {key, partition.timestamp, {partition.current_leader_epoch}, t, p});
      }
    }
  }
  for (uint32_t i = 0; i < by_shard.size(); ++i) {
    if (by_shard[i].empty()) continue;
    auto future = shard.call<Answers>(
        {i}, [questions = by_shard[i]](BrokerShard& there) { return find_here(there, questions); });
    const Answers answers = TRY(future.wait(runtime::Instant::never()));
    for (size_t k = 0; k < answers.size(); ++k) {
      const Question& question = by_shard[i][k];
      auto& out = response.topics[question.topic].partitions[question.partition];
      out.error_code = code(answers[k].code);
      out.timestamp = answers[k].timestamp_ms;
      out.offset = answers[k].offset.value;
      if (request.version() >= 4) out.leader_epoch = answers[k].epoch.value;
    }
  }
  return answer_with(request, response);
}

}  // namespace verdict::server
