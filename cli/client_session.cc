#include "cli/client_session.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "broker/io/loop.h"
#include "broker/rpc/connection.h"
#include "broker/wire/errors.h"
#include "cli/bootstrap.h"

namespace verdict::cli {

using base::Errc;
using base::fail;
using base::Result;
using wire::ErrorCode;

namespace {

// A client keeps no data; the loop wants a folder that is there.
constexpr const char* kNoData = "/";
// One may wait for a stream of the process, the other is for the rest.
constexpr int kOffloadThreads = 2;
constexpr runtime::Duration kConnectTimeout = runtime::seconds(10);
// Between two looks at a topic that has no leader yet.
constexpr runtime::Duration kLookAgain = runtime::milliseconds(200);

std::string_view remedy(ErrorCode code) {
  switch (code) {
    case ErrorCode::unknown_topic_or_partition:
      return "see `verdict topic list`, or make it with `verdict topic create NAME`";
    case ErrorCode::topic_already_exists:
      return "see `verdict topic describe NAME`";
    case ErrorCode::invalid_topic_exception:
      return "a name has 1 to 249 of the characters a-z A-Z 0-9 . _ -";
    case ErrorCode::invalid_partitions:
      return "choose another number with -p";
    case ErrorCode::invalid_replication_factor:
      return "-r can be at most the number of brokers";
    case ErrorCode::invalid_config:
      return "see `verdict topic describe NAME` for configs that exist";
    case ErrorCode::message_too_large:
      return "the limit is max.message.bytes of the topic";
    case ErrorCode::kafka_storage_error:
      return "the broker's log says what its disk did";
    case ErrorCode::leader_not_available:
      return "the broker that leads it is away or starting";
    default:
      return "";
  }
}

}  // namespace

void add_client_options(CLI::App& command, ClientOptions& options) {
  command
      .add_option("-b,--bootstrap", options.bootstrap,
                  "host:port of one or more brokers, with commas (127.0.0.1:9092)")
      ->envname("VERDICT_BOOTSTRAP");
  command.add_option("--timeout", options.timeout_s, "Seconds that anything may take at most (30)")
      ->check(CLI::Range(int64_t{1}, ClientOptions::kTimeoutMaxS));
}

void complain(std::string_view command, const std::string& sentence) {
  std::fprintf(stderr, "verdict %.*s: %s\n", static_cast<int>(command.size()), command.data(),
               sentence.c_str());
}

std::string describe_refusal(int16_t error_code, const std::string& message) {
  const auto code = static_cast<ErrorCode>(error_code);
  std::string text(wire::to_string(code));
  if (!message.empty()) text += ": " + message;
  while (text.ends_with('.')) text.pop_back();
  if (const std::string_view what_to_do = remedy(code); !what_to_do.empty()) {
    text += "; ";
    text += what_to_do;
  }
  return text;
}

client::ClusterOptions Session::cluster() const {
  return {.bootstrap = bootstrap_,
          .client_id = "verdict",
          .request_timeout = timeout_,
          .connect_timeout = std::min(timeout_, kConnectTimeout)};
}

int Session::end(int exit_code, const std::string& sentence) {
  complain(command_, sentence);
  return exit_code;
}

int Session::end(const base::Error& error) {
  if (error.code == Errc::cancelled) return end(kExitInterrupted, "interrupted");
  return end(kExitRefused, address_ + ": " + error.to_string());
}

int Session::refused(const std::string& what, int16_t error_code, const std::string& message) {
  return end(kExitRefused,
             address_ + " refused " + what + ": " + describe_refusal(error_code, message));
}

Result<> Session::first_contact() {
  const runtime::Instant end = deadline();
  const client::ClusterOptions options = cluster();
  std::string answers;
  for (const runtime::Endpoint& endpoint : bootstrap_) {
    runtime::Nursery nursery(node_.tasks);
    rpc::Peer peer(node_, nursery, endpoint,
                   {.client_id = options.client_id, .connect_timeout = options.connect_timeout});
    const auto connected = peer.wait_connected(end);
    nursery.stop();
    if (connected || connected.error().code == Errc::cancelled) return connected;
    answers += answers.empty() ? "" : ", ";
    answers += endpoint.to_string() + " (" + connected.error().to_string() + ")";
  }
  return fail(Errc::unreachable, "no broker answers at " + answers +
                                     "; start one with `verdict broker start` or name another with "
                                     "--bootstrap host:port");
}

namespace {

// Watches for interrupts while the command's fiber works.
void supervise(runtime::Node& node, Session& session, AtInterrupt at_interrupt,
               base::UniqueFunction<void()> work) {
  runtime::Event done(node.tasks);
  runtime::Nursery nursery(node.tasks);
  nursery.spawn("command", [&] {
    work();
    done.set();
  });
  for (;;) {
    runtime::Waitable* either[] = {&done, &node.stop};
    const auto woken = runtime::wait_any(node.tasks, either, runtime::Instant::never());
    if (!woken || done.ready()) break;
    node.stop.reset();
    if (session.interrupted() || at_interrupt == AtInterrupt::cancel) nursery.cancel_all();
    session.interrupt();
  }
  (void)nursery.join_all(runtime::Instant::never());  // this fiber is never cancelled
}

}  // namespace

int run_client(const std::string& command, const ClientOptions& options, AtInterrupt at_interrupt,
               base::UniqueFunction<int(Session&)> body) {
  auto bootstrap = parse_bootstrap(options.bootstrap);
  if (!bootstrap) {
    complain(command, "--bootstrap " + bootstrap.error().detail);
    return kExitUsage;
  }
  auto loop = io::Loop::create({.data_directory = kNoData,
                                .data_is_ours = false,
                                .offload_threads = kOffloadThreads,
                                .log_to_stderr = false,
                                .handle_signals = true});
  if (!loop) {
    complain(command, loop.error().to_string());
    return kExitUsage;
  }
  int exit_code = kExitInterrupted;
  (*loop)->run([&](runtime::Node& node) {
    Session session(node, command, *bootstrap, options.bootstrap,
                    runtime::seconds(options.timeout_s));
    supervise(node, session, at_interrupt, [&] {
      const auto contact = session.first_contact();
      if (contact) {
        exit_code = body(session);
      } else if (contact.error().code == Errc::cancelled) {
        exit_code = session.end(contact.error());
      } else {
        exit_code = session.end(kExitRefused, contact.error().detail);
      }
    });
  });
  return exit_code;
}

std::optional<client::TopicDescription> find_topic(Session& session, client::Admin& admin,
                                                   const std::string& name, int& exit_code) {
  const runtime::Instant end = session.deadline();
  for (;;) {
    auto topics = admin.describe_topics({{name}}, end);
    if (!topics) {
      exit_code = session.end(topics.error());
      return std::nullopt;
    }
    if (topics->empty()) {
      exit_code = session.end(kExitRefused, "the broker did not answer about topic '" + name + "'");
      return std::nullopt;
    }
    client::TopicDescription& topic = topics->front();
    if (topic.error_code == 0) return std::move(topic);
    const bool absent =
        static_cast<ErrorCode>(topic.error_code) == ErrorCode::unknown_topic_or_partition;
    const bool again = client::retriable(topic.error_code) && !absent;
    if (!again || session.node().clock.after(kLookAgain) >= end) {
      exit_code = session.refused("topic '" + name + "'", topic.error_code, "");
      return std::nullopt;
    }
    if (const auto slept = session.node().clock.sleep(kLookAgain); !slept) {
      exit_code = session.end(slept.error());
      return std::nullopt;
    }
  }
}

}  // namespace verdict::cli
