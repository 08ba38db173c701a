#pragma once
// The most memory that a piece of code holds at once. Linking this replaces operator new.

#include <cstddef>

namespace verdict::wire {

// Between construction and peak() no other meter is in use.
class HeapMeter {
 public:
  HeapMeter();
  // Most bytes held at once since construction, above what was held then.
  size_t peak() const;

 private:
  size_t before_;
};

}  // namespace verdict::wire
