#include "tests/unit/wire/heap_meter.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> held_bytes;
std::atomic<size_t> peak_bytes;

}  // namespace

void* operator new(size_t bytes) {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  const size_t held = held_bytes += malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes.load(), held);
  return memory;
}

void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  held_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace verdict::wire {

HeapMeter::HeapMeter() : before_(held_bytes) { peak_bytes = before_; }

size_t HeapMeter::peak() const { return peak_bytes - before_; }

}  // namespace verdict::wire
