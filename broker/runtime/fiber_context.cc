#include "broker/runtime/fiber_context.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdint>
#include <cstring>

#include "broker/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define VERDICT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERDICT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define VERDICT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VERDICT_TSAN 1
#endif
#endif

#ifdef VERDICT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef VERDICT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1

namespace verdict::runtime {
namespace {

namespace fc = boost::context::detail;

constexpr size_t kPageBytes = 4096;
static_assert(StackPool::kStackBytes % kPageBytes == 0);

// What the thread's runtime keeps about exceptions in flight: two words by the Itanium ABI.
struct ExceptionState {
  void* words[2];
};

ExceptionState* exception_state() {
  return reinterpret_cast<ExceptionState*>(__cxxabiv1::__cxa_get_globals());
}

}  // namespace

StackPool::~StackPool() {
  for (const Stack& stack : free_) {
#ifdef VERDICT_ASAN
    __asan_unpoison_memory_region(stack.low, stack.size);
#endif
    munmap(static_cast<char*>(stack.low) - kPageBytes, stack.size + kPageBytes);
  }
}

Stack StackPool::take() {
  if (!free_.empty()) {
    Stack stack = free_.back();
    free_.pop_back();
#ifdef VERDICT_ASAN
    __asan_unpoison_memory_region(stack.low, stack.size);
#endif
    return stack;
  }
  void* memory = mmap(nullptr, kStackBytes + kPageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  CHECK(mprotect(memory, kPageBytes, PROT_NONE) == 0);
  return {static_cast<char*>(memory) + kPageBytes, kStackBytes};
}

void StackPool::give_back(Stack stack) {
  CHECK(stack.low != nullptr);
  CHECK(stack.size == kStackBytes);
  if (free_.size() >= kFreeMax) {
#ifdef VERDICT_ASAN
    __asan_unpoison_memory_region(stack.low, stack.size);  // the last frames never returned
#endif
    munmap(static_cast<char*>(stack.low) - kPageBytes, stack.size + kPageBytes);
    return;
  }
#ifdef VERDICT_ASAN
  __asan_poison_memory_region(stack.low, stack.size);
#endif
  free_.push_back(stack);
}

// Carried through the jump: who was left, and whether for good.
struct Departure {
  FiberContext* from;
  FiberContext* to;
  bool last;
};

struct TrampolineAccess {
  // Runs on the target's stack right after the jump.
  static void arrive(fc::transfer_t transfer) {
    auto* departure = static_cast<Departure*>(transfer.data);
    FiberContext* from = departure->from;
    FiberContext* to = departure->to;
    if (!departure->last) from->sp_ = transfer.fctx;
#ifdef VERDICT_ASAN
    const void* bottom = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(to->asan_stack_, &bottom, &size);
    if (from->asan_bottom_ == nullptr) {
      from->asan_bottom_ = bottom;
      from->asan_size_ = size;
    }
#endif
    std::memcpy(to->exception_slot_, to->exception_state_, sizeof to->exception_state_);
  }

  static void enter(fc::transfer_t transfer) {
    FiberContext* self = static_cast<Departure*>(transfer.data)->to;
    arrive(transfer);
    self->entry_(self->argument_);
    CHECK(false);  // entry must not return
  }
};

void FiberContext::prepare(Stack stack, void (*entry)(void*), void* argument) {
  CHECK(stack.low != nullptr);
  CHECK(entry != nullptr);
  stack_ = stack;
  entry_ = entry;
  argument_ = argument;
  exception_state_[0] = nullptr;
  exception_state_[1] = nullptr;
  exception_slot_ = exception_state();
  asan_stack_ = nullptr;
  asan_bottom_ = stack.low;
  asan_size_ = stack.size;
  sp_ = fc::make_fcontext(static_cast<char*>(stack.low) + stack.size, stack.size,
                          &TrampolineAccess::enter);
#ifdef VERDICT_TSAN
  if (tsan_fiber_ != nullptr) __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

void FiberContext::switch_to(FiberContext& target, bool last) {
  CHECK(target.sp_ != nullptr);
  // A scheduler stays on its thread, so the look-up is done once.
  if (exception_slot_ == nullptr) exception_slot_ = exception_state();
  std::memcpy(exception_state_, exception_slot_, sizeof exception_state_);
  Departure departure{this, &target, last};
#ifdef VERDICT_ASAN
  // A null slot would free the shadow stack of a fiber that ends: with
  // detect_stack_use_after_return=0 there is none, so the slot is always given.
  __sanitizer_start_switch_fiber(&asan_stack_, target.asan_bottom_, target.asan_size_);
#endif
#ifdef VERDICT_TSAN
  if (tsan_fiber_ == nullptr) tsan_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(target.tsan_fiber_, 0);
#endif
  void* sp = target.sp_;
  target.sp_ = nullptr;
  fc::transfer_t back = fc::jump_fcontext(sp, &departure);
  CHECK(!last);
  TrampolineAccess::arrive(back);
}

}  // namespace verdict::runtime
