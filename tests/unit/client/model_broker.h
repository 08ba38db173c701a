#pragma once
// A broker of one node as a model: logs in memory that outlive its process, Kafka's rules for
// sequences and epochs, and a script of mishaps. Written apart from the real broker.

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/client/cluster.h"
#include "broker/record/batch.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/errors.h"
#include "broker/wire/fetch.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/metadata.h"
#include "broker/wire/produce.h"
#include "tests/unit/rpc/scripted_peer.h"

namespace verdict::client {

// What happens to one Produce request.
struct Mishap {
  enum class Kind { none, lost_before, lost_after, refuse, hang } kind = Kind::none;
  int16_t error_code = 0;
};

struct ModelBatch {
  record::BatchHeader header;
  base::Slices bytes;
};

struct ModelPartition {
  struct Sequences {
    int16_t epoch = -1;
    int32_t last = -1;
    std::deque<std::pair<int32_t, int64_t>> recent;  // base sequence, base offset
  };
  std::vector<ModelBatch> batches;
  std::map<int64_t, Sequences> producers;
  int32_t leader_epoch = 0;
  int64_t start = 0;

  int64_t end() const { return batches.empty() ? start : batches.back().header.next_offset(); }

  // Kafka's error, and the base offset.
  std::pair<int16_t, int64_t> append(const base::Slices& bytes) {
    record::BatchHeader header = record::read_header(bytes.flatten().bytes());
    if (record::batch_crc(bytes) != header.crc) return {2, -1};
    Sequences& known = producers[header.producer_id];
    if (header.producer_id >= 0) {
      if (header.producer_epoch < known.epoch) return {47, -1};
      const bool fresh = header.producer_epoch > known.epoch;
      if (fresh && known.epoch >= 0 && header.base_sequence != 0) return {45, -1};
      if (fresh) known = {.epoch = header.producer_epoch, .last = header.base_sequence - 1};
      for (const auto& [sequence, offset] : known.recent) {
        if (sequence == header.base_sequence) return {0, offset};
      }
      if (header.base_sequence != known.last + 1) return {45, -1};
      known.last = header.last_sequence();
    }
    header.base_offset = end();
    header.leader_epoch = leader_epoch;
    base::MutableBuffer head(record::kHeaderBytes);
    record::write_header(header, head.bytes().first<record::kHeaderBytes>());
    base::Slices stored{std::move(head).freeze(record::kHeaderBytes)};
    stored.append(bytes.cut(record::kHeaderBytes, bytes.size() - record::kHeaderBytes));
    batches.push_back({header, stored});
    known.recent.push_back({header.base_sequence, header.base_offset});
    if (known.recent.size() > 5) known.recent.pop_front();
    return {0, header.base_offset};
  }
  // A power loss: batches from `offset` on are gone, and what producers were known by them.
  void lose_from(int64_t offset) {
    while (!batches.empty() && batches.back().header.base_offset >= offset) batches.pop_back();
    producers.clear();
    for (const ModelBatch& batch : batches) {
      Sequences& known = producers[batch.header.producer_id];
      if (batch.header.producer_epoch != known.epoch)
        known = {.epoch = batch.header.producer_epoch};
      known.last = batch.header.last_sequence();
      known.recent.push_back({batch.header.base_sequence, batch.header.base_offset});
      if (known.recent.size() > 5) known.recent.pop_front();
    }
    ++leader_epoch;
  }
  // Offset of the end of the greatest epoch not above `epoch`.
  std::pair<int32_t, int64_t> end_of_epoch(int32_t epoch) const {
    std::pair<int32_t, int64_t> found{-1, start};
    for (const ModelBatch& batch : batches) {
      if (batch.header.leader_epoch > epoch) break;
      found = {batch.header.leader_epoch, batch.header.next_offset()};
    }
    return found;
  }
  std::vector<std::string> values() const {
    std::vector<std::string> all;
    for (const ModelBatch& batch : batches) {
      const auto records = record::read_records(batch.header, batch.bytes, 1U << 20);
      for (const auto& record : *records) all.emplace_back(record.value->text());
    }
    return all;
  }
};

class ModelBroker {
 public:
  std::map<TopicPartition, ModelPartition> partitions;
  std::map<std::string, base::Uuid> topics;
  runtime::Endpoint advertised;
  std::function<Mishap(const wire::ProduceRequest&)> mishap;
  int64_t next_producer_id = 4'000;
  int produces = 0;
  int metadata_requests = 0;
  int32_t asked_epoch = -1;           // the highest that a Fetch named
  int epochs_taken_back = 0;          // fetches that named a lower one
  std::optional<int32_t> told_epoch;  // what Metadata says instead of the truth, once

