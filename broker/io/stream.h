#pragma once
// TcpStream: one connected or connecting TCP socket.
//
// Invariants: what try_write took is in the kernel; what try_read gave came in order. An error of
// the connection is remembered, because the kernel tells it only once. Small reads take a little
// more than asked for, kept in `ahead_`, so that a request costs one system call and not one for
// its length and one for its body.

#include <sys/uio.h>

#include <array>
#include <memory>
#include <optional>

#include "broker/base/slice.h"
#include "broker/io/descriptor.h"
#include "broker/io/poller.h"
#include "broker/io/readiness.h"
#include "broker/runtime/network.h"

namespace verdict::io {

// Memory that the streams of a loop share while they receive.
struct ReceiveBuffers {
  static constexpr size_t kReadAheadBytes = 8 * 1024;

  std::array<std::byte, kReadAheadBytes> scratch;
  std::optional<base::MutableBuffer> spare;  // one that was not needed in the end

  base::MutableBuffer take(size_t capacity);
  void give_back(base::MutableBuffer buffer);
};

class TcpStream final : public runtime::Stream, public runtime::ShardBound, private Pollable {
 public:
  enum class Origin : uint8_t { accepted, connecting };

  // `fd` is non-blocking.
  static base::Result<std::unique_ptr<TcpStream>> create(runtime::Tasks& tasks, Poller& poller,
                                                         ReceiveBuffers& buffers, Descriptor fd,
                                                         runtime::Endpoint peer, Origin origin);
  // A stream whose connect failed at once, with `error_number`.
  static std::unique_ptr<TcpStream> failed(runtime::Tasks& tasks, ReceiveBuffers& buffers,
                                           runtime::Endpoint peer, int error_number);
  ~TcpStream() override;

  base::Result<std::optional<base::Slice>> try_read(size_t limit) override;
  base::Result<size_t> try_write(std::span<const base::Slice> slices) override;
  runtime::Waitable& readable() override { return readable_; }
  runtime::Waitable& writable() override { return writable_; }
  std::optional<base::Result<>> connect_result() override;
  void shutdown_write() override;
  void abort() override;
  runtime::Endpoint local() const override;
  runtime::Endpoint peer() const override { return peer_; }

 private:
  enum class State : uint8_t { connecting, open, failed, closed };
  struct Received {
    base::Slice slice;
    bool filled;  // as much as was asked for: there may be more
  };

  TcpStream(runtime::Tasks& tasks, ReceiveBuffers& buffers, Descriptor fd, runtime::Endpoint peer,
            State state);
  void on_events(uint32_t events) override;
  void finish_connect();
  void fail_with(int error_number, const char* call);
  base::Slice take_ahead(size_t limit);
  base::Result<std::optional<base::Slice>> receive(size_t limit);
  // One system call; `more` says that the rest follows at once.
  ssize_t send_once(std::span<iovec> vectors, bool more);
  ssize_t receive_into(std::span<std::byte> out);
  base::Slice keep_ahead(size_t received, size_t limit);
  base::Slice keep_received(base::MutableBuffer buffer, size_t received);
  void adapt_expected(size_t capacity, size_t received);
  void discard_unread();
  void check_invariants() const;

  ReceiveBuffers& buffers_;
  Descriptor fd_;
  runtime::Endpoint peer_;
  mutable std::optional<runtime::Endpoint> local_;
  State state_;
  bool hung_up_ = false;              // the kernel reported the peer's end or an error
  bool ended_ = false;                // the peer's end was read
  bool write_shut_ = false;           // by this side
  std::optional<base::Error> error_;  // why it failed
  base::Slice ahead_;                 // received and not asked for yet
  size_t expected_bytes_;             // by what the last large reads brought
  Readiness readable_;
  Readiness writable_;
};

}  // namespace verdict::io
