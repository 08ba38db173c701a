#pragma once
// Knobs: limits and times declared once, with a default and the range that trials draw from.

#include <cstdint>
#include <string_view>

#include "broker/base/hash.h"
#include "broker/base/hash_map.h"

namespace verdict::runtime {

struct Knob {
  std::string_view name;  // "log.segment.bytes"
  int64_t standard;
  int64_t trial_min;
  int64_t trial_max;
  uint64_t hash;
  constexpr Knob(std::string_view n, int64_t standard_value, int64_t min, int64_t max)
      : name(n),
        standard(standard_value),
        trial_min(min),
        trial_max(max),
        hash(base::hash_text(n)) {}
};

// The values of one node; the default for every knob that was not set.
class KnobValues {
 public:
  int64_t get(const Knob& knob) const {
    const int64_t* value = values_.find(knob.hash);
    return value == nullptr ? knob.standard : *value;
  }
  void set(const Knob& knob, int64_t value) { values_.set(knob.hash, value); }
  bool is_set(const Knob& knob) const { return values_.find(knob.hash) != nullptr; }

 private:
  base::HashMap<uint64_t, int64_t> values_;
};

}  // namespace verdict::runtime
