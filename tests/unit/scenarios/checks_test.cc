// Every check has a history in which it goes red, and one in which it stays green.

#include "scenarios/checks.h"

#include <gtest/gtest.h>

namespace verdict::scenarios {
namespace {

// A history of one partition, written by hand.
class Tale {
 public:
  Tale() : orders_(history.partition({"orders", 0})) {
    idempotent_ = history.add_session({"producer-1", true, Acks::all});
    plain_ = history.add_session({"producer-2", false, Acks::all});
    reader_ = history.add_reader({"consumer-1"});
    final_ = history.add_reader({"auditor", true});
  }

  // Sends a record; acked at `offset` when that is not negative.
  uint64_t send(int64_t offset, bool idempotent = true) {
    uint64_t id = 0;
    values_.push_back(
        history.note_send(idempotent ? idempotent_ : plain_, orders_, 40, ++now_, &id));
    if (offset >= 0) history.note_acked(id, offset, ++now_);
    return id;
  }
  void read(uint64_t id, int64_t offset, int32_t epoch = 0) { note(reader_, id, offset, epoch); }
  // The final log, from offset 0.
  void final_log(const std::vector<uint64_t>& ids, int64_t end = -1) {
    for (size_t i = 0; i < ids.size(); ++i) note(final_, ids[i], static_cast<int64_t>(i), 0);
    history.note_final_range(orders_, 0, end < 0 ? static_cast<int64_t>(ids.size()) : end);
  }
  void note(uint32_t reader, uint64_t id, int64_t offset, int32_t epoch) {
    history.note_read(reader, orders_, epoch, offset, values_[id - 1], ++now_);
  }
  std::vector<std::string> red(CheckRules rules = {}) {
    std::vector<std::string> names;
    for (const Anomaly& anomaly : run_checks(history, rules, &excused)) {
      if (names.empty() || names.back() != anomaly.check) names.emplace_back(anomaly.check);
    }
    return names;
  }

  History history;
  uint64_t excused = 0;
  uint32_t orders_;
  uint32_t idempotent_, plain_, reader_, final_;

