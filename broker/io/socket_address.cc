#include "broker/io/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>

#include "broker/base/check.h"

namespace verdict::io {
namespace {

using base::Errc;
using base::Result;
using runtime::Endpoint;

// Addresses with a zone, as in fe80::1%eth0, need the names of the interfaces.
bool parse_zoned(const std::string& host, SocketAddress& out) {
  if (host.find('%') == std::string::npos) return false;
  addrinfo hints{};
  hints.ai_family = AF_INET6;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  CHECK(found->ai_addrlen <= sizeof out.storage);
  std::memcpy(&out.storage, found->ai_addr, found->ai_addrlen);
  return true;
}

bool parse_host(const std::string& host, SocketAddress& out) {
  sockaddr_in v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    std::memcpy(&out.storage, &v4, sizeof v4);
    return true;
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    std::memcpy(&out.storage, &v6, sizeof v6);
    return true;
  }
  return parse_zoned(host, out);
}

void set_port(SocketAddress& address, uint16_t port) {
  if (address.family() == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
  } else {
    CHECK(address.family() == AF_INET6);
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
  }
}

}  // namespace

Result<SocketAddress> SocketAddress::parse(const Endpoint& endpoint) {
  SocketAddress address;
  if (!parse_host(endpoint.host, address)) {
    return base::fail(Errc::invalid, "\"" + endpoint.host + "\" is not a numeric address");
  }
  set_port(address, endpoint.port);
  return address;
}

SocketAddress SocketAddress::wildcard(int family, uint16_t port) {
  CHECK(family == AF_INET || family == AF_INET6);
  SocketAddress address;
  address.storage.ss_family = static_cast<sa_family_t>(family);  // the rest is zero: any address
  set_port(address, port);
  return address;
}

SocketAddress SocketAddress::local_of(int fd) {
  SocketAddress address;
  if (getsockname(fd, address.get(), &address.size) != 0) address.storage.ss_family = AF_UNSPEC;
  return address;
}

Endpoint SocketAddress::endpoint() const {
  char text[INET6_ADDRSTRLEN + 1] = "";
  if (family() == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    CHECK(inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text) != nullptr);
    return {text, ntohs(v4->sin_port)};
  }
  if (family() != AF_INET6) return {};
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
    constexpr size_t kMappedPrefixBytes = 12;
    CHECK(inet_ntop(AF_INET, v6->sin6_addr.s6_addr + kMappedPrefixBytes, text, sizeof text) !=
          nullptr);
  } else {
    CHECK(inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text) != nullptr);
  }
  return {text, ntohs(v6->sin6_port)};
}

bool is_numeric_host(const std::string& host) {
  SocketAddress ignored;
  return parse_host(host, ignored);
}

}  // namespace verdict::io
