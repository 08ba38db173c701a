// Power losses against a reference that knows only what is allowed, under thousands of histories.

#include <gtest/gtest.h>

#include "tests/unit/sim/disk_drill.h"

namespace verdict::sim {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Each history: processes that crash, power losses in between.
void check_history(uint64_t seed, DiskEffects& effects) {
  DiskRig rig(seed);
  DiskDrill drill(rig, seed, 12 * kSecond);
  for (int epoch = 0; epoch < 4; ++epoch) {
    drill.run(10 + drill.next(50));
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_EQ(drill.found(), drill.current()) << "a crash keeps all; seed " << seed;
    if (drill.next(4) == 0) continue;
    const LossReport& loss = rig.power_off();
    int64_t old_ns = rig.kernel.now_ns() - 30 * kSecond;
    ASSERT_TRUE(explain(*drill.root, "", drill.found(), old_ns))
        << "seed " << seed << " epoch " << epoch << ": " << to_string(loss.shape);
    ASSERT_TRUE(rig.disk->pending().empty());
  }
  const DiskEffects& own = rig.disk->effects();
  effects.power_losses += own.power_losses;
  effects.power_losses_with_effect += own.power_losses_with_effect;
  effects.bytes_lost += own.bytes_lost;
  effects.names_lost += own.names_lost;
  effects.torn_writes += own.torn_writes;
  for (size_t i = 0; i < kLossShapes; ++i) {
    effects.power_losses_by_shape[i] += own.power_losses_by_shape[i];
  }
}

TEST(DiskPower, every_power_loss_leaves_what_the_rules_allow) {
  // Pages hold durable bytes and a prefix of their writes, sizes are ones that the file had,
  // directories keep a prefix of their operations, and nothing that was synced is gone.
  DiskEffects effects;
  constexpr uint64_t kHistories = 1500;
  for (uint64_t seed = 1; seed <= kHistories; ++seed) {
    check_history(seed, effects);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(effects.power_losses, 2 * kHistories);
  for (uint64_t count : effects.power_losses_by_shape) {
    EXPECT_GT(count, effects.power_losses / 7);
    EXPECT_LT(count, effects.power_losses / 3);
  }
  EXPECT_GT(effects.power_losses_with_effect, effects.power_losses / 2);
  EXPECT_GT(effects.torn_writes, kHistories / 2);
  EXPECT_GT(effects.names_lost, kHistories);
  EXPECT_GT(effects.bytes_lost, kHistories * 1000);
}

TEST(DiskPower, the_reference_refuses_one_flipped_bit_and_one_lost_synced_byte) {
  // A reference that explains everything would prove nothing.
  uint64_t refused_bits = 0;
  uint64_t refused_bytes = 0;
  constexpr uint64_t kHistories = 60;
  for (uint64_t seed = 1; seed <= kHistories; ++seed) {
    DiskRig rig(seed);
    DiskDrill drill(rig, seed, kSecond);
    drill.run(60);
    Found found = drill.found();
    for (auto& [path, file] : drill.files()) {
      if (file->durable.empty() || !file->may_be(file->durable, 0)) continue;
      std::string damaged = file->durable;
      damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x40);
      refused_bits += file->may_be(damaged, 0) ? 0 : 1;
      if (file->ops.empty()) {
        damaged = file->durable.substr(1);
        refused_bytes += file->may_be(damaged, 0) ? 0 : 1;
        EXPECT_FALSE(file->may_be(damaged, 0));
      }
    }
  }
  EXPECT_GT(refused_bits, kHistories / 2);
  EXPECT_GT(refused_bytes, kHistories / 4);
}

// A drill whose power loss has a given shape, without writes that were written back by themselves.
class Shaped {
 public:
  Shaped(uint64_t seed, LossShape shape) : rig(seed, options()), drill(rig, seed, 1'000'000) {
    drill.run(60);
    choose_shape(rig, shape);
  }
  static DiskOptions options() {
    DiskOptions options;
    options.background_writeback_max_ns = INT64_MAX / 2;
    return options;
  }
  DiskRig rig;
  DiskDrill drill;
};

TEST(DiskPower, the_shape_everything_keeps_everything) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Shaped shaped(seed, LossShape::everything_kept);
    Found before = shaped.drill.found();
    EXPECT_FALSE(shaped.rig.power_off().has_effect());
    EXPECT_EQ(shaped.drill.found(), before);
  }
}