 private:
  std::vector<base::Slice> values_;
  int64_t now_ = 0;
};

using Names = std::vector<std::string>;

TEST(Checks, a_good_history_has_no_anomaly) {
  Tale tale;
  uint64_t a = tale.send(0);
  uint64_t b = tale.send(1);
  uint64_t unknown = tale.send(-1);
  tale.read(a, 0);
  tale.read(b, 1);
  tale.final_log({a, b, unknown});
  EXPECT_EQ(tale.red(), Names{});
}

TEST(Checks, an_acked_record_that_is_gone_is_a_lost_write) {
  Tale tale;
  uint64_t a = tale.send(0);
  tale.send(1);
  tale.final_log({a});
  EXPECT_EQ(tale.red(), Names{"lost-write"});
}

TEST(Checks, an_acked_record_at_another_offset_is_a_lost_write) {
  Tale tale;
  uint64_t a = tale.send(1);
  uint64_t b = tale.send(-1);
  tale.final_log({a, b});
  EXPECT_EQ(tale.red(), Names{"lost-write"});
}

TEST(Checks, a_policy_that_does_not_sync_excuses_only_what_never_was_durable) {
  Tale tale;
  tale.send(0);
  tale.send(1);
  tale.history.sent()[0].may_be_lost = true;
  tale.history.sent()[1].may_be_lost = true;
  tale.final_log({});
  EXPECT_EQ(tale.red({.unsynced_may_be_lost = true}), Names{});
  EXPECT_EQ(tale.excused, 2U);
  tale.history.sent()[1].may_be_lost = false;
  EXPECT_EQ(tale.red({.unsynced_may_be_lost = true}), Names{"lost-write"});
  EXPECT_EQ(tale.red(), Names{"lost-write"});
}

TEST(Checks, a_record_of_an_idempotent_producer_that_is_there_twice_is_a_duplicate) {
  Tale tale;
  uint64_t a = tale.send(0);
  tale.final_log({a, a});
  EXPECT_EQ(tale.red(), Names{"duplicate"});
  Tale plain;
  uint64_t b = plain.send(0, false);
  plain.final_log({b, b});
  EXPECT_EQ(plain.red(), Names{});
}

TEST(Checks, records_of_an_idempotent_producer_out_of_order_are_red) {
  Tale tale;
  uint64_t a = tale.send(-1);
  uint64_t b = tale.send(-1);
  tale.final_log({b, a});
  EXPECT_EQ(tale.red(), Names{"nonmonotonic-send"});
}

TEST(Checks, a_hole_in_the_offsets_is_red_in_the_middle_and_at_the_end) {
  Tale tale;
  uint64_t a = tale.send(0);
  uint64_t b = tale.send(-1);
  tale.note(tale.final_, a, 0, 0);
  tale.note(tale.final_, b, 2, 0);
  tale.history.note_final_range(tale.orders_, 0, 3);
  EXPECT_EQ(tale.red(), Names{"offset-gap"});
  Tale end;
  uint64_t c = end.send(0);
  end.final_log({c}, 2);
  EXPECT_EQ(end.red(), Names{"offset-gap"});
}

TEST(Checks, two_records_at_one_offset_of_one_epoch_are_red_and_of_two_epochs_not) {
  Tale tale;
  uint64_t a = tale.send(-1);
  uint64_t b = tale.send(-1);
  tale.read(a, 5, 3);
  uint32_t other = tale.history.add_reader({"consumer-2"});
  tale.note(other, b, 5, 3);
  EXPECT_EQ(tale.red(), Names{"inconsistent-offsets"});
  Tale epochs;
  uint64_t c = epochs.send(-1);
  uint64_t d = epochs.send(-1);
  epochs.read(c, 5, 3);
  epochs.note(epochs.history.add_reader({"consumer-2"}), d, 5, 4);
  EXPECT_EQ(epochs.red(), Names{});
}

TEST(Checks, changed_foreign_and_misplaced_bytes_are_red) {
  Tale changed;
  uint64_t id = 0;
  base::Slice value = changed.history.note_send(changed.idempotent_, changed.orders_, 40, 1, &id);
  std::string bytes(value.text());
  bytes[30] ^= 1;
  changed.history.note_read(changed.reader_, changed.orders_, 0, 0, base::Slice::copy_of(bytes), 2);
  EXPECT_EQ(changed.red(), Names{"corrupt-read"});

  Tale foreign;
  foreign.history.note_read(foreign.reader_, foreign.orders_, 0, 0,
                            base::Slice::copy_of(std::string_view("not ours")), 2);
  EXPECT_EQ(foreign.red(), Names{"corrupt-read"});

  Tale shorter;
  value = shorter.history.note_send(shorter.idempotent_, shorter.orders_, 40, 1, &id);
  shorter.history.note_read(shorter.reader_, shorter.orders_, 0, 0, value.cut(0, 39), 2);
  EXPECT_EQ(shorter.red(), Names{"corrupt-read"});

  Tale elsewhere;
  uint32_t events = elsewhere.history.partition({"events", 0});
  value = elsewhere.history.note_send(elsewhere.idempotent_, events, 40, 1, &id);
  elsewhere.history.note_read(elsewhere.reader_, elsewhere.orders_, 0, 0, value, 2);
  EXPECT_EQ(elsewhere.red(), Names{"corrupt-read"});
}

TEST(Checks, a_refused_record_that_is_read_is_an_aborted_read) {
  Tale tale;
  uint64_t a = tale.send(-1);
  tale.history.note_failed(a, 9);
  tale.read(a, 0);
  EXPECT_EQ(tale.red(), Names{"aborted-read"});
}

TEST(Checks, a_reader_whose_offsets_go_back_is_red) {
  Tale tale;
  uint64_t a = tale.send(0);
  uint64_t b = tale.send(1);
  tale.read(b, 1);
  tale.read(a, 0);
  EXPECT_EQ(tale.red(), Names{"nonmonotonic-poll"});
}

TEST(Checks, a_producer_id_that_is_given_twice_is_red) {
  Tale tale;
  tale.history.note_producer_id(7, 0);
  tale.history.note_producer_id(8, 0);
  EXPECT_EQ(tale.red(), Names{});
  tale.history.note_producer_id(7, 0);
  EXPECT_EQ(tale.red(), Names{"producer-id-reuse"});
}

TopicFact made(const char* name) {
  TopicFact fact;
  fact.name = name;
  fact.id = {1, 2};
  fact.partitions = 2;
  fact.configs["retention.ms"] = "5";
  fact.state = TopicState::exists;
  return fact;
}

TEST(Checks, a_topic_that_is_gone_or_changed_is_red) {
  struct Case {
    const char* what;
    TopicSeen seen;
    bool red;
  };
  for (const Case& c : {
           Case{"the same", {"t", {1, 2}, 2, {{"retention.ms", "5"}}}, false},
           Case{"gone", {"other", {1, 2}, 2, {{"retention.ms", "5"}}}, true},
           Case{"id", {"t", {1, 3}, 2, {{"retention.ms", "5"}}}, true},
           Case{"partitions", {"t", {1, 2}, 1, {{"retention.ms", "5"}}}, true},
           Case{"config", {"t", {1, 2}, 2, {{"retention.ms", "6"}}}, true},
           Case{"unset", {"t", {1, 2}, 2, {}}, true},
       }) {
    Tale tale;
    tale.history.note_topic(made("t"));
    tale.history.note_seen(c.seen);
    EXPECT_EQ(tale.red(), c.red ? Names{"lost-topic"} : Names{}) << c.what;
  }
}

TEST(Checks, a_deleted_topic_that_is_back_is_red) {
  Tale tale;
  TopicFact fact = made("t");
  fact.state = TopicState::deleted;
  tale.history.note_topic(fact);
  tale.history.note_seen({"other", {9, 9}, 1, {}});
  EXPECT_EQ(tale.red(), Names{});
  tale.history.note_seen({"t", {1, 2}, 2, {}});
  EXPECT_EQ(tale.red(), Names{"lost-topic"});
}

TEST(Checks, what_did_not_end_after_healing_is_a_liveness_anomaly) {
  Tale tale;
  tale.history.note_stuck("a produce did not end");
  auto all = run_checks(tale.history, {}, &tale.excused);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].check, "stuck");
  EXPECT_EQ(all[0].severity, Severity::liveness);
}

