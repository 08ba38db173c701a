#include "broker/io/stream.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "broker/base/check.h"
#include "broker/io/socket_address.h"
#include "broker/io/system_error.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Error;
using base::MutableBuffer;
using base::Result;
using base::Slice;
using runtime::Endpoint;

constexpr size_t kReceiveBytesMin = ReceiveBuffers::kReadAheadBytes;
constexpr size_t kReceiveBytesMax = 256 * 1024;
constexpr size_t kReceiveBytesStart = 64 * 1024;
constexpr size_t kGatherMax = 128;             // slices per system call; the kernel takes 1,024
constexpr size_t kDiscardBytesMax = 1U << 20;  // read and dropped at the close of a stream
constexpr uint32_t kHangUp = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

// Fills `out` from the front of `slices`; returns the length in bytes.
size_t gather(std::span<const Slice> slices, std::span<iovec> out) {
  CHECK(slices.size() <= out.size());
  size_t bytes = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    out[i] = {const_cast<std::byte*>(slices[i].data()), slices[i].size()};
    bytes += slices[i].size();
  }
  return bytes;
}

}  // namespace

// ---------------------------------------------------------------- ReceiveBuffers

MutableBuffer ReceiveBuffers::take(size_t capacity) {
  CHECK(capacity > 0);
  if (spare && spare->capacity() >= capacity && spare->capacity() / 2 <= capacity) {
    MutableBuffer buffer = std::move(*spare);
    spare.reset();
    return buffer;
  }
  return MutableBuffer(capacity);
}

void ReceiveBuffers::give_back(MutableBuffer buffer) {
  CHECK(buffer.capacity() <= kReceiveBytesMax);
  spare.emplace(std::move(buffer));
}

// ---------------------------------------------------------------- TcpStream: life

Result<std::unique_ptr<TcpStream>> TcpStream::create(runtime::Tasks& tasks, Poller& poller,
                                                     ReceiveBuffers& buffers, Descriptor fd,
                                                     Endpoint peer, Origin origin) {
  CHECK(fd.valid());
  State state = origin == Origin::connecting ? State::connecting : State::open;
  std::unique_ptr<TcpStream> stream(
      new TcpStream(tasks, buffers, std::move(fd), std::move(peer), state));
  if (state == State::connecting) {
    stream->readable_.set_drained();
    stream->writable_.set_drained();
  }
  TRY(poller.add(stream->fd_.get(), *stream));
  return stream;
}

std::unique_ptr<TcpStream> TcpStream::failed(runtime::Tasks& tasks, ReceiveBuffers& buffers,
                                             Endpoint peer, int error_number) {
  CHECK(error_number != 0);
  std::unique_ptr<TcpStream> stream(
      new TcpStream(tasks, buffers, Descriptor(), std::move(peer), State::connecting));
  stream->fail_with(error_number, "connect to");
  return stream;
}

TcpStream::TcpStream(runtime::Tasks& tasks, ReceiveBuffers& buffers, Descriptor fd, Endpoint peer,
                     State state)
    : ShardBound(tasks),
      buffers_(buffers),
      fd_(std::move(fd)),
      peer_(std::move(peer)),
      state_(state),
      expected_bytes_(kReceiveBytesStart),
      readable_(tasks, fd_.get(), POLLIN | POLLRDHUP),
      writable_(tasks, fd_.get(), POLLOUT) {}

TcpStream::~TcpStream() {
  if (state_ == State::open) discard_unread();
}

// A close with unread bytes would make the kernel send a reset, which may destroy what was written
// and is still under way. A peer that goes on sending gets its reset all the same.
void TcpStream::discard_unread() {
  size_t discarded = 0;
  while (!ended_ && !readable_.drained() && discarded < kDiscardBytesMax) {
    ssize_t n = recv(fd_.get(), nullptr, kDiscardBytesMax, MSG_TRUNC | MSG_DONTWAIT);
    if (n <= 0) break;
    discarded += static_cast<size_t>(n);
  }
}

void TcpStream::fail_with(int error_number, const char* call) {
  CHECK(state_ == State::connecting || state_ == State::open);
  error_ = socket_error(error_number, call, peer_.to_string());
  state_ = State::failed;
  readable_.set_ready_forever();
  writable_.set_ready_forever();
  check_invariants();
}