  void add_topic(const std::string& name, int32_t count) {
    topics[name] = {.high = 7, .low = topics.size() + 1};
    for (int32_t i = 0; i < count; ++i) partitions[{name, i}];
  }

  rpc::Reply operator()(const wire::RequestFrame& request) {
    switch (request.api->key) {
      case wire::kApiVersionsKey:
        return {.frame = rpc::versions_answer(request)};
      case wire::MetadataRequest::kApiKey:
        return metadata(request);
      case wire::InitProducerIdRequest::kApiKey:
        return answer(request, wire::InitProducerIdResponse{.producer_id = next_producer_id++});
      case wire::ProduceRequest::kApiKey:
        return produce(request);
      case wire::FetchRequest::kApiKey:
        return fetch(request);
      case wire::ListOffsetsRequest::kApiKey:
        return list_offsets(request);
      case wire::CreateTopicsRequest::kApiKey:
        return create(request);
      case wire::DeleteTopicsRequest::kApiKey:
        return remove(request);
      default:
        return {.close = true};
    }
  }

 private:
  template <class Response>
  rpc::Reply answer(const wire::RequestFrame& request, const Response& response) {
    return {.frame =
                wire::response_frame(response, request.version(), request.header.correlation_id)};
  }

  rpc::Reply metadata(const wire::RequestFrame& frame) {
    ++metadata_requests;
    const auto request = wire::MetadataRequest::decode(frame.body, frame.version());
    wire::MetadataResponse response;
    response.brokers.push_back({.node_id = 1, .host = advertised.host, .port = advertised.port});
    response.controller_id = 1;
    std::vector<std::string> names;
    if (request->topics) {
      for (const auto& topic : *request->topics) names.push_back(*topic.name);
    } else {
      for (const auto& [name, id] : topics) names.push_back(name);
    }
    for (const std::string& name : names) {
      const bool known = topics.contains(name);
      response.topics.push_back({.error_code = static_cast<int16_t>(known ? 0 : 3), .name = name});
      if (!known) continue;
      response.topics.back().topic_id = topics[name];
      for (const auto& [at, partition] : partitions) {
        if (at.topic != name) continue;
        response.topics.back().partitions.push_back(
            {.partition_index = at.partition,
             .leader_id = 1,
             .leader_epoch = told_epoch.value_or(partition.leader_epoch)});
      }
    }
    told_epoch.reset();
    return answer(frame, response);
  }

  rpc::Reply produce(const wire::RequestFrame& frame) {
    ++produces;
    const auto request = wire::ProduceRequest::decode(frame.body, frame.version());
    const Mishap what = mishap ? mishap(*request) : Mishap{};
    if (what.kind == Mishap::Kind::lost_before) return {.close = true};
    if (what.kind == Mishap::Kind::hang) return {};
    wire::ProduceResponse response;
    for (const auto& topic : request->topic_data) {
      response.responses.push_back({.name = topic.name});
      for (const auto& data : topic.partition_data) {
        std::pair<int16_t, int64_t> done{what.error_code, -1};
        const auto known = partitions.find({topic.name, data.index});
        if (done.first == 0) {
          done = known == partitions.end() ? std::pair<int16_t, int64_t>{3, -1}
                                           : known->second.append(*data.records);
        }
        response.responses.back().partition_responses.push_back(
            {.index = data.index, .error_code = done.first, .base_offset = done.second});
      }
    }
    if (what.kind == Mishap::Kind::lost_after) return {.close = true};
    if (request->acks == 0) return {};
    return answer(frame, response);
  }

