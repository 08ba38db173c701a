#include "broker/io/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "broker/base/check.h"
#include "broker/io/file.h"
#include "broker/io/system_error.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Result;
using runtime::DirectoryEntry;
using runtime::OpenMode;

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

// Returns 0 or an errno, as all functions here that run on the pool.
int open_directory(int parent, const char* name, int flags, Descriptor& out) {
  out = Descriptor(openat(parent, name, kDirectoryFlags | flags));
  return out.valid() ? 0 : errno;
}

int open_file(int parent, const char* name, OpenMode mode, Descriptor& out, uint64_t& size) {
  // O_NONBLOCK, so that a pipe of that name cannot hold the thread; files do not care.
  int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  if (mode != OpenMode::open_existing) flags |= O_CREAT;
  if (mode == OpenMode::create_exclusive) flags |= O_EXCL;
  do {
    out = Descriptor(openat(parent, name, flags, kFileMode));
  } while (!out.valid() && errno == EINTR);
  if (!out.valid()) return errno;
  struct stat info{};
  if (fstat(out.get(), &info) != 0) return errno;
  if (!S_ISREG(info.st_mode)) return EINVAL;
  size = static_cast<uint64_t>(info.st_size);
  return 0;
}

int make_directory(int parent, const char* name, OpenMode mode, Descriptor& out) {
  if (mode != OpenMode::open_existing && mkdirat(parent, name, kDirectoryMode) != 0) {
    if (errno != EEXIST || mode == OpenMode::create_exclusive) return errno;
  }
  return open_directory(parent, name, O_NOFOLLOW, out);
}

bool is_directory(int parent, const char* name) {
  struct stat info{};
  return fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

int list_entries(int fd, std::vector<DirectoryEntry>& out) {
  Descriptor own;  // with a reading position of its own
  if (int error_number = open_directory(fd, ".", 0, own); error_number != 0) return error_number;
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), closedir);
  if (stream == nullptr) return errno;
  own.release();  // the stream closes it
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) return errno;
    if (!runtime::valid_file_name(entry->d_name)) continue;  // "." and ".."
    const bool below =
        entry->d_type == DT_UNKNOWN ? is_directory(fd, entry->d_name) : entry->d_type == DT_DIR;
    out.push_back({entry->d_name, below});
  }
}

