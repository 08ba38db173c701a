// Replaces the global allocation operators by ones that count. In a file of its own, where the
// compiler does not see both ends of a pair and take them for a mismatch.

#include "tests/bench/count_new.h"

#include <cstdlib>
#include <new>

namespace verdict::bench {
uint64_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++verdict::bench::allocations;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