void TcpStream::check_invariants() const {
  CHECK(error_.has_value() == (state_ == State::failed));
  CHECK(state_ != State::connecting || ahead_.empty());
  CHECK(expected_bytes_ >= kReceiveBytesMin);
  CHECK(expected_bytes_ <= kReceiveBytesMax);
}

// ---------------------------------------------------------------- TcpStream: events

void TcpStream::on_events(uint32_t events) {
  if (state_ == State::connecting) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    finish_connect();
  }
  if (state_ != State::open) return;
  if ((events & kHangUp) != 0) hung_up_ = true;
  if ((events & (EPOLLIN | kHangUp)) != 0) readable_.set_ready();
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_.set_ready();
}

void TcpStream::finish_connect() {
  CHECK(state_ == State::connecting);
  int error_number = 0;
  socklen_t size = sizeof error_number;
  CHECK(getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error_number, &size) == 0);
  // A connect to a free local port may pick that very port as its own and meet itself.
  if (error_number == 0 && local() == peer_) error_number = ECONNREFUSED;
  if (error_number != 0) {
    fail_with(error_number, "connect to");
    return;
  }
  state_ = State::open;
  readable_.set_unknown();
  writable_.set_ready();
  if (write_shut_) {  // asked for while it was not decided yet
    write_shut_ = false;
    shutdown_write();
  }
}

std::optional<Result<>> TcpStream::connect_result() {
  switch (state_) {
    case State::connecting:
      return std::nullopt;
    case State::open:
      return Result<>();
    case State::failed:
      return std::unexpected(*error_);
    case State::closed:
      return base::fail(Errc::closed, "connection to " + peer_.to_string());
  }
  CHECK(false);
  return std::nullopt;
}

// ---------------------------------------------------------------- TcpStream: reading

Result<std::optional<Slice>> TcpStream::try_read(size_t limit) {
  check_shard();
  CHECK(limit > 0);
  if (state_ == State::closed) return base::fail(Errc::closed, "read from " + peer_.to_string());
  if (!ahead_.empty()) return take_ahead(limit);
  if (state_ == State::failed && !fd_.valid()) return std::unexpected(*error_);
  if (readable_.drained()) return std::nullopt;
  if (ended_) return Slice();
  return receive(limit);
}

Slice TcpStream::take_ahead(size_t limit) {
  Slice slice = ahead_.take_front(std::min(limit, ahead_.size()));
  if (ahead_.empty()) {
    ahead_ = Slice();  // lets the buffer go
    readable_.set_held(false);
  }
  return slice;
}

Result<std::optional<Slice>> TcpStream::receive(size_t limit) {
  const bool small = limit < ReceiveBuffers::kReadAheadBytes;
  const size_t capacity =
      small ? ReceiveBuffers::kReadAheadBytes : std::min(limit, expected_bytes_);
  std::optional<MutableBuffer> buffer;
  if (!small) buffer.emplace(buffers_.take(capacity));
  ssize_t n = receive_into(small ? std::span(buffers_.scratch) : buffer->bytes().first(capacity));
  if (n <= 0 && buffer) buffers_.give_back(std::move(*buffer));
  if (n < 0) {
    int error_number = errno;
    if (error_number == EAGAIN && state_ == State::open) {
      hung_up_ = false;
      readable_.set_drained();
      return std::nullopt;
    }
    if (state_ == State::open) fail_with(error_number, "read from");
    return std::unexpected(*error_);
  }
  if (n == 0) {
    // After a failed write the kernel forgets the error and reports an end.
    if (state_ == State::failed) return std::unexpected(*error_);
    ended_ = true;
    readable_.set_ready_forever();
    return Slice();
  }
  auto received = static_cast<size_t>(n);
  // A short answer means that the kernel had no more: the next bytes will raise an event. Not so
  // when the event of the peer's end came before: there will be no other.
  if (received < capacity && !hung_up_) {
    readable_.set_drained();
  } else {
    readable_.set_unknown();
  }
  if (small) return keep_ahead(received, limit);
  adapt_expected(capacity, received);
  return keep_received(std::move(*buffer), received);
}

