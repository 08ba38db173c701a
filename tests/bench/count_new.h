#pragma once
// Counts allocations in programs that are built with count_new.cc.

#include <cstdint>

namespace verdict::bench {

extern uint64_t allocations;  // by `new`, since the start of the program

}  // namespace verdict::bench