TEST(Checks, what_was_read_and_is_gone_or_another_is_red) {
  Tale tale;
  uint64_t a = tale.send(-1);
  uint64_t b = tale.send(-1);
  tale.read(a, 0);
  tale.final_log({a});
  EXPECT_EQ(tale.red(), Names{});
  tale.read(b, 1);
  EXPECT_EQ(tale.red(), Names{"vanished-read"});

  Tale replaced;
  a = replaced.send(-1);
  b = replaced.send(-1);
  replaced.read(a, 0, 1);
  replaced.final_log({b});
  EXPECT_EQ(replaced.red(), Names{"vanished-read"});
  CheckRules default_policy{.unsynced_may_be_lost = true};
  EXPECT_EQ(replaced.red(default_policy), Names{"vanished-read"});
  replaced.history.note_may_vanish(a, 0);
  EXPECT_EQ(replaced.red(default_policy), Names{});
}

TEST(Checks, a_sequence_that_was_refused_although_nothing_was_lost_is_red) {
  Tale tale;
  tale.history.note_refused_sequences(0);
  EXPECT_EQ(tale.red(), Names{});
  tale.history.note_refused_sequences(3);
  EXPECT_EQ(tale.red(), Names{"refused-sequence"});
}

TEST(Checks, a_request_without_an_answer_while_nothing_was_wrong_is_red) {
  Tale tale;
  tale.history.note_unanswered(0);
  EXPECT_EQ(tale.red(), Names{});
  tale.history.note_unanswered(2);
  EXPECT_EQ(tale.red(), Names{"unanswered"});
}

}  // namespace
}  // namespace verdict::scenarios
