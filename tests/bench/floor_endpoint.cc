// The floor under the broker: receives Produce requests, checks the CRC of each batch, gives it its
// offset, writes it to a file and answers. No topics, limits, record checks, producers or metadata.
//   floor_endpoint DIRECTORY PARTITIONS
// Prints the port that it listens on. Serves Produce version 7 with any topic name, until SIGTERM.

#include <signal.h>
#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/base/crc32c.h"
#include "broker/base/endian.h"
#include "tests/bench/raw_socket.h"

namespace verdict::bench {
namespace {

using base::load_be;
using base::store_be;

constexpr size_t kBufferBytes = 1U << 20;  // holds a request and the start of others
constexpr size_t kCompactBelow = 256U << 10;
constexpr size_t kBatchHeaderBytes = 61;
constexpr size_t kLengthBytes = 12;  // base offset and batch length
constexpr size_t kCrcStart = 21;
constexpr int16_t kProduce = 0;
constexpr int16_t kProduceVersion = 7;
constexpr int kEventsMax = 64;

struct PartitionFile {
  int fd = -1;
  int64_t next_offset = 0;
  int64_t size = 0;
};

struct Peer {
  int fd = -1;
  std::unique_ptr<std::byte[]> buffer = std::make_unique_for_overwrite<std::byte[]>(kBufferBytes);
  size_t begin = 0;
  size_t end = 0;
};

// The answers to what one receive brought; they leave together.
class Answers {
 public:
  static constexpr size_t kRoomBytes = 64U << 10;
  static constexpr size_t kAnswerBytesMax = 1024;

  void begin() {
    start_ = size_;
    size_ += sizeof(int32_t);
  }
  template <class T>
  void put(T value) {
    store_be(bytes_ + size_, value);
    size_ += sizeof value;
  }
  void put(const std::byte* from, size_t count) {
    std::memcpy(bytes_ + size_, from, count);
    size_ += count;
  }
  void end() { store_be(bytes_ + start_, static_cast<int32_t>(size_ - start_ - sizeof(int32_t))); }
  bool full() const { return size_ + kAnswerBytesMax > kRoomBytes; }
  bool send_to(int fd) {
    const bool sent = size_ == 0 || send_all(fd, bytes_, size_);
    size_ = 0;
    return sent;
  }

