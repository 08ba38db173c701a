#include "broker/client/consumer.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "broker/base/check.h"
#include "broker/client/fetched.h"
#include "broker/client/probes.h"
#include "broker/rpc/backoff.h"
#include "broker/wire/errors.h"
#include "broker/wire/fetch.h"

namespace verdict::client {

using base::Errc;
using base::Result;
using base::Slices;
using runtime::Instant;
using wire::ErrorCode;

namespace {

std::string name_of(int16_t error_code) {
  return std::string(wire::to_string(static_cast<ErrorCode>(error_code)));
}

}  // namespace

class ConsumerCore : public runtime::ShardBound {
 public:
  ConsumerCore(runtime::Node& node, ConsumerOptions options)
      : ShardBound(node.tasks),
        node_(node),
        options_(std::move(options)),
        arrived_(node.tasks),
        cluster_(node, options_.cluster, [this] { arrived_.set(); }) {}

  void assign(std::vector<Assignment> assignment);
  void seek(const TopicPartition& at, StartAt start);
  Result<PollResult> poll(Instant deadline);
  std::optional<int64_t> position(const TopicPartition& at) const;
  int64_t high_watermark(const TopicPartition& at) const;
  Instant quiet_since() const;
  const std::string& last_trouble() const { return last_trouble_; }
  Result<std::vector<ListedOffset>> list_offsets(const std::vector<OffsetQuery>& queries,
                                                 Instant deadline) {
    check_shard();
    return cluster_.list_offsets(queries, static_cast<int8_t>(options_.isolation), deadline);
  }
  void stop() {
    check_shard();
    stopped_ = true;
    cluster_.stop();
  }

 private:
  struct Partition {
    StartAt start;  // while there is no position
    std::optional<FetchPosition> position;
    uint64_t moves = 0;  // changes of the position other than by reading on
    int64_t high_watermark = -1;
    uint32_t failures = 0;  // since the last good answer
    Instant retry_at;
    Instant heard_at;     // the last good answer, or the assignment or seek
    bool paused = false;  // after an error that was reported
  };
  struct Lane {
    bool open = false;  // a fetch is out
    uint32_t failures = 0;
    Instant retry_at;
  };
  // A partition as it was asked for.
  struct Asked {
    TopicPartition at;
    uint64_t moves;
  };
  struct Arrived {
    int32_t node;
    int16_t version;
    std::vector<Asked> asked;
    Result<Slices> body;
  };
  // What ListOffsets told, one for each that was asked.
  struct Starts {
    std::vector<Asked> asked;
    std::vector<ListedOffset> listed;
  };
  using Data = wire::FetchResponse::PartitionData;

  void ask_starts(Instant& wake);
  void take_starts(PollResult& result);
  void ask_leaders(Instant& wake);
  // Sends what can be sent; the instant at which more may be.
  Instant send_fetches(Instant now);
  bool send_fetch(int32_t node, rpc::Peer& peer, const std::vector<TopicPartition>& wanted);
  void take(Arrived arrived, PollResult& result);
  void take_partition(const TopicPartition& at, Partition& partition, const Data& data,
                      PollResult& result);
  void take_error(const TopicPartition& at, Partition& partition, int16_t error_code,
                  PollResult& result);
  void truncate(const TopicPartition& at, Partition& partition, const Data& data,
                PollResult& result);
  void report(const TopicPartition& at, Partition& partition, int16_t error_code,
              std::string detail, PollResult& result);
  void move_to(Partition& partition, StartAt start);
  Instant after_backoff(uint32_t failures);

