#pragma once
// Points and lengths of time in integer nanoseconds.

#include <compare>
#include <cstdint>
#include <limits>

namespace verdict::runtime {

struct Duration {
  int64_t ns = 0;
  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration o) const { return {ns + o.ns}; }
  constexpr Duration operator-(Duration o) const { return {ns - o.ns}; }
  constexpr Duration operator*(int64_t n) const { return {ns * n}; }
  constexpr int64_t ms() const { return ns / 1'000'000; }
};

constexpr Duration nanoseconds(int64_t n) { return {n}; }
constexpr Duration microseconds(int64_t n) { return {n * 1'000}; }
constexpr Duration milliseconds(int64_t n) { return {n * 1'000'000}; }
constexpr Duration seconds(int64_t n) { return {n * 1'000'000'000}; }

// A reading of a node's monotonic clock. Only differences on one node mean anything.
struct Instant {
  int64_t ns = 0;
  constexpr auto operator<=>(const Instant&) const = default;
  // Saturates at never().
  constexpr Instant operator+(Duration d) const {
    int64_t sum = 0;
    if (__builtin_add_overflow(ns, d.ns, &sum)) return never();
    return {sum};
  }
  constexpr Instant operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(Instant o) const { return {ns - o.ns}; }
  // The deadline of a wait without one.
  static constexpr Instant never() { return {std::numeric_limits<int64_t>::max()}; }
};

// A reading of the wall clock, which may jump: for record timestamps, never for timeouts.
struct WallTime {
  int64_t ns = 0;  // since 1970-01-01 UTC
  constexpr auto operator<=>(const WallTime&) const = default;
  constexpr int64_t ms() const { return ns / 1'000'000; }
};

}  // namespace verdict::runtime
