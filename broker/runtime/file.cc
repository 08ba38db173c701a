#include "broker/runtime/file.h"

#include "broker/base/check.h"

namespace verdict::runtime {

bool valid_file_name(std::string_view name) {
  constexpr size_t kNameBytesMax = 255;
  if (name.empty() || name.size() > kNameBytesMax || name == "." || name == "..") return false;
  return name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

base::Result<> remove_contents(Directory& directory) {
  std::vector<DirectoryEntry> entries = TRY(directory.list());
  for (const DirectoryEntry& entry : entries) {
    CHECK(valid_file_name(entry.name));
    if (entry.is_directory) {
      std::unique_ptr<Directory> below =
          TRY(directory.subdirectory(entry.name, OpenMode::open_existing));
      TRY(remove_contents(*below));
    }
    TRY(directory.remove(entry.name));
  }
  return {};
}

}  // namespace verdict::runtime
