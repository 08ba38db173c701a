#pragma once
// Entropy of one node, in named streams, so that one more draw of one user moves nobody else's.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace verdict::runtime {

class Random {
 public:
  virtual ~Random() = default;
  // 64 uniform bits of the stream `name`.
  virtual uint64_t next(std::string_view name) = 0;
  // Fills `secret` with bytes fit for keys and ids.
  virtual void fill(std::string_view name, std::span<std::byte> secret) = 0;

  // Uniform in [0, bound); bound > 0. The bias of the multiplication is below 2^-32 for the bounds
  // that jitter and placement use.
  uint64_t below(std::string_view name, uint64_t bound) {
    return static_cast<uint64_t>((static_cast<uint64_t>(next(name) >> 32) * bound) >> 32);
  }
};

}  // namespace verdict::runtime
