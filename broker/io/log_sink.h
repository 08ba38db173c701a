#pragma once
// LogSink: the Observer of a real broker. Log events become lines on stderr, written by a thread of
// its own so that a slow reader of stderr never holds the broker; when more than kLinesMax wait,
// the oldest are dropped. Probes do nothing.

#include <memory>
#include <string>

#include "broker/runtime/observer.h"

namespace verdict::io {

// "topic created name=orders partitions=3": values with spaces, quotes or control characters are
// quoted and escaped, so that an event stays one line.
std::string format_event(std::string_view event, std::span<const runtime::Field> fields);

class LogSink final : public runtime::Observer {
 public:
  static constexpr size_t kLinesMax = 1024;

  // Without `to_stderr` nothing is wanted.
  LogSink(runtime::Severity level, bool to_stderr);
  // Writes what waits.
  ~LogSink() override;

  void log(runtime::Severity severity, std::string_view event,
           std::span<const runtime::Field> fields) override;
  bool wants(runtime::Severity severity) const override;
  void reached(const runtime::Probe&) override {}
  bool provoke(const runtime::Probe&) override { return false; }

 private:
  struct Writer;
  runtime::Severity level_;
  std::unique_ptr<Writer> writer_;  // null: nothing is wanted
};

}  // namespace verdict::io
