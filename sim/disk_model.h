#pragma once
// What is on a disk, without time: files and directories, each as it reads now and as the device
// holds it, and the operations in between.
//
// A file is `base` (on the device) plus an ordered log of operations, each pending, forgotten (by a
// failed sync: clean to the eye, not on the device) or durable. Durable ones at the front of the
// log merge into `base`.
//
// Invariants:
//   - `current` is `base` with every operation of the log applied in order, until clean pages are
//     evicted or a write was misdirected;
//   - in a log, nothing forgotten or durable comes after something pending;
//   - in a directory, `entries` is `durable_entries` with every name operation applied.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/hash_map.h"
#include "broker/base/result.h"
#include "sim/choices.h"
#include "sim/disk_content.h"

namespace verdict::sim {

inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kSectorBytes = 512;
inline constexpr uint64_t kFileBytesMax = 1ULL << 44;
// Forgotten operations that a file remembers; older ones are lost for good.
inline constexpr size_t kForgottenOpsMax = 4096;

// A path that was ever used on this disk: the stable entity of choices, over renames, removals and
// restarts.
struct Place {
  std::string path;
  uint64_t entity = 0;
  ChoicePoint sync;
  ChoicePoint tail;
  ChoicePoint device;  // truncates, names, cold reads
  ChoicePoint error;
  uint64_t ordinals[4] = {};  // by DiskOpKind
};

enum class OpState : uint8_t { pending, forgotten, durable };
enum class FileOpKind : uint8_t { write, truncate };

struct FileOp {
  FileOpKind kind;
  OpState state = OpState::pending;
  int64_t at_ns = 0;
  uint64_t sequence = 0;
  uint64_t offset = 0;         // of a truncate: the new size
  uint64_t device_offset = 0;  // differs from `offset` when the write was misdirected
  uint64_t size_after = 0;
  base::Slice bytes;
  uint64_t end() const { return offset + bytes.size(); }
};

struct Inode;
// Shared by the names, the name operations and the handles that lead to the inode: a removed file
// lives on in each of them, and the last one to go is not known beforehand.
using InodeRef = std::shared_ptr<Inode>;
using DiskEntries = base::OrderedMap<std::string, InodeRef>;

enum class NameOpKind : uint8_t { link = 1, unlink, rename };

struct NameOp {
  NameOpKind kind;
  int64_t at_ns = 0;
  uint64_t sequence = 0;
  std::string name;
  std::string to;  // of a rename
  InodeRef inode;
};

struct Inode {
  uint64_t id = 0;  // counts the inodes of this disk
  bool is_directory = false;
  bool linked = false;  // a current name leads here
  bool cold = false;    // not read since the last power loss
  uint32_t handles = 0;
  uint32_t sync_failures = 0;
  uint64_t synced_sequence = 0;  // the last successful sync covers all up to here
  Place* place = nullptr;

  // A file.
  DiskContent current;
  DiskContent base;
  std::vector<FileOp> log;

  // A directory.
  DiskEntries entries;
  DiskEntries durable_entries;
  std::vector<NameOp> name_log;
  uint64_t forgotten_names_through = 0;
};

// Applies one name operation to a set of entries.
void apply_name(const NameOp& op, DiskEntries& entries);
// The number of operations in the log up to the last durable one: their sizes are on the device.
size_t durable_count(const Inode& file);
// Puts the bytes of a write where they land on the device, which differs when it is misdirected.
void write_to_device(const FileOp& op, DiskContent& content);
// The device's view after a durable operation.
void apply_to_device(const FileOp& op, DiskContent& content);

class DiskModel {
 public:
  // `place_of` gives the place of a path, forever the same object.
  explicit DiskModel(std::function<Place&(const std::string&)> place_of);

  const InodeRef& root() const { return root_; }
  // The inode at a path of the current tree, null when absent.
  InodeRef find(std::string_view path) const;
  uint64_t used_bytes() const { return used_bytes_; }
  uint64_t last_sequence() const { return sequence_; }

  // ---- files
  void write(Inode& file, int64_t now_ns, uint64_t offset, base::Slice bytes,
             uint64_t device_offset);
  void truncate(Inode& file, int64_t now_ns, uint64_t size);
  // Pending operations up to `covered` are durable; of files and directories.
  void sync_done(Inode& inode, uint64_t covered);
  // They are forgotten instead. Returns the bytes.
  uint64_t sync_failed(Inode& inode, uint64_t covered);
  // Pending operations made at or before `until_ns` are durable.
  void written_back(Inode& inode, int64_t until_ns);
  // `current` is read from the device again, pending operations apart. Returns forgotten bytes that
  // are gone.
  uint64_t evict(Inode& file);
  // What of `file` is on the device.
  DiskContent device_content(const Inode& file) const;
  // Whether these bytes, as they read now, survive every power loss; no when in doubt.
  bool is_durable(const Inode& file, uint64_t offset, uint64_t length) const;
  // Everything below is durable, misdirected writes and bit rot apart.
  uint64_t durable_through(const Inode& file) const;
  // Flips a bit that no operation of the log covers; false when there is one, or no such byte.
  bool flip_bit(Inode& file, uint64_t offset, uint32_t bit);

  // ---- names; the caller has validated them and looked the entries up
  InodeRef create(Inode& directory, int64_t now_ns, const std::string& name, bool is_directory);
  void rename(Inode& directory, int64_t now_ns, const std::string& from, const std::string& to);
  void remove(Inode& directory, int64_t now_ns, const std::string& name);

  void handle_opened(Inode& inode) { ++inode.handles; }
  void handle_closed(Inode& inode);

  // Calls `fn(path, inode)` for everything below the root: parents first, siblings by name.
  void visit(const std::function<void(const std::string&, const InodeRef&)>& fn) const;
  // After a power loss replaced contents and entries: counts and links anew.
  void recount();
  void clear();

 private:
  InodeRef make_inode(bool is_directory, const std::string& path);
  // The current content of `file` occupied `before` bytes until now.
  void account(const Inode& file, uint64_t before);
  void log_name(Inode& directory, NameOp op);
  void unlink(Inode& inode);
  void set_places(Inode& inode, const std::string& path);

  std::function<Place&(const std::string&)> place_of_;
  InodeRef root_;
  uint64_t sequence_ = 0;
  uint64_t inodes_ = 0;
  uint64_t used_bytes_ = 0;
};

}  // namespace verdict::sim
