// Files: reads, writes, sizes, and what survives the end of the process.

#include <algorithm>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using runtime::File;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;
using FilePtr = std::unique_ptr<File>;

constexpr size_t kMiB = 1 << 20;

base::Result<> put(File& file, uint64_t offset, const Slice& slice) {
  return file.write_at(offset, {&slice, 1});
}

FilePtr create(Node& node, std::string_view name) {
  return must(node.data.open(name, OpenMode::create_exclusive));
}

CONFORMANCE_SUITE(Files);

TEST_P(Files, what_was_written_is_read_before_any_sync) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    EXPECT_EQ(file->size(), 0U);
    EXPECT_TRUE(ok(put(*file, 0, pattern(1, 0, 100'000))));
    EXPECT_EQ(file->size(), 100'000U);
    Slice all = must(file->read_at(0, 100'000));
    EXPECT_EQ(all.size(), 100'000U);
    EXPECT_TRUE(is_pattern(1, 0, all));
    EXPECT_TRUE(ok(file->sync()));
    EXPECT_TRUE(is_pattern(1, 777, must(file->read_at(777, 5'000))));
    EXPECT_TRUE(ok(file->sync()));  // with nothing new
  });
}

TEST_P(Files, a_read_is_short_only_at_the_end) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    EXPECT_TRUE(must(file->read_at(0, 10)).empty());
    must(put(*file, 0, pattern(1, 0, 3 * kMiB + 5)));
    EXPECT_EQ(must(file->read_at(0, 3 * kMiB + 5)).size(), 3 * kMiB + 5);
    EXPECT_EQ(must(file->read_at(0, 100 * kMiB)).size(), 3 * kMiB + 5);
    Slice tail = must(file->read_at(3 * kMiB, 4'096));
    EXPECT_EQ(tail.size(), 5U);
    EXPECT_TRUE(is_pattern(1, 3 * kMiB, tail));
    EXPECT_TRUE(must(file->read_at(3 * kMiB + 5, 1)).empty());
    EXPECT_TRUE(must(file->read_at(100 * kMiB, 1)).empty());
    EXPECT_TRUE(must(file->read_at(0, 0)).empty());
  });
}

TEST_P(Files, a_gathered_write_is_the_slices_one_after_the_other) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    // More slices than the kernel takes in one call, some of them empty.
    std::vector<Slice> list;
    size_t total = 0;
    for (size_t i = 0; i < 3'000; ++i) {
      size_t size = i % 7 * 3;
      list.push_back(pattern(1, total, size));
      total += size;
    }
    EXPECT_TRUE(ok(file->write_at(10, list)));
    EXPECT_EQ(file->size(), total + 10);
    Slice all = must(file->read_at(0, total + 10));
    EXPECT_EQ(all.cut(0, 10).text(), std::string_view("\0\0\0\0\0\0\0\0\0\0", 10));
    EXPECT_TRUE(is_pattern(1, 0, all.cut(10, total)));
    EXPECT_TRUE(ok(file->write_at(0, {})));
    EXPECT_EQ(file->size(), total + 10);
  });
}

TEST_P(Files, a_gap_beyond_the_end_reads_as_zeros) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    must(put(*file, 0, pattern(1, 0, 10)));
    must(put(*file, 100'000, pattern(1, 100'000, 10)));
    EXPECT_EQ(file->size(), 100'010U);
    Slice gap = must(file->read_at(10, 99'990));
    EXPECT_EQ(gap.size(), 99'990U);
    EXPECT_EQ(std::count(gap.bytes().begin(), gap.bytes().end(), std::byte{0}), 99'990);
    EXPECT_TRUE(is_pattern(1, 100'000, must(file->read_at(100'000, 10))));
  });
}

TEST_P(Files, an_overwrite_changes_its_bytes_and_no_others) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    std::vector<std::byte> model;
    Dice dice(11);
    for (int i = 0; i < 200; ++i) {
      uint64_t offset = dice.below(30'000);
      Slice piece = pattern(dice.next(), 0, dice.between(1, 6'000));
      ASSERT_TRUE(ok(put(*file, offset, piece)));
      model.resize(std::max(model.size(), static_cast<size_t>(offset) + piece.size()));
      std::copy(piece.bytes().begin(), piece.bytes().end(),
                model.begin() + static_cast<std::ptrdiff_t>(offset));
      if (dice.below(20) == 0) must(file->sync());
      size_t from = dice.below(model.size());
      size_t n = dice.below(8'000);
      Slice got = must(file->read_at(from, n));
      std::span expected = std::span(model).subspan(from, std::min(n, model.size() - from));
      ASSERT_TRUE(
          std::equal(got.bytes().begin(), got.bytes().end(), expected.begin(), expected.end()));
    }
    EXPECT_EQ(file->size(), model.size());
  });
}

TEST_P(Files, truncate_shrinks_and_grows_with_zeros) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    must(put(*file, 0, pattern(1, 0, 10'000)));
    EXPECT_TRUE(ok(file->truncate(5'000)));
    EXPECT_EQ(file->size(), 5'000U);
    EXPECT_EQ(must(file->read_at(0, 10'000)).size(), 5'000U);
    // What was cut does not come back.
    EXPECT_TRUE(ok(file->truncate(8'000)));
    EXPECT_EQ(file->size(), 8'000U);
    Slice all = must(file->read_at(0, 10'000));
    EXPECT_TRUE(is_pattern(1, 0, all.cut(0, 5'000)));
    Slice grown = all.cut(5'000, 3'000);
    EXPECT_EQ(std::count(grown.bytes().begin(), grown.bytes().end(), std::byte{0}), 3'000);
    EXPECT_TRUE(ok(file->truncate(0)));
    EXPECT_TRUE(ok(file->sync()));
    EXPECT_EQ(file->size(), 0U);
    must(put(*file, 2, text("x")));
    EXPECT_EQ(must(file->read_at(0, 10)).text(), std::string_view("\0\0x", 3));
  });
}

TEST_P(Files, slices_that_were_read_or_written_never_change) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    Slice written = pattern(1, 0, 20'000);
    must(put(*file, 0, written));
    Slice before = must(file->read_at(0, 20'000));
    must(put(*file, 0, pattern(2, 0, 20'000)));
    must(file->truncate(100));
    must(file->sync());
    EXPECT_TRUE(is_pattern(1, 0, written));
    EXPECT_TRUE(is_pattern(1, 0, before));
  });
}

TEST_P(Files, two_handles_of_one_file_see_each_others_writes) {
  run([](Node& node) {
    FilePtr a = create(node, "f");
    FilePtr b = must(node.data.open("f", OpenMode::open_existing));
    must(put(*a, 0, text("hello")));
    EXPECT_EQ(b->size(), 5U);
    EXPECT_EQ(must(b->read_at(0, 10)).text(), "hello");
    must(b->truncate(2));
    EXPECT_EQ(a->size(), 2U);
    EXPECT_EQ(must(a->read_at(0, 10)).text(), "he");
  });
}

TEST_P(Files, a_removed_or_replaced_file_stays_readable_through_its_handle) {
  run([](Node& node) {
    FilePtr removed = create(node, "removed");
    FilePtr replaced = create(node, "replaced");
    FilePtr other = create(node, "other");
    must(put(*removed, 0, text("removed")));
    must(put(*replaced, 0, text("replaced")));
    must(put(*other, 0, text("other")));
    must(node.data.remove("removed"));
    must(node.data.rename("other", "replaced"));
    EXPECT_EQ(must(removed->read_at(0, 20)).text(), "removed");
    EXPECT_EQ(must(replaced->read_at(0, 20)).text(), "replaced");
    EXPECT_EQ(must(other->read_at(0, 20)).text(), "other");
    must(put(*removed, 7, text(", still here")));
    must(removed->sync());
    EXPECT_EQ(must(removed->read_at(0, 40)).text(), "removed, still here");
    // The name is free for another file, which has nothing of the old one.
    FilePtr fresh = create(node, "removed");
    EXPECT_EQ(fresh->size(), 0U);
    EXPECT_EQ(must(must(node.data.open("replaced", OpenMode::open_existing))->read_at(0, 9)).text(),
              "other");
  });
}

TEST_P(Files, fibers_write_to_one_file_at_the_same_time) {
  run([](Node& node) {
    constexpr uint64_t kFibers = 10;
    constexpr uint64_t kPieces = 30;
    constexpr uint64_t kPiece = 1'000;
    FilePtr file = create(node, "f");
    Nursery nursery(node.tasks);
    for (uint64_t f = 0; f < kFibers; ++f) {
      nursery.spawn("writer", [&, f] {
        for (uint64_t k = 0; k < kPieces; ++k) {
          uint64_t at = (k * kFibers + f) * kPiece;
          EXPECT_TRUE(ok(put(*file, at, pattern(1, at, kPiece))));
          if (k % 5 == f % 5) must(file->sync());
          EXPECT_TRUE(is_pattern(1, at, must(file->read_at(at, kPiece))));
        }
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(file->size(), kFibers * kPieces * kPiece);
    EXPECT_TRUE(is_pattern(1, 0, must(file->read_at(0, kFibers * kPieces * kPiece))));
  });
}

TEST_P(Files, writes_during_a_sync_are_kept) {
  run([](Node& node) {
    FilePtr file = create(node, "f");
    Nursery nursery(node.tasks);
    bool syncing = true;
    nursery.spawn("syncer", [&] {
      for (int i = 0; i < 20; ++i) EXPECT_TRUE(ok(file->sync()));
      syncing = false;
    });
    uint64_t size = 0;
    while (syncing) {
      must(put(*file, size, pattern(1, size, 100)));
      size += 100;
      node.tasks.yield();
    }
    nursery.join_all(kNever);
    EXPECT_EQ(file->size(), size);
    EXPECT_TRUE(is_pattern(1, 0, must(file->read_at(0, size))));
  });
}

TEST_P(Files, data_and_names_are_there_at_the_next_boot) {
  // The process ends in good order, the machine stays up: nothing needs a sync for that.
  run([](Node& node) {
    auto sub = must(node.data.subdirectory("sub", OpenMode::create_exclusive));
    FilePtr synced = create(node, "synced");
    FilePtr unsynced = must(sub->open("unsynced", OpenMode::create_exclusive));
    must(put(*synced, 0, pattern(1, 0, 50'000)));
    must(synced->sync());
    must(put(*unsynced, 0, pattern(2, 0, 50'000)));
    must(create(node, "old")->sync());
    must(node.data.rename("old", "new"));
    must(create(node, "gone")->sync());
    must(node.data.remove("gone"));
  });
  run([](Node& node) {
    std::vector<std::string> names;
    for (const auto& entry : must(node.data.list())) names.push_back(entry.name);
    EXPECT_EQ(names, (std::vector<std::string>{"new", "sub", "synced"}));
    FilePtr synced = must(node.data.open("synced", OpenMode::open_existing));
    EXPECT_EQ(synced->size(), 50'000U);
    EXPECT_TRUE(is_pattern(1, 0, must(synced->read_at(0, 50'000))));
    auto sub = must(node.data.subdirectory("sub", OpenMode::open_existing));
    FilePtr unsynced = must(sub->open("unsynced", OpenMode::open_existing));
    EXPECT_TRUE(is_pattern(2, 0, must(unsynced->read_at(0, 50'000))));
    must(put(*unsynced, 50'000, pattern(2, 50'000, 10)));
  });
  run([](Node& node) {
    auto sub = must(node.data.subdirectory("sub", OpenMode::open_existing));
    FilePtr file = must(sub->open("unsynced", OpenMode::open_existing));
    EXPECT_TRUE(is_pattern(2, 0, must(file->read_at(0, 60'000))));
    EXPECT_EQ(file->size(), 50'010U);
  });
}

TEST_P(Files, large_files_are_read_anywhere) {
  run([](Node& node) {
    constexpr size_t kSize = 24 * kMiB;
    FilePtr file = create(node, "large");
    Slice piece = pattern(9, 0, kMiB);
    for (size_t at = 0; at < kSize; at += kMiB) must(put(*file, at, piece));
    must(file->sync());
    Dice dice(3);
    for (int i = 0; i < 100; ++i) {
      size_t within = dice.below(kMiB);
      size_t n = std::min<size_t>(dice.between(1, 20'000), kMiB - within);
      Slice got = must(file->read_at(dice.below(kSize / kMiB) * kMiB + within, n));
      ASSERT_EQ(got.size(), n);
      ASSERT_TRUE(is_pattern(9, within, got));
    }
    must(file->truncate(0));
    must(node.data.remove("large"));
  });
}

}  // namespace
}  // namespace verdict::conformance
