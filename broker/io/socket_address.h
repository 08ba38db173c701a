#pragma once
// Endpoints as the kernel's socket addresses, IPv4 and IPv6.

#include <sys/socket.h>

#include <string>

#include "broker/base/result.h"
#include "broker/runtime/network.h"

namespace verdict::io {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  int family() const { return storage.ss_family; }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }

  // Of a numeric address; invalid for a name, which has to be resolved first.
  static base::Result<SocketAddress> parse(const runtime::Endpoint& endpoint);
  // All addresses of this machine: both families through one IPv6 socket, or IPv4 alone.
  static SocketAddress wildcard(int family, uint16_t port);
  static SocketAddress local_of(int fd);

  // An IPv4 address that came through an IPv6 socket is written as IPv4.
  runtime::Endpoint endpoint() const;
};

// Whether `host` is an address, so that nobody has to be asked for it.
bool is_numeric_host(const std::string& host);

}  // namespace verdict::io
