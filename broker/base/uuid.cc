#include "broker/base/uuid.h"

#include "broker/base/check.h"
#include "broker/base/int128.h"

namespace verdict::base {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kTextSize = 22;
static_assert(kAlphabet.size() == 64);

}  // namespace

std::string Uuid::to_string() const {
  std::string text;
  text.reserve(kTextSize);
  // 21 groups of six bits, then the last two bits in the high end of the 22nd.
  for (size_t i = 0; i < kTextSize; ++i) {
    auto value = (static_cast<uint128>(high) << 64) | low;
    size_t shift = i < 21 ? 122 - 6 * i : 0;
    auto six =
        i < 21 ? static_cast<size_t>(value >> shift) & 63 : (static_cast<size_t>(value) & 3) << 4;
    text.push_back(kAlphabet[six]);
  }
  CHECK(text.size() == kTextSize);
  return text;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != kTextSize) return std::nullopt;
  uint128 value = 0;
  for (size_t i = 0; i < kTextSize; ++i) {
    auto six = kAlphabet.find(text[i]);
    if (six == std::string_view::npos) return std::nullopt;
    if (i < 21) {
      value = (value << 6) | six;
    } else {
      if ((six & 15) != 0) return std::nullopt;
      value = (value << 2) | (six >> 4);
    }
  }
  return Uuid{static_cast<uint64_t>(value >> 64), static_cast<uint64_t>(value)};
}

Uuid Uuid::from_random(uint64_t a, uint64_t b) {
  Uuid id{(a & ~0xf000ULL) | 0x4000ULL, (b & ~(3ULL << 62)) | (2ULL << 62)};
  CHECK(!id.is_zero());
  return id;
}

}  // namespace verdict::base