ssize_t TcpStream::receive_into(std::span<std::byte> out) {
  for (;;) {
    ssize_t n = recv(fd_.get(), out.data(), out.size(), MSG_DONTWAIT);
    if (n >= 0 || errno != EINTR) return n;
  }
}

Slice TcpStream::keep_ahead(size_t received, size_t limit) {
  CHECK(ahead_.empty());
  Slice slice = Slice::copy_of(std::span(buffers_.scratch).first(received));
  if (received <= limit) return slice;
  Slice front = slice.take_front(limit);
  ahead_ = std::move(slice);
  readable_.set_held(true);
  return front;
}

// A buffer that stayed mostly empty is not worth keeping alive for what it holds.
Slice TcpStream::keep_received(MutableBuffer buffer, size_t received) {
  if (received >= buffer.capacity() / 4) return std::move(buffer).freeze(received);
  Slice slice = Slice::copy_of(buffer.bytes().first(received));
  buffers_.give_back(std::move(buffer));
  return slice;
}

void TcpStream::adapt_expected(size_t capacity, size_t received) {
  CHECK(received <= capacity);
  if (received == expected_bytes_) {
    expected_bytes_ = std::min(expected_bytes_ * 2, kReceiveBytesMax);
  } else if (received < expected_bytes_ / 4 && received < capacity) {
    expected_bytes_ = std::max(expected_bytes_ / 2, kReceiveBytesMin);
  }
}

// ---------------------------------------------------------------- TcpStream: writing

ssize_t TcpStream::send_once(std::span<iovec> vectors, bool more) {
  CHECK(!vectors.empty());
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
  // Most answers are one slice, and for one the plain call is cheaper.
  if (vectors.size() == 1) return send(fd_.get(), vectors[0].iov_base, vectors[0].iov_len, flags);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  return sendmsg(fd_.get(), &message, flags);
}

Result<size_t> TcpStream::try_write(std::span<const Slice> slices) {
  check_shard();
  if (state_ == State::failed) return std::unexpected(*error_);
  if (state_ == State::closed || write_shut_) {
    return base::fail(Errc::closed, "write to " + peer_.to_string());
  }
  if (writable_.drained()) return 0;
  iovec vectors[kGatherMax];
  size_t taken = 0;
  size_t index = 0;
  while (index < slices.size()) {
    const size_t count = std::min(kGatherMax, slices.size() - index);
    const size_t wanted = gather(slices.subspan(index, count), vectors);
    ssize_t n = send_once(std::span(vectors).first(count), index + count < slices.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) {
      fail_with(errno, "write to");
      // What was taken before stays taken; the next call tells the error.
      if (taken > 0) return taken;
      return std::unexpected(*error_);
    }
    size_t sent = n < 0 ? 0 : static_cast<size_t>(n);
    CHECK(sent <= wanted);
    taken += sent;
    if (sent < wanted) {
      writable_.set_drained();
      return taken;
    }
    index += count;
  }
  if (taken > 0) writable_.set_unknown();
  return taken;
}

void TcpStream::shutdown_write() {
  check_shard();
  if (state_ == State::closed || write_shut_) return;
  write_shut_ = true;
  if (state_ != State::open) return;
  (void)shutdown(fd_.get(), SHUT_WR);  // the peer may have gone before: nobody to tell
  writable_.set_ready_forever();
}

void TcpStream::abort() {
  check_shard();
  if (state_ == State::closed) return;
  (void)local();  // remembered: the socket is about to go
  if (fd_.valid()) {
    linger reset_at_close{1, 0};
    (void)setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset_at_close, sizeof reset_at_close);
    fd_.close();
  }
  state_ = State::closed;
  error_.reset();
  ahead_ = Slice();
  readable_.set_held(false);
  readable_.set_ready_forever();
  writable_.set_ready_forever();
  readable_.forget_descriptor();
  writable_.forget_descriptor();
  check_invariants();
}

Endpoint TcpStream::local() const {
  if (!local_ && fd_.valid()) local_ = SocketAddress::local_of(fd_.get()).endpoint();
  return local_.value_or(Endpoint());
}

}  // namespace verdict::io