  rpc::Reply fetch(const wire::RequestFrame& frame) {
    const auto request = wire::FetchRequest::decode(frame.body, frame.version());
    wire::FetchResponse response;
    bool empty = true;
    for (const auto& topic : request->topics) {
      response.responses.push_back({.topic = topic.topic});
      for (const auto& asked : topic.partitions) {
        auto data = fetch_partition(topic.topic, asked);
        empty = empty && data.error_code == 0 && data.records->empty() &&
                data.diverging_epoch.end_offset < 0;
        response.responses.back().partitions.push_back(std::move(data));
      }
    }
    rpc::Reply reply = answer(frame, response);
    if (empty) reply.delay = runtime::milliseconds(request->max_wait_ms);
    return reply;
  }

  wire::FetchResponse::PartitionData fetch_partition(
      const std::string& topic, const wire::FetchRequest::FetchPartition& asked) {
    wire::FetchResponse::PartitionData data{.partition_index = asked.partition};
    data.records.emplace();
    const auto known = partitions.find({topic, asked.partition});
    if (known == partitions.end()) return data.error_code = 3, data;
    const ModelPartition& partition = known->second;
    data.high_watermark = partition.end();
    if (asked.current_leader_epoch < asked_epoch) ++epochs_taken_back;
    asked_epoch = std::max(asked_epoch, asked.current_leader_epoch);
    if (asked.current_leader_epoch < partition.leader_epoch) return data.error_code = 74, data;
    if (asked.current_leader_epoch > partition.leader_epoch) return data.error_code = 75, data;
    if (asked.last_fetched_epoch >= 0) {
      const auto [epoch, end] = partition.end_of_epoch(asked.last_fetched_epoch);
      if (epoch < asked.last_fetched_epoch || end < asked.fetch_offset) {
        data.diverging_epoch = {.epoch = epoch, .end_offset = end};
        return data;
      }
    }
    if (asked.fetch_offset < partition.start || asked.fetch_offset > partition.end()) {
      return data.error_code = 1, data;
    }
    for (const ModelBatch& batch : partition.batches) {
      if (batch.header.last_offset() < asked.fetch_offset) continue;
      data.records->append(batch.bytes);
      if (data.records->size() > static_cast<size_t>(asked.partition_max_bytes)) break;
    }
    return data;
  }

  rpc::Reply list_offsets(const wire::RequestFrame& frame) {
    const auto request = wire::ListOffsetsRequest::decode(frame.body, frame.version());
    wire::ListOffsetsResponse response;
    std::set<TopicPartition> seen;
    for (const auto& topic : request->topics) {
      response.topics.push_back({.name = topic.name});
      for (const auto& asked : topic.partitions) {
        const TopicPartition at{topic.name, asked.partition_index};
        const bool twice = !seen.insert(at).second;
        const ModelPartition& partition = partitions.at(at);
        response.topics.back().partitions.push_back(
            {.partition_index = at.partition,
             .error_code = static_cast<int16_t>(twice ? 42 : 0),
             .offset = asked.timestamp == -2 ? partition.start : partition.end(),
             .leader_epoch = partition.leader_epoch});
      }
    }
    return answer(frame, response);
  }

  rpc::Reply create(const wire::RequestFrame& frame) {
    const auto request = wire::CreateTopicsRequest::decode(frame.body, frame.version());
    wire::CreateTopicsResponse response;
    for (const auto& topic : request->topics) {
      const bool known = topics.contains(topic.name);
      if (!known && !request->validate_only) add_topic(topic.name, topic.num_partitions);
      response.topics.push_back(
          {.name = topic.name, .error_code = static_cast<int16_t>(known ? 36 : 0)});
      if (!known && !request->validate_only) response.topics.back().topic_id = topics[topic.name];
    }
    return answer(frame, response);
  }

  rpc::Reply remove(const wire::RequestFrame& frame) {
    const auto request = wire::DeleteTopicsRequest::decode(frame.body, frame.version());
    wire::DeleteTopicsResponse response;
    for (const std::string& name : request->topic_names) {
      const bool known = topics.erase(name) > 0;
      std::erase_if(partitions, [&](const auto& one) { return one.first.topic == name; });
      response.responses.push_back(
          {.name = name, .error_code = static_cast<int16_t>(known ? 0 : 3)});
    }
    return answer(frame, response);
  }
};

}  // namespace verdict::client
