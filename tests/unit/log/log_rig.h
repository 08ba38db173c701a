#pragma once
// One machine with one log on its disk; processes come and go, and the power too.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/log/knobs.h"
#include "broker/log/log.h"
#include "broker/record/batch.h"
#include "broker/record/validate.h"
#include "sim/world.h"

namespace verdict::log {

// One client batch: `count` records with consecutive timestamps from `timestamp_ms`.
struct BatchSpec {
  int count = 1;
  int64_t timestamp_ms = 1000;
  size_t value_bytes = 20;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  char fill = 'v';
};

inline base::Slice build(const BatchSpec& spec, int64_t base_offset = 0, int32_t epoch = -1) {
  record::BatchBuilder builder({.producer_id = spec.producer_id,
                                .producer_epoch = spec.producer_epoch,
                                .base_sequence = spec.base_sequence,
                                .leader_epoch = epoch,
                                .base_offset = base_offset});
  std::string value(spec.value_bytes, spec.fill);
  for (int i = 0; i < spec.count; ++i) {
    builder.add(spec.timestamp_ms + i, std::nullopt, std::as_bytes(std::span(value)));
  }
  return builder.build();
}

inline record::ValidatedBatch validated(const BatchSpec& spec) {
  base::Slice bytes = build(spec);
  record::ValidatedBatch batch;
  batch.header = record::read_header(bytes.bytes());
  batch.body.push_back(bytes.cut(record::kHeaderBytes, bytes.size() - record::kHeaderBytes));
  batch.max_timestamp_ms = batch.header.max_timestamp_ms;
  batch.max_timestamp_offset_delta = spec.count - 1;
  return batch;
}

// Everything in [start, next) as one string.
inline std::string all_bytes(Log& log, size_t bytes_max = 1 << 20) {
  std::string all;
  Offset at = log.start();
  while (at < log.next()) {
    auto result = log.read(at, log.next(), bytes_max);
    EXPECT_TRUE(result.has_value()) << result.error().to_string();
    if (!result || result->next <= at) {
      ADD_FAILURE() << "a read at " << at.value << " of " << log.next().value << " gives nothing";
      break;
    }
    all += result->batches.flatten().text();
    at = result->next;
  }
  return all;
}

class LogRig {
 public:
  using Body = std::function<void(runtime::Node&)>;
  static constexpr std::string_view kFolder = "orders-0";

  explicit LogRig(uint64_t seed, runtime::KnobValues knobs = {}, sim::DiskOptions disk_options = {})
      : world(options(seed)) {
    node = world.add_node({.name = "a", .disk = disk_options, .knobs = std::move(knobs)});
  }

  // Runs `body` in a process of its own. When it returns, the process is gone without a word.
  void run(Body body) {
    start(std::move(body));
    finish();
  }
  void start(Body body) {
    ended_ = false;
    world.boot(node, [this, body = std::move(body)](runtime::Node& n) {
      body(n);
      ended_ = true;
    });
  }
  void finish() {
    constexpr int64_t kLimitNs = 1'000'000'000'000'000;
    world.run_until(world.now_ns() + kLimitNs, [this] { return !world.running(node); });
    EXPECT_FALSE(world.running(node)) << "the process never ended";
  }
  // Whether the last body came to its end.
  bool ended() const { return ended_; }
  void power_cycle() {
    world.power_off(node);
    world.power_on(node);
  }
  sim::Disk& disk() { return world.disk(node); }

  static base::Result<std::unique_ptr<Log>> try_open(runtime::Node& n, OpenOptions options = {}) {
    auto folder = n.data.subdirectory(kFolder, runtime::OpenMode::open_or_create);
    CHECK(folder.has_value());
    CHECK(n.data.sync().has_value());
    options.name = std::string(kFolder);
    return Log::open(n, std::move(*folder), std::move(options));
  }
  static std::unique_ptr<Log> open(runtime::Node& n, OpenOptions options = {}) {
    auto log = try_open(n, std::move(options));
    EXPECT_TRUE(log.has_value()) << log.error().to_string();
    CHECK(log.has_value());
    (*log)->check_invariants();
    return std::move(*log);
  }
  // Path on the disk of a file of the log.
  static std::string path(std::string_view file) {
    return std::string(kFolder) + "/" + std::string(file);
  }
  std::string content(std::string_view file) {
    auto bytes = disk().content(path(file));
    return bytes ? std::string(bytes->text()) : "(absent)";
  }
  // Changes a file as no process of ours would; synced.
  void overwrite(std::string_view file, const std::string& text) {
    run([&](runtime::Node& n) {
      auto folder = n.data.subdirectory(kFolder, runtime::OpenMode::open_or_create);
      ASSERT_TRUE(folder.has_value());
      auto f = (*folder)->open(file, runtime::OpenMode::open_or_create);
      ASSERT_TRUE(f.has_value());
      base::Slice slice = base::Slice::copy_of(text);
      ASSERT_TRUE((*f)->truncate(0).has_value());
      if (!text.empty()) {
        ASSERT_TRUE((*f)->write_at(0, {&slice, 1}).has_value());
      }
      ASSERT_TRUE((*f)->sync().has_value());
      ASSERT_TRUE((*folder)->sync().has_value());
      ASSERT_TRUE(n.data.sync().has_value());
    });
  }

  sim::World world;
  uint32_t node = 0;

 private:
  static sim::WorldOptions options(uint64_t seed) {
    sim::WorldOptions all;
    all.kernel.seed = seed;
    return all;
  }
  bool ended_ = false;
};

// Appends as leader of `epoch`; the append is expected to succeed.
inline Appended append(Log& log, const BatchSpec& spec, int32_t epoch = 0) {
  auto done = log.append(validated(spec), LeaderEpoch{epoch});
  EXPECT_TRUE(done.has_value()) << done.error().error.to_string();
  return done.value_or(Appended{});
}

// `count` batches of two records each of producer 7, from the log's end on.
inline void append_many(Log& log, int count, int32_t epoch = 0, size_t value_bytes = 20) {
  for (int i = 0; i < count; ++i) {
    append(log,
           {.count = 2,
            .value_bytes = value_bytes,
            .producer_id = 7,
            .producer_epoch = 0,
            .base_sequence = static_cast<int32_t>(log.next().value)},
           epoch);
  }
}

// What append_many writes into an empty log.
inline std::string expected_bytes(int count, int32_t epoch = 0) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += build({.count = 2, .producer_id = 7, .producer_epoch = 0, .base_sequence = 2 * i}, 2 * i,
                 epoch)
               .text();
  }
  return all;
}

inline runtime::KnobValues small_segments(int64_t bytes = 1024) {
  runtime::KnobValues knobs;
  knobs.set(kSegmentBytesCap, bytes);
  return knobs;
}

constexpr std::string_view kFirstLog = "00000000000000000000.log";

}  // namespace verdict::log
