#include "broker/server/config.h"

#include <algorithm>
#include <charconv>

#include "broker/base/check.h"

namespace verdict::server {

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t at = text.find(separator);
    std::string_view part = text.substr(0, at);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

std::string spelled(std::string_view choices) {
  std::string text;
  for (std::string_view choice : split(choices, '|')) {
    if (!text.empty()) text += ", ";
    text += choice;
  }
  return text;
}

struct Range {
  int64_t min;
  int64_t max;
};

Range range_of(const Setting& setting) {
  Range limits{setting.min, setting.max};
  if (setting.type == ValueType::int32) limits.min = std::max<int64_t>(limits.min, INT32_MIN);
  if (setting.type == ValueType::int32) limits.max = std::min<int64_t>(limits.max, INT32_MAX);
  if (setting.type == ValueType::int16) limits.max = std::min<int64_t>(limits.max, INT16_MAX);
  return limits;
}

base::Result<int64_t> whole_number(const Property& property, Range limits) {
  int64_t value = 0;
  const char* end = property.value.data() + property.value.size();
  const auto [stop, error] = std::from_chars(property.value.data(), end, value);
  if (error == std::errc{} && stop == end && value >= limits.min && value <= limits.max) {
    return value;
  }
  return fail_at(property.place, property.place.value_column,
                 property.key + ": '" + property.value + "' is not a whole number from " +
                     std::to_string(limits.min) + " to " + std::to_string(limits.max));
}

// A ratio is only looked at, never computed with: digits, at most one point.
base::Result<> check_ratio(const Property& property) {
  const std::string& text = property.value;
  const bool shape = !text.empty() && text.size() < 20 && std::ranges::count(text, '.') <= 1 &&
                     text.find_first_not_of("0123456789.") == std::string::npos;
  const bool at_most_one =
      shape && (text[0] == '0' || text[0] == '.' ||
                (text[0] == '1' && text.find_first_not_of("10.") == std::string::npos));
  if (at_most_one) return {};
  return fail_at(property.place, property.place.value_column,
                 property.key + ": '" + text + "' is not a ratio; write a number from 0 to 1");
}

base::Result<> check_choices(const Setting& setting, const Property& property) {
  if (setting.choices.empty()) return {};
  std::vector<std::string_view> values{property.value};
  if (setting.type == ValueType::list) values = split(property.value, ',');
  const std::vector<std::string_view> allowed = split(setting.choices, '|');
  for (std::string_view value : values) {
    if (std::ranges::find(allowed, value) != allowed.end()) continue;
    return fail_at(
        property.place, property.place.value_column,
        property.key + ": '" + std::string(value) + "' is not one of " + spelled(setting.choices));
  }
  return {};
}

base::Result<> check_value(const Setting& setting, const Property& property) {
  switch (setting.type) {
    case ValueType::boolean:
      if (property.value == "true" || property.value == "false") return {};
      return fail_at(property.place, property.place.value_column,
                     property.key + ": '" + property.value + "' is neither true nor false");
    case ValueType::int16:
    case ValueType::int32:
    case ValueType::int64:
      if (auto number = whole_number(property, range_of(setting)); !number) {
        return std::unexpected(number.error());
      }
      return {};
    case ValueType::floating:
      return check_ratio(property);
    case ValueType::text:
    case ValueType::list:
      return check_choices(setting, property);
  }
  return {};
}

// What was given, with its place, and the defaults behind it.
class Given {
 public:
  void set(Property property) {
    std::string key = property.key;
    properties_.insert_or_assign(std::move(key), std::move(property));
  }
  const Property* find(std::string_view name) const {
    CHECK(find_setting(name) != nullptr);
    const auto at = properties_.find(name);
    return at == properties_.end() ? nullptr : &at->second;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  std::string text(std::string_view name) const {
    const Property* property = find(name);
    return property != nullptr ? property->value : std::string(find_setting(name)->standard);
  }
  // Values were checked, so that the number is there.
  int64_t number(std::string_view name) const {
    const std::string value = text(name);
    int64_t number = 0;
    const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    CHECK(error == std::errc{});
    CHECK(stop == value.data() + value.size());
    return number;
  }
  bool flag(std::string_view name) const { return text(name) == "true"; }
  // An error at the value of `name`.
  std::unexpected<base::Error> fail(std::string_view name, const std::string& detail) const {
    const Property* property = find(name);
    if (property == nullptr) {
      return base::fail(base::Errc::invalid, std::string(name) + ": " + detail);
    }
    return fail_at(property->place, property->place.value_column,
                   std::string(name) + ": " + detail);
  }
  const base::OrderedMap<std::string, Property>& all() const { return properties_; }

 private:
  base::OrderedMap<std::string, Property> properties_;
};

struct NamedEndpoint {
  std::string name;
  runtime::Endpoint endpoint;
};

// "NAME://host:port", host possibly empty or in brackets.
base::Result<NamedEndpoint> parse_listener(const Given& given, std::string_view setting,
                                           std::string_view text) {
  const auto bad = [&] {
    return given.fail(setting, "'" + std::string(text) +
                                   "' is not of the form NAME://host:port, as in "
                                   "PLAINTEXT://localhost:9092");
  };
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || scheme == 0) return bad();
  NamedEndpoint listener;
  listener.name = text.substr(0, scheme);
  std::string_view rest = text.substr(scheme + 3);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return bad();
  std::string_view host = rest.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const std::string_view port = rest.substr(colon + 1);
  const auto [stop, error] =
      std::from_chars(port.data(), port.data() + port.size(), listener.endpoint.port);
  if (error != std::errc{} || stop != port.data() + port.size()) return bad();
  listener.endpoint.host = host;
  return listener;
}

base::Result<std::vector<NamedEndpoint>> parse_listeners(const Given& given,
                                                         std::string_view setting) {
  std::vector<NamedEndpoint> listeners;
  const std::string text = given.text(setting);
  for (std::string_view part : split(text, ',')) {
    NamedEndpoint listener = TRY(parse_listener(given, setting, part));
    for (const NamedEndpoint& other : listeners) {
      if (other.name == listener.name) {
        return given.fail(setting, "listener " + listener.name + " is there twice");
      }
    }
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

// The protocol of a listener, which must be one that is spoken here.
base::Result<> check_protocol(const Given& given, const std::string& listener) {
  std::string protocol;
  const std::string map = given.text("listener.security.protocol.map");
  for (std::string_view part : split(map, ',')) {
    const size_t colon = part.find(':');
    if (colon == std::string_view::npos) {
      return given.fail("listener.security.protocol.map",
                        "'" + std::string(part) + "' is not of the form NAME:PROTOCOL");
    }
    if (part.substr(0, colon) == listener) protocol = part.substr(colon + 1);
  }
  if (protocol == "PLAINTEXT") return {};
  if (protocol.empty()) {
    return given.fail("listeners", "listener " + listener +
                                       " has no protocol; add it to "
                                       "listener.security.protocol.map, as in " +
                                       listener + ":PLAINTEXT");
  }
  return given.fail("listeners", "listener " + listener + " asks for " + protocol +
                                     ", which is not built yet; use PLAINTEXT");
}

base::Result<> fill_listeners(const Given& given, Config& config) {
  const std::string controller_names = given.text("controller.listener.names");
  const std::vector<std::string_view> controllers = split(controller_names, ',');
  const auto bound = TRY(parse_listeners(given, "listeners"));
  const auto advertised = TRY(parse_listeners(given, "advertised.listeners"));
  for (const NamedEndpoint& listener : bound) {
    // The controller is this same process: nobody has to reach it.
    if (std::ranges::find(controllers, listener.name) != controllers.end()) continue;
    TRY(check_protocol(given, listener.name));
    ListenerConfig made{listener.name, listener.endpoint, listener.endpoint};
    if (made.bind.host.empty()) made.bind.host = "0.0.0.0";
    if (made.advertised.host == "0.0.0.0") made.advertised.host.clear();
    config.listeners.push_back(std::move(made));
  }
  for (const NamedEndpoint& outer : advertised) {
    if (outer.endpoint.host == "0.0.0.0") {
      return given.fail("advertised.listeners",
                        "0.0.0.0 is no address to connect to; name the host as clients see it");
    }
    const auto at = std::ranges::find(config.listeners, outer.name, &ListenerConfig::name);
    if (at == config.listeners.end()) {
      return given.fail("advertised.listeners",
                        "there is no listener " + outer.name + "; add it to listeners");
    }
    at->advertised = outer.endpoint;
  }
  if (config.listeners.empty()) {
    return given.fail("listeners", "no listener for clients is left; add PLAINTEXT://:9092");
  }
  return {};
}

base::Result<> fill_identity(const Given& given, Config& config) {
  if (given.has("node.id")) config.node_id = {static_cast<int32_t>(given.number("node.id"))};
  if (!given.has("node.id") && given.number("broker.id") >= 0) {
    config.node_id = {static_cast<int32_t>(given.number("broker.id"))};
  }
  if (given.has("broker.rack")) config.rack = given.text("broker.rack");
  const std::string roles_text = given.text("process.roles");
  const std::vector<std::string_view> roles = split(roles_text, ',');
  if (!roles.empty() && std::ranges::find(roles, "broker") == roles.end()) {
    return given.fail("process.roles",
                      "a node that is only a controller is not built yet; write "
                      "broker,controller");
  }
  const std::string_view name = given.has("log.dirs") ? "log.dirs" : "log.dir";
  const std::string directories_text = given.text(name);
  const std::vector<std::string_view> directories = split(directories_text, ',');
  if (directories.size() != 1) {
    return given.fail(name, std::to_string(directories.size()) +
                                " directories; exactly one is supported so far, name one");
  }
  config.log_directory = directories[0];
  if (given.has("metadata.log.dir") && given.text("metadata.log.dir") != config.log_directory) {
    return given.fail("metadata.log.dir",
                      "the metadata log lives in " + std::string(name) + "; remove this setting");
  }
  return {};
}

void fill_numbers(const Given& given, Config& config) {
  const auto int32 = [&](std::string_view name) {
    return static_cast<int32_t>(given.number(name));
  };
  config.request_bytes_max = int32("socket.request.max.bytes");
  config.connections_max = int32("max.connections");
  config.connections_idle_max_ms = given.number("connections.max.idle.ms");
  config.queued_requests_max = int32("queued.max.requests");
  config.fetch_bytes_max = int32("fetch.max.bytes");
  config.partitions_standard = int32("num.partitions");
  config.replication_factor_standard =
      static_cast<int16_t>(given.number("default.replication.factor"));
  config.auto_create_topics = given.flag("auto.create.topics.enable");
  config.file_delete_delay_ms = given.number("log.segment.delete.delay.ms");
  config.recovery_checkpoint_interval_ms = given.number("log.flush.offset.checkpoint.interval.ms");
  config.high_watermark_checkpoint_interval_ms =
      given.number("replica.high.watermark.checkpoint.interval.ms");
  config.start_offset_checkpoint_interval_ms =
      given.number("log.flush.start.offset.checkpoint.interval.ms");
  config.producer_expiry_ms = given.number("producer.id.expiration.ms");
  config.producer_expiry_check_interval_ms =
      given.number("producer.id.expiration.check.interval.ms");
}

std::string at_place(const Property& property) {
  if (property.place.line == 0) return property.place.file;
  return property.place.file + ":" + std::to_string(property.place.line) + ":" +
         std::to_string(property.place.key_column);
}

void note(const Property& property, const Setting* setting, std::vector<std::string>& warnings) {
  if (setting == nullptr) {
    std::string text = at_place(property) + ": unknown setting " + property.key;
    const std::string_view near = nearest_setting(property.key);
    if (!near.empty()) text += "; did you mean " + std::string(near) + "?";
    warnings.push_back(std::move(text));
  } else if (setting->without_effect) {
    warnings.push_back(at_place(property) + ": " + property.key +
                       " is accepted and has no effect yet");
  }
}

}  // namespace

base::Result<ParsedConfig> parse_config(const std::string& file, std::string_view text,
                                        const std::vector<std::string>& overrides) {
  std::vector<Property> properties = TRY(parse_properties(file, text));
  for (const std::string& override_text : overrides) {
    Property property = TRY(parse_override(override_text));
    properties.push_back(std::move(property));
  }
  ParsedConfig parsed;
  Given given;
  for (Property& property : properties) {
    const Setting* setting = find_setting(property.key);
    note(property, setting, parsed.warnings);
    if (setting == nullptr) continue;
    if (property.value.empty() && setting->standard.empty()) continue;  // as if absent
    TRY(check_value(*setting, property));
    given.set(std::move(property));
  }
  TRY(fill_identity(given, parsed.config));
  TRY(fill_listeners(given, parsed.config));
  fill_numbers(given, parsed.config);
  for (const auto& [key, property] : given.all()) parsed.config.given[key] = property.value;
  return parsed;
}

}  // namespace verdict::server
