#include "cli/host_stream.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "broker/base/check.h"

namespace verdict::cli {

using base::Errc;
using base::fail;
using base::Result;

namespace {

// Whether `fd` became ready, or may say why not, within one slice.
bool wait_ready(int fd, int16_t events) {
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return ::poll(&entry, 1, HostStream::kSliceMs) > 0;
}

}  // namespace

Result<std::string> HostStream::read_some() {
  while (!interrupted_) {
    std::string chunk(kReadBytes, '\0');
    ssize_t got = -1;
    int error_number = EAGAIN;
    tasks_.offload([&] {
      if (!wait_ready(fd_, POLLIN)) return;
      got = ::read(fd_, chunk.data(), chunk.size());
      error_number = errno;
    });
    if (got >= 0) {
      chunk.resize(static_cast<size_t>(got));
      return chunk;
    }
    if (error_number != EAGAIN && error_number != EINTR) {
      return fail(Errc::io, std::strerror(error_number));
    }
  }
  return fail(Errc::cancelled, "interrupted");
}

Result<> HostStream::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t taken = 0;
    int error_number = EAGAIN;
    tasks_.offload([&] {
      while (taken < bytes.size() && wait_ready(fd_, POLLOUT)) {
        const ssize_t wrote =
            ::write(fd_, bytes.data() + taken, std::min(bytes.size() - taken, kWriteBytes));
        error_number = errno;
        if (wrote < 0) return;
        taken += static_cast<size_t>(wrote);
      }
      error_number = EAGAIN;
    });
    CHECK(taken <= bytes.size());
    bytes.remove_prefix(taken);
    if (error_number == EPIPE) return fail(Errc::closed, "nobody reads standard output");
    if (error_number != EAGAIN && error_number != EINTR) {
      return fail(Errc::io, std::strerror(error_number));
    }
    if (interrupted_ && taken == 0) return fail(Errc::cancelled, "interrupted");
  }
  return {};
}

}  // namespace verdict::cli
