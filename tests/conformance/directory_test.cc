// Directories: names, open modes, rename, remove, and what is refused.

#include <algorithm>

#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

using base::Errc;
using base::Slice;
using runtime::Directory;
using runtime::DirectoryEntry;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;

CONFORMANCE_SUITE(Directories);

void put(Directory& directory, std::string_view name, std::string_view content) {
  auto file = must(directory.open(name, OpenMode::open_or_create));
  Slice slice = text(content);
  must(file->write_at(0, {&slice, 1}));
}

std::string get(Directory& directory, std::string_view name) {
  auto file = must(directory.open(name, OpenMode::open_existing));
  return std::string(must(file->read_at(0, 1'000)).text());
}

std::string names(Directory& directory) {
  std::string all;
  for (const DirectoryEntry& entry : must(directory.list())) {
    all += entry.name + (entry.is_directory ? "/ " : " ");
  }
  return all;
}

TEST_P(Directories, open_modes_of_files) {
  run([](Node& node) {
    EXPECT_TRUE(fails(node.data.open("f", OpenMode::open_existing), Errc::not_found));
    EXPECT_TRUE(ok(node.data.open("f", OpenMode::create_exclusive)));
    EXPECT_TRUE(fails(node.data.open("f", OpenMode::create_exclusive), Errc::already_exists));
    put(node.data, "f", "content");
    EXPECT_TRUE(ok(node.data.open("f", OpenMode::open_existing)));
    // Opening what is there never empties it.
    EXPECT_EQ(must(node.data.open("f", OpenMode::open_or_create))->size(), 7U);
    EXPECT_EQ(must(node.data.open("g", OpenMode::open_or_create))->size(), 0U);
    EXPECT_EQ(names(node.data), "f g ");
  });
}

TEST_P(Directories, open_modes_of_directories) {
  run([](Node& node) {
    EXPECT_TRUE(fails(node.data.subdirectory("d", OpenMode::open_existing), Errc::not_found));
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    EXPECT_TRUE(
        fails(node.data.subdirectory("d", OpenMode::create_exclusive), Errc::already_exists));
    put(*d, "f", "within");
    auto again = must(node.data.subdirectory("d", OpenMode::open_or_create));
    EXPECT_EQ(get(*again, "f"), "within");
    EXPECT_TRUE(ok(node.data.subdirectory("e", OpenMode::open_or_create)));
    EXPECT_EQ(names(node.data), "d/ e/ ");
    EXPECT_EQ(names(*d), "f ");
  });
}

TEST_P(Directories, a_file_is_no_directory_and_a_directory_no_file) {
  run([](Node& node) {
    put(node.data, "f", "x");
    must(node.data.subdirectory("d", OpenMode::create_exclusive));
    for (OpenMode mode : {OpenMode::open_existing, OpenMode::open_or_create}) {
      EXPECT_FALSE(node.data.open("d", mode).has_value());
      EXPECT_FALSE(node.data.subdirectory("f", mode).has_value());
    }
    EXPECT_TRUE(fails(node.data.open("d", OpenMode::create_exclusive), Errc::already_exists));
    EXPECT_TRUE(
        fails(node.data.subdirectory("f", OpenMode::create_exclusive), Errc::already_exists));
    EXPECT_EQ(names(node.data), "d/ f ");
    EXPECT_EQ(get(node.data, "f"), "x");
  });
}

TEST_P(Directories, names_that_leave_the_directory_are_invalid) {
  run([](Node& node) {
    put(node.data, "f", "x");
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    const std::string bad[] = {"",
                               ".",
                               "..",
                               "a/b",
                               "/",
                               "../f",
                               "f/",
                               "/etc",
                               std::string("a\0b", 3),
                               std::string(256, 'n')};
    for (const std::string& name : bad) {
      for (OpenMode mode :
           {OpenMode::open_existing, OpenMode::open_or_create, OpenMode::create_exclusive}) {
        EXPECT_TRUE(fails(d->open(name, mode), Errc::invalid)) << name;
        EXPECT_TRUE(fails(d->subdirectory(name, mode), Errc::invalid)) << name;
      }
      EXPECT_TRUE(fails(d->remove(name), Errc::invalid)) << name;
      EXPECT_TRUE(fails(node.data.rename(name, "g"), Errc::invalid)) << name;
      EXPECT_TRUE(fails(node.data.rename("f", name), Errc::invalid)) << name;
    }
    EXPECT_EQ(names(*d), "");
    EXPECT_EQ(names(node.data), "d/ f ");
  });
}

TEST_P(Directories, unusual_names_are_names_like_any_other) {
  run([](Node& node) {
    const std::string good[] = {"a b",
                                "...",
                                ".hidden",
                                "-rf",
                                "\xc3\xa4\xe2\x82\xac",
                                "*?\\\"'",
                                "line\nbreak",
                                std::string(255, 'n')};
    for (const std::string& name : good) put(node.data, name, name);
    EXPECT_EQ(must(node.data.list()).size(), std::size(good));
    for (const std::string& name : good) {
      EXPECT_EQ(get(node.data, name), name);
      EXPECT_TRUE(ok(node.data.remove(name)));
    }
    EXPECT_EQ(names(node.data), "");
  });
}

TEST_P(Directories, list_is_sorted_by_name) {
  run([](Node& node) {
    for (const char* name : {"b", "a", "B", "10", "9", "a-", "aa", "~"}) put(node.data, name, "");
    must(node.data.subdirectory("ab", OpenMode::create_exclusive));
    EXPECT_EQ(names(node.data), "10 9 B a a- aa ab/ b ~ ");
  });
}

TEST_P(Directories, a_thousand_files) {
  run([](Node& node) {
    constexpr int kFiles = 1'000;
    for (int i = 0; i < kFiles; ++i) {
      put(node.data, "file-" + std::to_string(i), std::to_string(i));
    }
    auto list = must(node.data.list());
    EXPECT_EQ(list.size(), static_cast<size_t>(kFiles));
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
    for (int i = 0; i < kFiles; i += 7) {
      EXPECT_EQ(get(node.data, "file-" + std::to_string(i)), std::to_string(i));
    }
    for (int i = 0; i < kFiles; ++i) must(node.data.remove("file-" + std::to_string(i)));
    EXPECT_EQ(names(node.data), "");
  });
}

TEST_P(Directories, rename_moves_and_replaces_files) {
  run([](Node& node) {
    put(node.data, "a", "A");
    put(node.data, "b", "B");
    EXPECT_TRUE(ok(node.data.rename("a", "c")));
    EXPECT_EQ(names(node.data), "b c ");
    EXPECT_TRUE(ok(node.data.rename("c", "b")));
    EXPECT_EQ(names(node.data), "b ");
    EXPECT_EQ(get(node.data, "b"), "A");
    EXPECT_TRUE(ok(node.data.rename("b", "b")));
    EXPECT_EQ(get(node.data, "b"), "A");
    EXPECT_TRUE(fails(node.data.rename("none", "x"), Errc::not_found));
    EXPECT_EQ(names(node.data), "b ");
  });
}

TEST_P(Directories, rename_moves_a_directory_with_what_is_in_it) {
  run([](Node& node) {
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    put(*d, "f", "within");
    EXPECT_TRUE(ok(node.data.rename("d", "e")));
    EXPECT_EQ(names(node.data), "e/ ");
    EXPECT_EQ(get(*must(node.data.subdirectory("e", OpenMode::open_existing)), "f"), "within");
    // The open directory is the same as before, under another name.
    put(*d, "g", "later");
    EXPECT_EQ(names(*must(node.data.subdirectory("e", OpenMode::open_existing))), "f g ");
  });
}

TEST_P(Directories, rename_never_replaces_a_directory) {
  run([](Node& node) {
    put(node.data, "f", "x");
    must(node.data.subdirectory("empty", OpenMode::create_exclusive));
    auto full = must(node.data.subdirectory("full", OpenMode::create_exclusive));
    put(*full, "g", "y");
    for (const char* to : {"empty", "full"}) {
      EXPECT_TRUE(fails(node.data.rename("f", to), Errc::already_exists));
    }
    EXPECT_TRUE(fails(node.data.rename("empty", "full"), Errc::already_exists));
    EXPECT_TRUE(fails(node.data.rename("full", "empty"), Errc::already_exists));
    EXPECT_FALSE(node.data.rename("empty", "f").has_value());
    EXPECT_EQ(names(node.data), "empty/ f full/ ");
    EXPECT_EQ(get(node.data, "f"), "x");
  });
}

TEST_P(Directories, remove_takes_files_and_empty_directories) {
  run([](Node& node) {
    put(node.data, "f", "x");
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    put(*d, "g", "y");
    EXPECT_TRUE(fails(node.data.remove("none"), Errc::not_found));
    EXPECT_FALSE(node.data.remove("d").has_value());
    EXPECT_EQ(get(*d, "g"), "y");
    EXPECT_TRUE(ok(d->remove("g")));
    EXPECT_TRUE(ok(node.data.remove("d")));
    EXPECT_TRUE(ok(node.data.remove("f")));
    EXPECT_TRUE(fails(node.data.remove("f"), Errc::not_found));
    EXPECT_EQ(names(node.data), "");
  });
}

TEST_P(Directories, remove_contents_empties_a_tree) {
  run([](Node& node) {
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    auto deep = must(d->subdirectory("deep", OpenMode::create_exclusive));
    auto deeper = must(deep->subdirectory("deeper", OpenMode::create_exclusive));
    put(*d, "1", "x");
    put(*deep, "2", "x");
    put(*deeper, "3", "x");
    put(node.data, "stays", "x");
    EXPECT_TRUE(ok(runtime::remove_contents(*d)));
    EXPECT_EQ(names(*d), "");
    EXPECT_EQ(names(node.data), "d/ stays ");
  });
}

TEST_P(Directories, sync_of_a_directory_succeeds_and_changes_nothing) {
  run([](Node& node) {
    EXPECT_TRUE(ok(node.data.sync()));
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    put(*d, "f", "x");
    EXPECT_TRUE(ok(d->sync()));
    EXPECT_TRUE(ok(node.data.sync()));
    EXPECT_EQ(names(node.data), "d/ ");
    EXPECT_EQ(names(*d), "f ");
  });
}

TEST_P(Directories, space_is_sane) {
  run([](Node& node) {
    auto space = must(node.data.space());
    EXPECT_GT(space.total_bytes, 0U);
    EXPECT_GT(space.free_bytes, 0U);
    EXPECT_LE(space.free_bytes, space.total_bytes);
    auto d = must(node.data.subdirectory("d", OpenMode::create_exclusive));
    EXPECT_EQ(must(d->space()).total_bytes, space.total_bytes);
  });
}

TEST_P(Directories, fibers_create_rename_and_remove_at_the_same_time) {
  run([](Node& node) {
    constexpr int kFibers = 20;
    Nursery nursery(node.tasks);
    int won = 0;
    for (int i = 0; i < kFibers; ++i) {
      nursery.spawn("user", [&, i] {
        // One of them gets the exclusive name.
        if (node.data.open("only one", OpenMode::create_exclusive)) ++won;
        std::string name = "f" + std::to_string(i);
        for (int k = 0; k < 10; ++k) {
          put(node.data, name + ".new", std::to_string(k));
          EXPECT_TRUE(ok(node.data.rename(name + ".new", name)));
          EXPECT_EQ(get(node.data, name), std::to_string(k));
        }
        EXPECT_TRUE(ok(node.data.remove(name)));
      });
    }
    nursery.join_all(kNever);
    EXPECT_EQ(won, 1);
    EXPECT_EQ(names(node.data), "only one ");
  });
}

}  // namespace
}  // namespace verdict::conformance
