#include "cli/produce_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>

#include "broker/base/check.h"
#include "broker/client/partitioner.h"
#include "broker/client/producer.h"
#include "cli/client_session.h"
#include "cli/host_stream.h"
#include "cli/line_splitter.h"
#include "cli/record_format.h"

namespace verdict::cli {

using base::Errc;
using base::Result;
using base::Slice;
using client::Delivery;

namespace {

constexpr const char* kCommand = "produce";
constexpr size_t kBatchBytes = 128U * 1024;
// Records whose outcome is not known yet; reading goes on when the oldest one has its own.
constexpr size_t kOpenRecordsMax = 100'000;
constexpr size_t kHeadersMax = 1'000;

const std::map<std::string, record::Codec> kCodecs = {{"none", record::Codec::none},
                                                      {"gzip", record::Codec::gzip},
                                                      {"snappy", record::Codec::snappy},
                                                      {"lz4", record::Codec::lz4},
                                                      {"zstd", record::Codec::zstd}};
const std::map<std::string, client::Acks> kAcks = {
    {"0", client::Acks::none}, {"1", client::Acks::leader}, {"all", client::Acks::all}};

struct ProduceOptions {
  ClientOptions client;
  std::string topic;
  std::string file = "-";
  int32_t partition = -1;
  std::string key_delimiter;
  std::vector<std::string> headers;
  std::string codec = "none";
  std::string acks = "all";
  bool no_idempotence = false;
};

// Lines on their way to the topic.
class LineProducer {
 public:
  LineProducer(Session& session, const ProduceOptions& options, int32_t partitions,
               std::string delimiter, std::vector<record::Header> headers)
      : session_(session),
        options_(options),
        delimiter_(std::move(delimiter)),
        headers_(std::move(headers)),
        partitioner_(session.node().random, partitions, kBatchBytes),
        producer_(session.node(), producer_options(session, options)) {}

  // Sends every line of `fd`, waits for the outcomes and prints the summary; the exit code.
  int run(int fd);

 private:
  struct Open {
    uint64_t line;
    runtime::Future<Delivery> delivery;
  };

  static client::ProducerOptions producer_options(Session& session, const ProduceOptions& options);
  void read_all(int fd);
  void send(std::string_view line);
  // Takes the outcomes that are there, from the oldest on.
  void take_ready();
  void take_oldest();
  void judge(uint64_t line, const Delivery& delivery);
  void fail(int exit_code, uint64_t line, const std::string& sentence);
  void finish();

