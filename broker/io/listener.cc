#include "broker/io/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "broker/base/check.h"
#include "broker/io/socket_address.h"
#include "broker/io/system_error.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Result;
using runtime::Endpoint;

// Connections in a row that may turn out dead before try_accept says "none yet".
constexpr int kDeadConnectionsMax = 64;

// Accepted sockets inherit these from the listener.
void set_stream_options(int fd) {
  const int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

Result<Descriptor> bind_to(const SocketAddress& address, bool both_families,
                           const std::string& name) {
  Descriptor fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return std::unexpected(socket_error(errno, "listen at", name));
  const int on = 1;
  const int off = 0;
  // Only lets go of ports whose last connections are still winding down; two listeners at one port
  // stay impossible.
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (both_families) (void)setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd.get(), address.get(), address.size) != 0) {
    return std::unexpected(socket_error(errno, "listen at", name));
  }
  return fd;
}

Result<Descriptor> bind_to(const Endpoint& at) {
  const std::string name = at.to_string();
  if (!at.host.empty()) {
    SocketAddress address = TRY(SocketAddress::parse(at));
    return bind_to(address, false, name);
  }
  Result<Descriptor> both = bind_to(SocketAddress::wildcard(AF_INET6, at.port), true, name);
  if (both || both.error().code == Errc::address_in_use) return both;
  return bind_to(SocketAddress::wildcard(AF_INET, at.port), false, name);
}

// What accept(2) says of a connection that died while it waited: the next one may live.
bool is_dead_connection(int error_number) {
  switch (error_number) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
    case ETIMEDOUT:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<std::unique_ptr<TcpListener>> TcpListener::create(runtime::Tasks& tasks, Poller& poller,
                                                         ReceiveBuffers& buffers,
                                                         const Endpoint& at,
                                                         runtime::ListenOptions options) {
  CHECK(options.backlog > 0);
  Descriptor fd = TRY(bind_to(at));
  set_stream_options(fd.get());
  if (::listen(fd.get(), options.backlog) != 0) {
    return std::unexpected(socket_error(errno, "listen at", at.to_string()));
  }
  std::unique_ptr<TcpListener> listener(new TcpListener(tasks, poller, buffers, std::move(fd)));
  TRY(poller.add(listener->fd_.get(), *listener));
  return listener;
}

TcpListener::TcpListener(runtime::Tasks& tasks, Poller& poller, ReceiveBuffers& buffers,
                         Descriptor fd)
    : ShardBound(tasks),
      tasks_(tasks),
      poller_(poller),
      buffers_(buffers),
      fd_(std::move(fd)),
      local_(SocketAddress::local_of(fd_.get()).endpoint()),
      acceptable_(tasks, fd_.get(), POLLIN) {}

void TcpListener::on_events(uint32_t) { acceptable_.set_ready(); }

Result<std::unique_ptr<runtime::Stream>> TcpListener::try_accept() {
  check_shard();
  if (!fd_.valid()) return base::fail(Errc::closed, "listener at " + local_.to_string());
  if (acceptable_.drained()) return nullptr;
  for (int dead = 0; dead < kDeadConnectionsMax;) {
    SocketAddress peer;
    Descriptor fd(accept4(fd_.get(), peer.get(), &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.valid()) {
      acceptable_.set_unknown();
      return TcpStream::create(tasks_, poller_, buffers_, std::move(fd), peer.endpoint(),
                               TcpStream::Origin::accepted);
    }
    const int error_number = errno;
    if (error_number == EAGAIN) {
      acceptable_.set_drained();
      return nullptr;
    }
    acceptable_.set_unknown();
    if (is_dead_connection(error_number)) {
      ++dead;
      continue;
    }
    // Without a free descriptor the kernel does not even look whether a connection waits.
    if (errc_of_socket(error_number) == Errc::exhausted && !acceptable_.ready()) return nullptr;
    return std::unexpected(socket_error(error_number, "accept at", local_.to_string()));
  }
  return nullptr;
}

void TcpListener::close() {
  check_shard();
  fd_.close();
  acceptable_.set_ready_forever();
  acceptable_.forget_descriptor();
}

}  // namespace verdict::io
