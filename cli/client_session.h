#pragma once
// What the commands share that speak to a cluster as a client: address and patience, the loop they
// run on, the first contact, interrupts, and sentences for what went wrong.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/function.h"
#include "broker/base/result.h"
#include "broker/client/admin.h"
#include "broker/runtime/node.h"

namespace CLI {
class App;
}

namespace verdict::cli {

inline constexpr int kExitUsage = 2;          // what the person wrote, or a file of theirs
inline constexpr int kExitRefused = 4;        // the broker refused or could not be reached
inline constexpr int kExitInterrupted = 130;  // before the work was done

struct ClientOptions {
  static constexpr int64_t kTimeoutMaxS = 86'400;
  std::string bootstrap = "127.0.0.1:9092";
  int64_t timeout_s = 30;
};

// Adds --bootstrap (also VERDICT_BOOTSTRAP) and --timeout.
void add_client_options(CLI::App& command, ClientOptions& options);

// Prints "verdict COMMAND: sentence" on stderr.
void complain(std::string_view command, const std::string& sentence);

// Kafka's name of an error, the broker's own words, and what to do about it where that is known.
std::string describe_refusal(int16_t error_code, const std::string& message);

// What SIGINT and SIGTERM do: end the command's waits, or only set Session::interrupted() and end
// its waits the second time.
enum class AtInterrupt : uint8_t { cancel, finish };

// One command at work: a fiber on the real backend, after a broker answered.
class Session {
 public:
  Session(runtime::Node& node, std::string command, std::vector<runtime::Endpoint> bootstrap,
          std::string address, runtime::Duration timeout)
      : node_(node),
        command_(std::move(command)),
        bootstrap_(std::move(bootstrap)),
        address_(std::move(address)),
        timeout_(timeout) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  runtime::Node& node() { return node_; }
  const std::string& command() const { return command_; }
  runtime::Duration timeout() const { return timeout_; }
  // The end of what begins now.
  runtime::Instant deadline() { return node_.clock.after(timeout_); }
  client::ClusterOptions cluster() const;
  const bool& interrupted() const { return interrupted_; }
  void interrupt() { interrupted_ = true; }

  // Prints the sentence and returns `exit_code`.
  int end(int exit_code, const std::string& sentence);
  // The same for what a call of the client ended with: kExitRefused with the address, or
  // kExitInterrupted.
  int end(const base::Error& error);
  // The same for a refusal of the broker about `what`.
  int refused(const std::string& what, int16_t error_code, const std::string& message);

  // Whether one of the addresses speaks Kafka. An address that refuses is not asked again.
  base::Result<> first_contact();

 private:
  runtime::Node& node_;
  const std::string command_;
  const std::vector<runtime::Endpoint> bootstrap_;
  const std::string address_;  // as it was written
  const runtime::Duration timeout_;
  bool interrupted_ = false;
};

// Runs `body` on a loop of its own after a first contact; what it returns, or why it did not run,
// is the exit code.
int run_client(const std::string& command, const ClientOptions& options, AtInterrupt at_interrupt,
               base::UniqueFunction<int(Session&)> body);

// The topic as the broker describes it, with its partitions by number; after a sentence on stderr
// nothing, and the exit code.
std::optional<client::TopicDescription> find_topic(Session& session, client::Admin& admin,
                                                   const std::string& name, int& exit_code);

}  // namespace verdict::cli