  runtime::Node& node_;
  const ConsumerOptions options_;
  base::OrderedMap<TopicPartition, Partition> partitions_;
  base::OrderedMap<int32_t, Lane> lanes_;
  std::deque<Arrived> answers_;  // at most one per broker
  bool starts_out_ = false;      // asked for, until taken
  std::optional<Starts> starts_;
  bool metadata_wanted_ = false;
  bool lookup_out_ = false;
  uint32_t lookups_ = 0;  // of metadata since the last good answer
  Instant next_lookup_;
  std::string last_trouble_;
  bool stopped_ = false;
  runtime::Event arrived_;
  Cluster cluster_;  // last: its fibers use what is above
};

void ConsumerCore::assign(std::vector<Assignment> assignment) {
  check_shard();
  // A partition that stays assigned counts its moves on, so that old answers are told apart.
  base::OrderedMap<TopicPartition, Partition> next;
  for (const Assignment& one : assignment) {
    const TopicPartition at{one.topic, one.partition};
    const auto known = partitions_.find(at);
    Partition& partition = next[at];
    partition.moves = known == partitions_.end() ? 0 : known->second.moves;
    move_to(partition, one.at);
  }
  partitions_ = std::move(next);
}

void ConsumerCore::seek(const TopicPartition& at, StartAt start) {
  check_shard();
  const auto known = partitions_.find(at);
  if (known == partitions_.end()) return;
  known->second.paused = false;
  known->second.failures = 0;
  known->second.retry_at = {};
  move_to(known->second, start);
}

void ConsumerCore::move_to(Partition& partition, StartAt start) {
  ++partition.moves;
  partition.start = start;
  partition.heard_at = std::max(partition.heard_at, node_.clock.now());
  partition.position.reset();
  if (start.offset >= 0) partition.position = {.offset = start.offset};
}

std::optional<int64_t> ConsumerCore::position(const TopicPartition& at) const {
  const auto known = partitions_.find(at);
  if (known == partitions_.end() || !known->second.position) return std::nullopt;
  return known->second.position->offset;
}

int64_t ConsumerCore::high_watermark(const TopicPartition& at) const {
  const auto known = partitions_.find(at);
  return known == partitions_.end() ? -1 : known->second.high_watermark;
}

Instant ConsumerCore::quiet_since() const {
  Instant since = node_.clock.now();
  for (const auto& [at, partition] : partitions_) {
    if (!partition.paused) since = std::min(since, partition.heard_at);
  }
  return since;
}

Instant ConsumerCore::after_backoff(uint32_t failures) {
  return node_.clock.after(rpc::backoff(node_.random, std::max(failures, 1U),
                                        options_.cluster.retry_backoff_min,
                                        options_.cluster.retry_backoff_max));
}

Result<PollResult> ConsumerCore::poll(Instant deadline) {
  check_shard();
  PollResult result;
  for (;;) {
    if (stopped_) return base::fail(Errc::wrong_state, "the consumer is stopped");
    arrived_.reset();
    while (!answers_.empty() && result.empty()) {
      Arrived arrived = std::move(answers_.front());
      answers_.pop_front();
      take(std::move(arrived), result);
    }
    take_starts(result);
    Instant wake = std::min(deadline, send_fetches(node_.clock.now()));
    if (!result.empty()) return result;
    ask_starts(wake);
    ask_leaders(wake);
    const auto woken = runtime::wait_for(arrived_, wake);
    if (!woken && woken.error().code == Errc::cancelled) return std::unexpected(woken.error());
    if (!woken && node_.clock.now() >= deadline) return result;
  }
}

// Asks for the positions of partitions that begin at the earliest or latest offset. Lowers `wake`
// to when to try again.
void ConsumerCore::ask_starts(Instant& wake) {
  std::vector<OffsetQuery> queries;
  std::vector<Asked> asked;
  for (const auto& [at, partition] : partitions_) {
    if (partition.position || partition.paused) continue;
    if (!cluster_.leader(at)) metadata_wanted_ = true;
    if (partition.retry_at > node_.clock.now()) {
      wake = std::min(wake, partition.retry_at);
    } else if (cluster_.leader(at)) {
      queries.push_back({.at = at, .timestamp_ms = partition.start.offset});
      asked.push_back({.at = at, .moves = partition.moves});
    }
  }
  if (queries.empty() || starts_out_) return;
  starts_out_ = true;
  cluster_.nursery().spawn(
      "client.starts", [this, queries = std::move(queries), asked = std::move(asked)]() mutable {
        auto listed = cluster_.list_offsets_once(queries, static_cast<int8_t>(options_.isolation),
                                                 Instant::never());
        if (!listed) return;  // cancelled: the consumer stops
        CHECK(listed->size() == asked.size());
        starts_ = Starts{std::move(asked), std::move(*listed)};
        arrived_.set();
      });
}

void ConsumerCore::take_starts(PollResult& result) {
  if (!starts_) return;
  CHECK(starts_out_);
  starts_out_ = false;
  const Starts starts = *std::exchange(starts_, std::nullopt);
  for (size_t i = 0; i < starts.listed.size(); ++i) {
    const ListedOffset& one = starts.listed[i];
    const auto known = partitions_.find(one.at);
    if (known == partitions_.end() || known->second.moves != starts.asked[i].moves) continue;
    Partition& partition = known->second;
    if (one.error_code != 0) {
      take_error(one.at, partition, one.error_code, result);
    } else {
      partition.failures = 0;
      partition.heard_at = node_.clock.now();
      partition.position = {.offset = std::max<int64_t>(one.offset, 0)};
    }
  }
}

// Asks for metadata if they are wanted and it is time. Lowers `wake` to when it will be.
void ConsumerCore::ask_leaders(Instant& wake) {
  if (!metadata_wanted_ || lookup_out_) return;
  if (node_.clock.now() < next_lookup_) {
    wake = std::min(wake, next_lookup_);
    return;
  }
  std::vector<std::string> topics;
  for (const auto& [at, partition] : partitions_) {
    if (topics.empty() || topics.back() != at.topic) topics.push_back(at.topic);
  }
  lookup_out_ = true;
  cluster_.nursery().spawn("client.lookup", [this, topics = std::move(topics)] {
    const auto refreshed = cluster_.refresh_once(topics);
    if (!refreshed && refreshed.error().code == Errc::cancelled) return;
    next_lookup_ = after_backoff(++lookups_);
    if (!refreshed) last_trouble_ = refreshed.error().to_string();
    metadata_wanted_ = !refreshed.has_value();
    lookup_out_ = false;
    arrived_.set();
  });
}

Instant ConsumerCore::send_fetches(Instant now) {
  Instant wake = Instant::never();
  base::OrderedMap<int32_t, std::vector<TopicPartition>> wanted;
  for (const auto& [at, partition] : partitions_) {
    if (!partition.position || partition.paused) continue;
    if (now < partition.retry_at) {
      wake = std::min(wake, partition.retry_at);
      continue;
    }
    const std::optional<Leader> leader = cluster_.leader(at);
    if (!leader) metadata_wanted_ = true;
    if (leader) wanted[leader->node].push_back(at);
  }
  for (const auto& [node, at] : wanted) {
    Lane& lane = lanes_[node];
    if (lane.open) continue;
    if (now < lane.retry_at) {
      wake = std::min(wake, lane.retry_at);
      continue;
    }
    rpc::Peer* peer = cluster_.peer(node);
    CHECK(peer != nullptr);
    if (!peer->connected()) {
      // The leader may have moved while its broker cannot be reached.
      if (peer->failures() > 0) {
        metadata_wanted_ = true;
        last_trouble_ = peer->last_error().to_string();
      }
      peer->want();
      continue;
    }
    if (!send_fetch(node, *peer, at)) wake = std::min(wake, lane.retry_at);
  }
  return wake;
}

bool ConsumerCore::send_fetch(int32_t node, rpc::Peer& peer,
                              const std::vector<TopicPartition>& wanted) {
  Lane& lane = lanes_[node];
  CHECK(!lane.open);
  const auto version = peer.version(wire::FetchRequest::kApiKey, kSpeakFetch.min, kSpeakFetch.max);
  wire::FetchRequest request;
  request.max_wait_ms = static_cast<int32_t>(options_.max_wait.ms());
  request.min_bytes = options_.min_bytes;
  request.max_bytes = options_.max_bytes;
  request.isolation_level = static_cast<int8_t>(options_.isolation);
  std::vector<Asked> asked;
  for (const TopicPartition& at : wanted) {
    const Partition& partition = partitions_.at(at);
    if (request.topics.empty() || request.topics.back().topic != at.topic) {
      request.topics.push_back({.topic = at.topic});
    }
    const bool knows_epochs = version && *version >= wire::FetchRequest::kFlexibleFrom;
    request.topics.back().partitions.push_back(
        {.partition = at.partition,
         .current_leader_epoch = cluster_.leader(at)->epoch,
         .fetch_offset = partition.position->offset,
         .last_fetched_epoch = knows_epochs ? partition.position->last_epoch : -1,
         .partition_max_bytes = options_.partition_max_bytes});
    asked.push_back({.at = at, .moves = partition.moves});
  }
  const Instant deadline = node_.clock.after(options_.cluster.request_timeout + options_.max_wait);
  auto arrive = [this, node, at_version = version.value_or(0),
                 asked = std::move(asked)](Result<Slices> body) {
    answers_.push_back(
        {.node = node, .version = at_version, .asked = asked, .body = std::move(body)});
    arrived_.set();
  };
  const bool sent =
      version && peer.submit(request, *version, deadline, std::move(arrive)).has_value();
  lane.open = sent;
  if (!sent) lane.retry_at = after_backoff(++lane.failures);
  return sent;
}

void ConsumerCore::take(Arrived arrived, PollResult& result) {
  Lane& lane = lanes_[arrived.node];
  CHECK(lane.open);
  lane.open = false;
  wire::FetchResponse response;
  bool good = arrived.body.has_value();
  if (good) {
    auto decoded = wire::FetchResponse::decode(*arrived.body, arrived.version);
    good = decoded && decoded->error_code == 0;
    if (good) response = std::move(*decoded);
    if (!decoded) last_trouble_ = decoded.error().to_string();
    if (decoded && !good) last_trouble_ = name_of(decoded->error_code);
  } else {
    last_trouble_ = arrived.body.error().to_string();
  }
  if (!good) {
    metadata_wanted_ = true;
    lane.retry_at = after_backoff(++lane.failures);
    return;
  }
  lane.failures = 0;
  lookups_ = 0;
  lane.retry_at = node_.clock.after(runtime::milliseconds(response.throttle_time_ms));
  for (const auto& topic : response.responses) {
    for (const Data& data : topic.partitions) {
      const TopicPartition at{topic.topic, data.partition_index};
      const auto asked = std::find_if(arrived.asked.begin(), arrived.asked.end(),
                                      [&](const Asked& one) { return one.at == at; });
      const auto known = partitions_.find(at);
      if (asked == arrived.asked.end() || known == partitions_.end()) continue;
      // Moved since: the answer is for another place.
      if (asked->moves != known->second.moves) continue;
      take_partition(at, known->second, data, result);
    }
  }
}

void ConsumerCore::take_partition(const TopicPartition& at, Partition& partition, const Data& data,
                                  PollResult& result) {
  CHECK(partition.position.has_value());
  if (data.error_code != 0) return take_error(at, partition, data.error_code, result);
  partition.failures = 0;
  partition.heard_at = node_.clock.now();
  partition.high_watermark = data.high_watermark;
  if (data.diverging_epoch.end_offset >= 0) return truncate(at, partition, data, result);
  const bool committed_only = options_.isolation == Isolation::read_committed;
  const auto read = read_fetched(data, at, committed_only, *partition.position, result.records);
  if (!read) {
    report(at, partition, static_cast<int16_t>(ErrorCode::corrupt_message), read.error().detail,
           result);
  }
}

// The leader's log ends earlier in the epoch of the last record read, or never had that epoch.
void ConsumerCore::truncate(const TopicPartition& at, Partition& partition, const Data& data,
                            PollResult& result) {
  const int64_t from = partition.position->offset;
  const int64_t to = std::min(from, data.diverging_epoch.end_offset);
  node_.observer.reached(kProbeTruncated);
  result.truncated.push_back(
      {.topic = at.topic, .partition = at.partition, .from_offset = from, .to_offset = to});
  ++partition.moves;
  partition.position = {.offset = to, .last_epoch = data.diverging_epoch.epoch};
}

void ConsumerCore::take_error(const TopicPartition& at, Partition& partition, int16_t error_code,
                              PollResult& result) {
  CHECK(error_code != 0);
  const bool out_of_range = static_cast<ErrorCode>(error_code) == ErrorCode::offset_out_of_range;
  if (out_of_range && options_.reset != ResetPolicy::report) {
    node_.observer.reached(kProbePositionReset);
    const bool earliest = options_.reset == ResetPolicy::earliest;
    return move_to(partition, earliest ? StartAt::earliest() : StartAt::latest());
  }
  const bool server_error = static_cast<ErrorCode>(error_code) == ErrorCode::unknown_server_error;
  if (!retriable(error_code) && !server_error) {
    return report(at, partition, error_code, name_of(error_code), result);
  }
  last_trouble_ = at.to_string() + ": " + name_of(error_code);
  if (metadata_is_stale(error_code)) metadata_wanted_ = true;
  partition.retry_at = after_backoff(++partition.failures);
}

void ConsumerCore::report(const TopicPartition& at, Partition& partition, int16_t error_code,
                          std::string detail, PollResult& result) {
  partition.paused = true;
  result.errors.push_back({.topic = at.topic,
                           .partition = at.partition,
                           .error_code = error_code,
                           .detail = std::move(detail)});
}

Consumer::Consumer(runtime::Node& node, ConsumerOptions options)
    : core_(std::make_unique<ConsumerCore>(node, std::move(options))) {}

Consumer::~Consumer() = default;

void Consumer::assign(std::vector<Assignment> assignment) { core_->assign(std::move(assignment)); }

void Consumer::seek(const std::string& topic, int32_t partition, StartAt at) {
  core_->seek({topic, partition}, at);
}

Result<PollResult> Consumer::poll(Instant deadline) { return core_->poll(deadline); }

std::optional<int64_t> Consumer::position(const std::string& topic, int32_t partition) const {
  return core_->position({topic, partition});
}

int64_t Consumer::high_watermark(const std::string& topic, int32_t partition) const {
  return core_->high_watermark({topic, partition});
}

Instant Consumer::quiet_since() const { return core_->quiet_since(); }

const std::string& Consumer::last_trouble() const { return core_->last_trouble(); }

Result<std::vector<ListedOffset>> Consumer::list_offsets(const std::vector<OffsetQuery>& queries,
                                                         Instant deadline) {
  return core_->list_offsets(queries, deadline);
}

void Consumer::stop() { core_->stop(); }

}  // namespace verdict::client
