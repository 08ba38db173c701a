#include "broker/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>

#include "tests/unit/io/io_fixture.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;
using runtime::File;
using runtime::Node;
using runtime::Nursery;
using runtime::OpenMode;
using runtime::Wake;

class FileTest : public IoTest {
 protected:
  std::string path(const std::string& name) const { return directory() + "/" + name; }
  // Bytes of the file in the page cache, as far as mincore tells.
  size_t cached_pages(const std::string& name) const {
    Descriptor fd(::open(path(name).c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info{};
    CHECK(fstat(fd.get(), &info) == 0);
    auto size = static_cast<size_t>(info.st_size);
    void* memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    CHECK(memory != MAP_FAILED);
    std::vector<unsigned char> pages((size + 4095) / 4096);
    CHECK(mincore(memory, size, pages.data()) == 0);
    munmap(memory, size);
    size_t count = 0;
    for (unsigned char page : pages) count += page & 1U;
    return count;
  }
  void drop_from_cache(const std::string& name) const {
    Descriptor fd(::open(path(name).c_str(), O_RDONLY | O_CLOEXEC));
    CHECK(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0);
  }
};

Slice bytes(size_t size, unsigned seed) {
  base::MutableBuffer buffer(size);
  for (size_t i = 0; i < size; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 + seed);
  return std::move(buffer).freeze(size);
}

TEST_F(FileTest, cached_bytes_are_read_on_the_loop) {
  run([](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    Slice content = bytes(100'000, 1);
    EXPECT_TRUE(file->write_at(0, {&content, 1}));
    const auto& counters = static_cast<DiskFile&>(*file).counters();
    EXPECT_EQ(must(file->read_at(0, 100'000)).text(), content.text());
    EXPECT_EQ(must(file->read_at(99'990, 100'000)).text(), content.cut(99'990, 10).text());
    EXPECT_TRUE(must(file->read_at(100'000, 1)).empty());
    // Some file systems cannot say "not cached": there every read goes to the pool.
    if (counters.reads_on_loop == 0) GTEST_SKIP() << "no RWF_NOWAIT on this file system";
    EXPECT_EQ(counters.reads_on_loop, 2U);
    EXPECT_EQ(counters.reads_offloaded, 0U);
  });
}

TEST_F(FileTest, bytes_that_are_not_cached_are_read_on_the_pool) {
  run([this](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    Slice content = bytes(200'000, 2);
    EXPECT_TRUE(file->write_at(0, {&content, 1}));
    EXPECT_TRUE(file->sync());
    drop_from_cache("f");
    if (cached_pages("f") != 0) GTEST_SKIP() << "this file system keeps its pages";
    const auto& counters = static_cast<DiskFile&>(*file).counters();
    EXPECT_EQ(must(file->read_at(0, 200'000)).text(), content.text());
    EXPECT_EQ(counters.reads_offloaded, 1U);
    EXPECT_EQ(must(file->read_at(0, 200'000)).text(), content.text());
  });
}

TEST_F(FileTest, large_reads_are_read_on_the_pool_and_the_largest_refused) {
  run([](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    EXPECT_TRUE(file->truncate(2ULL << 30));
    EXPECT_EQ(file->size(), 2ULL << 30);
    EXPECT_TRUE(fails(file->read_at(0, 2ULL << 30), Errc::too_large));
    EXPECT_EQ(must(file->read_at(0, DiskFile::kOnLoopBytesMax + 1)).size(),
              DiskFile::kOnLoopBytesMax + 1);
    EXPECT_EQ(static_cast<DiskFile&>(*file).counters().reads_offloaded, 1U);
    Slice tail = must(file->read_at((2ULL << 30) - 5, std::numeric_limits<size_t>::max()));
    EXPECT_EQ(tail.size(), 5U);
  });
}

TEST_F(FileTest, a_gather_of_more_slices_than_the_kernel_takes_is_written_whole) {
  run([](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    std::vector<Slice> list;
    Slices all;
    for (unsigned i = 0; i < 3000; ++i) {
      list.push_back(bytes(i % 50, i));  // empty ones among them
      all.push_back(list.back());
    }
    EXPECT_TRUE(file->write_at(10, list));
    EXPECT_EQ(file->size(), 10 + all.size());
    EXPECT_EQ(must(file->read_at(10, all.size())).text(), all.flatten().text());
    EXPECT_EQ(must(file->read_at(0, 10)).text(), std::string(10, '\0'));
    // Inside the file, so through the pool.
    EXPECT_TRUE(file->write_at(0, list));
    EXPECT_EQ(must(file->read_at(0, all.size())).text(), all.flatten().text());
    EXPECT_EQ(file->size(), 10 + all.size());
  });
}

TEST_F(FileTest, a_write_that_fails_half_way_says_so_and_the_size_is_the_true_one) {
  // The limit on the size of files stands in for a full disk: a short write, then an error.
  ASSERT_NE(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
  run([](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit small = before;
    small.rlim_cur = 10'000;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    std::vector<Slice> list = {bytes(6000, 1), bytes(6000, 2)};
    base::Result<> result = file->write_at(0, list);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_TRUE(fails(result, Errc::too_large));
    EXPECT_EQ(file->size(), 10'000U);
    EXPECT_NE(result.error().detail.find("/f: "), std::string::npos) << result.error().detail;
    EXPECT_TRUE(file->write_at(0, list));
    EXPECT_EQ(file->size(), 12'000U);
  });
}

TEST_F(FileTest, nothing_outside_the_directory_can_be_named) {
  std::ofstream(path("real")) << "x";
  ASSERT_EQ(symlink("real", path("link").c_str()), 0);
  ASSERT_EQ(symlink("/", path("root").c_str()), 0);
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  run([](Node& node) {
    for (const char* name : {"", ".", "..", "a/b", "/etc", "link", "pipe", "root"}) {
      for (OpenMode mode : {OpenMode::open_existing, OpenMode::open_or_create}) {
        EXPECT_TRUE(fails(node.data.open(name, mode), Errc::invalid)) << name;
        EXPECT_TRUE(fails(node.data.subdirectory(name, mode), Errc::invalid)) << name;
      }
    }
    EXPECT_TRUE(fails(node.data.rename("real", "../real"), Errc::invalid));
    EXPECT_TRUE(fails(node.data.remove(".."), Errc::invalid));
    EXPECT_TRUE(node.data.open("real", OpenMode::open_existing));
  });
}

TEST_F(FileTest, directories_keep_what_is_in_them) {
  run([](Node& node) {
    auto below = must(node.data.subdirectory("b", OpenMode::create_exclusive));
    must(below->open("f", OpenMode::create_exclusive));
    must(node.data.subdirectory("empty", OpenMode::open_or_create));
    must(node.data.open("a", OpenMode::open_or_create));
    EXPECT_TRUE(
        fails(node.data.subdirectory("b", OpenMode::create_exclusive), Errc::already_exists));
    EXPECT_TRUE(fails(node.data.remove("b"), Errc::wrong_state));
    EXPECT_TRUE(fails(node.data.remove("none"), Errc::not_found));
    EXPECT_TRUE(fails(node.data.rename("a", "empty"), Errc::already_exists));
    EXPECT_TRUE(fails(node.data.rename("b", "empty"), Errc::already_exists));
    EXPECT_TRUE(node.data.rename("b", "c"));
    EXPECT_TRUE(node.data.sync());
    std::vector<runtime::DirectoryEntry> expected = {{"a", false}, {"c", true}, {"empty", true}};
    EXPECT_EQ(must(node.data.list()), expected);
    EXPECT_TRUE(runtime::remove_contents(node.data));
    EXPECT_TRUE(must(node.data.list()).empty());
    runtime::Space space = must(node.data.space());
    EXPECT_GT(space.total_bytes, 0U);
    EXPECT_LE(space.free_bytes, space.total_bytes);
  });
}

TEST_F(FileTest, many_syncs_of_one_file_run_at_once) {
  run([](Node& node) {
    auto file = must(node.data.open("f", OpenMode::create_exclusive));
    int synced = 0;
    Nursery nursery(node.tasks);
    for (unsigned i = 0; i < 32; ++i) {
      nursery.spawn("writer", [&, i] {
        Slice part = bytes(5000, i);
        EXPECT_TRUE(file->write_at(5000ULL * i, {&part, 1}));
        if (i % 8 == 0) {
          EXPECT_TRUE(file->truncate(file->size()));
        }
        EXPECT_TRUE(file->sync());
        ++synced;
      });
    }
    EXPECT_EQ(nursery.join_all(soon(node)), Wake::notified);
    EXPECT_EQ(synced, 32);
  });
}

TEST_F(FileTest, a_large_file_that_was_removed_is_closed_elsewhere) {
  run([](Node& node) {
    for (int i = 0; i < 20; ++i) {
      auto file = must(node.data.open("f", OpenMode::create_exclusive));
      Slice content = bytes(2'000'000, 3);
      EXPECT_TRUE(file->write_at(0, {&content, 1}));
      EXPECT_TRUE(node.data.remove("f"));
      EXPECT_EQ(must(file->read_at(0, 2'000'000)).text(), content.text());
    }
  });
}

TEST_F(FileTest, two_open_files_of_one_name_see_the_same_bytes_and_size) {
  run([](Node& node) {
    auto writer = must(node.data.open("f", OpenMode::create_exclusive));
    auto reader = must(node.data.open("f", OpenMode::open_existing));
    Slice content = bytes(5000, 3);
    EXPECT_TRUE(writer->write_at(0, {&content, 1}));
    EXPECT_EQ(reader->size(), 5000U);
    EXPECT_EQ(must(reader->read_at(0, 9999)).text(), content.text());
    EXPECT_TRUE(reader->truncate(7));
    EXPECT_EQ(writer->size(), 7U);
  });
}

TEST_F(FileTest, the_data_directory_is_made_with_its_parents_or_the_reason_told) {
  Options deep = options();
  deep.data_directory = directory() + "/x//y/z/";
  loop(deep).run([](Node& node) { EXPECT_TRUE(node.data.open("f", OpenMode::open_or_create)); });
  EXPECT_TRUE(std::filesystem::is_regular_file(directory() + "/x/y/z/f"));
  Options below_file = options();
  below_file.data_directory = directory() + "/x/y/z/f/g";
  EXPECT_TRUE(fails(Loop::create(below_file), Errc::invalid));
}

TEST_F(FileTest, the_data_directory_is_of_one_loop_at_a_time) {
  Options plain = options();
  loop(plain);
  EXPECT_TRUE(fails(Loop::create(plain), Errc::wrong_state));
  plain.data_is_ours = false;
  EXPECT_TRUE(Loop::create(plain));
  plain.data_is_ours = true;
  // Its folders are files of it; only the root is locked.
  plain.data_directory = directory() + "/other";
  EXPECT_TRUE(Loop::create(plain));
  EXPECT_TRUE(Loop::create(plain));  // the one before is gone
}

}  // namespace
}  // namespace verdict::io
