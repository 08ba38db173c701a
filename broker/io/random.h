#pragma once
// SystemRandom: the kernel's entropy. Every draw is independent, so the streams need no state.

#include <array>

#include "broker/runtime/random.h"

namespace verdict::io {

class SystemRandom final : public runtime::Random {
 public:
  uint64_t next(std::string_view name) override;
  void fill(std::string_view name, std::span<std::byte> secret) override;

 private:
  static constexpr size_t kStock = 64;  // draws per system call
  std::array<uint64_t, kStock> stock_;
  size_t left_ = 0;
};

}  // namespace verdict::io