int remove_entry(int parent, const char* name) {
  if (unlinkat(parent, name, 0) == 0) return 0;
  if (errno != EISDIR && errno != EPERM) return errno;
  if (!is_directory(parent, name)) return EPERM;
  return unlinkat(parent, name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

}  // namespace

Result<Descriptor> DiskDirectory::open_root(const std::string& path, bool exclusive) {
  Descriptor at;
  int error_number = open_directory(AT_FDCWD, path.front() == '/' ? "/" : ".", 0, at);
  for (size_t from = 0; error_number == 0 && from < path.size();) {
    const size_t end = std::min(path.find('/', from), path.size());
    const std::string part = path.substr(from, end - from);
    from = end + 1;
    if (part.empty()) continue;
    if (mkdirat(at.get(), part.c_str(), kDirectoryMode) == 0) {
      if (fsync(at.get()) != 0) return std::unexpected(file_error(errno, "sync parent of", path));
    } else if (errno != EEXIST && errno != EROFS && errno != EACCES) {
      // EROFS and EACCES do not matter where the directory is there.
      error_number = errno;
      break;
    }
    Descriptor next;
    error_number = open_directory(at.get(), part.c_str(), 0, next);
    at = std::move(next);
  }
  if (error_number != 0) return std::unexpected(file_error(error_number, "open directory", path));
  if (!exclusive) return at;
  // Two processes that write the same files would ruin them. The lock goes with the descriptor.
  if (flock(at.get(), LOCK_EX | LOCK_NB) == 0) return at;
  if (errno != EWOULDBLOCK) return std::unexpected(file_error(errno, "lock directory", path));
  return base::fail(
      Errc::wrong_state,
      path + " is in use by another process; stop that one or name another directory");
}

DiskDirectory::DiskDirectory(runtime::Tasks& tasks, OffloadPool& pool, Descriptor fd,
                             std::string name)
    : ShardBound(tasks), tasks_(tasks), pool_(pool), fd_(std::move(fd)), name_(std::move(name)) {
  CHECK(fd_.valid());
}

std::string DiskDirectory::path_of(std::string_view name) const {
  return name_ + "/" + std::string(name);
}

int DiskDirectory::offload(std::function<int()> call) {
  check_shard();
  int error_number = 0;
  pool_.run(tasks_, [&] { error_number = call(); });
  return error_number;
}

Result<std::unique_ptr<runtime::File>> DiskDirectory::open(std::string_view name, OpenMode mode) {
  std::string path = path_of(name);
  if (!runtime::valid_file_name(name)) return base::fail(Errc::invalid, "open " + path);
  const std::string text(name);
  Descriptor fd;
  uint64_t size = 0;
  int error_number = offload([&] { return open_file(fd_.get(), text.c_str(), mode, fd, size); });
  if (error_number != 0) return std::unexpected(file_error(error_number, "open", path));
  return std::make_unique<DiskFile>(tasks_, pool_, std::move(fd), std::move(path), size);
}

Result<std::unique_ptr<runtime::Directory>> DiskDirectory::subdirectory(std::string_view name,
                                                                        OpenMode mode) {
  std::string path = path_of(name);
  if (!runtime::valid_file_name(name)) return base::fail(Errc::invalid, "open directory " + path);
  const std::string text(name);
  Descriptor fd;
  int error_number = offload([&] { return make_directory(fd_.get(), text.c_str(), mode, fd); });
  if (error_number != 0) return std::unexpected(file_error(error_number, "open directory", path));
  return std::make_unique<DiskDirectory>(tasks_, pool_, std::move(fd), std::move(path));
}

Result<std::vector<DirectoryEntry>> DiskDirectory::list() {
  std::vector<DirectoryEntry> entries;
  int error_number = offload([&] { return list_entries(fd_.get(), entries); });
  if (error_number != 0) return std::unexpected(file_error(error_number, "list", name_));
  std::sort(entries.begin(), entries.end());
  return entries;
}

Result<> DiskDirectory::rename(std::string_view from, std::string_view to) {
  const std::string path = path_of(from);
  if (!runtime::valid_file_name(from) || !runtime::valid_file_name(to)) {
    return base::fail(Errc::invalid, "rename " + path + " to " + std::string(to));
  }
  const std::string old_name(from);
  const std::string new_name(to);
  int error_number = offload([&] {
    // The kernel would replace an empty directory by another one.
    if (old_name != new_name && is_directory(fd_.get(), new_name.c_str())) return EEXIST;
    return renameat(fd_.get(), old_name.c_str(), fd_.get(), new_name.c_str()) == 0 ? 0 : errno;
  });
  if (error_number != 0) {
    return std::unexpected(file_error(error_number, "rename to " + new_name, path));
  }
  return {};
}

Result<> DiskDirectory::remove(std::string_view name) {
  const std::string path = path_of(name);
  if (!runtime::valid_file_name(name)) return base::fail(Errc::invalid, "remove " + path);
  const std::string text(name);
  int error_number = offload([&] { return remove_entry(fd_.get(), text.c_str()); });
  if (error_number != 0) return std::unexpected(file_error(error_number, "remove", path));
  return {};
}

Result<> DiskDirectory::sync() {
  int error_number = offload([&] { return fsync(fd_.get()) == 0 ? 0 : errno; });
  if (error_number != 0) return std::unexpected(file_error(error_number, "sync", name_));
  return {};
}

Result<runtime::Space> DiskDirectory::space() {
  struct statvfs info{};
  int error_number = offload([&] { return fstatvfs(fd_.get(), &info) == 0 ? 0 : errno; });
  if (error_number != 0) return std::unexpected(file_error(error_number, "space of", name_));
  return runtime::Space{info.f_frsize * info.f_blocks, info.f_frsize * info.f_bavail};
}

}  // namespace verdict::io
