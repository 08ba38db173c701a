#pragma once
// History: what the clients of a trial asked for and what they were told, in the order of time.
//
// It lives outside of the world, so a crash of a client leaves its open operations as they are:
// unknown. Checkers see this and nothing of the broker.
//
// Invariant: an intent is noted before its request leaves, an outcome after its answer came.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"

namespace verdict::scenarios {

struct PartitionName {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const PartitionName&) const = default;
  std::string to_string() const { return topic + "-" + std::to_string(partition); }
};

enum class Acks : int8_t { all = -1, none = 0, leader = 1 };

// One life of one producer: from its start to its crash or end.
struct ProducerSession {
  std::string client;
  bool idempotent = false;
  Acks acks = Acks::all;
};

enum class Outcome : uint8_t {
  unknown,  // no answer, or one that leaves it open
  acked,    // the broker promised it
  failed,   // surely not written
};

struct Sent {
  uint64_t id = 0;  // unique in the trial; its value says so
  uint32_t session = 0;
  uint32_t partition = 0;  // index, see History::partition
  int64_t sent_ns = 0;
  Outcome outcome = Outcome::unknown;
  int64_t offset = -1;  // acked with acks != none
  int64_t answered_ns = 0;
  uint32_t value_bytes = 0;
  // Set at a power loss under a policy that does not sync: the bytes were never durable.
  bool may_be_lost = false;
};

struct Read {
  uint32_t reader = 0;  // index of the reader session
  uint32_t partition = 0;
  int32_t leader_epoch = -1;
  int64_t offset = 0;
  uint64_t id = 0;  // 0: the value is none of ours, see History::note_read
  int64_t at_ns = 0;
};

// One uninterrupted consumption of one partition by one reader. Offsets may only grow in it.
struct ReaderSession {
  std::string client;
  bool final = false;  // the full re-read at the end
};

struct ForeignValue {
  uint32_t partition;
  int64_t offset;
  std::string why;  // "value of record 17 with 3 bytes changed"
};

enum class TopicState : uint8_t { maybe, exists, deleted };
struct TopicFact {
  std::string name;
  base::Uuid id;
  int32_t partitions = 0;
  base::OrderedMap<std::string, std::string> configs;  // as asked for at creation
  TopicState state = TopicState::maybe;
  int64_t at_ns = 0;
};
// What the last look at the cluster showed.
struct TopicSeen {
  std::string name;
  base::Uuid id;
  int32_t partitions = 0;
  base::OrderedMap<std::string, std::string> configs;
};

class History {
 public:
  uint32_t partition(const PartitionName& name);
  const PartitionName& partition_name(uint32_t index) const { return partitions_[index]; }
  size_t partition_count() const { return partitions_.size(); }

  uint32_t add_session(ProducerSession session);
  // A value of `bytes` bytes (at least kValueBytesMin) that carries the id and a pattern made of
  // it.
  static constexpr uint32_t kValueBytesMin = 16;
  base::Slice note_send(uint32_t session, uint32_t partition, uint32_t bytes, int64_t now_ns,
                        uint64_t* id);
  void note_acked(uint64_t id, int64_t offset, int64_t now_ns);
  void note_failed(uint64_t id, int64_t now_ns);

  uint32_t add_reader(ReaderSession session);
  void note_read(uint32_t reader, uint32_t partition, int32_t leader_epoch, int64_t offset,
                 const base::Slice& value, int64_t now_ns);
  // The final re-read saw [start, end) of a partition.
  void note_final_range(uint32_t partition, int64_t start, int64_t end);

  // A power loss may take this copy of a record, also from under those who read it.
  void note_may_vanish(uint64_t id, int64_t offset) { may_vanish_.insert({id, offset}); }
  bool may_vanish(uint64_t id, int64_t offset) const { return may_vanish_.contains({id, offset}); }

  void note_producer_id(int64_t producer_id, int16_t epoch);
  void note_topic(TopicFact fact) { topics_.push_back(std::move(fact)); }
  void note_seen(TopicSeen seen) { seen_.push_back(std::move(seen)); }
  // Something that had to happen after healing did not.
  void note_stuck(std::string what) { stuck_.push_back(std::move(what)); }
  // Connections that timed out or broke with requests open while nothing was wrong.
  void note_unanswered(uint64_t connections) { unanswered_ += connections; }

  std::vector<Sent>& sent() { return sent_; }
  const std::vector<Sent>& sent() const { return sent_; }
  const Sent* find(uint64_t id) const;
  const ProducerSession& session(uint32_t index) const { return sessions_[index]; }
  const std::vector<ReaderSession>& readers() const { return readers_; }
  const std::vector<Read>& reads() const { return reads_; }
  const std::vector<ForeignValue>& foreign() const { return foreign_; }
  struct Range {
    int64_t start = 0;
    int64_t end = 0;
  };
  const base::OrderedMap<uint32_t, Range>& final_ranges() const { return final_ranges_; }
  struct GivenId {
    int64_t producer_id;
    int16_t epoch;
  };
  const std::vector<GivenId>& producer_ids() const { return producer_ids_; }
  const std::vector<TopicFact>& topics() const { return topics_; }
  std::vector<TopicFact>& topics() { return topics_; }
  const std::vector<TopicSeen>& seen() const { return seen_; }
  // Times that a sequence was refused although the broker's storage had kept everything.
  void note_refused_sequences(uint64_t answers) { refused_sequences_ += answers; }

  const std::vector<std::string>& stuck() const { return stuck_; }
  uint64_t refused_sequences() const { return refused_sequences_; }
  uint64_t unanswered() const { return unanswered_; }
  uint64_t acked_count() const { return acked_; }

 private:
  std::vector<PartitionName> partitions_;
  std::vector<ProducerSession> sessions_;
  std::vector<Sent> sent_;  // id is index + 1
  std::vector<ReaderSession> readers_;
  std::vector<Read> reads_;
  std::vector<ForeignValue> foreign_;
  base::OrderedMap<uint32_t, Range> final_ranges_;
  std::set<std::pair<uint64_t, int64_t>> may_vanish_;  // record id, offset
  std::vector<GivenId> producer_ids_;
  std::vector<TopicFact> topics_;
  std::vector<TopicSeen> seen_;
  std::vector<std::string> stuck_;
  uint64_t unanswered_ = 0;
  uint64_t refused_sequences_ = 0;
  uint64_t acked_ = 0;
};

}  // namespace verdict::scenarios
