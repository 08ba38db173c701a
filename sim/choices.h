#pragma once
// Choices: every decision of the world is a function of (seed, stream, entity, k), never of the
// order in which decisions are taken. So one more fiber or message elsewhere changes no other
// choice, and a plan or a recording can override any choice by its key.
//
// Invariants:
//   - the value of a choice is below its bound, and 0 always means that nothing bad happens;
//   - an override wins over the seed; a recording holds the values that were really used.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/hash.h"
#include "broker/base/hash_map.h"

namespace verdict::sim {

// A family of choices: "net.latency", "disk.sync", "sched", "probe/log.roll".
struct ChoiceStream {
  std::string_view name;
  uint64_t hash;
  explicit constexpr ChoiceStream(std::string_view n) : name(n), hash(base::hash_text(n)) {}
};

struct ChoiceKey {
  uint64_t stream = 0;  // hash of the stream's name
  uint64_t entity = 0;  // hash of a stable path
  uint64_t k = 0;       // counts within the two
  auto operator<=>(const ChoiceKey&) const = default;
  uint64_t hash() const { return base::combine(base::combine(stream, entity), k); }
};

struct Choice {
  ChoiceKey key;
  uint64_t value = 0;
};

class Choices;

// The place of one entity in one stream: counts its draws. Cheap to keep and to draw from.
class ChoicePoint {
 public:
  ChoicePoint() = default;
  ChoicePoint(Choices& choices, const ChoiceStream& stream, uint64_t entity);

 private:
  friend class Choices;
  uint64_t base_ = 0;
  uint64_t stream_ = 0;
  uint64_t entity_ = 0;
  uint64_t k_ = 0;
};

class Choices {
 public:
  explicit Choices(uint64_t seed) : seed_(base::mix64(seed)) {}

  // The next value of `point`, below `bound` (> 0).
  uint64_t draw(ChoicePoint& point, uint64_t bound) {
    uint64_t k = point.k_++;
    auto raw = base::mix64(point.base_ + k * 0xd1342543de82ef95ULL);
    // The high half of a product: no division, and a bias below 2^-32 for the bounds in use.
    uint64_t value = bound <= UINT32_MAX ? ((raw >> 32) * bound) >> 32 : raw % bound;
    if (special_) [[unlikely]]
      return draw_special(point, k, bound, value, 0);
    return value;
  }
  // Any 64 bits. A replay that lacks it takes the seed's: ids and secrets that are all zero would
  // be no calm choice but a world of its own.
  uint64_t draw_entropy(ChoicePoint& point) {
    uint64_t k = point.k_++;
    auto value = base::mix64(point.base_ + k * 0xd1342543de82ef95ULL);
    if (special_) [[unlikely]]
      return draw_special(point, k, 0, value, value);
    return value;
  }
  // True in `permille` of a thousand draws; a value of 0 is false.
  bool happens(ChoicePoint& point, uint64_t permille) {
    CHECK(permille <= 1000);
    return draw(point, 1000) >= 1000 - permille && permille > 0;
  }

  // From now on the choice at `key` is `value`, cut to its bound.
  void override_choice(const ChoiceKey& key, uint64_t value);
  // Replays a recording: choices not in it are 0 (entropy: the seed's) and the first of them is
  // kept as a divergence.
  void replay(const std::vector<Choice>& recording);
  // Keeps every value that is drawn from now on.
  void record();
  const std::vector<Choice>& recorded() const { return recorded_; }
  // The first choice that a replayed recording did not hold, or held with a value over its bound.
  const std::optional<ChoiceKey>& divergence() const { return divergence_; }

  uint64_t seed() const { return seed_; }

  // ---- names for people; kept while recording, replaying or when asked for
  void keep_names() { special_ = keeps_names_ = true; }
  bool keeps_names() const { return keeps_names_; }
  void name_entity(uint64_t entity, std::string_view text) {
    if (keeps_names_) entity_names_[entity] = text;
  }
  const base::OrderedMap<uint64_t, std::string>& entity_names() const { return entity_names_; }
  // "net.latency of producer-1>broker-1:9092#3 out, number 17"; numbers where no name is known.
  std::string describe(const ChoiceKey& key) const;

 private:
  friend class ChoicePoint;
  // `bound` 0: any value; `missing`: what a replay takes that does not hold the choice.
  uint64_t draw_special(const ChoicePoint& point, uint64_t k, uint64_t bound, uint64_t value,
                        uint64_t missing);
  static std::string hex(uint64_t value);

  uint64_t seed_;
  bool special_ = false;  // any of what follows
  bool keeps_names_ = false;
  bool recording_ = false;
  bool replaying_ = false;
  base::HashMap<ChoiceKey, uint64_t> overrides_;
  std::vector<Choice> recorded_;
  std::optional<ChoiceKey> divergence_;
  base::OrderedMap<uint64_t, std::string_view> stream_names_;
  base::OrderedMap<uint64_t, std::string> entity_names_;
};

}  // namespace verdict::sim
