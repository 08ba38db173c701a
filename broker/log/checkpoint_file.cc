#include "broker/log/checkpoint_file.h"

#include <memory>

#include "broker/base/check.h"
#include "broker/log/file_names.h"

namespace verdict::log {
namespace {

using base::Errc;
using base::fail;
using base::Result;

constexpr std::string_view kVersion = "0";

Result<std::string_view> take_line(std::string_view& rest, std::string_view name) {
  if (rest.empty()) return fail(Errc::corrupt, std::string(name) + ": ends early");
  size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

}  // namespace

Result<> replace_file(runtime::Directory& directory, std::string_view name, std::string_view text,
                      SyncDirectory sync_directory) {
  CHECK(text.size() <= kTextFileBytesMax);
  std::string temporary = std::string(name) + std::string(kTemporarySuffix);
  CHECK(runtime::valid_file_name(temporary));
  // What a crash left under this name is not written over: its pages may be in any state.
  if (auto removed = directory.remove(temporary);
      !removed && removed.error().code != Errc::not_found) {
    return removed;
  }
  std::unique_ptr<runtime::File> file =
      TRY(directory.open(temporary, runtime::OpenMode::create_exclusive));
  base::Slice bytes = base::Slice::copy_of(text);
  if (!bytes.empty()) TRY(file->write_at(0, {&bytes, 1}));
  TRY(file->sync());
  TRY(directory.rename(temporary, name));
  if (sync_directory == SyncDirectory::yes) TRY(directory.sync());
  return {};
}

Result<std::optional<std::string>> read_text(runtime::Directory& directory, std::string_view name) {
  auto opened = directory.open(name, runtime::OpenMode::open_existing);
  if (!opened) {
    if (opened.error().code == Errc::not_found) return std::optional<std::string>();
    return std::unexpected(std::move(opened).error());
  }
  uint64_t size = (*opened)->size();
  if (size > kTextFileBytesMax) {
    return fail(Errc::corrupt, std::string(name) + ": larger than any such file");
  }
  base::Slice bytes = TRY((*opened)->read_at(0, size));
  return std::optional<std::string>(bytes.text());
}

std::string format_checkpoint(const std::vector<std::string>& lines) {
  std::string text(kVersion);
  text += '\n';
  text += std::to_string(lines.size());
  text += '\n';
  for (const std::string& line : lines) {
    CHECK(line.find('\n') == std::string::npos);
    text += line;
    text += '\n';
  }
  return text;
}

Result<std::vector<std::string>> parse_checkpoint(std::string_view name, std::string_view text) {
  std::string_view rest = text;
  std::string_view version = TRY(take_line(rest, name));
  if (version != kVersion) {
    return fail(Errc::corrupt,
                std::string(name) + ": version '" + std::string(version) + "' is not 0");
  }
  std::string_view count_text = TRY(take_line(rest, name));
  std::optional<int64_t> count = parse_int64(count_text);
  if (!count || *count < 0) {
    return fail(Errc::corrupt, std::string(name) + ": line 2 is not a count");
  }
  std::vector<std::string> lines;
  while (!rest.empty()) {
    std::string_view line = TRY(take_line(rest, name));
    if (!line.empty()) lines.emplace_back(line);
  }
  if (static_cast<int64_t>(lines.size()) != *count) {
    return fail(Errc::corrupt, std::string(name) + ": " + std::to_string(lines.size()) +
                                   " entries where " + std::to_string(*count) + " are announced");
  }
  return lines;
}

std::vector<std::string_view> split_words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    size_t end = line.find(' ');
    if (end != 0) words.push_back(line.substr(0, end));
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  return words;
}

}  // namespace verdict::log
