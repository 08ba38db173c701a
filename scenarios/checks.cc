#include "scenarios/checks.h"

#include <algorithm>
#include <array>
#include <set>

#include "broker/base/check.h"

namespace verdict::scenarios {
namespace {

using base::OrderedMap;

// The final re-read of one partition: offset to record id, in order of offset.
using FinalLog = std::vector<const Read*>;

OrderedMap<uint32_t, FinalLog> final_logs(const History& history) {
  OrderedMap<uint32_t, FinalLog> logs;
  for (const Read& read : history.reads()) {
    if (history.readers()[read.reader].final) logs[read.partition].push_back(&read);
  }
  for (auto& [partition, log] : logs) {
    std::stable_sort(log.begin(), log.end(),
                     [](const Read* a, const Read* b) { return a->offset < b->offset; });
  }
  return logs;
}

std::string place(const History& history, uint32_t partition, int64_t offset) {
  return history.partition_name(partition).to_string() + " offset " + std::to_string(offset);
}

std::string describe(const History& history, const Sent& sent) {
  const ProducerSession& session = history.session(sent.session);
  return "record " + std::to_string(sent.id) + " of " + session.client + " (acks " +
         std::to_string(static_cast<int>(session.acks)) +
         (session.idempotent ? ", idempotent)" : ")");
}

void add(std::vector<Anomaly>& out, Anomaly anomaly) { out.push_back(std::move(anomaly)); }

// Ids of the final log by partition and offset.
using FinalIds = OrderedMap<std::pair<uint32_t, int64_t>, uint64_t>;

FinalIds final_ids(const History& history) {
  FinalIds at;
  for (const Read& read : history.reads()) {
    if (history.readers()[read.reader].final) at[{read.partition, read.offset}] = read.id;
  }
  return at;
}

// Every record that the broker promised is in the final log, at the offset that it promised.
void lost_write(const History& history, const CheckRules& rules, std::vector<Anomaly>& out) {
  const FinalIds at = final_ids(history);
  std::set<std::pair<uint32_t, uint64_t>> present;
  for (const auto& [place, id] : at) present.insert({place.first, id});
  for (const Sent& sent : history.sent()) {
    if (sent.outcome != Outcome::acked) continue;
    if (!history.final_ranges().contains(sent.partition)) continue;  // liveness speaks of that
    if (rules.unsynced_may_be_lost && sent.may_be_lost) continue;
    if (sent.offset < 0) continue;  // acks=0 promises nothing
    auto found = at.find({sent.partition, sent.offset});
    if (found != at.end() && found->second == sent.id) continue;
    std::string what = describe(history, sent) + " was acknowledged with this offset at " +
                       std::to_string(sent.answered_ns / 1'000) + " us; the final read found ";
    if (found == at.end()) {
      what +=
          present.contains({sent.partition, sent.id}) ? "it at another offset" : "nothing there";
    } else {
      what += "record " + std::to_string(found->second) + " there";
    }
    add(out, {"lost-write", Severity::safety, place(history, sent.partition, sent.offset), what,
              sent.answered_ns});
  }
}

// A record of an idempotent producer is in the log at most once.
void duplicate(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  for (const auto& [partition, log] : final_logs(history)) {
    OrderedMap<uint64_t, int64_t> first;
    for (const Read* read : log) {
      const Sent* sent = history.find(read->id);
      if (sent == nullptr) continue;
      auto [at, fresh] = first.try_emplace(read->id, read->offset);
      if (fresh || !history.session(sent->session).idempotent) continue;
      add(out, {"duplicate", Severity::safety, place(history, partition, read->offset),
                describe(history, *sent) + " is here and at offset " + std::to_string(at->second),
                read->at_ns});
    }
  }
}

// Records of one idempotent session stand in a partition in the order in which they were sent.
void nonmonotonic_send(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  for (const auto& [partition, log] : final_logs(history)) {
    OrderedMap<uint32_t, uint64_t> last;  // by session
    for (const Read* read : log) {
      const Sent* sent = history.find(read->id);
      if (sent == nullptr || !history.session(sent->session).idempotent) continue;
      uint64_t& before = last[sent->session];
      if (read->id < before) {
        add(out, {"nonmonotonic-send", Severity::safety, place(history, partition, read->offset),
                  describe(history, *sent) + " stands behind record " + std::to_string(before) +
                      ", which was sent after it",
                  read->at_ns});
      }
      before = std::max(before, read->id);
    }
  }
}

// The final log has no hole, and reaches from its start to its end.
void offset_gap(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  auto logs = final_logs(history);
  for (const auto& [partition, range] : history.final_ranges()) {
    int64_t expected = range.start;
    for (const Read* read : logs[partition]) {
      if (read->offset != expected) {
        add(out, {"offset-gap", Severity::safety, place(history, partition, expected),
                  "the final read went from offset " + std::to_string(expected - 1) + " to " +
                      std::to_string(read->offset),
                  read->at_ns});
      }
      expected = read->offset + 1;
    }
    if (expected != range.end) {
      add(out, {"offset-gap", Severity::safety, place(history, partition, expected),
                "the final read ended here, the log ends at " + std::to_string(range.end), 0});
    }
  }
}

// A record is identified by its partition, leader epoch and offset, for every reader alike.
void inconsistent_offsets(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  OrderedMap<std::tuple<uint32_t, int32_t, int64_t>, const Read*> known;
  for (const Read& read : history.reads()) {
    if (read.id == 0) continue;
    auto [at, fresh] = known.try_emplace({read.partition, read.leader_epoch, read.offset}, &read);
    if (fresh || at->second->id == read.id) continue;
    add(out, {"inconsistent-offsets", Severity::safety, place(history, read.partition, read.offset),
              "in leader epoch " + std::to_string(read.leader_epoch) + " " +
                  history.readers()[at->second->reader].client + " read record " +
                  std::to_string(at->second->id) + " and " + history.readers()[read.reader].client +
                  " read record " + std::to_string(read.id),
              read.at_ns});
  }
}

// What is read is what was sent, byte for byte, in the partition that it was sent to.
void corrupt_read(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  for (const ForeignValue& value : history.foreign()) {
    add(out, {"corrupt-read", Severity::safety, place(history, value.partition, value.offset),
              value.why, 0});
  }
  for (const Read& read : history.reads()) {
    const Sent* sent = history.find(read.id);
    if (sent == nullptr || sent->partition == read.partition) continue;
    add(out, {"corrupt-read", Severity::safety, place(history, read.partition, read.offset),
              describe(history, *sent) + " was sent to " +
                  history.partition_name(sent->partition).to_string(),
              read.at_ns});
  }
}

// Jepsen's G1a: what the broker refused for sure is never read.
void aborted_read(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  for (const Read& read : history.reads()) {
    const Sent* sent = history.find(read.id);
    if (sent == nullptr || sent->outcome != Outcome::failed) continue;
    add(out, {"aborted-read", Severity::safety, place(history, read.partition, read.offset),
              describe(history, *sent) + " was refused and is read all the same", read.at_ns});
  }
}

// What was once below the high watermark, and therefore read, stays: a consumer may have acted on
// it.
void vanished_read(const History& history, const CheckRules& rules, std::vector<Anomaly>& out) {
  const FinalIds at = final_ids(history);
  std::set<std::pair<uint32_t, int64_t>> told;
  for (const Read& read : history.reads()) {
    const Sent* sent = history.find(read.id);
    if (sent == nullptr || !history.final_ranges().contains(read.partition)) continue;
    if (rules.unsynced_may_be_lost && history.may_vanish(read.id, read.offset)) continue;
    auto found = at.find({read.partition, read.offset});
    if (found != at.end() && found->second == read.id) continue;
    if (!told.insert({read.partition, read.offset}).second) continue;
    add(out, {"vanished-read", Severity::safety, place(history, read.partition, read.offset),
              history.readers()[read.reader].client + " read " + describe(history, *sent) +
                  " here; the final read found " +
                  (found == at.end() ? "nothing" : "record " + std::to_string(found->second)),
              read.at_ns});
  }
}

// A broker that kept all it wrote knows the sequences of its producers.
void refused_sequence(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  if (history.refused_sequences() == 0) return;
  add(out, {"refused-sequence", Severity::safety, "producers",
            std::to_string(history.refused_sequences()) +
                " times a sequence was refused although nothing had taken bytes from the disk",
            0});
}

// Within one session a reader's offsets only grow.
void nonmonotonic_poll(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  OrderedMap<std::pair<uint32_t, uint32_t>, const Read*> last;
  for (const Read& read : history.reads()) {
    auto [at, fresh] = last.try_emplace({read.reader, read.partition}, &read);
    if (!fresh && read.offset <= at->second->offset) {
      add(out, {"nonmonotonic-poll", Severity::safety, place(history, read.partition, read.offset),
                history.readers()[read.reader].client + " read offset " +
                    std::to_string(at->second->offset) + " before",
                read.at_ns});
    }
    at->second = &read;
  }
}

// No two producers are given the same id.
void producer_id_reuse(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  std::set<std::pair<int64_t, int16_t>> given;
  for (const History::GivenId& id : history.producer_ids()) {
    if (given.insert({id.producer_id, id.epoch}).second) continue;
    add(out,
        {"producer-id-reuse", Severity::safety, "producer id " + std::to_string(id.producer_id),
         "was given out twice with epoch " + std::to_string(id.epoch), 0});
  }
}

// Topics that were acknowledged are there with their id, partitions and configs; deleted ones not.
void lost_topic(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  if (history.seen().empty()) return;
  auto say = [&](const TopicFact& fact, std::string what) {
    add(out, {"lost-topic", Severity::safety, "topic " + fact.name, std::move(what), fact.at_ns});
  };
  for (const TopicFact& fact : history.topics()) {
    if (fact.state == TopicState::maybe) continue;
    auto seen = std::find_if(history.seen().begin(), history.seen().end(),
                             [&](const TopicSeen& s) { return s.name == fact.name; });
    bool there = seen != history.seen().end();
    if (fact.state == TopicState::deleted) {
      if (there && seen->id == fact.id) say(fact, "its deletion was acknowledged and it is back");
      continue;
    }
    if (!there) {
      say(fact, "its creation was acknowledged and it is gone");
      continue;
    }
    if (seen->id != fact.id) say(fact, "its id changed to " + seen->id.to_string());
    if (seen->partitions != fact.partitions) {
      say(fact, "it has " + std::to_string(seen->partitions) + " partitions instead of " +
                    std::to_string(fact.partitions));
    }
    for (const auto& [key, value] : fact.configs) {
      auto config = seen->configs.find(key);
      if (config != seen->configs.end() && config->second == value) continue;
      say(fact, "its " + key + " is " + (config == seen->configs.end() ? "unset" : config->second) +
                    " instead of " + value);
    }
  }
}

// After healing the cluster serves within Kafka's own time-outs.
void stuck(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  for (const std::string& what : history.stuck()) {
    add(out, {"stuck", Severity::liveness, "after healing", what, 0});
  }
}

// Where nothing is injected a client never has to try again: retries would hide a lost answer.
void unanswered(const History& history, const CheckRules&, std::vector<Anomaly>& out) {
  if (history.unanswered() == 0) return;
  add(out, {"unanswered", Severity::liveness, "clients",
            std::to_string(history.unanswered()) +
                " connections timed out or broke with requests open while nothing was wrong",
            0});
}

constexpr auto kChecks = std::to_array<Check>({
    {"lost-write", "every acknowledged record is there at its offset", lost_write},
    {"duplicate", "a record of an idempotent producer is there once", duplicate},
    {"nonmonotonic-send", "records of an idempotent producer keep their order", nonmonotonic_send},
    {"offset-gap", "offsets have no holes", offset_gap},
    {"inconsistent-offsets", "leader epoch and offset name one record for ever",
     inconsistent_offsets},
    {"corrupt-read", "reads equal writes byte for byte", corrupt_read},
    {"aborted-read", "what was refused is not read", aborted_read},
    {"vanished-read", "what was read stays", vanished_read},
    {"refused-sequence", "sequences are known as long as the disk keeps its bytes",
     refused_sequence},
    {"nonmonotonic-poll", "a reader's offsets only grow", nonmonotonic_poll},
    {"producer-id-reuse", "no producer id is given twice", producer_id_reuse},
    {"lost-topic", "acknowledged topics, ids, configs and deletions survive", lost_topic},
    {"unanswered", "without faults, and after healing, every request is answered", unanswered},
    {"stuck", "after healing the cluster serves in time", stuck},
});

}  // namespace

std::span<const Check> checks() { return kChecks; }

std::vector<Anomaly> run_checks(const History& history, const CheckRules& rules,
                                uint64_t* excused) {
  CHECK(excused != nullptr);
  *excused = 0;
  if (rules.unsynced_may_be_lost) {
    std::set<uint64_t> read;
    for (const Read& r : history.reads()) {
      if (history.readers()[r.reader].final) read.insert(r.id);
    }
    for (const Sent& sent : history.sent()) {
      if (sent.outcome == Outcome::acked && sent.may_be_lost && !read.contains(sent.id)) ++*excused;
    }
  }
  std::vector<Anomaly> all;
  for (const Check& check : kChecks) {
    std::vector<Anomaly> found;
    check.run(history, rules, found);
    if (found.size() > kAnomaliesPerCheckMax) {
      size_t more = found.size() - kAnomaliesPerCheckMax;
      found.resize(kAnomaliesPerCheckMax);
      found.back().what += " (and " + std::to_string(more) + " more)";
    }
    for (Anomaly& anomaly : found) all.push_back(std::move(anomaly));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Anomaly& a, const Anomaly& b) { return a.severity < b.severity; });
  return all;
}

}  // namespace verdict::scenarios
