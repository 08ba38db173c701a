// Faults of the device: each does what it says, is counted when it had an effect, and ends.

#include <gtest/gtest.h>

#include "tests/unit/sim/disk_rig.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;

void expect_error(const auto& result, Errc code) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
}

TEST(DiskFaults, patterns_match_whole_paths) {
  EXPECT_TRUE(path_matches("", "a/b.log"));
  EXPECT_TRUE(path_matches("*", ""));
  EXPECT_TRUE(path_matches("*.log", "a/b.log"));
  EXPECT_TRUE(path_matches("a*b*.log", "aXbYb.log"));
  EXPECT_TRUE(path_matches("a/b.log", "a/b.log"));
  EXPECT_FALSE(path_matches("*.log", "a/b.log.tmp"));
  EXPECT_FALSE(path_matches("b.log", "a/b.log"));
  EXPECT_FALSE(path_matches("*b*c", "abd"));
}

TEST(DiskFaults, a_failed_sync_forgets_and_a_later_good_one_promises_nothing) {
  // What PostgreSQL learnt in 2018: after a failed fsync the pages look clean.
  uint64_t lost = 0;
  constexpr uint64_t kSeeds = 200;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    DiskRig rig(seed);
    rig.disk->fail_next_sync("*.log");
    rig.run([&](runtime::Directory& root, runtime::Tasks&) {
      auto other = open_file(root, "other");
      ASSERT_TRUE(other->sync().has_value()) << "the pattern names another file";
      auto file = open_file(root, "x.log");
      ASSERT_TRUE(root.sync().has_value());
      ASSERT_TRUE(write_text(*file, 0, "forgotten").has_value());
      expect_error(file->sync(), Errc::io);
      EXPECT_EQ(file->read_at(0, 9)->text(), "forgotten") << "it stays in the page cache";
      ASSERT_TRUE(file->sync().has_value()) << "it fails once";
      EXPECT_EQ(rig.disk->durable_through("x.log"), 0U);
      EXPECT_FALSE(rig.disk->is_durable("x.log", 0, 9));
      ASSERT_TRUE(write_text(*file, 9, "+later").has_value());
      ASSERT_TRUE(file->sync().has_value());
      EXPECT_TRUE(rig.disk->is_durable("x.log", 9, 6));
      EXPECT_FALSE(rig.disk->is_durable("x.log", 8, 7));
    });
    EXPECT_EQ(rig.disk->effects().syncs_failed, 1U);
    EXPECT_EQ(rig.disk->effects().bytes_forgotten, 9U);
    EXPECT_EQ(rig.disk->effects().io_errors, 1U);
    rig.power_off();
    std::string found = rig.content("x.log");
    if (found == std::string(9, '\0') + "+later") {
      ++lost;
    } else {
      EXPECT_EQ(found, "forgotten+later");
    }
  }
  EXPECT_GT(lost, kSeeds / 3);
  EXPECT_LT(lost, kSeeds);
}

TEST(DiskFaults, a_sync_that_was_under_way_when_another_failed_fails_too) {
  // It was asked to make durable what the other one forgot.
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    DiskRig rig(seed);
    rig.disk->fail_next_sync("log");
    rig.run([&](runtime::Directory& root, runtime::Tasks& tasks) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
      uint64_t ok = 0;
      runtime::Nursery nursery(tasks);
      for (int i = 0; i < 3; ++i) {
        nursery.spawn("sync", [&] { ok += file->sync().has_value() ? 1 : 0; });
      }
      nursery.join_all(runtime::Instant::never());
      // Either it ended before the failure, and then it kept its promise, or it failed.
      EXPECT_EQ(rig.disk->is_durable("log", 0, 5), ok > 0);
    });
  }
}

