#pragma once
// verdict produce: lines of a file or of standard input become records of a topic.

namespace CLI {
class App;
}

namespace verdict::cli {

// Adds the verb to `app`. `exit_status` gets what it ended with: 0 only when every line was
// acknowledged.
void add_produce_command(CLI::App& app, int& exit_status);

}  // namespace verdict::cli
