#pragma once
// A 128-bit id as Kafka uses it for topics, directories and clusters.

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/base/hash.h"

namespace verdict::base {

struct Uuid {
  uint64_t high = 0;
  uint64_t low = 0;

  constexpr auto operator<=>(const Uuid&) const = default;
  constexpr bool is_zero() const { return high == 0 && low == 0; }
  uint64_t hash() const { return combine(high, low); }

  // 22 characters of unpadded base64url, the text form in Kafka's files and tools.
  std::string to_string() const;
  // Nothing when the text is not 22 characters of base64url.
  static std::optional<Uuid> parse(std::string_view text);
  // A version 4 (random) UUID from 128 random bits.
  static Uuid from_random(uint64_t a, uint64_t b);
};

}  // namespace verdict::base
