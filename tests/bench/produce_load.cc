// A lean loader: Produce requests that were encoded before, pipelined on several connections, and
// the CPU that the process behind the port used for them.
//   produce_load key=value ...
// port, pid (whose CPU is told), topic, partitions, batch (bytes), record (bytes of each value),
// connections, in_flight (per connection), warm and requests (how many are answered before the
// counting and during it), create=1 and delete=1 (the topic, before and after).
// Prints one JSON object. An answer with an error ends it with exit code 1.

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "broker/base/endian.h"
#include "broker/record/batch.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/frame.h"
#include "broker/wire/produce.h"
#include "tests/bench/raw_socket.h"

namespace verdict::bench {
namespace {

using base::Slice;

constexpr int16_t kProduceVersion = 7;
constexpr int16_t kTopicsVersion = 5;
constexpr int16_t kDeleteVersion = 4;
constexpr int32_t kTimeoutMs = 30'000;
constexpr size_t kAnswerBytesMax = 4096;
constexpr int64_t kStallNs = 30'000'000'000;  // without an answer that long something is wrong
constexpr int kEventsMax = 64;

class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      std::string text = argv[i];
      const size_t equals = text.find('=');
      values_[text.substr(0, equals)] = equals == std::string::npos ? "1" : text.substr(equals + 1);
    }
  }
  std::string text(const char* key, const char* otherwise) const {
    auto at = values_.find(key);
    return at == values_.end() ? otherwise : at->second;
  }
  uint64_t number(const char* key, uint64_t otherwise) const {
    auto at = values_.find(key);
    return at == values_.end() ? otherwise : std::strtoull(at->second.c_str(), nullptr, 10);
  }

 private:
  std::map<std::string, std::string> values_;
};

struct Settings {
  uint16_t port;
  pid_t pid;
  std::string topic;
  uint64_t partitions;
  uint64_t batch_bytes;
  uint64_t record_bytes;
  uint64_t connections;
  uint64_t in_flight;
  uint64_t warm;
  uint64_t requests;
};

Slice batch_of(const Settings& settings) {
  std::string value(settings.record_bytes, '\0');
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>('a' + i * 7 % 26);
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  record::BatchBuilder builder({});
  do {
    builder.add(now.tv_sec * 1000LL, std::nullopt, std::as_bytes(std::span(value)));
  } while (builder.uncompressed_bytes() + settings.record_bytes < settings.batch_bytes);
  return builder.build();
}

// Sends one request and waits for its answer's body.
template <class Response, class Request>
Response ask(const Settings& settings, const Request& request, int16_t version) {
  int fd = connect_to(settings.port);
  if (fd < 0) die("connect");
  Slice frame = wire::request_frame(request, version, 1, "bench").flatten();
  std::byte prefix[wire::kFrameLengthBytes];
  if (!send_all(fd, frame.data(), frame.size()) || !receive_all(fd, prefix, sizeof prefix)) {
    die("topic request");
  }
  base::MutableBuffer bytes(static_cast<size_t>(base::load_be<int32_t>(prefix)));
  if (!receive_all(fd, bytes.data(), bytes.capacity())) die("topic answer");
  const size_t size = bytes.capacity();
  const base::Slices whole(std::move(bytes).freeze(size));
  auto parsed = wire::parse_response(whole, *wire::find_api(Request::kApiKey), version);
  close(fd);
  auto decoded = Response::decode(parsed->body, version);
  if (!decoded) die("topic answer");
  return *decoded;
}

void create_topic(const Settings& settings) {
  wire::CreateTopicsRequest request;
  request.timeout_ms = kTimeoutMs;
  auto& topic = request.topics.emplace_back();
  topic.name = settings.topic;
  topic.num_partitions = static_cast<int32_t>(settings.partitions);
  topic.replication_factor = 1;
  auto answer = ask<wire::CreateTopicsResponse>(settings, request, kTopicsVersion);
  if (answer.topics.size() == 1 && answer.topics[0].error_code == 0) return;
  std::fprintf(stderr, "create topic: error %d\n",
               answer.topics.empty() ? -1 : answer.topics[0].error_code);
  std::exit(1);
}

