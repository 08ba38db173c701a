#include "cli/bootstrap.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace verdict::cli {

using base::Errc;
using base::fail;
using base::Result;
using runtime::Endpoint;

namespace {

Result<uint16_t> parse_port(std::string_view text, std::string_view whole) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return fail(Errc::invalid, "'" + std::string(whole) +
                                   "': the port is a number from 1 to 65535, as in "
                                   "127.0.0.1:9092");
  }
  return port;
}

Result<Endpoint> parse_address(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  const bool bracketed = text.starts_with('[') && text.find(']') != text.npos;
  if (bracketed) {
    const size_t closing = text.find(']');
    host = text.substr(1, closing - 1);
    port = text.substr(closing + 1);
    if (!port.empty() && !port.starts_with(':')) port = ":?";
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':'));
  }
  if (host.empty() || host.find_first_of(" \t/[]") != host.npos) {
    return fail(Errc::invalid,
                "'" + std::string(text) + "' is no address; write host:port, as in 127.0.0.1:9092");
  }
  if (port.empty()) return Endpoint{std::string(host), kPortDefault};
  const uint16_t number = TRY(parse_port(port.substr(1), text));
  return Endpoint{std::string(host), number};
}

}  // namespace

Result<std::vector<Endpoint>> parse_bootstrap(std::string_view text) {
  std::vector<Endpoint> endpoints;
  for (size_t from = 0; from <= text.size();) {
    const size_t end = std::min(text.find(',', from), text.size());
    const Endpoint endpoint = TRY(parse_address(text.substr(from, end - from)));
    endpoints.push_back(endpoint);
    if (endpoints.size() > kBootstrapMax) {
      return fail(Errc::invalid, "more than " + std::to_string(kBootstrapMax) + " addresses");
    }
    from = end + 1;
  }
  return endpoints;
}

}  // namespace verdict::cli