TEST(DiskFaults, a_failed_sync_of_a_directory_forgets_its_names) {
  DiskRig rig(1);
  rig.disk->fail_next_sync("");
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    (void)open_file(root, "f");
    expect_error(root.sync(), Errc::io);
    ASSERT_TRUE(root.sync().has_value());
    EXPECT_FALSE(rig.disk->name_is_durable("f"));
    (void)open_file(root, "g");
    ASSERT_TRUE(root.sync().has_value());
    EXPECT_TRUE(rig.disk->name_is_durable("g"));
  });
}

// Every byte after failing syncs, writes and truncates in any order: what a good sync covered is
// there unless something newer lies over it; anything else is an old or a new byte or a zero.
TEST(DiskFaults, bytes_of_good_syncs_survive_among_forgotten_ones) {
  uint64_t differing = 0;
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    DiskRig rig(seed);
    uint64_t state = seed;
    auto next = [&](uint64_t bound) { return (state = base::mix64(state)) % bound; };
    constexpr uint64_t kSize = 12'000;
    std::string current(kSize, 'a');
    std::vector<bool> sure(kSize, true);
    std::vector<bool> tainted(kSize, false);  // written since it was sure, or forgotten
    rig.run([&](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, current).has_value());
      ASSERT_TRUE(file->sync().has_value());
      ASSERT_TRUE(root.sync().has_value());
      for (int i = 0; i < 25; ++i) {
        uint64_t kind = next(6);
        if (kind == 0) {
          rig.disk->fail_next_sync("log");
          expect_error(file->sync(), Errc::io);
          for (size_t b = 0; b < kSize; ++b) {
            if (tainted[b]) sure[b] = false;
          }
          tainted.assign(kSize, false);
        } else if (kind == 1) {
          ASSERT_TRUE(file->sync().has_value());
          for (size_t b = 0; b < kSize; ++b) {
            if (tainted[b]) sure[b] = true;
          }
          tainted.assign(kSize, false);
        } else {
          uint64_t from = next(kSize - 1);
          uint64_t n = 1 + next(std::min<uint64_t>(kSize - from, 3000));
          std::string bytes(n, static_cast<char>('b' + i));
          ASSERT_TRUE(write_text(*file, from, bytes).has_value());
          current.replace(from, n, bytes);
          for (size_t b = from; b < from + n; ++b) tainted[b] = true;
        }
      }
    });
    rig.power_off();
    std::string found = rig.content("log");
    ASSERT_EQ(found.size(), kSize);
    for (size_t b = 0; b < kSize; ++b) {
      if (sure[b] && !tainted[b]) {
        ASSERT_EQ(found[b], current[b]) << "seed " << seed << " at " << b;
      }
      if (found[b] != current[b]) ++differing;
    }
  }
  EXPECT_GT(differing, 100'000U);
}