TEST(DiskPower, the_shape_nothing_keeps_what_was_synced_and_no_more) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Shaped shaped(seed, LossShape::nothing_kept);
    auto files = shaped.drill.files();
    shaped.rig.power_off();
    for (auto& [path, file] : files) {
      std::string found = shaped.rig.content(path);
      // A rename that was lost with its name may have put another file here.
      if (!shaped.rig.disk->last_loss().names_reverted.empty() || found == "(absent)") continue;
      EXPECT_EQ(found, file->durable) << path << " seed " << seed;
    }
  }
}

TEST(DiskPower, the_shape_write_order_tears_at_most_one_file) {
  uint64_t torn = 0;
  uint64_t partly = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Shaped shaped(seed, LossShape::write_order);
    auto files = shaped.drill.files();
    shaped.rig.power_off();
    uint64_t between = 0;
    const LossReport& loss = shaped.rig.disk->last_loss();
    if (!loss.names_reverted.empty()) continue;
    for (auto& [path, file] : files) {
      std::string found = shaped.rig.content(path);
      if (found == "(absent)") continue;
      if (!file->is_some_version(found)) ++between;
      if (found != file->durable && found != file->current) ++partly;
    }
    EXPECT_LE(between, 1U) << "seed " << seed;
    torn += between;
  }
  EXPECT_GT(torn, 20U);
  EXPECT_GT(partly, 20U);
}

TEST(DiskPower, the_shape_one_page_loses_one_page_of_one_file) {
  uint64_t hit = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Shaped shaped(seed, LossShape::one_page_lost);
    Found before = shaped.drill.found();
    shaped.rig.power_off();
    Found after = shaped.drill.found();
    uint64_t pages = 0;
    ASSERT_EQ(before.size(), after.size());
    for (const auto& [path, bytes] : before) {
      ASSERT_EQ(bytes.size(), after.at(path).size());
      for (uint64_t p = 0; p < bytes.size(); p += kPageBytes) {
        if (bytes.substr(p, kPageBytes) != after.at(path).substr(p, kPageBytes)) ++pages;
      }
    }
    EXPECT_LE(pages, 1U) << "seed " << seed;
    hit += pages;
  }
  EXPECT_GT(hit, 100U);
}

TEST(DiskPower, a_choice_of_zero_loses_nothing) {
  // A shrinker sets choices to zero and must find that the fault is gone.
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    DiskRig rig(seed);
    DiskDrill drill(rig, seed, kSecond);
    drill.run(60);
    Found before = drill.found();
    rig.kernel.choices().replay({});
    EXPECT_FALSE(rig.power_off().has_effect());
    EXPECT_EQ(drill.found(), before);
  }
}

