#include "broker/io/log_sink.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <csignal>

#include "broker/base/check.h"

namespace verdict::io {
namespace {

using runtime::Field;
using runtime::Severity;

constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%-5!l%$ %v";
constexpr size_t kThreads = 1;

spdlog::level::level_enum level_of(Severity severity) {
  switch (severity) {
    case Severity::debug:
      return spdlog::level::debug;
    case Severity::info:
      return spdlog::level::info;
    case Severity::warning:
      return spdlog::level::warn;
    case Severity::error:
      return spdlog::level::err;
  }
  CHECK(false);
  return spdlog::level::off;
}

bool is_plain(char c) {
  return static_cast<unsigned char>(c) > ' ' && c != '"' && c != '\\' && c != '=' && c != '\x7f';
}

void append_value(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (char c : value) plain = plain && is_plain(c);
  if (plain) {
    line.append(value);
    return;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  line.push_back('"');
  for (char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line.append({'\\', c});
    } else if (c == '\n') {
      line.append("\\n");
    } else if (byte < ' ' || c == '\x7f') {
      line.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]});
    } else {
      line.push_back(c);
    }
  }
  line.push_back('"');
}

}  // namespace

std::string format_event(std::string_view event, std::span<const Field> fields) {
  std::string line(event);
  for (const Field& field : fields) {
    line.append(" ").append(field.name).append("=");
    append_value(line, field.value);
  }
  return line;
}

// spdlog wants both shared. The pool dies first: its thread writes what waits, by the logger.
struct LogSink::Writer {
  std::shared_ptr<spdlog::async_logger> logger;
  std::shared_ptr<spdlog::details::thread_pool> pool;
};

LogSink::LogSink(Severity level, bool to_stderr) : level_(level) {
  if (!to_stderr) return;
  writer_ = std::make_unique<Writer>();
  // Signals belong to the thread that runs the loop.
  writer_->pool = std::make_shared<spdlog::details::thread_pool>(kLinesMax, kThreads, [] {
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, nullptr) == 0);
  });
  writer_->logger = std::make_shared<spdlog::async_logger>(
      "verdict", std::make_shared<spdlog::sinks::stderr_sink_mt>(), writer_->pool,
      spdlog::async_overflow_policy::overrun_oldest);
  writer_->logger->set_level(level_of(level));
  writer_->logger->set_pattern(kPattern, spdlog::pattern_time_type::utc);
}

LogSink::~LogSink() = default;

void LogSink::log(Severity severity, std::string_view event, std::span<const Field> fields) {
  if (!wants(severity)) return;
  std::string line = format_event(event, fields);
  writer_->logger->log(level_of(severity), spdlog::string_view_t(line.data(), line.size()));
}

bool LogSink::wants(Severity severity) const { return writer_ != nullptr && severity >= level_; }

}  // namespace verdict::io