 private:
  std::byte bytes_[kRoomBytes];
  size_t start_ = 0;
  size_t size_ = 0;
};

class Floor {
 public:
  Floor(const std::string& directory, size_t partitions) : partitions_(partitions) {
    for (size_t i = 0; i < partitions; ++i) {
      std::string name = directory + "/floor-" + std::to_string(i) + ".log";
      partitions_[i].fd = open(name.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
      if (partitions_[i].fd < 0) die(name.c_str());
      unlink(name.c_str());
    }
  }

  [[noreturn]] void serve();

 private:
  void accept_one(int listener);
  // False when the connection is to be closed.
  bool read_from(Peer& peer);
  bool answer(std::byte* request);
  // Checks, places and writes one batch; returns Kafka's error code.
  int16_t append(int32_t partition, std::byte* batch, size_t size, int64_t* base_offset);

  std::vector<PartitionFile> partitions_;
  std::vector<std::unique_ptr<Peer>> peers_;
  Answers answers_;
  int epoll_ = -1;
};

int16_t Floor::append(int32_t partition, std::byte* batch, size_t size, int64_t* base_offset) {
  constexpr int16_t kUnknownPartition = 3;
  constexpr int16_t kCorrupt = 2;
  if (partition < 0 || static_cast<size_t>(partition) >= partitions_.size()) {
    return kUnknownPartition;
  }
  if (size < kBatchHeaderBytes ||
      static_cast<size_t>(load_be<int32_t>(batch + 8)) + kLengthBytes != size) {
    return kCorrupt;
  }
  const auto stored = load_be<uint32_t>(batch + 17);
  if (base::crc32c(0, {batch + kCrcStart, size - kCrcStart}) != stored) return kCorrupt;
  PartitionFile& file = partitions_[static_cast<size_t>(partition)];
  *base_offset = file.next_offset;
  store_be(batch, file.next_offset);
  store_be<int32_t>(batch + 12, 0);
  if (pwrite(file.fd, batch, size, file.size) != static_cast<ssize_t>(size)) die("pwrite");
  file.size += static_cast<int64_t>(size);
  file.next_offset += load_be<int32_t>(batch + 57);
  return 0;
}

bool Floor::answer(std::byte* at) {
  if (load_be<int16_t>(at) != kProduce || load_be<int16_t>(at + 2) != kProduceVersion) return false;
  Answers& out = answers_;
  out.begin();
  out.put(load_be<int32_t>(at + 4));  // correlation
  auto skip_text = [&at] {
    const auto length = load_be<int16_t>(at);
    at += 2 + std::max<int16_t>(length, 0);
  };
  at += 8;
  skip_text();  // client id
  skip_text();  // transactional id
  at += 2 + 4;  // acks, timeout
  if (load_be<int32_t>(at) != 1) return false;
  at += 4;
  out.put<int32_t>(1);
  const std::byte* topic = at;
  skip_text();
  out.put(topic, static_cast<size_t>(at - topic));
  if (load_be<int32_t>(at) != 1) return false;
  out.put<int32_t>(1);
  const auto partition = load_be<int32_t>(at + 4);
  const auto size = static_cast<size_t>(load_be<int32_t>(at + 8));
  int64_t base_offset = -1;
  const int16_t error = append(partition, at + 12, size, &base_offset);
  out.put(partition);
  out.put(error);
  out.put(base_offset);
  out.put<int64_t>(-1);  // log append time
  out.put<int64_t>(0);   // log start
  out.put<int32_t>(0);   // throttle
  out.end();
  return true;
}

bool Floor::read_from(Peer& peer) {
  if (kBufferBytes - peer.end < kCompactBelow) {
    std::memmove(peer.buffer.get(), peer.buffer.get() + peer.begin, peer.end - peer.begin);
    peer.end -= peer.begin;
    peer.begin = 0;
  }
  ssize_t n = recv(peer.fd, peer.buffer.get() + peer.end, kBufferBytes - peer.end, 0);
  if (n < 0 && errno == EAGAIN) return true;
  if (n <= 0) return false;
  peer.end += static_cast<size_t>(n);
  while (peer.end - peer.begin >= sizeof(int32_t)) {
    std::byte* at = peer.buffer.get() + peer.begin;
    const auto size = static_cast<size_t>(load_be<int32_t>(at));
    if (size > kBufferBytes / 2) return false;
    if (peer.end - peer.begin < sizeof(int32_t) + size) break;
    if (!answer(at + sizeof(int32_t))) return false;
    if (answers_.full() && !answers_.send_to(peer.fd)) return false;
    peer.begin += sizeof(int32_t) + size;
  }
  if (!answers_.send_to(peer.fd)) return false;
  if (peer.begin == peer.end) peer.begin = peer.end = 0;
  return true;
}

void Floor::accept_one(int listener) {
  int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  set_no_delay(fd);
  peers_.push_back(std::make_unique<Peer>());
  peers_.back()->fd = fd;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = peers_.back().get();
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

void Floor::serve() {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, kEventsMax) != 0) die("listen");
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) die("name");
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event) != 0) die("epoll_ctl");
  for (;;) {
    epoll_event events[kEventsMax];
    const int count = epoll_wait(epoll_, events, kEventsMax, -1);
    for (int i = 0; i < count; ++i) {
      auto* peer = static_cast<Peer*>(events[i].data.ptr);
      if (peer == nullptr) {
        accept_one(listener);
      } else if (!read_from(*peer)) {
        close(peer->fd);
        std::erase_if(peers_, [peer](const auto& held) { return held.get() == peer; });
      }
    }
  }
}

}  // namespace
}  // namespace verdict::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: floor_endpoint DIRECTORY PARTITIONS\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  verdict::bench::Floor(argv[1], std::strtoul(argv[2], nullptr, 10)).serve();
}
