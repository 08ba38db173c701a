#include "broker/io/random.h"

#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "broker/base/check.h"

namespace verdict::io {
namespace {

void fill_from_kernel(std::span<std::byte> out) {
  while (!out.empty()) {
    ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    out = out.subspan(static_cast<size_t>(n));
  }
}

}  // namespace

uint64_t SystemRandom::next(std::string_view) {
  if (left_ == 0) {
    fill_from_kernel(std::as_writable_bytes(std::span(stock_)));
    left_ = kStock;
  }
  CHECK(left_ <= kStock);
  return std::exchange(stock_[--left_], 0);
}

void SystemRandom::fill(std::string_view, std::span<std::byte> secret) { fill_from_kernel(secret); }

}  // namespace verdict::io
