// Logs against models: power losses, crashes, failed syncs, truncations and restarts in any order;
// producers, timestamps and epochs against what a naive reading of the records gives.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "broker/base/hash.h"
#include "broker/log/producer_table.h"
#include "tests/unit/log/log_rig.h"

namespace verdict::log {
namespace {

// Numbers from a seed.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(base::mix64(seed + 1)) {}
  int64_t below(int64_t bound) {
    state_ = base::mix64(state_ + 0x9e3779b97f4a7c15ULL);
    return static_cast<int64_t>(state_ % static_cast<uint64_t>(bound));
  }
  bool one_in(int64_t n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

struct ModelBatch {
  BatchSpec spec;
  int64_t base = 0;
  int32_t epoch = 0;
  int64_t next() const { return base + spec.count; }
  std::string bytes() const { return std::string(build(spec, base, epoch).text()); }
};

// Kafka's rules for producers, the slow way: all batches that a producer ever wrote.
class NaiveProducers {
 public:
  SequenceVerdict check(int64_t id, int16_t epoch, int32_t first, int32_t count) const {
    auto at = history_.find(id);
    if (at == history_.end()) return SequenceVerdict::next;
    const Past& past = at->second;
    if (epoch < past.epoch) return SequenceVerdict::stale_epoch;
    if (epoch > past.epoch) {
      return first == 0 ? SequenceVerdict::next : SequenceVerdict::out_of_order;
    }
    size_t from = past.batches.size() > 5 ? past.batches.size() - 5 : 0;
    for (size_t i = from; i < past.batches.size(); ++i) {
      if (past.batches[i] == std::pair(first, count)) return SequenceVerdict::duplicate;
    }
    auto [last_first, last_count] = past.batches.back();
    int64_t wanted = (int64_t{last_first} + last_count) % (int64_t{INT32_MAX} + 1);
    return first == wanted ? SequenceVerdict::next : SequenceVerdict::out_of_order;
  }
  void add(int64_t id, int16_t epoch, int32_t first, int32_t count) {
    Past& past = history_[id];
    if (past.epoch != epoch) past = {epoch, {}};
    past.batches.emplace_back(first, count);
  }

 private:
  struct Past {
    int16_t epoch = -1;
    std::vector<std::pair<int32_t, int32_t>> batches;
  };
  std::map<int64_t, Past> history_;
};

TEST(ProducerTableProperty, verdicts_are_those_of_the_naive_model) {
  std::map<SequenceVerdict, int> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    ProducerTable table;
    NaiveProducers model;
    // Near the largest sequence, so that the wrap is part of it.
    std::map<int64_t, int32_t> next;
    for (int64_t id = 0; id < 3; ++id) next[id] = dice.one_in(2) ? 0 : INT32_MAX - 10;
    int64_t offset = 0;
    for (int step = 0; step < 200; ++step) {
      record::BatchHeader header;
      header.producer_id = dice.below(3);
      header.producer_epoch = static_cast<int16_t>(dice.below(20) / 18);
      auto count = static_cast<int32_t>(1 + dice.below(3));
      int32_t& expected = next[header.producer_id];
      header.base_sequence = expected;
      if (dice.one_in(3)) {
        int64_t back = expected - dice.below(12);
        header.base_sequence = static_cast<int32_t>(std::clamp<int64_t>(back, 0, INT32_MAX));
      }
      if (dice.one_in(10)) header.base_sequence = 0;
      header.last_offset_delta = count - 1;
      header.record_count = count;
      header.base_offset = offset;
      SequenceVerdict verdict = table.check(header).verdict;
      ASSERT_EQ(verdict,
                model.check(header.producer_id, header.producer_epoch, header.base_sequence, count))
          << "seed " << seed << " step " << step;
      ++seen[verdict];
      if (verdict != SequenceVerdict::next) continue;
      table.update(header);
      model.add(header.producer_id, header.producer_epoch, header.base_sequence, count);
      expected = static_cast<int32_t>((int64_t{header.base_sequence} + count) & int64_t{INT32_MAX});
      offset += count;
    }
    table.check_invariants();
    auto back = ProducerTable::from_snapshot(table.to_snapshot());
    ASSERT_TRUE(back.has_value());
    ASSERT_EQ(back->to_snapshot().text(), table.to_snapshot().text());
  }
  EXPECT_EQ(seen.size(), 4U);
  for (auto [verdict, count] : seen) EXPECT_GT(count, 500) << static_cast<int>(verdict);
}

// One log over many lives of its process and its machine.
class Lives {
 public:
  explicit Lives(uint64_t seed) : dice_(seed), rig_(seed, knobs(dice_)) {}

