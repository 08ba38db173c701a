#pragma once
// verdict broker start: a broker on real sockets and files.

namespace CLI {
class App;
}

namespace verdict::cli {

// Adds the noun `broker` to `app`. `exit_status` gets what its verb ended with.
void add_broker_command(CLI::App& app, int& exit_status);

}  // namespace verdict::cli