TEST(DiskPower, no_shape_but_the_first_ever_keeps_a_synced_files_bytes_from_being_there) {
  // fsync of the file and of its directory: from then on it is there, byte for byte.
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    DiskRig rig(seed);
    rig.run([](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, std::string(10'000, 'x')).has_value());
      ASSERT_TRUE(file->sync().has_value());
      ASSERT_TRUE(root.sync().has_value());
      ASSERT_TRUE(write_text(*file, 10'000, std::string(10'000, 'y')).has_value());
    });
    EXPECT_TRUE(rig.disk->is_durable("log", 0, 10'000));
    EXPECT_FALSE(rig.disk->is_durable("log", 0, 10'001));
    EXPECT_EQ(rig.disk->durable_through("log"), 10'000U);
    EXPECT_TRUE(rig.disk->name_is_durable("log"));
    rig.power_off();
    std::string found = rig.content("log");
    ASSERT_GE(found.size(), 10'000U);
    EXPECT_EQ(found.substr(0, 10'000), std::string(10'000, 'x'));
    EXPECT_EQ(found.find_first_not_of(std::string("xy") + '\0'), std::string::npos);
  }
}

TEST(DiskPower, what_is_older_than_the_writeback_limit_is_durable_and_younger_is_perhaps) {
  uint64_t kept = 0;
  constexpr uint64_t kSeeds = 300;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    DiskRig rig(seed);
    rig.run([](runtime::Directory& root, runtime::Tasks& tasks) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, "old").has_value());
      sleep_for(tasks, 16 * kSecond);
      ASSERT_TRUE(write_text(*file, 3, "young").has_value());
      sleep_for(tasks, 15 * kSecond);
    });
    choose_shape(rig, LossShape::nothing_kept);
    rig.power_off();
    std::string found = rig.content("log");
    ASSERT_TRUE(found == "old" || found == "oldyoung") << found;
    kept += found == "oldyoung" ? 1 : 0;
  }
  EXPECT_GT(kept, kSeeds / 3);
  EXPECT_LT(kept, kSeeds * 2 / 3);
}

TEST(DiskPower, a_rename_is_atomic_and_its_content_follows_its_own_syncs) {
  // The classic: write a new version, rename it over the old one, without a sync of the file.
  uint64_t old_version = 0;
  uint64_t new_version = 0;
  uint64_t short_version = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    DiskRig rig(seed);
    rig.run([](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "checkpoint");
      ASSERT_TRUE(write_text(*file, 0, "version one").has_value());
      ASSERT_TRUE(file->sync().has_value());
      ASSERT_TRUE(root.sync().has_value());
      auto next = open_file(root, "checkpoint.tmp");
      ASSERT_TRUE(write_text(*next, 0, "version two").has_value());
      ASSERT_TRUE(root.rename("checkpoint.tmp", "checkpoint").has_value());
    });
    rig.power_off();
    std::string found = rig.content("checkpoint");
    if (found == "version one") {
      ++old_version;
    } else if (found == "version two") {
      ++new_version;
    } else {
      ASSERT_EQ(found.find_first_not_of('\0'), std::string::npos) << found;
      ++short_version;
    }
  }
  EXPECT_GT(old_version, 50U);
  EXPECT_GT(new_version, 50U);
  EXPECT_GT(short_version, 10U);
}

TEST(DiskPower, the_name_of_a_synced_file_may_be_lost_until_its_directory_is_synced) {
  uint64_t lost = 0;
  constexpr uint64_t kSeeds = 400;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    DiskRig rig(seed);
    rig.run([](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(write_text(*file, 0, "bytes").has_value());
      ASSERT_TRUE(file->sync().has_value());
    });
    EXPECT_FALSE(rig.disk->name_is_durable("log"));
    const LossReport& loss = rig.power_off();
    if (rig.content("log") == "(absent)") {
      ++lost;
      EXPECT_EQ(loss.names_lost, std::vector<std::string>{"log"});
      EXPECT_EQ(loss.bytes_lost(), 5U);
    } else {
      EXPECT_EQ(rig.content("log"), "bytes");
    }
  }
  EXPECT_GT(lost, kSeeds / 20);
  EXPECT_LT(lost, kSeeds / 2);
}

TEST(DiskPower, the_loss_report_names_what_is_gone) {
  DiskRig rig(1);
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "kept");
    ASSERT_TRUE(write_text(*file, 0, "0123456789").has_value());
    ASSERT_TRUE(file->sync().has_value());
    auto removed = open_file(root, "removed");
    ASSERT_TRUE(root.sync().has_value());
    ASSERT_TRUE(write_text(*file, 10, "abc").has_value());
    ASSERT_TRUE(root.remove("removed").has_value());
    (void)open_file(root, "new");
  });
  choose_shape(rig, LossShape::nothing_kept);
  const LossReport& loss = rig.power_off();
  EXPECT_EQ(loss.names_lost, std::vector<std::string>{"new"});
  EXPECT_EQ(loss.names_returned, std::vector<std::string>{"removed"});
  ASSERT_EQ(loss.files.size(), 1U);
  EXPECT_EQ(loss.files[0].path, "kept");
  EXPECT_EQ(loss.files[0].bytes_lost, 3U);
  EXPECT_EQ(loss.files[0].size_before, 13U);
  EXPECT_EQ(loss.files[0].size_after, 10U);
}

}  // namespace
}  // namespace verdict::sim