TEST(DiskFaults, a_full_disk_takes_what_fits) {
  DiskRig rig(1, {.capacity_bytes = 10'000});
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(write_text(*file, 0, std::string(9'000, 'x')).has_value());
    expect_error(write_text(*file, 9'000, std::string(1'500, 'y')), Errc::no_space);
    EXPECT_EQ(file->size(), 10'000U);
    EXPECT_EQ(file->read_at(8'999, 5)->text(), "xyyyy");
    EXPECT_EQ(root.space()->free_bytes, 0U);
    ASSERT_TRUE(write_text(*file, 100, std::string(500, 'z')).has_value()) << "needs no room";
    ASSERT_TRUE(file->truncate(5'000).has_value());
    ASSERT_TRUE(write_text(*file, 5'000, std::string(5'000, 'y')).has_value());
    rig.disk->clear_faults();
  });
  EXPECT_EQ(rig.disk->effects().no_space_errors, 1U);
}

TEST(DiskFaults, set_full_leaves_room_for_so_many_bytes_until_it_ends) {
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(write_text(*file, 0, "12345").has_value());
    rig.disk->set_full(3);
    EXPECT_EQ(root.space()->free_bytes, 3U);
    std::vector<Slice> parts = {Slice::copy_of("ab"), Slice::copy_of("cd")};
    expect_error(file->write_at(5, parts), Errc::no_space);
    EXPECT_EQ(file->read_at(0, 100)->text(), "12345abc");
    // Half of it lies over bytes that are there.
    expect_error(write_text(*file, 6, "XYZW"), Errc::no_space);
    EXPECT_EQ(file->read_at(0, 100)->text(), "12345aXY");
    rig.disk->set_full(std::nullopt);
    ASSERT_TRUE(write_text(*file, 8, "more").has_value());
  });
  EXPECT_EQ(rig.disk->effects().no_space_errors, 2U);
}

TEST(DiskFaults, errors_hit_the_named_kinds_and_paths_until_they_end) {
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    auto other = open_file(root, "other");
    ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
    rig.disk->set_errors(DiskErrors{.pattern = "log", .reads = true});
    expect_error(file->read_at(0, 5), Errc::io);
    EXPECT_TRUE(other->read_at(0, 5).has_value());
    EXPECT_TRUE(write_text(*file, 5, "+").has_value());
    rig.disk->set_errors(DiskErrors{.pattern = "log", .writes = true, .syncs = true});
    EXPECT_TRUE(file->read_at(0, 5).has_value());
    expect_error(write_text(*file, 6, "more"), Errc::io);
    EXPECT_LT(file->size(), 10U) << "any prefix may be there, but not all";
    expect_error(file->sync(), Errc::io);
    expect_error(file->truncate(0), Errc::io);
    expect_error(root.remove("log"), Errc::io);
    EXPECT_TRUE(other->sync().has_value());
    rig.disk->set_errors(std::nullopt);
    EXPECT_TRUE(file->sync().has_value());
  });
  EXPECT_EQ(rig.disk->effects().io_errors, 5U);
}

TEST(DiskFaults, some_errors_hit_some_operations) {
  DiskRig rig(1);
  rig.disk->set_errors(DiskErrors{.pattern = "", .reads = true, .permille = 200});
  uint64_t failed = 0;
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
    for (int i = 0; i < 1000; ++i) failed += file->read_at(0, 5).has_value() ? 0 : 1;
  });
  EXPECT_GT(failed, 150U);
  EXPECT_LT(failed, 250U);
}

TEST(DiskFaults, a_slow_disk_takes_so_many_times_as_long) {
  DiskRig rig(1, {.sync_tail_permille = 0});
  int64_t write_ns = 0;
  int64_t sync_ns = 0;
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    rig.disk->set_slow(1000);
    int64_t start = rig.kernel.now_ns();
    ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
    write_ns = rig.kernel.now_ns() - start;
    ASSERT_TRUE(file->sync().has_value());
    sync_ns = rig.kernel.now_ns() - start - write_ns;
    rig.disk->set_slow(1'000'000);
    start = rig.kernel.now_ns();
    ASSERT_TRUE(file->sync().has_value());
    EXPECT_EQ(rig.kernel.now_ns(), start + Disk::kSlowWaitMaxNs);
    rig.disk->set_slow(1);
    start = rig.kernel.now_ns();
    ASSERT_TRUE(write_text(*file, 5, "bytes").has_value());
    EXPECT_EQ(rig.kernel.now_ns(), start);
  });
  EXPECT_GE(write_ns, 1000 * DiskOptions().cache_cost_ns);
  EXPECT_GE(sync_ns, 100 * kMs);
  EXPECT_LE(sync_ns, 5 * kSecond + kMs);
  EXPECT_EQ(rig.disk->effects().ops_slowed, 3U);
}

