#pragma once
// Files and directories of one node: capabilities, not paths. No name contains '/' or is "..".
//
// File calls suspend the fiber as long as the device needs and cannot be cancelled. Durable means:
// survives a power loss. Bytes of a file become durable by sync() of the file, names by sync() of
// their directory.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"

namespace verdict::runtime {

enum class OpenMode : uint8_t {
  open_existing,  // not_found when absent
  open_or_create,
  create_exclusive,  // already_exists when present
};

class File {
 public:
  // Closing never syncs.
  virtual ~File() = default;
  // Up to `n` bytes from `offset`; short only at the end of the file.
  virtual base::Result<base::Slice> read_at(uint64_t offset, size_t n) = 0;
  // Writes all of `slices`; beyond the end the file grows, a gap reads as zeros. no_space, io.
  // After an error any prefix may be there.
  virtual base::Result<> write_at(uint64_t offset, std::span<const base::Slice> slices) = 0;
  // Makes durable every write and truncate that returned before this call. After a failure the
  // state of those writes is unknown for good: a later sync that succeeds promises nothing for
  // them.
  virtual base::Result<> sync() = 0;
  virtual base::Result<> truncate(uint64_t size) = 0;
  virtual uint64_t size() const = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  auto operator<=>(const DirectoryEntry&) const = default;
};

struct Space {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

class Directory {
 public:
  virtual ~Directory() = default;
  virtual base::Result<std::unique_ptr<File>> open(std::string_view name, OpenMode mode) = 0;
  virtual base::Result<std::unique_ptr<Directory>> subdirectory(std::string_view name,
                                                                OpenMode mode) = 0;
  // Sorted by name.
  virtual base::Result<std::vector<DirectoryEntry>> list() = 0;
  // Atomic within this directory; replaces a file at `to`, refuses to replace a directory. A power
  // loss leaves the old or the new name until sync().
  virtual base::Result<> rename(std::string_view from, std::string_view to) = 0;
  // A file, or an empty directory.
  virtual base::Result<> remove(std::string_view name) = 0;
  // Makes durable the names made, renamed and removed in this directory before this call.
  virtual base::Result<> sync() = 0;
  virtual base::Result<Space> space() = 0;
};

// Removes what is in `directory`, then nothing is left of it but itself.
base::Result<> remove_contents(Directory& directory);

// Whether `name` may be given to a Directory: 1 to 255 bytes, no '/', no NUL, not "." or "..".
bool valid_file_name(std::string_view name);

}  // namespace verdict::runtime
