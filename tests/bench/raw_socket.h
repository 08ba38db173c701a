#pragma once
// What the load programs share: plain sockets on loopback and the CPU time of a process. They stand
// outside of the seam on purpose, so that no cost of ours is in the tools that measure it.

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace verdict::bench {

[[noreturn]] inline void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline void set_no_delay(int fd) {
  int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// A connected socket, or -1.
inline int connect_to(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  sockaddr_in address = loopback(port);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  set_no_delay(fd);
  return fd;
}

inline bool send_all(int fd, const void* bytes, size_t size) {
  const auto* at = static_cast<const std::byte*>(bytes);
  while (size > 0) {
    ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

inline bool receive_all(int fd, void* bytes, size_t size) {
  auto* at = static_cast<std::byte*>(bytes);
  while (size > 0) {
    ssize_t n = recv(fd, at, size, 0);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

inline int64_t clock_ns(clockid_t id) {
  timespec now{};
  if (clock_gettime(id, &now) != 0) die("clock_gettime");
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// CPU time that all threads of a process used so far.
inline int64_t cpu_ns_of(pid_t pid) {
  clockid_t id{};
  if (clock_getcpuclockid(pid, &id) != 0) die("clock_getcpuclockid");
  return clock_ns(id);
}

}  // namespace verdict::bench