TEST(DiskFaults, a_stalled_disk_hangs_until_it_is_released) {
  DiskRig rig(1);
  int ended = 0;
  rig.start([&](runtime::Directory& root, runtime::Tasks& tasks) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
    runtime::Nursery nursery(tasks);
    nursery.spawn("sync under way", [&] {
      EXPECT_TRUE(file->sync().has_value());
      ++ended;
    });
    tasks.yield();
    rig.disk->set_stalled(true);
    nursery.spawn("write", [&] {
      EXPECT_TRUE(write_text(*file, 5, "+more").has_value());
      ++ended;
    });
    nursery.spawn("list", [&] {
      EXPECT_TRUE(root.list().has_value());
      ++ended;
    });
    nursery.spawn("cached read", [&] {
      EXPECT_EQ(file->read_at(0, 5)->text(), "bytes");
      ++ended;
    });
    nursery.join_all(runtime::Instant::never());
  });
  rig.advance(20 * kSecond);
  EXPECT_EQ(ended, 1) << "only the cached read";
  EXPECT_EQ(rig.disk->durable_through("log"), 0U);
  EXPECT_EQ(rig.disk->effects().ops_stalled, 3U);
  rig.disk->set_stalled(false);
  rig.advance(kSecond);
  EXPECT_EQ(ended, 4);
  EXPECT_TRUE(rig.done());
  EXPECT_EQ(rig.disk->durable_through("log"), 5U);
  rig.crash();
}

TEST(DiskFaults, a_process_that_hangs_on_a_stalled_disk_can_be_killed) {
  DiskRig rig(1);
  auto body = [](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(file->sync().has_value());
  };
  rig.start(body);
  rig.disk->set_stalled(true);
  rig.advance(kSecond);
  EXPECT_FALSE(rig.done());
  rig.crash();
  rig.disk->set_stalled(false);
  rig.run(body);
}

TEST(DiskFaults, what_was_written_before_a_stall_is_not_written_back_during_it) {
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks& tasks) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(root.sync().has_value());
    ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
    sleep_for(tasks, kMs);
    rig.disk->set_stalled(true);
    sleep_for(tasks, 60 * kSecond);
  });
  // After a minute all would have been written back.
  choose_shape(rig, LossShape::nothing_kept);
  rig.power_off();
  EXPECT_EQ(rig.content("log"), "");
}

