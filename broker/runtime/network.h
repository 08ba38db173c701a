#pragma once
// TCP as the broker sees it: streams whose bytes arrive in order, without gap or repetition, or
// that end.
//
// Each backend supplies the non-blocking layer (try_*, readiness). The blocking calls are built on
// it once, here, so they mean the same everywhere. A reader fiber and a writer fiber may wait on
// one stream at the same time.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/runtime/time.h"
#include "broker/runtime/wait.h"

namespace verdict::runtime {

struct Endpoint {
  std::string host;  // a name or a numeric address
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
  std::string to_string() const { return host + ":" + std::to_string(port); }
};

class Stream {
 public:
  // Destroying an open stream closes it: FIN behind what was written, or RST if bytes were unread.
  virtual ~Stream() = default;

  // ---- the non-blocking layer, by the backend
  // Up to `limit` bytes that have arrived; an empty slice when the peer closed its side; nothing
  // when none are here yet. Errors: reset, timed_out (the peer is gone), closed (by this side).
  virtual base::Result<std::optional<base::Slice>> try_read(size_t limit) = 0;
  // Takes a prefix of `slices` into the send buffer and returns its length, 0 when that is full.
  virtual base::Result<size_t> try_write(std::span<const base::Slice> slices) = 0;
  // Ready when try_read would give bytes, end or error.
  virtual Waitable& readable() = 0;
  // Ready when try_write would take bytes or fail; for a connecting stream, when that is decided.
  virtual Waitable& writable() = 0;
  // Of a stream from begin_connect: nothing while pending, then ok or the error.
  virtual std::optional<base::Result<>> connect_result() = 0;
  // Half-close: the peer reads end after what was written. Reading goes on.
  virtual void shutdown_write() = 0;
  // Tears down at once; the peer gets reset.
  virtual void abort() = 0;
  virtual Endpoint local() const = 0;
  virtual Endpoint peer() const = 0;

  // ---- the blocking layer
  // Waits for bytes; an empty slice when the peer closed its side. limit > 0.
  base::Result<base::Slice> read_some(size_t limit, Instant deadline);
  // Exactly `n` bytes, as they arrived. closed when the peer closed before the first byte, reset
  // when it closed in the middle. After timed_out the stream's position is lost.
  base::Result<base::Slices> read_exact(size_t n, Instant deadline);
  // Suspends while the send buffer is full. After an error part may have been sent.
  base::Result<> write_all(std::span<const base::Slice> slices, Instant deadline);
};

struct ListenOptions {
  int backlog = 128;  // connections that wait to be accepted; more are refused or hang
};

class Listener {
 public:
  virtual ~Listener() = default;
  // Nothing when no connection waits. exhausted when this process has no descriptor left: wait and
  // try again, the connection is still there.
  virtual base::Result<std::unique_ptr<Stream>> try_accept() = 0;
  virtual Waitable& acceptable() = 0;
  virtual Endpoint local() const = 0;
  virtual void close() = 0;

  base::Result<std::unique_ptr<Stream>> accept(Instant deadline);
};

class Network {
 public:
  virtual ~Network() = default;
  // Port 0 takes a free one. address_in_use when somebody listens there.
  virtual base::Result<std::unique_ptr<Listener>> listen(const Endpoint& at,
                                                         ListenOptions options) = 0;
  // Starts to connect to a numeric address; look at connect_result().
  virtual base::Result<std::unique_ptr<Stream>> begin_connect(const Endpoint& to) = 0;
  // Numeric addresses of `host`, in order of preference. not_found, timed_out.
  virtual base::Result<std::vector<std::string>> resolve(const std::string& host,
                                                         Instant deadline) = 0;

  // Resolves and connects: refused, unreachable, timed_out, cancelled.
  base::Result<std::unique_ptr<Stream>> connect(const Endpoint& to, Instant deadline);
};

}  // namespace verdict::runtime
