#pragma once
// `verdict run`, `verdict replay`, `verdict list`: the verbs that try.

#include <CLI/CLI.hpp>

namespace verdict::cli {

// Each adds its subcommand; the exit code of what ran goes to `*exit_code`.
void add_run_command(CLI::App& app, int* exit_code);
void add_replay_command(CLI::App& app, int* exit_code);
void add_list_command(CLI::App& app, int* exit_code);

}  // namespace verdict::cli
