#pragma once
// verdict consume: prints the records of a topic, by assignment.

namespace CLI {
class App;
}

namespace verdict::cli {

// Adds the verb to `app`. `exit_status` gets what it ended with; an interrupt is a good end.
void add_consume_command(CLI::App& app, int& exit_status);

}  // namespace verdict::cli