void delete_topic(const Settings& settings) {
  wire::DeleteTopicsRequest request;
  request.timeout_ms = kTimeoutMs;
  request.topic_names.push_back(settings.topic);
  (void)ask<wire::DeleteTopicsResponse>(settings, request, kDeleteVersion);
}

class Load {
 public:
  explicit Load(const Settings& settings);
  void run();
  void report() const;

 private:
  struct Connection {
    int fd = -1;
    uint64_t open = 0;               // sent or being sent, not answered
    const Slice* sending = nullptr;  // partly sent
    size_t sent = 0;
    std::byte answer[kAnswerBytesMax];
    size_t received = 0;
  };
  void pump(Connection& connection, uint32_t index);
  void wait_for(Connection& connection, uint32_t index, uint32_t events);
  void receive(Connection& connection);
  void judge(const std::byte* answer, size_t size);
  void start_counting();

  const Settings& settings_;
  size_t batch_size_ = 0;
  std::vector<Slice> requests_;  // by partition
  std::vector<Connection> connections_;
  int epoll_ = -1;
  uint64_t next_partition_ = 0;
  uint64_t answered_ = 0;
  int64_t began_ns_ = 0, ended_ns_ = 0;
  int64_t cpu_began_ns_ = 0, cpu_ended_ns_ = 0;
  int64_t own_began_ns_ = 0, own_ended_ns_ = 0;
};

Load::Load(const Settings& settings)
    : settings_(settings), connections_(settings.connections), epoll_(epoll_create1(0)) {
  Slice batch = batch_of(settings);
  batch_size_ = batch.size();
  for (uint64_t p = 0; p < settings.partitions; ++p) {
    wire::ProduceRequest request;
    request.acks = 1;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topic_data.emplace_back();
    topic.name = settings.topic;
    auto& data = topic.partition_data.emplace_back();
    data.index = static_cast<int32_t>(p);
    data.records = batch;
    requests_.push_back(wire::request_frame(request, kProduceVersion, 7, "bench").flatten());
  }
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    connections_[i].fd = connect_to(settings.port);
    if (connections_[i].fd < 0) die("connect");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = i;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event) != 0) die("epoll_ctl");
  }
}

void Load::wait_for(Connection& connection, uint32_t index, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u32 = index;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event) != 0) die("epoll_ctl");
}

