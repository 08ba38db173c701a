#pragma once
// Big-endian loads and stores at unaligned addresses: the byte order of Kafka's wire and disk.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace verdict::base {

template <std::integral T>
constexpr T byteswap(T value) {
  using U = std::make_unsigned_t<T>;
  auto u = static_cast<U>(value);
  if constexpr (sizeof(T) == 2) u = __builtin_bswap16(u);
  if constexpr (sizeof(T) == 4) u = __builtin_bswap32(u);
  if constexpr (sizeof(T) == 8) u = __builtin_bswap64(u);
  return static_cast<T>(u);
}

static_assert(std::endian::native == std::endian::little, "written for little-endian machines");

template <std::integral T>
T load_be(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return byteswap(value);
}

template <std::integral T>
void store_be(std::byte* at, T value) {
  value = byteswap(value);
  std::memcpy(at, &value, sizeof value);
}

}  // namespace verdict::base
