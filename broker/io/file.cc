#include "broker/io/file.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "broker/base/check.h"
#include "broker/io/system_error.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::MutableBuffer;
using base::Result;
using base::Slice;

constexpr size_t kGatherMax = 256;  // slices per system call; the kernel takes 1,024
constexpr uint64_t kFileBytesMax = std::numeric_limits<off_t>::max();
// Freeing the blocks of a larger file may take the device a while.
constexpr off_t kCloseOnLoopBytesMax = 1 << 20;

// Reads until `out` is full or the file ends. Returns 0 or an errno; `done` counts either way.
int read_fully(int fd, uint64_t offset, std::span<std::byte> out, size_t& done) {
  while (done < out.size()) {
    ssize_t n = pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    done += static_cast<size_t>(n);
  }
  return 0;
}

// Fills `out` with what follows the first `skip` bytes of the front of `slices`.
size_t gather(std::span<const Slice> slices, size_t skip, std::span<iovec> out) {
  size_t count = 0;
  for (const Slice& slice : slices) {
    if (count == out.size()) break;
    CHECK(skip == 0 || skip < slice.size());
    out[count++] = {const_cast<std::byte*>(slice.data()) + skip, slice.size() - skip};
    skip = 0;
  }
  return count;
}

// Writes all of `slices`. Returns 0 or an errno.
int write_fully(int fd, uint64_t offset, std::span<const Slice> slices) {
  iovec vectors[kGatherMax];
  size_t skip = 0;  // bytes of the first slice that are written
  for (;;) {
    while (!slices.empty() && skip == slices.front().size()) {
      slices = slices.subspan(1);
      skip = 0;
    }
    if (slices.empty()) return 0;
    const size_t count = gather(slices, skip, vectors);
    const auto at = static_cast<off_t>(offset);
    ssize_t n = count == 1 ? pwrite(fd, vectors[0].iov_base, vectors[0].iov_len, at)
                           : pwritev(fd, vectors, static_cast<int>(count), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;  // a device that takes nothing and gives no reason
    offset += static_cast<uint64_t>(n);
    size_t left = skip + static_cast<size_t>(n);
    while (!slices.empty() && left >= slices.front().size()) {
      left -= slices.front().size();
      slices = slices.subspan(1);
    }
    CHECK(!slices.empty() || left == 0);
    skip = left;
  }
}

}  // namespace

DiskFile::DiskFile(runtime::Tasks& tasks, OffloadPool& pool, Descriptor fd, std::string name,
                   uint64_t size)
    : ShardBound(tasks),
      tasks_(tasks),
      pool_(pool),
      fd_(std::move(fd)),
      name_(std::move(name)),
      size_seen_(size) {
  CHECK(fd_.valid());
}

// The last descriptor of an unlinked file frees its blocks when it is closed.
DiskFile::~DiskFile() {
  struct stat info{};
  if (fstat(fd_.get(), &info) != 0 || info.st_nlink > 0) return;
  if (info.st_size <= kCloseOnLoopBytesMax) return;
  pool_.start([fd = std::move(fd_)]() mutable { fd.close(); });
}

uint64_t DiskFile::size() const {
  struct stat info{};
  if (fstat(fd_.get(), &info) == 0) size_seen_ = static_cast<uint64_t>(info.st_size);
  return size_seen_;
}

// Returns how much of `out` the page cache filled from its front without waiting.
Result<size_t> DiskFile::read_cached(uint64_t offset, std::span<std::byte> out) {
  size_t done = 0;
  while (done < out.size()) {
    iovec vector{out.data() + done, out.size() - done};
    ssize_t n = preadv2(fd_.get(), &vector, 1, static_cast<off_t>(offset + done), RWF_NOWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EOPNOTSUPP) reads_without_waiting_ = false;
    if (n < 0 && errno != EAGAIN && errno != EOPNOTSUPP) {
      return std::unexpected(file_error(errno, "read", name_));
    }
    // Some kernels say "end" where they mean "not cached": the pool finds out which it is.
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Result<Slice> DiskFile::read_at(uint64_t offset, size_t n) {
  check_shard();
  const uint64_t end = size();
  if (n == 0 || offset >= end) return Slice();
  const auto want = static_cast<size_t>(std::min<uint64_t>(n, end - offset));
  if (want > MutableBuffer::kBytesMax) {
    return base::fail(Errc::too_large, "read " + name_ + ": " + std::to_string(want) + " bytes");
  }
  MutableBuffer buffer(want);
  std::span<std::byte> out = buffer.bytes().first(want);
  size_t done = 0;
  if (reads_without_waiting_ && want <= kOnLoopBytesMax) done = TRY(read_cached(offset, out));
  if (done == want) {
    ++counters_.reads_on_loop;
    return std::move(buffer).freeze(want);
  }
  ++counters_.reads_offloaded;
  int error_number = 0;
  pool_.run(tasks_, [&] { error_number = read_fully(fd_.get(), offset, out, done); });
  if (error_number != 0) return std::unexpected(file_error(error_number, "read", name_));
  CHECK(done <= want);
  return std::move(buffer).freeze(done);
}

Result<> DiskFile::write_at(uint64_t offset, std::span<const Slice> slices) {
  check_shard();
  size_t total = 0;
  for (const Slice& slice : slices) total += slice.size();
  if (total == 0) return {};
  if (offset > kFileBytesMax - total) {
    return base::fail(Errc::too_large, "write " + name_ + " at " + std::to_string(offset));
  }
  int error_number = 0;
  // A write inside the file may have to read the rest of its page first.
  if (offset >= size_seen_ && total <= kOnLoopBytesMax) {
    error_number = write_fully(fd_.get(), offset, slices);
  } else {
    pool_.run(tasks_, [&] { error_number = write_fully(fd_.get(), offset, slices); });
  }
  if (error_number != 0) {
    (void)size();  // any prefix may be there
    return std::unexpected(file_error(error_number, "write", name_));
  }
  size_seen_ = std::max(size_seen_, offset + total);
  return {};
}

// fdatasync covers the bytes and the size that a write gave the file. After a truncate we do not
// rely on what the file system takes for data, and sync all.
Result<> DiskFile::sync() {
  check_shard();
  const uint64_t truncates = truncates_;
  const bool whole = truncates != truncates_synced_;
  int error_number = 0;
  pool_.run(tasks_, [&] {
    const int status = whole ? fsync(fd_.get()) : fdatasync(fd_.get());
    error_number = status == 0 ? 0 : errno;
  });
  if (error_number != 0) return std::unexpected(file_error(error_number, "sync", name_));
  truncates_synced_ = std::max(truncates_synced_, truncates);
  return {};
}

Result<> DiskFile::truncate(uint64_t size) {
  check_shard();
  if (size > kFileBytesMax) {
    return base::fail(Errc::too_large, "truncate " + name_ + " to " + std::to_string(size));
  }
  int error_number = 0;
  pool_.run(tasks_, [&] {
    int status = 0;
    do {
      status = ftruncate(fd_.get(), static_cast<off_t>(size));
    } while (status != 0 && errno == EINTR);
    error_number = status == 0 ? 0 : errno;
  });
  ++truncates_;  // even a failed one may have begun
  (void)this->size();
  if (error_number != 0) return std::unexpected(file_error(error_number, "truncate", name_));
  return {};
}

}  // namespace verdict::io
