#pragma once
// What the broker tells of itself: log events, counters, and probes: named points that a watcher
// counts and where it may make something happen.

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "broker/base/hash.h"

namespace verdict::runtime {

enum class Severity : uint8_t { debug, info, warning, error };

// One name and value of a log event.
struct Field {
  std::string_view name;
  std::string value;
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const std::string& v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  template <class T>
    requires std::is_integral_v<T>
  Field(std::string_view n, T v) : name(n), value(std::to_string(v)) {}
};

// A rare place in the code that announces itself. Every room lists its own in a constexpr array.
struct Probe {
  std::string_view name;  // "log.roll": room, dot, place
  uint64_t hash;
  explicit constexpr Probe(std::string_view n) : name(n), hash(base::hash_text(n)) {}
};

class Observer {
 public:
  virtual ~Observer() = default;
  // Never blocks. `event` is a constant text of a few words.
  virtual void log(Severity severity, std::string_view event, std::span<const Field> fields) = 0;
  // Whether log() of this severity goes anywhere: to save building the fields.
  virtual bool wants(Severity severity) const = 0;
  // The fiber stands at `probe`. May end the fiber by a kill of its node.
  virtual void reached(const Probe& probe) = 0;
  // Like reached(), and true when the watcher wants the rare path taken.
  virtual bool provoke(const Probe& probe) = 0;

  void info(std::string_view event, std::initializer_list<Field> fields) {
    if (wants(Severity::info)) log(Severity::info, event, {fields.begin(), fields.size()});
  }
  void warning(std::string_view event, std::initializer_list<Field> fields) {
    if (wants(Severity::warning)) log(Severity::warning, event, {fields.begin(), fields.size()});
  }
  void error(std::string_view event, std::initializer_list<Field> fields) {
    log(Severity::error, event, {fields.begin(), fields.size()});
  }
};

}  // namespace verdict::runtime