  Session& session_;
  const ProduceOptions& options_;
  const std::string delimiter_;
  const std::vector<record::Header> headers_;
  client::Partitioner partitioner_;
  client::Producer producer_;
  std::deque<Open> open_;
  uint64_t lines_ = 0;  // begun
  uint64_t records_ = 0;
  uint64_t acked_ = 0;
  uint64_t unknown_ = 0;
  int exit_code_ = 0;
};

client::ProducerOptions LineProducer::producer_options(Session& session,
                                                       const ProduceOptions& options) {
  const client::Acks acks = kAcks.at(options.acks);
  return {.cluster = session.cluster(),
          .acks = acks,
          .idempotent = acks == client::Acks::all && !options.no_idempotence,
          .codec = kCodecs.at(options.codec),
          .batch_bytes = kBatchBytes,
          .delivery_timeout = session.timeout()};
}

void LineProducer::fail(int exit_code, uint64_t line, const std::string& sentence) {
  // The first trouble is the one to look at; what follows from it is only counted.
  if (exit_code_ != 0) return;
  const std::string place = line == 0 ? "" : "line " + std::to_string(line) + ": ";
  exit_code_ = session_.end(exit_code, place + sentence);
}

int LineProducer::run(int fd) {
  runtime::Clock& clock = session_.node().clock;
  const runtime::Instant began = clock.now();
  read_all(fd);
  finish();
  const int64_t ms = (clock.now() - began).ms();
  std::fprintf(stderr, "%" PRIu64 " records, %" PRIu64 " acked", records_, acked_);
  if (records_ > acked_) std::fprintf(stderr, ", %" PRIu64 " not", records_ - acked_);
  if (unknown_ > 0) std::fprintf(stderr, " (%" PRIu64 " of them perhaps written)", unknown_);
  std::fprintf(stderr, ", %" PRId64 ".%03" PRId64 " s\n", ms / 1'000, ms % 1'000);
  CHECK(exit_code_ != 0 || acked_ == records_);
  return exit_code_;
}

void LineProducer::read_all(int fd) {
  HostStream input(session_.node().tasks, fd, session_.interrupted());
  LineSplitter lines;
  while (exit_code_ == 0) {
    Result<std::string> chunk = input.read_some();
    if (!chunk && chunk.error().code == Errc::cancelled) {
      return fail(kExitInterrupted, 0, "interrupted; what was read is still sent");
    }
    if (!chunk) return fail(kExitUsage, lines_ + 1, "cannot be read: " + chunk.error().detail);
    const bool end = chunk->empty();
    lines.feed(std::move(*chunk));
    while (exit_code_ == 0) {
      const auto line = lines.next_line();
      if (!line) break;
      send(*line);
    }
    if (lines.too_long()) {
      return fail(kExitUsage, lines_ + 1,
                  "longer than " + std::to_string(LineSplitter::kLineBytesMax) + " bytes");
    }
    take_ready();
    if (!end) continue;
    const auto line = exit_code_ == 0 ? lines.last_line() : std::nullopt;
    if (line) send(*line);
    return;
  }
}

void LineProducer::send(std::string_view line) {
  ++lines_;
  const KeyAndValue parts = split_key(line, delimiter_);
  client::Outgoing record{.topic = options_.topic,
                          .partition = options_.partition,
                          .value = Slice::copy_of(parts.value),
                          .headers = headers_};
  std::optional<std::span<const std::byte>> key;
  if (parts.key) record.key = Slice::copy_of(*parts.key);
  if (record.key) key = record.key->bytes();
  if (record.partition < 0) record.partition = partitioner_.choose(key, line.size());
  if (open_.size() >= kOpenRecordsMax) take_oldest();
  auto delivery = producer_.send(std::move(record), session_.deadline());
  if (!delivery) {
    const bool ours = delivery.error().code == Errc::too_large;
    fail(ours ? kExitUsage : kExitRefused, lines_, delivery.error().to_string());
    return;
  }
  ++records_;
  open_.push_back({.line = lines_, .delivery = std::move(*delivery)});
}

void LineProducer::take_ready() {
  while (!open_.empty() && open_.front().delivery.ready()) take_oldest();
}

void LineProducer::take_oldest() {
  CHECK(!open_.empty());
  // The producer gives every record its outcome in time.
  const auto delivery = open_.front().delivery.wait(runtime::Instant::never());
  if (!delivery) {
    // Interrupted for the second time: finish() takes it.
    return fail(kExitInterrupted, open_.front().line, "interrupted");
  }
  judge(open_.front().line, *delivery);
  open_.pop_front();
}

void LineProducer::judge(uint64_t line, const Delivery& delivery) {
  if (delivery.outcome == Delivery::Outcome::acked) {
    ++acked_;
    return;
  }
  const bool unknown = delivery.outcome == Delivery::Outcome::unknown;
  if (unknown) ++unknown_;
  const std::string told =
      delivery.error_code == 0 ? delivery.detail : describe_refusal(delivery.error_code, "");
  fail(kExitRefused, line,
       (unknown ? "not acknowledged, perhaps written: " : "not written: ") + told);
}

void LineProducer::finish() {
  const auto flushed = producer_.flush(session_.deadline());
  // What is open then ends as failed or unknown.
  producer_.stop();
  if (!flushed && flushed.error().code == Errc::cancelled) {
    fail(kExitInterrupted, 0, "interrupted");
  }
  while (!open_.empty()) {
    CHECK(open_.front().delivery.ready());
    const auto delivery = open_.front().delivery.take();
    CHECK(delivery.has_value());
    judge(open_.front().line, *delivery);
    open_.pop_front();
  }
}

// ---- the command

// "key=value" as a header of every record.
Result<std::vector<record::Header>> parse_headers(const std::vector<std::string>& texts) {
  std::vector<record::Header> headers;
  for (const std::string& text : texts) {
    const size_t at = text.find('=');
    if (at == text.npos || at == 0 || headers.size() >= kHeadersMax) {
      return base::fail(Errc::invalid, "-H '" + text + "': write key=value, at most " +
                                           std::to_string(kHeadersMax) + " of them");
    }
    headers.push_back(
        {.key = Slice::copy_of(text.substr(0, at)), .value = Slice::copy_of(text.substr(at + 1))});
  }
  return headers;
}

int produce(Session& session, const ProduceOptions& options, int fd, std::string delimiter,
            std::vector<record::Header> headers) {
  client::Admin admin(session.node(), session.cluster());
  int exit_code = 0;
  const auto topic = find_topic(session, admin, options.topic, exit_code);
  admin.stop();
  if (!topic) return exit_code;
  const auto partitions = static_cast<int32_t>(topic->partitions.size());
  if (partitions == 0 || options.partition >= partitions) {
    return session.end(kExitRefused, "topic '" + options.topic + "' has " +
                                         std::to_string(partitions) +
                                         " partitions, counted from 0: there is no " +
                                         std::to_string(std::max(options.partition, 0)));
  }
  return LineProducer(session, options, partitions, std::move(delimiter), std::move(headers))
      .run(fd);
}

int start(const ProduceOptions& options) {
  const auto delimiter = unescape(options.key_delimiter);
  if (!delimiter) {
    complain(kCommand, "-K " + delimiter.error().detail);
    return kExitUsage;
  }
  auto headers = parse_headers(options.headers);
  if (!headers) {
    complain(kCommand, headers.error().detail);
    return kExitUsage;
  }
  const bool standard = options.file == "-";
  const int fd = standard ? STDIN_FILENO : ::open(options.file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    complain(kCommand, options.file + ": " + std::strerror(errno) +
                           "; name a file of lines, or - " + "for standard input");
    return kExitUsage;
  }
  const int exit_code =
      run_client(kCommand, options.client, AtInterrupt::finish, [&](Session& session) {
        return produce(session, options, fd, *delimiter, std::move(*headers));
      });
  if (!standard) ::close(fd);
  return exit_code;
}

std::vector<std::string> names_of(const auto& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

}  // namespace

void add_produce_command(CLI::App& app, int& exit_status) {
  CLI::App* verb = app.add_subcommand("produce", "Sends lines as records");
  auto options = std::make_shared<ProduceOptions>();  // lives as long as the callback
  add_client_options(*verb, options->client);
  verb->add_option("topic", options->topic)->required();
  verb->add_option("file", options->file, "Lines to send; - is standard input (default)");
  verb->add_option("-p,--partition", options->partition, "Every record there")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("-K,--key-delimiter", options->key_delimiter,
                   "What stands before it in a line is the record's key");
  verb->add_option("-H,--header", options->headers, "key=value, on every record")
      ->allow_extra_args(false);
  verb->add_option("-z,--compression", options->codec)->check(CLI::IsMember(names_of(kCodecs)));
  verb->add_option("--acks", options->acks)->check(CLI::IsMember(names_of(kAcks)));
  verb->add_flag("--no-idempotence", options->no_idempotence,
                 "A retry may write a record twice; acks 0 and 1 imply it");
  verb->callback([options, &exit_status] { exit_status = start(*options); });
}

}  // namespace verdict::cli