  void run() {
    int lives = 3 + static_cast<int>(dice_.below(5));
    for (int life = 0; life < lives && !::testing::Test::HasFatalFailure(); ++life) live();
  }

  static inline std::map<std::string, int> seen;

 private:
  static runtime::KnobValues knobs(Dice& dice) {
    runtime::KnobValues values;
    values.set(kSegmentBytesCap, 1024 << dice.below(4));
    values.set(kTailBytes, dice.one_in(2) ? 0 : 4096);
    return values;
  }

  void live() {
    enum class End { crash, power_loss, clean, crash_late, power_late };
    auto end = static_cast<End>(dice_.below(5));
    bool late = end == End::crash_late || end == End::power_late;
    bool power = end == End::power_loss || end == End::power_late;
    was_clean_ = clean_;
    rig_.start([&, end](runtime::Node& node) { process(node, end == End::clean); });
    if (late) {
      // At any moment, also during the opening.
      int64_t at = rig_.world.now_ns() + dice_.below(dice_.one_in(2) ? 3'000'000 : 60'000'000);
      rig_.world.at(at, [&, power, life = ++life_] {
        if (life != life_ || !rig_.world.running(rig_.node)) return;
        seen["killed"]++;
        if (power) {
          rig_.world.power_off(rig_.node);
        } else {
          rig_.world.crash(rig_.node);
        }
      });
    }
    rig_.finish();
    ++life_;
    rig_.disk().clear_faults();
    if (!power) {
      seen["process ended"]++;
      return;
    }
    seen["power lost"]++;
    if (rig_.world.powered(rig_.node)) rig_.world.power_off(rig_.node);
    rig_.world.power_on(rig_.node);
    // Names and bytes that were not promised may be gone now.
    power_was_lost_ = true;
  }

