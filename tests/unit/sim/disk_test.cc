// The disk as programs see it: names, errors, and what suspends for how long.

#include "sim/disk.h"

#include <gtest/gtest.h>

#include "tests/unit/sim/disk_drill.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Slice;
using runtime::OpenMode;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;

void expect_error(const auto& result, Errc code) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, code) << result.error().to_string();
}

TEST(Disk, a_process_finds_what_the_one_before_it_left) {
  DiskRig rig(1);
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    auto sub = root.subdirectory("topic-0", OpenMode::create_exclusive);
    ASSERT_TRUE(sub.has_value());
    auto file = open_file(**sub, "log");
    ASSERT_TRUE(write_text(*file, 0, "hello world").has_value());
  });
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    auto entries = root.list();
    ASSERT_TRUE(entries.has_value());
    EXPECT_EQ(*entries, (std::vector<runtime::DirectoryEntry>{{"topic-0", true}}));
    auto sub = root.subdirectory("topic-0", OpenMode::open_existing);
    ASSERT_TRUE(sub.has_value());
    auto file = open_file(**sub, "log", OpenMode::open_existing);
    EXPECT_EQ(file->size(), 11U);
    EXPECT_EQ(file->read_at(6, 100)->text(), "world");
    EXPECT_TRUE(file->read_at(11, 1)->empty());
  });
}

TEST(Disk, errors_are_those_of_a_file_system) {
  DiskRig rig(1);
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    for (const char* name : {"", ".", "..", "a/b"}) {
      expect_error(root.open(name, OpenMode::open_or_create), Errc::invalid);
      expect_error(root.subdirectory(name, OpenMode::open_or_create), Errc::invalid);
      expect_error(root.remove(name), Errc::invalid);
      expect_error(root.rename(name, "x"), Errc::invalid);
      expect_error(root.rename("x", name), Errc::invalid);
    }
    expect_error(root.open("file", OpenMode::open_existing), Errc::not_found);
    auto file = open_file(root, "file", OpenMode::create_exclusive);
    expect_error(root.open("file", OpenMode::create_exclusive), Errc::already_exists);
    expect_error(root.subdirectory("file", OpenMode::open_or_create), Errc::invalid);
    auto sub = root.subdirectory("sub", OpenMode::open_or_create);
    ASSERT_TRUE(sub.has_value());
    expect_error(root.open("sub", OpenMode::open_or_create), Errc::invalid);
    expect_error(root.rename("file", "sub"), Errc::already_exists);
    expect_error(root.rename("sub", "file"), Errc::invalid);
    expect_error(root.rename("absent", "x"), Errc::not_found);
    expect_error(root.remove("absent"), Errc::not_found);
    auto inner = open_file(**sub, "inner");
    expect_error(root.remove("sub"), Errc::wrong_state);
    ASSERT_TRUE((*sub)->remove("inner").has_value());
    ASSERT_TRUE(root.remove("sub").has_value());
    expect_error((*sub)->open("late", OpenMode::open_or_create), Errc::not_found);
    expect_error(file->truncate(UINT64_MAX), Errc::too_large);
    expect_error(write_text(*file, UINT64_MAX - 1, "abc"), Errc::too_large);
  });
}

TEST(Disk, a_removed_file_lives_on_in_its_handle_and_gives_its_room_back_when_that_closes) {
  DiskRig rig(1, {.capacity_bytes = 1000});
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "f");
    ASSERT_TRUE(write_text(*file, 0, std::string(600, 'x')).has_value());
    ASSERT_TRUE(root.remove("f").has_value());
    EXPECT_EQ(file->read_at(0, 600)->size(), 600U);
    EXPECT_EQ(root.space()->free_bytes, 400U);
    auto other = open_file(root, "f");
    EXPECT_EQ(other->size(), 0U);
    file.reset();
    EXPECT_EQ(root.space()->free_bytes, 1000U);
  });
}

TEST(Disk, appends_and_cached_reads_do_not_suspend_but_cost_time) {
  // The hot path of a broker: an event per write would cost more than the broker.
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks& tasks) {
    auto file = open_file(root, "log");
    uint64_t resumes = tasks.scheduler().current()->resumes();
    int64_t before = rig.kernel.now_ns();
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(write_text(*file, i * 10, "0123456789").has_value());
      EXPECT_EQ(file->read_at(i * 10, 10)->text(), "0123456789");
    }
    EXPECT_EQ(tasks.scheduler().current()->resumes(), resumes);
    EXPECT_EQ(rig.kernel.now_ns(), before);
    // The next one to run on this shard waits until the work is done.
    tasks.yield();
    EXPECT_GE(rig.kernel.now_ns() - before, 200 * DiskOptions().cache_cost_ns);
  });
}

