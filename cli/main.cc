// The one binary. Verbs try, nouns operate; each lives in a file of its own.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "broker/base/crc32c.h"
#include "cli/broker_command.h"
#include "cli/consume_command.h"
#include "cli/produce_command.h"
#include "cli/run_command.h"
#include "cli/topic_command.h"

namespace {

constexpr int kExitUsage = 2;

void print_version() {
  std::printf("verdict 0.1.0, compiler %s, crc32c %s, exhibits %s\n", __VERSION__,
              verdict::base::crc32c_is_accelerated() ? "hardware" : "portable",
              VERDICT_EXHIBITS ? "compiled in" : "not compiled in");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"A Kafka-compatible broker that can be put on trial", "verdict"};
  app.require_subcommand(1);
  app.add_subcommand("version", "What this binary is")->callback(print_version);
  int exit_status = 0;
  verdict::cli::add_broker_command(app, exit_status);
  verdict::cli::add_topic_command(app, exit_status);
  verdict::cli::add_produce_command(app, exit_status);
  verdict::cli::add_consume_command(app, exit_status);
  verdict::cli::add_run_command(app, &exit_status);
  verdict::cli::add_replay_command(app, &exit_status);
  verdict::cli::add_list_command(app, &exit_status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return exit_status;
}
