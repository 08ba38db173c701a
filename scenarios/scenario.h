#pragma once
// Scenarios as text: parsing with places and remedies, and the catalogue that the binary carries.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "broker/base/result.h"

namespace verdict::proto {
class Scenario;
}

namespace verdict::scenarios {

// Parses protobuf text and judges it. invalid: "FILE:LINE:COLUMN: what is wrong; what to write".
base::Result<proto::Scenario> parse_scenario(std::string_view text, std::string_view file);

struct CatalogueEntry {
  std::string_view file;  // "process_crash.txtpb"
  std::string_view text;
};
// The scenarios that were built in, sorted by file name.
std::span<const CatalogueEntry> catalogue();

// The built-in scenario of this name; not_found lists the names.
base::Result<proto::Scenario> find_scenario(std::string_view name);
// The scenario that a seed of `all` runs, by weight.
proto::Scenario scenario_of_seed(uint64_t seed);

}  // namespace verdict::scenarios