TEST(DiskFaults, bit_rot_flips_one_durable_bit_and_says_where) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    DiskRig rig(seed);
    rig.run([&](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "x.log");
      ASSERT_TRUE(write_text(*file, 0, std::string(5'000, 'x')).has_value());
      EXPECT_FALSE(rig.disk->bit_rot("*.log").has_value()) << "nothing is durable yet";
      ASSERT_TRUE(file->sync().has_value());
      ASSERT_TRUE(write_text(*file, 5'000, "tail").has_value());
    });
    EXPECT_FALSE(rig.disk->bit_rot("*.index").has_value());
    auto damage = rig.disk->bit_rot("*.log");
    ASSERT_TRUE(damage.has_value());
    EXPECT_EQ(damage->path, "x.log");
    EXPECT_EQ(rig.disk->effects().bits_rotten, 1U);
    std::string found = rig.content("x.log");
    ASSERT_EQ(found.size(), 5'004U);
    for (size_t i = 0; i < 5'000; ++i) {
      unsigned difference = static_cast<unsigned char>(found[i] ^ 'x');
      EXPECT_EQ(difference != 0, i == damage->offset);
      EXPECT_EQ(difference & (difference - 1), 0U) << "more than one bit";
    }
    EXPECT_EQ(found.substr(5'000), "tail");
  }
}

TEST(DiskFaults, a_misdirected_write_hides_in_the_page_cache_and_shows_after_a_power_loss) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    DiskRig rig(seed);
    std::string first(8'192, 'a');
    std::string second(4'096, 'b');
    rig.run([&](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, first).has_value());
      ASSERT_TRUE(file->sync().has_value());
      rig.disk->misdirect_next_write("log");
      ASSERT_TRUE(write_text(*file, 8'192, second).has_value());
      ASSERT_TRUE(file->sync().has_value());
      ASSERT_TRUE(root.sync().has_value());
      EXPECT_FALSE(rig.disk->is_durable("log", 8'192, 4'096));
    });
    EXPECT_EQ(rig.content("log"), first + second);
    EXPECT_EQ(rig.disk->effects().writes_misdirected, 1U);
    rig.power_off();
    std::string found = rig.content("log");
    ASSERT_EQ(found.size(), 12'288U);
    EXPECT_EQ(found.substr(8'192), std::string(4'096, '\0'));
    uint64_t overwritten = 0;
    for (size_t page = 0; page < 2; ++page) {
      if (found.substr(page * 4'096, 4'096) == second) ++overwritten;
    }
    EXPECT_LE(overwritten, 1U) << "or it went beyond the end of the file";
  }
}

TEST(DiskFaults, eviction_brings_forgotten_writes_to_light) {
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    ASSERT_TRUE(write_text(*file, 0, "kept").has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(write_text(*file, 4, "gone").has_value());
    rig.disk->fail_next_sync("log");
    expect_error(file->sync(), Errc::io);
    ASSERT_TRUE(write_text(*file, 8, "dirty").has_value());
    rig.disk->evict_clean_pages();
    EXPECT_EQ(file->read_at(0, 100)->text(), std::string("kept\0\0\0\0dirty", 13));
  });
  EXPECT_EQ(rig.disk->effects().evicted_bytes, 4U);
}

TEST(DiskFaults, every_mixture_of_faults_keeps_the_disk_in_order) {
  // No combination may break the bookkeeping: room, sizes, and what the power loss starts from.
  uint64_t effects = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    DiskRig rig(seed, {.capacity_bytes = 200'000});
    uint64_t state = seed;
    auto next = [&](uint64_t bound) { return (state = base::mix64(state)) % bound; };
    for (int epoch = 0; epoch < 3; ++epoch) {
      rig.run([&](runtime::Directory& root, runtime::Tasks& tasks) {
        auto file = open_file(root, "log");
        for (int i = 0; i < 60; ++i) {
          switch (next(12)) {
            case 0:
              rig.disk->fail_next_sync("log");
              break;
            case 1:
              rig.disk->misdirect_next_write("log");
              break;
            case 2:
              rig.disk->evict_clean_pages();
              break;
            case 3:
              effects += rig.disk->bit_rot("log").has_value() ? 1 : 0;
              break;
            case 4:
              (void)file->truncate(next(file->size() + 2'000));
              break;
            case 5:
              sleep_for(tasks, static_cast<int64_t>(next(20)) * kSecond);
              break;
            case 6:
            case 7:
              (void)file->sync();
              break;
            case 8:
              (void)write_text(*file, next(file->size() + 9'000), "overwritten");
              break;
            default:
              (void)write_text(*file, file->size(), std::string(1 + next(6'000), 'x'));
          }
          ASSERT_EQ(rig.content("log").size(), file->size());
          ASSERT_LE(rig.disk->durable_through("log"), file->size());
        }
      });
      rig.power_off();
      ASSERT_TRUE(rig.disk->pending().empty());
      if (rig.content("log") == "(absent)") {
        ASSERT_EQ(rig.disk->used_bytes(), 0U);
        continue;
      }
      ASSERT_EQ(rig.content("log"), rig.disk->durable_content("log")->text());
      ASSERT_LE(rig.disk->used_bytes(), 200'000U);
    }
    effects += rig.disk->effects().writes_misdirected + rig.disk->effects().evicted_bytes;
  }
  EXPECT_GT(effects, 100'000U);
}

TEST(DiskFaults, a_disk_whose_every_sync_fails_remembers_a_bounded_number_of_writes) {
  DiskRig rig(1);
  rig.disk->set_errors(DiskErrors{.pattern = "", .syncs = true});
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    for (uint64_t i = 0; i < kForgottenOpsMax + 500; ++i) {
      ASSERT_TRUE(write_text(*file, i, "x").has_value());
      if (i % 100 == 99) expect_error(file->sync(), Errc::io);
    }
    EXPECT_LE(rig.disk->pending().back().writes, kForgottenOpsMax + 100);
    EXPECT_EQ(file->size(), kForgottenOpsMax + 500);
  });
  rig.power_off();
}

// Crashes or cuts the power at a given operation, from within it.
class Aim final : public DiskWatcher {
 public:
  Aim(DiskRig& rig, DiskOpKind kind, DiskOpPhase phase, std::string path, uint64_t k)
      : rig_(rig), kind_(kind), phase_(phase), path_(std::move(path)), k_(k) {
    rig_.disk->set_watcher(this);
  }
  ~Aim() override { rig_.disk->set_watcher(nullptr); }
  void on_op(const DiskOp& op) override {
    if (op.kind != kind_ || op.phase != phase_ || op.path != path_ || op.k != k_) return;
    ++hits;
    rig_.kernel.kill_soon(rig_.node, [this] { rig_.power_off(); });
  }
  int hits = 0;

 private:
  DiskRig& rig_;
  DiskOpKind kind_;
  DiskOpPhase phase_;
  std::string path_;
  uint64_t k_;
};

// Appends the records 0, 1, 2, ... and syncs each.
void append_forever(runtime::Directory& root, runtime::Tasks&) {
  auto file = open_file(root, "log");
  (void)root.sync();
  for (uint64_t i = 0; i < 9; ++i) {
    if (!write_text(*file, i, std::to_string(i)).has_value()) return;
    if (!file->sync().has_value()) return;
  }
}

TEST(DiskFaults, the_power_can_be_cut_exactly_at_the_kth_operation) {
  struct Case {
    DiskOpKind kind;
    DiskOpPhase phase;
    const char* expected;  // after the loss of everything unsynced
    uint64_t pending_bytes;
  };
  // The 4th write, or the 4th sync, of record "3".
  const Case cases[] = {
      {DiskOpKind::write, DiskOpPhase::after, "012", 1},
      {DiskOpKind::sync, DiskOpPhase::before, "012", 1},
      {DiskOpKind::sync, DiskOpPhase::after, "0123", 0},
  };
  for (const Case& c : cases) {
    DiskRig rig(1);
    Aim aim(rig, c.kind, c.phase, "log", 4);
    choose_shape(rig, LossShape::nothing_kept);
    rig.start(append_forever);
    rig.advance(10 * kSecond);
    EXPECT_EQ(aim.hits, 1);
    EXPECT_FALSE(rig.done());
    EXPECT_EQ(rig.content("log"), c.expected);
    EXPECT_EQ(rig.disk->last_loss().bytes_lost(), c.pending_bytes);
    // Ordinals go on over incarnations, so the aim does not hit again.
    rig.run(append_forever);
    EXPECT_EQ(aim.hits, 1);
    EXPECT_EQ(rig.content("log"), "012345678");
  }
}

TEST(DiskFaults, name_operations_and_truncates_are_seen_with_their_paths) {
  class Log final : public DiskWatcher {
   public:
    void on_op(const DiskOp& op) override {
      const char* kinds[] = {"write", "truncate", "sync", "name"};
      text += std::string(kinds[static_cast<size_t>(op.kind)]) + " " + std::string(op.path) + " " +
              std::to_string(op.k) + (op.phase == DiskOpPhase::before ? " starts" : "") +
              (op.ok ? "" : " failed") + "\n";
    }
    std::string text;
  };
  DiskRig rig(1);
  Log log;
  rig.disk->set_watcher(&log);
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto sub = root.subdirectory("d", runtime::OpenMode::create_exclusive);
    auto file = open_file(**sub, "f");
    ASSERT_TRUE(write_text(*file, 0, "x").has_value());
    ASSERT_TRUE(file->truncate(0).has_value());
    ASSERT_TRUE((*sub)->rename("f", "g").has_value());
    rig.disk->fail_next_sync("d/g");
    expect_error(file->sync(), Errc::io);
    ASSERT_TRUE((*sub)->remove("g").has_value());
  });
  rig.disk->set_watcher(nullptr);
  EXPECT_EQ(log.text,
            "name d 1\nname d/f 1\nwrite d/f 1\ntruncate d/f 1\nname d/g 1\n"
            "sync d/g 1 starts\nsync d/g 1 failed\nname d/g 2\n");
}

}  // namespace
}  // namespace verdict::sim
