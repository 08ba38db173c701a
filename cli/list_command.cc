#include <cstdio>
#include <nlohmann/json.hpp>

#include "broker/runtime/exhibit.h"
#include "cli/run_command.h"
#include "fault/plan.h"
#include "scenarios/broker_program.h"
#include "scenarios/checks.h"
#include "scenarios/proto/verdict.pb.h"
#include "scenarios/scenario.h"

namespace verdict::cli {
namespace {

struct Entry {
  std::string name;
  std::string text;
};

std::vector<Entry> entries(const std::string& what) {
  std::vector<Entry> list;
  if (what == "scenarios") {
    for (const scenarios::CatalogueEntry& entry : scenarios::catalogue()) {
      auto scenario = scenarios::parse_scenario(entry.text, entry.file);
      if (scenario) list.push_back({scenario->name(), scenario->about()});
    }
  } else if (what == "faults") {
    for (const fault::KindInfo& kind : fault::kinds()) {
      list.push_back({std::string(kind.name),
                      std::string(kind.text) + "; counts when " + std::string(kind.effect)});
    }
  } else if (what == "checks") {
    for (const scenarios::Check& check : scenarios::checks()) {
      list.push_back({std::string(check.name), std::string(check.text)});
    }
  } else if (what == "probes") {
    for (const runtime::Probe* probe : scenarios::declared_probes()) {
      list.push_back({std::string(probe->name), ""});
    }
  } else {
#if VERDICT_EXHIBITS
    for (const runtime::ExhibitInfo& exhibit : runtime::kExhibits) {
      list.push_back({std::string(exhibit.name), std::string(exhibit.text)});
    }
#endif
  }
  return list;
}

int list_them(const std::string& what, const std::string& format) {
  if (format == "json") {
    nlohmann::json out = nlohmann::json::array();
    for (const Entry& entry : entries(what)) {
      out.push_back({{"name", entry.name}, {"text", entry.text}});
    }
    std::printf("%s\n", out.dump(2).c_str());
    return 0;
  }
  for (const Entry& entry : entries(what)) {
    std::printf("%-36s %s\n", entry.name.c_str(), entry.text.c_str());
  }
#if !VERDICT_EXHIBITS
  if (what == "exhibits") {
    std::fprintf(stderr,
                 "exhibits are not compiled into this binary; build it with "
                 "`./dev build exhibits` and ask build/exhibits/verdict\n");
  }
#endif
  return 0;
}

}  // namespace

void add_list_command(CLI::App& app, int* exit_code) {
  auto what = std::make_shared<std::string>();
  auto format = std::make_shared<std::string>("text");
  CLI::App* command = app.add_subcommand("list", "What there is");
  command->add_option("what", *what)
      ->required()
      ->check(CLI::IsMember({"scenarios", "faults", "checks", "probes", "exhibits"}));
  command->add_option("--format", *format)->check(CLI::IsMember({"text", "json"}));
  command->callback([=] { *exit_code = list_them(*what, *format); });
}

}  // namespace verdict::cli
