// How long a broker takes from its start to its first Metadata answer.
//   first_answer PORT COMMAND [ARGUMENT ...]
// Starts the command, asks again and again, prints milliseconds, and stops the command by SIGTERM.

#include <signal.h>
#include <sys/wait.h>

#include <string>

#include "broker/base/slice.h"
#include "broker/wire/frame.h"
#include "broker/wire/metadata.h"
#include "tests/bench/raw_socket.h"

namespace verdict::bench {
namespace {

constexpr int16_t kVersion = 1;
constexpr int64_t kLimitNs = 20'000'000'000;
constexpr timespec kPause{0, 200'000};

// Whether an answer with a broker in it came. A broker that has just bound its port may close the
// connection again.
bool answers(uint16_t port, const base::Slice& request) {
  int fd = connect_to(port);
  if (fd < 0) return false;
  timeval patience{1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::byte prefix[wire::kFrameLengthBytes];
  bool good = send_all(fd, request.data(), request.size()) && receive_all(fd, prefix, 4);
  if (good) {
    base::MutableBuffer bytes(static_cast<size_t>(base::load_be<int32_t>(prefix)));
    const size_t size = bytes.capacity();
    good = receive_all(fd, bytes.data(), size);
    const base::Slices whole(std::move(bytes).freeze(size));
    auto frame =
        wire::parse_response(whole, *wire::find_api(wire::MetadataRequest::kApiKey), kVersion);
    good = good && frame && wire::MetadataResponse::decode(frame->body, kVersion).has_value() &&
           !wire::MetadataResponse::decode(frame->body, kVersion)->brokers.empty();
  }
  close(fd);
  return good;
}

int measure(uint16_t port, char** command) {
  wire::MetadataRequest metadata;
  metadata.topics.emplace();  // none
  const base::Slice request = wire::request_frame(metadata, kVersion, 9, "bench").flatten();
  if (answers(port, request)) {
    std::fprintf(stderr, "first_answer: somebody answers on port %d already\n", port);
    return 1;
  }
  const int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
  const pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid == 0) {
    execvp(command[0], command);
    die(command[0]);
  }
  int64_t took_ns = 0;
  bool good = false;
  bool ended = false;
  while (!good && !ended && took_ns < kLimitNs) {
    good = answers(port, request);
    took_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
    if (!good) nanosleep(&kPause, nullptr);
    ended = waitpid(pid, nullptr, WNOHANG) != 0;
  }
  if (!ended) {
    kill(pid, SIGTERM);
    (void)waitpid(pid, nullptr, 0);
  }
  if (!good) {
    std::fprintf(stderr, "first_answer: no answer\n");
    return 1;
  }
  std::printf("%.2f\n", static_cast<double>(took_ns) / 1e6);
  return 0;
}

}  // namespace
}  // namespace verdict::bench

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: first_answer PORT COMMAND [ARGUMENT ...]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  const auto port = static_cast<uint16_t>(std::strtoul(argv[1], nullptr, 10));
  return verdict::bench::measure(port, argv + 2);
}
