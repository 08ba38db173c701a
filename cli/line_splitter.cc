#include "cli/line_splitter.h"

#include <utility>

#include "broker/base/check.h"

namespace verdict::cli {

void LineSplitter::feed(std::string chunk) {
  CHECK(searched_ == buffer_.size());
  CHECK(!too_long());
  buffer_.erase(0, from_);
  searched_ -= from_;
  from_ = 0;
  if (buffer_.empty()) {
    buffer_ = std::move(chunk);
  } else {
    buffer_ += chunk;
  }
}

std::optional<std::string_view> LineSplitter::next_line() {
  if (too_long()) return std::nullopt;
  const size_t end = buffer_.find('\n', searched_);
  searched_ = end == buffer_.npos ? buffer_.size() : end + 1;
  if (end == buffer_.npos) return std::nullopt;
  if (end - from_ > kLineBytesMax) return std::nullopt;
  const std::string_view line = std::string_view(buffer_).substr(from_, end - from_);
  from_ = end + 1;
  return line;
}

std::optional<std::string_view> LineSplitter::last_line() {
  CHECK(searched_ == buffer_.size());
  if (from_ == buffer_.size() || too_long()) return std::nullopt;
  return std::string_view(buffer_).substr(std::exchange(from_, buffer_.size()));
}

bool LineSplitter::too_long() const {
  const bool ended = searched_ > from_ && buffer_[searched_ - 1] == '\n';
  return searched_ - from_ - (ended ? 1 : 0) > kLineBytesMax && searched_ > from_;
}

KeyAndValue split_key(std::string_view line, std::string_view delimiter) {
  const size_t at = delimiter.empty() ? line.npos : line.find(delimiter);
  if (at == line.npos) return {.value = line};
  return {.key = line.substr(0, at), .value = line.substr(at + delimiter.size())};
}

}  // namespace verdict::cli