void Load::pump(Connection& connection, uint32_t index) {
  while (connection.sending != nullptr || connection.open < settings_.in_flight) {
    if (connection.sending == nullptr) {
      connection.sending = &requests_[next_partition_++ % requests_.size()];
      connection.sent = 0;
      ++connection.open;
    }
    const Slice& request = *connection.sending;
    ssize_t n = send(connection.fd, request.data() + connection.sent,
                     request.size() - connection.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return wait_for(connection, index, EPOLLIN | EPOLLOUT);
    if (n < 0) die("send");
    connection.sent += static_cast<size_t>(n);
    if (connection.sent == request.size()) connection.sending = nullptr;
  }
}

void Load::judge(const std::byte* answer, size_t size) {
  // Correlation, one topic with its name, one partition with its index; then the error.
  const size_t error_at = 4 + 4 + 2 + settings_.topic.size() + 4 + 4;
  const int16_t error = size >= error_at + 2 ? base::load_be<int16_t>(answer + error_at) : -1;
  if (error != 0) {
    std::fprintf(stderr, "produce: error %d\n", error);
    std::exit(1);
  }
  if (++answered_ == settings_.warm) start_counting();
}

void Load::start_counting() {
  began_ns_ = clock_ns(CLOCK_MONOTONIC);
  cpu_began_ns_ = cpu_ns_of(settings_.pid);
  own_began_ns_ = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void Load::receive(Connection& connection) {
  ssize_t n = recv(connection.fd, connection.answer + connection.received,
                   kAnswerBytesMax - connection.received, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) die("the peer closed");
  connection.received += static_cast<size_t>(n);
  size_t at = 0;
  while (connection.received - at >= wire::kFrameLengthBytes) {
    const auto size = static_cast<size_t>(base::load_be<int32_t>(connection.answer + at));
    if (connection.received - at < wire::kFrameLengthBytes + size) break;
    judge(connection.answer + at + wire::kFrameLengthBytes, size);
    --connection.open;
    at += wire::kFrameLengthBytes + size;
  }
  std::memmove(connection.answer, connection.answer + at, connection.received - at);
  connection.received -= at;
}

void Load::run() {
  if (settings_.warm == 0) start_counting();
  const uint64_t total = settings_.warm + settings_.requests;
  for (uint32_t i = 0; i < connections_.size(); ++i) pump(connections_[i], i);
  while (answered_ < total) {
    epoll_event events[kEventsMax];
    const int count = epoll_wait(epoll_, events, kEventsMax, kStallNs / 1'000'000);
    if (count == 0) die("no answer");
    for (int i = 0; i < count; ++i) {
      const uint32_t index = events[i].data.u32;
      Connection& connection = connections_[index];
      if ((events[i].events & EPOLLOUT) != 0) wait_for(connection, index, EPOLLIN);
      if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) receive(connection);
      pump(connection, index);
    }
  }
  cpu_ended_ns_ = cpu_ns_of(settings_.pid);
  ended_ns_ = clock_ns(CLOCK_MONOTONIC);
  own_ended_ns_ = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  for (Connection& connection : connections_) close(connection.fd);
}

void Load::report() const {
  const auto requests = static_cast<double>(answered_ - settings_.warm);
  const double megabytes = requests * static_cast<double>(batch_size_) / 1e6;
  const double seconds = static_cast<double>(ended_ns_ - began_ns_) / 1e9;
  const auto cpu = static_cast<double>(cpu_ended_ns_ - cpu_began_ns_);
  std::printf(
      "{\"requests\": %.0f, \"batch_bytes\": %zu, \"seconds\": %.3f, \"mb_per_s\": %.1f, "
      "\"requests_per_s\": %.0f, \"cpu_ms_per_mb\": %.4f, \"cpu_us_per_request\": %.3f, "
      "\"cpu_share\": %.3f, \"loader_ms_per_mb\": %.4f}\n",
      requests, batch_size_, seconds, megabytes / seconds, requests / seconds,
      cpu / 1e6 / megabytes, cpu / 1e3 / requests, cpu / 1e9 / seconds,
      static_cast<double>(own_ended_ns_ - own_began_ns_) / 1e6 / megabytes);
}

}  // namespace
}  // namespace verdict::bench

int main(int argc, char** argv) {
  using namespace verdict::bench;
  const Arguments arguments(argc, argv);
  const Settings settings{static_cast<uint16_t>(arguments.number("port", 0)),
                          static_cast<pid_t>(arguments.number("pid", 0)),
                          arguments.text("topic", "bench"),
                          arguments.number("partitions", 1),
                          arguments.number("batch", 16'384),
                          arguments.number("record", 100),
                          arguments.number("connections", 1),
                          arguments.number("in_flight", 1),
                          arguments.number("warm", 0),
                          arguments.number("requests", 1'000)};
  if (settings.port == 0 || settings.pid == 0) {
    std::fprintf(stderr, "produce_load: port= and pid= are needed\n");
    return 2;
  }
  if (arguments.number("create", 0) != 0) create_topic(settings);
  Load load(settings);
  load.run();
  load.report();
  if (arguments.number("delete", 0) != 0) delete_topic(settings);
}
