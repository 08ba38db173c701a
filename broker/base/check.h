#pragma once
// CHECK: a broken invariant of ours ends the process at once, in every build.
//
// A peer's or a file's bytes never reach a CHECK: they are judged at the edge with a Result.

namespace verdict::base {

// Prints "CHECK failed: EXPRESSION at FILE:LINE" on stderr and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace verdict::base

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) [[unlikely]] {                                 \
      ::verdict::base::check_failed(#condition, __FILE__, __LINE__); \
    }                                                                \
  } while (false)