  void process(runtime::Node& node, bool close) {
    clean_ = false;
    OpenOptions options{.clean_shutdown = was_clean_, .recovery_point = Offset{checkpoint_}};
    auto opened = LogRig::try_open(node, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    Log& log = **opened;
    compare_opened(log);
    if (HasFatalFailure()) return;
    ++epoch_;
    ASSERT_TRUE(log.begin_epoch(LeaderEpoch{epoch_}).has_value());
    runtime::Nursery syncs(node.tasks);
    int64_t steps = 5 + dice_.below(60);
    for (int64_t i = 0; i < steps && !log.offline() && !HasFatalFailure(); ++i) {
      step(node, log, syncs);
    }
    (void)syncs.join_all(runtime::Instant::never());
    if (HasFatalFailure() || log.offline()) return;
    compare_queries(log);
    if (close) {
      if (!log.close_cleanly()) {
        ASSERT_TRUE(log.offline().has_value());
        return;
      }
      checkpoint_ = promised_ = log.durable().value;
      clean_ = true;
      seen["closed"]++;
    }
    log.check_invariants();
  }

  void step(runtime::Node& node, Log& log, runtime::Nursery& syncs) {
    int64_t what = dice_.below(20);
    if (what < 12) {
      append_one(log);
    } else if (what < 15) {
      Offset through = log.next();
      syncs.spawn("sync", [this, &log, through] {
        if (log.sync_through(through))
          promised_ = std::max(promised_, std::min(through, log.next()).value);
      });
    } else if (what == 15) {
      if (log.sync_through(log.next())) promised_ = std::max(promised_, log.durable().value);
    } else if (what == 16) {
      checkpoint_ = log.recovery_point().value;
    } else if (what == 17) {
      (void)node.clock.sleep(runtime::microseconds(dice_.below(5000)));
    } else if (what == 18 && dice_.one_in(6)) {
      rig_.disk().fail_next_sync(dice_.one_in(3) ? std::string(LogRig::kFolder) : "*.log");
      seen["failed sync"]++;
    } else if (what == 19 && dice_.one_in(4)) {
      (void)syncs.join_all(runtime::Instant::never());
      cut(log);
    }
  }

  void append_one(Log& log) {
    ModelBatch batch;
    batch.spec.count = 1 + static_cast<int>(dice_.below(4));
    batch.spec.timestamp_ms = 1000 + dice_.below(200) + static_cast<int64_t>(batches_.size());
    batch.spec.value_bytes = static_cast<size_t>(dice_.below(dice_.one_in(10) ? 6000 : 200));
    batch.spec.fill = static_cast<char>('a' + dice_.below(26));
    batch.base = log.next().value;
    batch.epoch = epoch_;
    if (dice_.one_in(2)) {
      batch.spec.producer_id = dice_.below(3);
      batch.spec.producer_epoch = 0;
      batch.spec.base_sequence = next_sequence(batch.spec.producer_id);
    }
    batches_.push_back(batch);  // from now on a crash may leave it
    auto done = log.append(validated(batch.spec), LeaderEpoch{epoch_});
    if (!done) {
      ASSERT_TRUE(log.offline().has_value()) << done.error().error.to_string();
      return;
    }
    ASSERT_FALSE(done->duplicate);
    ASSERT_EQ(done->base.value, batch.base);
    written_ = batches_.size();
  }

  int32_t next_sequence(int64_t producer) const {
    int32_t next = 0;
    for (const ModelBatch& batch : batches_) {
      if (batch.spec.producer_id == producer) next = batch.spec.base_sequence + batch.spec.count;
    }
    return next;
  }

  void cut(Log& log) {
    if (log.offline() || log.next().value == 0) return;
    int64_t at = dice_.below(log.next().value + 1);
    checkpoint_ = std::min(checkpoint_, at);
    promised_ = std::min(promised_, at);
    size_t keep = 0;
    while (keep < batches_.size() && batches_[keep].next() <= at) ++keep;
    int64_t end = keep == 0 ? 0 : batches_[keep - 1].next();
    checkpoint_ = std::min(checkpoint_, end);
    promised_ = std::min(promised_, end);
    written_ = std::min(written_, keep);
    if (!log.truncate(Offset{at})) {
      ASSERT_TRUE(log.offline().has_value());
      return;
    }
    ASSERT_EQ(log.next().value, end);
    batches_.resize(keep);
    seen["cut"]++;
  }

  // A prefix of what was appended, with everything that was promised; contiguous, bytes equal.
  void compare_opened(Log& log) {
    int64_t next = log.next().value;
    ASSERT_GE(next, promised_);
    size_t keep = 0;
    while (keep < batches_.size() && batches_[keep].next() <= next) ++keep;
    ASSERT_EQ(next, keep == 0 ? 0 : batches_[keep - 1].next()) << "not the end of a batch";
    if (!power_was_lost_) {
      ASSERT_GE(keep, written_) << "a crash of the process loses nothing";
    }
    if (keep < written_) seen["lost unsynced"]++;
    if (log.recovery().segments_dropped > 0) seen["dropped"]++;
    if (log.recovery().bytes_cut > 0) seen["torn"]++;
    if (was_clean_) {
      ASSERT_TRUE(log.recovery().was_clean);
    }
    batches_.resize(keep);
    written_ = keep;
    power_was_lost_ = false;
    promised_ = next;  // what is served has to stay
    ASSERT_EQ(log.durable().value, next);
    compare_queries(log);
  }

  void compare_queries(Log& log) {
    std::string expected;
    for (const ModelBatch& batch : batches_) expected += batch.bytes();
    ASSERT_EQ(all_bytes(log, static_cast<size_t>(1 + dice_.below(5000))), expected);
    compare_reads(log);
    compare_timestamps(log);
    compare_epochs(log);
    compare_producers(log);
    log.check_invariants();
  }

  void compare_reads(Log& log) {
    for (int i = 0; i < 5 && !batches_.empty(); ++i) {
      const ModelBatch& batch =
          batches_[static_cast<size_t>(dice_.below(static_cast<int64_t>(batches_.size())))];
      int64_t offset = batch.base + dice_.below(batch.spec.count);
      auto result = log.read(Offset{offset}, log.next(), 1);
      ASSERT_TRUE(result.has_value()) << result.error().to_string();
      ASSERT_EQ(result->batches.flatten().text(), batch.bytes());
      ASSERT_EQ(result->next.value, batch.next());
    }
  }

  void compare_timestamps(Log& log) {
    for (int i = 0; i < 8; ++i) {
      int64_t wanted = 990 + dice_.below(300);
      TimestampOffset model;
      TimestampOffset newest;
      for (const ModelBatch& batch : batches_) {
        for (int k = 0; k < batch.spec.count; ++k) {
          TimestampOffset at{batch.spec.timestamp_ms + k, Offset{batch.base + k},
                             LeaderEpoch{batch.epoch}};
          if (model.offset.value < 0 && at.timestamp_ms >= wanted) model = at;
          if (at.timestamp_ms > newest.timestamp_ms) newest = at;
        }
      }
      auto found = log.find_timestamp(wanted);
      auto largest = log.max_timestamp();
      ASSERT_TRUE(largest.has_value()) << largest.error().to_string();
      ASSERT_TRUE(found.has_value()) << found.error().to_string();
      ASSERT_EQ(found->offset.value, model.offset.value) << wanted;
      ASSERT_EQ(found->timestamp_ms, model.timestamp_ms);
      ASSERT_EQ(found->epoch, model.epoch);
      ASSERT_EQ(largest->offset.value, newest.offset.value);
    }
  }

  // The end of an epoch: where the first record of a later one is.
  void compare_epochs(Log& log) {
    std::set<int32_t> epochs;
    for (const ModelBatch& batch : batches_) epochs.insert(batch.epoch);
    for (int32_t epoch : epochs) {
      int64_t end = log.next().value;
      for (const ModelBatch& batch : batches_) {
        if (batch.epoch > epoch) {
          end = batch.base;
          break;
        }
      }
      auto found = log.end_of_epoch(LeaderEpoch{epoch});
      ASSERT_TRUE(found.has_value()) << epoch;
      ASSERT_EQ(found->epoch.value, epoch);
      ASSERT_EQ(found->end.value, end) << epoch;
    }
  }

  void compare_producers(Log& log) {
    ProducerTable naive;
    for (const ModelBatch& batch : batches_) {
      base::Slice bytes = build(batch.spec, batch.base, batch.epoch);
      naive.update(record::read_header(bytes.bytes()));
    }
    ASSERT_EQ(log.producers().size(), naive.size());
    for (const auto& [id, entry] : naive.entries()) {
      const ProducerEntry& ours = log.producers().entries().at(id);
      ASSERT_EQ(ours.epoch, entry.epoch);
      ASSERT_EQ(ours.batches.size(), entry.batches.size());
      for (size_t i = 0; i < entry.batches.size(); ++i) {
        ProducerBatch expected = entry.batches[i];
        expected.timestamp_ms = ours.batches[i].timestamp_ms;  // a snapshot may lower it
        ASSERT_EQ(ours.batches[i], expected);
      }
    }
  }

  static bool HasFatalFailure() { return ::testing::Test::HasFatalFailure(); }

  Dice dice_;
  LogRig rig_;
  std::vector<ModelBatch> batches_;  // written, or under way at a crash
  size_t written_ = 0;               // so many appends returned
  int64_t promised_ = 0;             // all before it has to survive everything
  int64_t checkpoint_ = 0;           // the recovery point that a checkpoint would have
  int32_t epoch_ = 0;
  int life_ = 0;
  bool clean_ = false;
  bool was_clean_ = false;
  bool power_was_lost_ = false;
};

TEST(LogProperty, what_was_promised_survives_every_end_and_the_rest_is_a_prefix) {
  Lives::seen.clear();
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives(seed).run();
    if (HasFatalFailure()) return;
  }
  // Seeds that found something once: the index of a segment that ends at the recovery point, a
  // truncation that a failed sync forgot, and a repair of it that cost the segments behind.
  for (uint64_t seed : {5200, 7962, 642}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives(seed).run();
    if (HasFatalFailure()) return;
  }
  for (const char* what : {"killed", "process ended", "power lost", "closed", "failed sync", "cut",
                           "lost unsynced", "dropped", "torn"}) {
    EXPECT_GE(Lives::seen[what], 5) << what << " was hardly tried";
  }
}

}  // namespace
}  // namespace verdict::log