TEST(Disk, a_read_back_shares_the_writers_bytes) {
  DiskRig rig(1);
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    Slice slice = Slice::copy_of(std::string(20'000, 'x'));
    ASSERT_TRUE(file->write_at(0, {&slice, 1}).has_value());
    EXPECT_EQ(file->read_at(100, 5000)->data(), slice.data() + 100);
    // A small part of a large buffer is copied, so that it does not keep the whole of it.
    Slice small = slice.cut(0, 10);
    ASSERT_TRUE(file->write_at(20'000, {&small, 1}).has_value());
    EXPECT_EQ(file->read_at(20'000, 10)->buffer_bytes(), 10U);
  });
}

TEST(Disk, syncs_take_a_keyed_time_with_a_long_tail) {
  DiskRig rig(3);
  std::vector<int64_t> times;
  rig.run([&](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "log");
    for (int i = 0; i < 2000; ++i) {
      int64_t before = rig.kernel.now_ns();
      ASSERT_TRUE(file->sync().has_value());
      times.push_back(rig.kernel.now_ns() - before);
    }
  });
  std::sort(times.begin(), times.end());
  DiskOptions options;
  EXPECT_GE(times.front(), options.sync_min_ns);
  EXPECT_LT(times[times.size() / 2], 2 * kMs);
  EXPECT_GT(times[times.size() * 9 / 10], 3 * kMs);
  EXPECT_GT(times.back(), options.sync_max_ns + kMs);
  EXPECT_LE(times.back(), options.sync_tail_max_ns + kMs);
}

TEST(Disk, a_sync_covers_the_writes_that_returned_before_it_and_no_later_ones) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    DiskRig rig(seed, {.sync_min_ns = 5 * kMs, .background_writeback_max_ns = INT64_MAX / 2});
    rig.start([&](runtime::Directory& root, runtime::Tasks& tasks) {
      auto file = open_file(root, "log");
      ASSERT_TRUE(root.sync().has_value());
      ASSERT_TRUE(write_text(*file, 0, "before").has_value());
      runtime::Nursery nursery(tasks);
      nursery.spawn("late writer", [&] {
        sleep_for(tasks, kMs);
        ASSERT_TRUE(write_text(*file, 6, "during").has_value());
        EXPECT_EQ(rig.disk->durable_through("log"), 0U);
      });
      ASSERT_TRUE(file->sync().has_value());
      nursery.join_all(runtime::Instant::never());
      EXPECT_EQ(file->size(), 12U);
      EXPECT_EQ(rig.disk->durable_through("log"), 6U);
      EXPECT_EQ(rig.disk->durable_content("log")->text(), "before");
      sleep_for(tasks, kSecond);
    });
    rig.advance(500 * kMs);
    choose_shape(rig, LossShape::nothing_kept);
    rig.power_off();
    EXPECT_EQ(rig.content("log"), "before");
  }
}

TEST(Disk, a_kill_in_the_middle_of_a_sync_leaves_nothing_behind) {
  // The end of the sync comes when the fiber, its stack and its handles are long gone.
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    DiskRig rig(seed, {.sync_min_ns = 3 * kMs});
    auto body = [&](runtime::Directory& root, runtime::Tasks& tasks) {
      auto file = open_file(root, "log");
      (void)write_text(*file, file->size(), "bytes");
      runtime::Nursery nursery(tasks);
      for (int i = 0; i < 4; ++i) {
        nursery.spawn("sync", [&] {
          int64_t before = rig.kernel.now_ns();
          EXPECT_TRUE(file->sync().has_value());
          EXPECT_GE(rig.kernel.now_ns() - before, 3 * kMs) << "an old event ended it";
        });
      }
      nursery.join_all(runtime::Instant::never());
    };
    rig.start(body);
    rig.advance(kMs);
    EXPECT_FALSE(rig.done());
    rig.crash();
    // The events of the old syncs find the slots of the new ones.
    rig.start(body);
    rig.advance(2 * kSecond);
    EXPECT_TRUE(rig.done());
    rig.crash();
    EXPECT_EQ(rig.content("log"), "bytesbytes");
    EXPECT_EQ(rig.disk->durable_through("log"), 10U);
  }
}

