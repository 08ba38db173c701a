#pragma once
// Hashes whose values are the same on every machine, compiler and run.
//
// They decide choices and orders, so std::hash (which differs between libraries) is not an option.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace verdict::base {

// Finaliser of splitmix64: every input bit reaches every output bit.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Joins two hashes; the order of the arguments matters.
constexpr uint64_t combine(uint64_t a, uint64_t b) { return mix64(a ^ mix64(b)); }

// FNV-1a over text, finished by mix64. Usable at compile time for the hash of a name.
constexpr uint64_t hash_text(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325ULL;
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mix64(h);
}

}  // namespace verdict::base
