// Fetch: reads committed records, and waits for more while there are too few.

#include <algorithm>

#include "broker/server/probes.h"
#include "broker/server/request.h"
#include "broker/wire/errors.h"
#include "broker/wire/fetch.h"

namespace verdict::server {

namespace {

using wire::ErrorCode;
using wire::FetchRequest;
using wire::FetchResponse;

// One partition of the request, in its order.
struct Item {
  replica::PartitionKey key;
  replica::FetchPosition position;
  size_t topic = 0;
  size_t partition = 0;
};

struct Part {
  replica::FetchPart read;
  size_t topic = 0;
  size_t partition = 0;
};
using Parts = std::vector<Part>;

Parts read_here(BrokerShard& shard, const std::vector<Item>& items, size_t bytes_max) {
  Parts parts;
  parts.reserve(items.size());
  size_t left = bytes_max;
  bool empty = true;
  for (const Item& item : items) {
    Part part{{}, item.topic, item.partition};
    const auto partition = shard.find(item.key);
    if (partition == nullptr) {
      part.read.code = ErrorCode::not_leader_or_follower;
    } else {
      replica::FetchPosition position = item.position;
      position.bytes_max = std::min(position.bytes_max, left);
      // The first batch of an answer comes whole however large it is, or nobody could read it.
      position.at_least_one = empty;
      part.read = partition->fetch(position);
    }
    const size_t size = part.read.records.size();
    left -= std::min(left, size);
    empty = empty && size == 0;
    parts.push_back(std::move(part));
  }
  return parts;
}

class Fetching {
 public:
  Fetching(const Request& request, FetchRequest asked)
      : request_(request), shard_(request.shard()), asked_(std::move(asked)) {}

  Answer run();

 private:
  void prepare();
  base::Result<> read();
  // Whether the answer can go out as it is.
  bool enough() const;
  // Waits until one of the partitions has moved. False when the time is over.
  bool wait(runtime::Instant deadline);
  void watch(const PollId& id);
  void unwatch(const PollId& id);
  Answer answer();
  void fill(const Part& part);

