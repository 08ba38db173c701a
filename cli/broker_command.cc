#include "cli/broker_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "broker/io/loop.h"
#include "broker/server/broker.h"
#include "broker/server/config.h"

namespace verdict::cli {

namespace {

constexpr int kExitUsage = 2;
constexpr int kExitBrokerFailed = 4;

struct StartOptions {
  std::string config_file;
  std::vector<std::string> overrides;
};

bool read_file(const std::string& name, std::string& text) {
  std::ifstream file(name, std::ios::binary);
  if (!file) return false;
  std::ostringstream content;
  content << file.rdbuf();
  text = content.str();
  return !file.bad();
}

int start(const StartOptions& options) {
  std::string text;
  if (!options.config_file.empty() && !read_file(options.config_file, text)) {
    std::fprintf(stderr, "verdict: cannot read %s; name a server.properties file\n",
                 options.config_file.c_str());
    return kExitUsage;
  }
  auto parsed = server::parse_config(options.config_file, text, options.overrides);
  if (!parsed) {
    std::fprintf(stderr, "%s\n", parsed.error().detail.c_str());
    return kExitUsage;
  }
  io::Options loop_options;
  loop_options.data_directory = parsed->config.log_directory;
  loop_options.handle_signals = true;
  auto loop = io::Loop::create(std::move(loop_options));
  if (!loop) {
    std::fprintf(stderr, "verdict: %s\n", loop.error().to_string().c_str());
    return kExitUsage;
  }
  server::Broker broker({std::move(parsed->config), std::move(parsed->warnings)});
  (*loop)->run([&](runtime::Node& node) { broker.run(node); });
  if (broker.exit_status() == server::kExitStopped) return 0;
  std::fprintf(stderr, "verdict: %s\n", broker.failure()->to_string().c_str());
  return kExitBrokerFailed;
}

}  // namespace

void add_broker_command(CLI::App& app, int& exit_status) {
  CLI::App* broker = app.add_subcommand("broker", "A broker on real sockets and files");
  broker->require_subcommand(1);
  CLI::App* verb = broker->add_subcommand("start", "Serves until SIGTERM; formats its directory");
  auto options = std::make_shared<StartOptions>();  // lives as long as the callback
  verb->add_option("--config", options->config_file, "server.properties, with Kafka's names");
  verb->add_option("-o,--override", options->overrides, "key=value, wins over the file");
  verb->callback([options, &exit_status] { exit_status = start(*options); });
}

}  // namespace verdict::cli
