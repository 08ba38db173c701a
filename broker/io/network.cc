#include "broker/io/network.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "broker/base/check.h"
#include "broker/io/socket_address.h"
#include "broker/io/system_error.h"

namespace verdict::io {

using base::Errc;
using base::Result;
using runtime::Endpoint;
using runtime::Stream;

Result<std::unique_ptr<runtime::Listener>> TcpNetwork::listen(const Endpoint& at,
                                                              runtime::ListenOptions options) {
  return TcpListener::create(tasks_, poller_, buffers_, at, options);
}

Result<std::unique_ptr<Stream>> TcpNetwork::begin_connect(const Endpoint& to) {
  SocketAddress address = TRY(SocketAddress::parse(to));
  Endpoint peer = address.endpoint();
  Descriptor fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    const int error_number = errno;
    if (error_number == EAFNOSUPPORT) {  // this machine has no IPv6
      return TcpStream::failed(tasks_, buffers_, std::move(peer), ENETUNREACH);
    }
    return std::unexpected(socket_error(error_number, "connect to", to.to_string()));
  }
  const int on = 1;
  (void)setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  int status = 0;
  do {
    status = ::connect(fd.get(), address.get(), address.size);
  } while (status != 0 && errno == EINTR);
  if (status != 0 && errno != EINPROGRESS) {
    return TcpStream::failed(tasks_, buffers_, std::move(peer), errno);
  }
  return TcpStream::create(tasks_, poller_, buffers_, std::move(fd), std::move(peer),
                           TcpStream::Origin::connecting);
}

Result<std::vector<std::string>> TcpNetwork::resolve(const std::string& host,
                                                     runtime::Instant deadline) {
  if (is_numeric_host(host)) return std::vector<std::string>{host};
  return resolver_.resolve(tasks_, host, deadline);
}

}  // namespace verdict::io
