#pragma once
// verdict topic create|delete|list|describe: topics of any cluster that speaks Kafka's protocol.

#include <string>
#include <string_view>
#include <utility>

#include "broker/base/result.h"

namespace CLI {
class App;
}

namespace verdict::cli {

// Adds the noun `topic` to `app`. `exit_status` gets what its verb ended with.
void add_topic_command(CLI::App& app, int& exit_status);

// "key=value", cut at the first '='; the value may be empty. invalid with a sentence for people.
base::Result<std::pair<std::string, std::string>> parse_config(std::string_view text);

}  // namespace verdict::cli
