#pragma once
// Kafka's small text files: a version, a count, one entry per line; replaced as a whole.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/runtime/file.h"

namespace verdict::log {

// Text files of this room are no larger than this; a larger one is refused as corrupt.
inline constexpr size_t kTextFileBytesMax = 64 << 20;

// Puts `text` under `name` so that a crash leaves the old or the new content, never a mixture:
// another file, sync, rename. Durable only after the directory is synced, which is left to the
// caller when `sync_directory` is false.
enum class SyncDirectory : bool { no, yes };
base::Result<> replace_file(runtime::Directory& directory, std::string_view name,
                            std::string_view text, SyncDirectory sync_directory);

// The whole file; nothing when there is none.
base::Result<std::optional<std::string>> read_text(runtime::Directory& directory,
                                                   std::string_view name);

// "0", the count, then the lines.
std::string format_checkpoint(const std::vector<std::string>& lines);
// The lines after the count; corrupt when version or count do not fit. `name` is for the error.
base::Result<std::vector<std::string>> parse_checkpoint(std::string_view name,
                                                        std::string_view text);

// `line` at its spaces.
std::vector<std::string_view> split_words(std::string_view line);

}  // namespace verdict::log