TEST(Disk, the_first_read_after_a_power_loss_is_cold) {
  DiskRig rig(1);
  auto timed_read = [&](int64_t& out) {
    rig.run([&](runtime::Directory& root, runtime::Tasks&) {
      auto file = open_file(root, "log");
      int64_t before = rig.kernel.now_ns();
      EXPECT_EQ(file->read_at(0, 5)->text(), "bytes");
      out = rig.kernel.now_ns() - before;
    });
  };
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    ASSERT_TRUE(write_text(*open_file(root, "log"), 0, "bytes").has_value());
  });
  int64_t warm = 0;
  timed_read(warm);
  EXPECT_EQ(warm, 0);
  choose_shape(rig, LossShape::everything_kept);
  rig.power_off();
  int64_t cold = 0;
  timed_read(cold);
  EXPECT_GE(cold, DiskOptions().cold_read_min_ns);
  timed_read(warm);
  EXPECT_EQ(warm, 0);
}

TEST(Disk, a_wiped_disk_is_empty) {
  DiskRig rig(1, {.capacity_bytes = 100});
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    auto file = open_file(root, "f");
    ASSERT_TRUE(write_text(*file, 0, std::string(100, 'x')).has_value());
    ASSERT_TRUE(file->sync().has_value());
    ASSERT_TRUE(root.sync().has_value());
  });
  rig.disk->wipe();
  EXPECT_TRUE(rig.disk->paths().empty());
  EXPECT_EQ(rig.disk->used_bytes(), 0U);
  rig.power_off();
  EXPECT_TRUE(rig.disk->paths().empty());
  rig.run([](runtime::Directory& root, runtime::Tasks&) {
    EXPECT_EQ(root.space()->free_bytes, 100U);
    EXPECT_TRUE(root.list()->empty());
  });
}

// Trace hash of one history and of the power losses in it.
uint64_t history_hash(uint64_t seed, std::string* contents) {
  DiskRig rig(seed);
  DiskDrill drill(rig, 7, kSecond);
  for (int i = 0; i < 3; ++i) {
    drill.run(40);
    rig.power_off();
    // The drill's own view of what is there must not wander off.
    EXPECT_TRUE(explain(*drill.root, "", drill.found(), INT64_MIN));
  }
  for (const auto& [path, bytes] : drill.found()) *contents += path + "=" + bytes + "\n";
  return rig.kernel.trace_hash();
}

TEST(Disk, the_same_seed_gives_the_same_disk_and_another_one_another) {
  std::string first;
  std::string second;
  std::string other;
  uint64_t hash = history_hash(11, &first);
  EXPECT_EQ(history_hash(11, &second), hash);
  EXPECT_EQ(first, second);
  EXPECT_NE(history_hash(12, &other), hash);
  EXPECT_NE(first, other);
}

TEST(Disk, a_write_on_another_nodes_disk_changes_nothing_here) {
  auto hash_of_a = [](bool other_is_busy) {
    DiskRig rig(5);
    KernelNode& node = rig.kernel.add_node("b");
    Disk other(rig.kernel, node, {});
    std::vector<std::unique_ptr<Shard>> shards;
    shards.push_back(std::make_unique<Shard>(rig.kernel, node, base::ShardId{0}, 1));
    shards.back()->set_siblings(&shards);
    runtime::Tasks& tasks = shards.back()->tasks();
    rig.kernel.spawn_root(tasks, "main", [&] {
      auto root = other.attach(tasks);
      auto file = open_file(*root, "log");
      for (uint64_t i = 0; i < (other_is_busy ? 30U : 1U); ++i) {
        ASSERT_TRUE(write_text(*file, i, "x").has_value());
        ASSERT_TRUE(file->sync().has_value());
      }
    });
    DiskDrill drill(rig, 7, kMs);
    drill.run(60);
    rig.power_off();
    rig.advance(kSecond);
    other.process_ended();
    rig.kernel.kill_shards(shards);
    rig.kernel.retire(std::move(shards.back()));
    if (other_is_busy) other.power_lost();
    return rig.node.hash.value();
  };
  EXPECT_EQ(hash_of_a(false), hash_of_a(true));
}

}  // namespace
}  // namespace verdict::sim
