#pragma once
// A stack and the switch between two of them. The only code that touches Boost.Context.
//
// Every switch also swaps the C++ runtime's exception state, which is kept per thread: the bare
// jump leaves it alone, so that two fibers suspended inside `catch` would rethrow each other's
// exception. ASan and TSan are told of every switch.

#include <cstddef>
#include <vector>

namespace verdict::runtime {

struct Stack {
  void* low = nullptr;  // first usable byte, above the guard page
  size_t size = 0;      // usable bytes
};

// Recycles stacks with a guard page below each. A fresh stack costs 12 us, a recycled one 50 ns.
class StackPool {
 public:
  static constexpr size_t kStackBytes = 256 * 1024;  // address space; pages are touched on use
  static constexpr size_t kFreeMax = 4096;

  StackPool() = default;
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  Stack take();
  void give_back(Stack stack);

 private:
  std::vector<Stack> free_;
};

// One side of a switch: a suspended stack with its exception state.
class FiberContext {
 public:
  FiberContext() = default;
  FiberContext(const FiberContext&) = delete;
  FiberContext& operator=(const FiberContext&) = delete;

  // Prepares to run entry(argument) on `stack` at the first switch. `entry` must never return: it
  // ends by switch_to(..., last = true).
  void prepare(Stack stack, void (*entry)(void*), void* argument);

  // Suspends the caller into `*this` and continues `target`. With `last`, the caller's stack is
  // never continued and may be recycled by the target.
  void switch_to(FiberContext& target, bool last = false);

  // Whether an exception unwinds the stack of this context, which runs.
  bool unwinding() const {
    // The second word of the state begins with the count of uncaught exceptions.
    return *(static_cast<const unsigned*>(exception_slot_) + sizeof(void*) / sizeof(unsigned)) != 0;
  }

 private:
  friend struct TrampolineAccess;

  void* sp_ = nullptr;
  void* exception_state_[2] = {nullptr, nullptr};
  void* exception_slot_ = nullptr;  // where the thread keeps the state of who runs
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  Stack stack_;
  void* asan_stack_ = nullptr;
  const void* asan_bottom_ = nullptr;
  size_t asan_size_ = 0;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
};

}  // namespace verdict::runtime
