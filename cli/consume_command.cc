#include "cli/consume_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>

#include "broker/base/check.h"
#include "broker/client/consumer.h"
#include "cli/client_session.h"
#include "cli/host_stream.h"
#include "cli/offset_spec.h"
#include "cli/record_format.h"

namespace verdict::cli {

using base::Errc;
using base::Result;
using client::OffsetQuery;

namespace {

constexpr const char* kCommand = "consume";
// How long a poll may find nothing before the clock is looked at.
constexpr runtime::Duration kPoll = runtime::seconds(1);
// Text that is collected before it is written.
constexpr size_t kTextBytes = 1U << 20;

struct ConsumeOptions {
  ClientOptions client;
  std::string topic;
  std::vector<int32_t> partitions;  // nothing: all
  std::string from = "beginning";
  int64_t count = -1;  // -1: without end
  bool exit_at_end = false;
  std::string format = "%s\\n";
  std::string key_delimiter;
  std::string output = "text";
};

// What standard output gets.
struct Printer {
  RecordFormat format;
  bool json = false;
  std::string text = {};

  void print(const client::ConsumedRecord& record) {
    if (json) {
      append_json(record, text);
    } else {
      format.append(record, text);
    }
  }
};

class Printing {
 public:
  Printing(Session& session, const ConsumeOptions& options, OffsetSpec from, Printer printer)
      : session_(session),
        options_(options),
        from_(from),
        printer_(std::move(printer)),
        out_(session.node().tasks, STDOUT_FILENO, session.interrupted()),
        consumer_(session.node(), {.cluster = session.cluster()}) {}

  // Prints until there is a reason to end; the exit code.
  int run() {
    int exit_code = 0;
    if (assign(exit_code)) exit_code = print_all();
    consumer_.stop();
    return exit_code;
  }

 private:
  struct Range {
    int64_t start = 0;
    int64_t end = 0;
  };

  // Finds the topic and where to begin; false with the exit code when that is not possible.
  bool assign(int& exit_code);
  Result<std::map<int32_t, Range>> find_ranges(const std::vector<int32_t>& partitions);
  bool choose_partitions(std::vector<int32_t>& chosen, int& exit_code);
  int print_all();
  // Prints what a poll brought; the exit code of a reason to end.
  std::optional<int> print(const client::PollResult& polled);
  Result<> write();
  bool done() const;
  // The end of a partition that was read up to the other history's end, as it is now.
  Result<> move_end(int32_t partition);

