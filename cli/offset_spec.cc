#include "cli/offset_spec.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "broker/base/check.h"

namespace verdict::cli {

using base::Errc;
using base::fail;
using base::Result;

Result<OffsetSpec> parse_offset_spec(std::string_view text) {
  using Kind = OffsetSpec::Kind;
  if (text == "beginning" || text == "start") return OffsetSpec{Kind::beginning};
  if (text == "end") return OffsetSpec{Kind::end};
  const bool from_end = text.starts_with('-');
  const std::string_view digits = text.substr(from_end ? 1 : 0);
  int64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc() || end != digits.data() + digits.size() || count < 0) {
    return fail(Errc::invalid, "'" + std::string(text) +
                                   "' is no offset; there are: beginning, end, N, -N (the last N)");
  }
  return OffsetSpec{from_end ? Kind::before_end : Kind::absolute, count};
}

Result<int64_t> first_offset(OffsetSpec spec, int64_t start, int64_t end) {
  CHECK(start >= 0 && start <= end);
  switch (spec.kind) {
    case OffsetSpec::Kind::beginning:
      return start;
    case OffsetSpec::Kind::end:
      return end;
    case OffsetSpec::Kind::before_end:
      return std::max(start, end - std::min(spec.count, end));
    case OffsetSpec::Kind::absolute:
      break;
  }
  if (spec.count >= start && spec.count <= end) return spec.count;
  return fail(Errc::invalid, "offset " + std::to_string(spec.count) +
                                 " is not there: it begins at " + std::to_string(start) +
                                 " and ends before " + std::to_string(end));
}

}  // namespace verdict::cli
