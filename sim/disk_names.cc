// Names: how files and directories are opened, listed, renamed and removed; and the handles that
// programs hold.

#include "sim/disk.h"

namespace verdict::sim {
namespace {

using base::Errc;
using base::Result;
using base::Slice;
using runtime::OpenMode;

std::string join(const Inode& directory, std::string_view name) {
  std::string path = directory.place->path;
  if (!path.empty()) path += '/';
  return path += name;
}

std::unexpected<base::Error> refuse(Errc code, const Inode& directory, std::string_view name,
                                    const char* why) {
  return base::fail(code, join(directory, name) + ": " + why);
}

}  // namespace

void Disk::name_changed(const Inode& directory, NameOpKind kind, uint64_t name_hash, Place& place) {
  kernel_.record(node_, EventKind::disk_name, directory.place->entity, static_cast<uint64_t>(kind),
                 name_hash);
  uint64_t k = ++place.ordinals[static_cast<size_t>(DiskOpKind::name)];
  watch(DiskOpKind::name, DiskOpPhase::after, place, k, true);
}

Result<InodeRef> Disk::open(runtime::Tasks& tasks, Inode& directory, std::string_view name,
                            OpenMode mode, bool is_directory) {
  if (!runtime::valid_file_name(name)) return base::fail(Errc::invalid, "file name");
  wait_for_name(tasks, directory);
  auto entry = directory.entries.find(name);
  if (entry != directory.entries.end()) {
    if (mode == OpenMode::create_exclusive) {
      return refuse(Errc::already_exists, directory, name, "is there already");
    }
    if (entry->second->is_directory != is_directory) {
      return refuse(Errc::invalid, directory, name,
                    is_directory ? "is not a directory" : "is a directory");
    }
    return entry->second;
  }
  if (mode == OpenMode::open_existing || !directory.linked) {
    return refuse(Errc::not_found, directory, name, "no such file or directory");
  }
  Place& place = place_of(join(directory, name));
  if (error_hits(&DiskErrors::writes, place)) return io_error("create", place);
  InodeRef inode = model_.create(directory, kernel_.now_ns(), std::string(name), is_directory);
  name_changed(directory, NameOpKind::link, base::hash_text(name), place);
  return inode;
}

Result<> Disk::rename(runtime::Tasks& tasks, Inode& directory, std::string_view from,
                      std::string_view to) {
  if (!runtime::valid_file_name(from)) return base::fail(Errc::invalid, "file name");
  if (!runtime::valid_file_name(to)) return base::fail(Errc::invalid, "file name");
  wait_for_name(tasks, directory);
  auto source = directory.entries.find(from);
  auto target = directory.entries.find(to);
  bool replaces = target != directory.entries.end() && from != to;
  if (replaces && target->second->is_directory) {
    return refuse(Errc::already_exists, directory, to, "is a directory");
  }
  if (source == directory.entries.end()) {
    return refuse(Errc::not_found, directory, from, "no such file or directory");
  }
  if (from == to) return {};
  if (replaces && source->second->is_directory) {
    return refuse(Errc::invalid, directory, to, "is not a directory");
  }
  Place& place = place_of(join(directory, to));
  if (error_hits(&DiskErrors::writes, place)) return io_error("rename", place);
  model_.rename(directory, kernel_.now_ns(), std::string(from), std::string(to));
  name_changed(directory, NameOpKind::rename,
               base::combine(base::hash_text(from), base::hash_text(to)), place);
  return {};
}

Result<> Disk::remove(runtime::Tasks& tasks, Inode& directory, std::string_view name) {
  if (!runtime::valid_file_name(name)) return base::fail(Errc::invalid, "file name");
  wait_for_name(tasks, directory);
  auto entry = directory.entries.find(name);
  if (entry == directory.entries.end()) {
    return refuse(Errc::not_found, directory, name, "no such file or directory");
  }
  if (!entry->second->entries.empty()) {
    return refuse(Errc::wrong_state, directory, name, "directory is not empty");
  }
  Place& place = place_of(join(directory, name));
  if (error_hits(&DiskErrors::writes, place)) return io_error("remove", place);
  model_.remove(directory, kernel_.now_ns(), std::string(name));
  name_changed(directory, NameOpKind::unlink, base::hash_text(name), place);
  return {};
}

// ---------------------------------------------------------------- handles

class DiskFile final : public runtime::File, public DiskHandle, private runtime::ShardBound {
 public:
  DiskFile(Disk& disk, runtime::Tasks& tasks, InodeRef inode)
      : DiskHandle(disk, tasks, std::move(inode)), ShardBound(tasks) {}

  Result<Slice> read_at(uint64_t offset, size_t n) override {
    check_shard();
    return disk().read(tasks(), *inode(), offset, n);
  }
  Result<> write_at(uint64_t offset, std::span<const Slice> slices) override {
    check_shard();
    return disk().write(tasks(), *inode(), offset, slices);
  }
  Result<> sync() override {
    check_shard();
    return disk().sync(tasks(), inode());
  }
  Result<> truncate(uint64_t size) override {
    check_shard();
    return disk().truncate(tasks(), *inode(), size);
  }
  uint64_t size() const override {
    check_shard();
    CHECK(inode() != nullptr);
    return inode()->current.size();
  }
};

class DiskDirectory final : public runtime::Directory,
                            public DiskHandle,
                            private runtime::ShardBound {
 public:
  DiskDirectory(Disk& disk, runtime::Tasks& tasks, InodeRef inode)
      : DiskHandle(disk, tasks, std::move(inode)), ShardBound(tasks) {}

  Result<std::unique_ptr<runtime::File>> open(std::string_view name, OpenMode mode) override {
    check_shard();
    InodeRef opened = TRY(disk().open(tasks(), *inode(), name, mode, false));
    return std::make_unique<DiskFile>(disk(), tasks(), std::move(opened));
  }
  Result<std::unique_ptr<runtime::Directory>> subdirectory(std::string_view name,
                                                           OpenMode mode) override {
    check_shard();
    InodeRef opened = TRY(disk().open(tasks(), *inode(), name, mode, true));
    return std::make_unique<DiskDirectory>(disk(), tasks(), std::move(opened));
  }
  Result<std::vector<runtime::DirectoryEntry>> list() override {
    check_shard();
    disk().wait_for_name(tasks(), *inode());
    std::vector<runtime::DirectoryEntry> entries;
    for (const auto& [name, child] : inode()->entries) {
      entries.push_back({name, child->is_directory});
    }
    return entries;
  }
  Result<> rename(std::string_view from, std::string_view to) override {
    check_shard();
    return disk().rename(tasks(), *inode(), from, to);
  }
  Result<> remove(std::string_view name) override {
    check_shard();
    return disk().remove(tasks(), *inode(), name);
  }
  Result<> sync() override {
    check_shard();
    return disk().sync(tasks(), inode());
  }
  Result<runtime::Space> space() override {
    check_shard();
    disk().wait_for_name(tasks(), *inode());
    return runtime::Space{disk().options_.capacity_bytes, disk().room_bytes()};
  }
};

std::unique_ptr<runtime::Directory> Disk::attach(runtime::Tasks& tasks) {
  return std::make_unique<DiskDirectory>(*this, tasks, model_.root());
}

}  // namespace verdict::sim
