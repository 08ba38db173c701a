#include "broker/log/file_names.h"

#include <charconv>

#include "broker/base/check.h"

namespace verdict::log {
namespace {
constexpr size_t kDigits = 20;
}

std::string offset_file_name(base::Offset offset, std::string_view suffix) {
  CHECK(offset.value >= 0);
  std::string digits = std::to_string(offset.value);
  std::string name(kDigits - digits.size(), '0');
  name += digits;
  name += suffix;
  return name;
}

std::optional<int64_t> parse_int64(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<base::Offset> parse_offset_file_name(std::string_view name, std::string_view suffix) {
  if (name.size() != kDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::string_view digits = name.substr(0, kDigits);
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
  }
  auto value = parse_int64(digits);
  if (!value) return std::nullopt;
  return base::Offset{*value};
}

}  // namespace verdict::log
