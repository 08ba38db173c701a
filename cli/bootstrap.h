#pragma once
// The addresses that a person names to reach a cluster.

#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/runtime/network.h"

namespace verdict::cli {

inline constexpr uint16_t kPortDefault = 9092;
inline constexpr size_t kBootstrapMax = 64;

// "host:port,host:port"; a port that is missing is kPortDefault, an IPv6 address with a port stands
// in brackets. invalid with a sentence for people.
base::Result<std::vector<runtime::Endpoint>> parse_bootstrap(std::string_view text);

}  // namespace verdict::cli