  Session& session_;
  const ConsumeOptions& options_;
  const OffsetSpec from_;
  Printer printer_;
  HostStream out_;
  client::Consumer consumer_;
  std::map<int32_t, int64_t> ends_;  // where each partition ended at the start
  int64_t printed_ = 0;
};

bool Printing::choose_partitions(std::vector<int32_t>& chosen, int& exit_code) {
  client::Admin admin(session_.node(), session_.cluster());
  const auto topic = find_topic(session_, admin, options_.topic, exit_code);
  admin.stop();
  if (!topic) return false;
  const auto partitions = static_cast<int32_t>(topic->partitions.size());
  chosen = options_.partitions;
  for (int32_t i = 0; options_.partitions.empty() && i < partitions; ++i) chosen.push_back(i);
  std::sort(chosen.begin(), chosen.end());
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  if (!chosen.empty() && chosen.back() < partitions) return true;
  exit_code = session_.end(kExitRefused, "topic '" + options_.topic + "' has " +
                                             std::to_string(partitions) +
                                             " partitions, counted from 0: there is no " +
                                             std::to_string(chosen.empty() ? 0 : chosen.back()));
  return false;
}

Result<std::map<int32_t, Printing::Range>> Printing::find_ranges(
    const std::vector<int32_t>& partitions) {
  std::map<int32_t, Range> ranges;
  const runtime::Instant deadline = session_.deadline();
  for (const int64_t which : {OffsetQuery::kEarliest, OffsetQuery::kLatest}) {
    std::vector<OffsetQuery> queries;
    for (const int32_t partition : partitions) {
      queries.push_back({.at = {options_.topic, partition}, .timestamp_ms = which});
    }
    const auto listed = TRY(consumer_.list_offsets(queries, deadline));
    for (const client::ListedOffset& one : listed) {
      if (one.error_code != 0 || one.offset < 0) {
        return base::fail(Errc::invalid, one.at.to_string() + ": no offsets: " +
                                             describe_refusal(one.error_code, ""));
      }
      Range& range = ranges[one.at.partition];
      (which == OffsetQuery::kEarliest ? range.start : range.end) = one.offset;
      range.end = std::max(range.end, range.start);
    }
  }
  return ranges;
}

bool Printing::assign(int& exit_code) {
  std::vector<int32_t> partitions;
  if (!choose_partitions(partitions, exit_code)) return false;
  const auto ranges = find_ranges(partitions);
  if (!ranges) {
    exit_code = session_.end(ranges.error());
    return false;
  }
  std::vector<client::Assignment> assignment;
  for (const auto& [partition, range] : *ranges) {
    const auto first = first_offset(from_, range.start, range.end);
    if (!first) {
      exit_code = session_.end(kExitRefused, options_.topic + "-" + std::to_string(partition) +
                                                 ": " + first.error().detail);
      return false;
    }
    assignment.push_back({.topic = options_.topic, .partition = partition, .at = {*first}});
    ends_[partition] = range.end;
  }
  CHECK(ends_.size() == partitions.size());
  consumer_.assign(std::move(assignment));
  return true;
}

bool Printing::done() const {
  if (options_.count >= 0 && printed_ >= options_.count) return true;
  if (!options_.exit_at_end) return false;
  for (const auto& [partition, end] : ends_) {
    const auto position = consumer_.position(options_.topic, partition);
    if (!position || *position < end) return false;
  }
  return true;
}

int Printing::print_all() {
  while (!done()) {
    auto polled = consumer_.poll(session_.node().clock.after(kPoll));
    if (!polled && polled.error().code == Errc::cancelled) return 0;
    if (!polled) return session_.end(polled.error());
    if (const auto ended = print(*polled)) return *ended;
    const runtime::Duration quiet = session_.node().clock.now() - consumer_.quiet_since();
    if (quiet <= session_.timeout()) continue;
    return session_.end({Errc::timed_out, "nothing heard of a partition for " +
                                              std::to_string(quiet.ms() / 1'000) +
                                              " s: " + consumer_.last_trouble()});
  }
  return 0;
}

std::optional<int> Printing::print(const client::PollResult& polled) {
  for (const client::Truncated& one : polled.truncated) {
    complain(kCommand, options_.topic + "-" + std::to_string(one.partition) +
                           ": the leader has another history; read again from offset " +
                           std::to_string(one.to_offset));
    if (const auto moved = move_end(one.partition); !moved) return session_.end(moved.error());
  }
  for (const client::ConsumedRecord& record : polled.records) {
    if (options_.count >= 0 && printed_ >= options_.count) break;
    // With -e, what came later than the start is left out, whichever partition it is in.
    if (options_.exit_at_end && record.offset >= ends_.at(record.partition)) continue;
    printer_.print(record);
    ++printed_;
    if (printer_.text.size() < kTextBytes) continue;
    if (const auto wrote = write(); !wrote) return wrote.error().code == Errc::io ? kExitUsage : 0;
  }
  if (const auto wrote = write(); !wrote) return wrote.error().code == Errc::io ? kExitUsage : 0;
  for (const client::PartitionError& one : polled.errors) {
    return session_.refused(options_.topic + "-" + std::to_string(one.partition), one.error_code,
                            one.detail);
  }
  return std::nullopt;
}

Result<> Printing::write() {
  const auto wrote = out_.write_all(printer_.text);
  printer_.text.clear();
  if (!wrote && wrote.error().code == Errc::io) {
    complain(kCommand, "standard output: " + wrote.error().detail);
  }
  return wrote;
}

Result<> Printing::move_end(int32_t partition) {
  const auto ranges = TRY(find_ranges({partition}));
  ends_[partition] = ranges.at(partition).end;
  return {};
}

int start(const ConsumeOptions& options) {
  const auto from = parse_offset_spec(options.from);
  if (!from) {
    complain(kCommand, "-o " + from.error().detail);
    return kExitUsage;
  }
  const std::string keyed = "%k" + options.key_delimiter + "%s\\n";
  const auto format = RecordFormat::parse(options.key_delimiter.empty() ? options.format : keyed);
  if (!format) {
    complain(kCommand, "-f " + format.error().detail);
    return kExitUsage;
  }
  return run_client(kCommand, options.client, AtInterrupt::cancel, [&](Session& session) {
    Printing printing(session, options, *from,
                      {.format = *format, .json = options.output == "json"});
    return printing.run();
  });
}

}  // namespace

void add_consume_command(CLI::App& app, int& exit_status) {
  CLI::App* verb = app.add_subcommand("consume", "Prints the records of a topic");
  auto options = std::make_shared<ConsumeOptions>();  // lives as long as the callback
  add_client_options(*verb, options->client);
  verb->add_option("topic", options->topic)->required();
  verb->add_option("-p,--partition", options->partitions, "Only these; may be repeated (all)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::NonNegativeNumber);
  verb->add_option("-o,--offset", options->from, "beginning, end, N, or -N for the last N");
  verb->add_option("-n,--count", options->count, "End after that many records")
      ->check(CLI::NonNegativeNumber);
  verb->add_flag("-e,--exit", options->exit_at_end, "End when all is printed that was there");
  auto* format = verb->add_option("-f,--print", options->format,
                                  "%t %p %o %T %k %s %h, lengths %K %S, and \\n (\"%s\\n\")");
  verb->add_option("-K,--key-delimiter", options->key_delimiter,
                   "The same as -f '%kDELIMITER%s\\n'")
      ->excludes(format);
  verb->add_option("--format", options->output, "json: one object per line")
      ->check(CLI::IsMember({"text", "json"}));
  verb->callback([options, &exit_status] { exit_status = start(*options); });
}

}  // namespace verdict::cli
