#include "broker/runtime/network.h"

#include "broker/base/check.h"

namespace verdict::runtime {

using base::Errc;
using base::Result;
using base::Slice;
using base::Slices;

Result<Slice> Stream::read_some(size_t limit, Instant deadline) {
  CHECK(limit > 0);
  for (;;) {
    std::optional<Slice> slice = TRY(try_read(limit));
    if (slice) return std::move(*slice);
    TRY(wait_for(readable(), deadline));
  }
}

Result<Slices> Stream::read_exact(size_t n, Instant deadline) {
  Slices slices;
  while (slices.size() < n) {
    Slice slice = TRY(read_some(n - slices.size(), deadline));
    if (slice.empty()) {
      return base::fail(slices.empty() ? Errc::closed : Errc::reset,
                        "peer " + peer().to_string() + " closed");
    }
    slices.push_back(std::move(slice));
  }
  CHECK(slices.size() == n);
  return slices;
}

Result<> Stream::write_all(std::span<const Slice> slices, Instant deadline) {
  size_t taken = TRY(try_write(slices));
  size_t total = 0;
  for (const Slice& s : slices) total += s.size();
  if (taken == total) return {};
  Slices rest;
  for (const Slice& s : slices) rest.push_back(s);
  rest = rest.cut(taken, total - taken);
  while (!rest.empty()) {
    TRY(wait_for(writable(), deadline));
    size_t n = TRY(try_write(rest.span()));
    CHECK(n <= rest.size());
    rest = rest.cut(n, rest.size() - n);
  }
  return {};
}

Result<std::unique_ptr<Stream>> Listener::accept(Instant deadline) {
  for (;;) {
    std::unique_ptr<Stream> stream = TRY(try_accept());
    if (stream != nullptr) return stream;
    TRY(wait_for(acceptable(), deadline));
  }
}

Result<std::unique_ptr<Stream>> Network::connect(const Endpoint& to, Instant deadline) {
  std::vector<std::string> addresses = TRY(resolve(to.host, deadline));
  CHECK(!addresses.empty());
  base::Error last{Errc::unreachable, to.to_string()};
  for (const std::string& address : addresses) {
    auto begun = begin_connect({address, to.port});
    if (!begun) {
      last = std::move(begun).error();
      continue;
    }
    std::unique_ptr<Stream> stream = std::move(*begun);
    TRY(wait_for(stream->writable(), deadline));
    std::optional<Result<>> result = stream->connect_result();
    CHECK(result.has_value());
    if (result->has_value()) return stream;
    last = std::move(*result).error();
  }
  return std::unexpected(std::move(last));
}

}  // namespace verdict::runtime
