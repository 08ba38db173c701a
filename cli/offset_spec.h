#pragma once
// Where `verdict consume` begins: as a person writes it, and as it is in one partition.

#include <cstdint>
#include <string_view>

#include "broker/base/result.h"

namespace verdict::cli {

struct OffsetSpec {
  enum class Kind : uint8_t { beginning, end, absolute, before_end };
  Kind kind = Kind::beginning;
  int64_t count = 0;  // the offset, or how many records before the end

  auto operator<=>(const OffsetSpec&) const = default;
};

// beginning, end, N (that offset) or -N (the last N). invalid with a sentence for people.
base::Result<OffsetSpec> parse_offset_spec(std::string_view text);

// The offset of the first record to read in a partition that holds [start, end). invalid when it
// would lie outside; `end` itself is possible: what comes next.
base::Result<int64_t> first_offset(OffsetSpec spec, int64_t start, int64_t end);

}  // namespace verdict::cli