  const Request& request_;
  BrokerShard& shard_;
  FetchRequest asked_;
  FetchResponse response_;
  size_t bytes_max_ = 0;
  bool refused_ = false;                  // some partition has an error already
  std::vector<std::vector<Item>> items_;  // by shard
  Parts parts_;                           // of the last read, in the order of the request
};

void Fetching::prepare() {
  const meta::ImagePointer image = shard_.image();
  bytes_max_ =
      static_cast<size_t>(std::clamp(asked_.max_bytes, 0, shard_.config().fetch_bytes_max));
  items_.resize(shard_.node().tasks.shard_count());
  for (size_t t = 0; t < asked_.topics.size(); ++t) {
    const auto& topic = asked_.topics[t];
    const bool by_id = request_.version() >= 13;
    const meta::TopicState* state =
        by_id ? image->topic(topic.topic_id) : image->topic(topic.topic);
    auto& out = response_.responses.emplace_back();
    out.topic = topic.topic;
    out.topic_id = topic.topic_id;
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      const auto& partition = topic.partitions[p];
      auto& data = out.partitions.emplace_back();
      data.partition_index = partition.partition;
      data.high_watermark = -1;
      data.records = base::Slices{};  // never null: librdkafka cannot read that
      if (state == nullptr || !state->partitions.contains(partition.partition)) {
        data.error_code = code(by_id && state == nullptr ? ErrorCode::unknown_topic_id
                                                         : ErrorCode::unknown_topic_or_partition);
        refused_ = true;
        continue;
      }
      const replica::PartitionKey key{state->id, partition.partition};
      replica::FetchPosition position;
      position.from = {partition.fetch_offset};
      position.current_epoch = {partition.current_leader_epoch};
      position.last_fetched_epoch = {partition.last_fetched_epoch};
      position.bytes_max = static_cast<size_t>(std::max(partition.partition_max_bytes, 0));
      items_[shard_.shard_of(key).value].push_back({key, position, t, p});
    }
  }
}

base::Result<> Fetching::read() {
  parts_.clear();
  const uint32_t own = shard_.id().value;
  std::vector<runtime::Future<Parts>> futures(items_.size());
  size_t shards = 0;
  for (uint32_t i = 0; i < items_.size(); ++i) {
    if (items_[i].empty()) continue;
    ++shards;
    if (i == own) continue;
    futures[i] = shard_.call<Parts>({i}, [items = items_[i], max = bytes_max_](BrokerShard& there) {
      return read_here(there, items, max);
    });
  }
  for (uint32_t i = 0; i < items_.size(); ++i) {
    if (items_[i].empty()) continue;
    Parts parts;
    if (i == own) {
      parts = read_here(shard_, items_[i], bytes_max_);
    } else {
      parts = TRY(futures[i].wait(runtime::Instant::never()));
    }
    for (Part& part : parts) parts_.push_back(std::move(part));
  }
  if (shards < 2) return {};
  // Each shard read up to the whole budget: what is over it, in the order of the request, waits for
  // the next fetch.
  std::ranges::sort(parts_, [](const Part& a, const Part& b) {
    return std::pair(a.topic, a.partition) < std::pair(b.topic, b.partition);
  });
  size_t left = bytes_max_;
  bool empty = true;
  for (Part& part : parts_) {
    const size_t size = part.read.records.size();
    if (size == 0) continue;
    if (size > left && !empty) part.read.records = {};
    left -= std::min(left, part.read.records.size());
    empty = false;
  }
  return {};
}

bool Fetching::enough() const {
  if (refused_ || parts_.empty()) return true;
  size_t bytes = 0;
  for (const Part& part : parts_) {
    if (part.read.code != ErrorCode::none || part.read.diverging) return true;
    bytes += part.read.records.size();
  }
  return bytes >= static_cast<size_t>(std::max(asked_.min_bytes, 0));
}

void Fetching::watch(const PollId& id) {
  std::vector<std::vector<SeenPartition>> seen(items_.size());
  // Parts and items come in the same order within a shard.
  for (const Part& part : parts_) {
    const auto& topic = asked_.topics[part.topic];
    for (uint32_t i = 0; i < items_.size(); ++i) {
      if (seen[i].size() == items_[i].size()) continue;
      const Item& item = items_[i][seen[i].size()];
      if (item.topic != part.topic || item.partition != part.partition) continue;
      CHECK(item.key.partition == topic.partitions[part.partition].partition);
      seen[i].push_back({item.key, part.read.high_watermark, part.read.leader_epoch});
      break;
    }
  }
  for (uint32_t i = 0; i < seen.size(); ++i) {
    if (seen[i].empty()) continue;
    auto start = [id, at = std::move(seen[i])](BrokerShard& there) {
      std::vector<std::shared_ptr<replica::Partition>> partitions;
      for (const SeenPartition& one : at) partitions.push_back(there.find(one.key));
      there.fetch_waits().watch(id, at, partitions);
    };
    shard_.tell({i}, std::move(start));
  }
}

void Fetching::unwatch(const PollId& id) {
  for (uint32_t i = 0; i < items_.size(); ++i) {
    if (items_[i].empty()) continue;
    shard_.tell({i}, [id](BrokerShard& there) { there.fetch_waits().unwatch(id); });
  }
}

bool Fetching::wait(runtime::Instant deadline) {
  const FetchWaits::Poll poll = shard_.fetch_waits().open();
  watch(poll.id);
  shard_.node().observer.reached(kProbeFetchParked);
  runtime::Waitable* const ends[] = {poll.progress.get(), &request_.caller.closing};
  auto woken = runtime::wait_any(shard_.node().tasks, ends, deadline);
  unwatch(poll.id);
  shard_.fetch_waits().close(poll.id);
  const bool progress = woken && *woken == 0;
  shard_.node().observer.reached(progress ? kProbeFetchWoken : kProbeFetchTimedOut);
  return progress && !shard_.draining();
}

void Fetching::fill(const Part& part) {
  auto& data = response_.responses[part.topic].partitions[part.partition];
  const replica::FetchPart& read = part.read;
  ErrorCode error = read.code;
  // Clients before version 6 do not know the storage error.
  if (error == ErrorCode::kafka_storage_error && request_.version() <= 5) {
    error = ErrorCode::not_leader_or_follower;
  }
  data.error_code = code(error);
  data.high_watermark = read.high_watermark.value;
  // Without transactions every committed record is stable.
  data.last_stable_offset = read.high_watermark.value;
  data.log_start_offset = read.log_start.value;
  if (asked_.isolation_level == 1 && error == ErrorCode::none) data.aborted_transactions.emplace();
  if (read.diverging && request_.version() >= 12) {
    data.diverging_epoch.epoch = read.diverging->epoch.value;
    data.diverging_epoch.end_offset = read.diverging->end.value;
  }
  const bool fenced =
      error == ErrorCode::fenced_leader_epoch || error == ErrorCode::not_leader_or_follower;
  if (fenced && request_.version() >= 12 && read.leader_epoch.value >= 0) {
    data.current_leader.leader_id = shard_.config().node_id.value;
    data.current_leader.leader_epoch = read.leader_epoch.value;
  }
  data.records = read.records;
}

Answer Fetching::answer() {
  for (const Part& part : parts_) fill(part);
  return answer_with(request_, response_);
}

Answer Fetching::run() {
  // Sessions are not kept: id 0 tells the client so, and it sends the whole list each time. One
  // that comes with a session has it from somebody else.
  if (asked_.session_id != 0) {
    response_.error_code = code(ErrorCode::fetch_session_id_not_found);
    return answer();
  }
  prepare();
  const int32_t wait_ms = std::clamp(asked_.max_wait_ms, 0, kFetchWaitMsMax);
  const runtime::Instant deadline = request_.arrived + runtime::milliseconds(wait_ms);
  for (;;) {
    TRY(read());
    if (enough() || shard_.draining() || shard_.node().clock.now() >= deadline) return answer();
    if (!wait(deadline)) {
      // What came in the last moment goes out as well.
      TRY(read());
      return answer();
    }
  }
}

}  // namespace

Answer handle_fetch(const Request& request) {
  auto asked = TRY(FetchRequest::decode(request.frame.body, request.version()));
  return Fetching(request, std::move(asked)).run();
}

}  // namespace verdict::server
