#include "sim/choices.h"

namespace verdict::sim {

ChoicePoint::ChoicePoint(const Choices& choices, const ChoiceStream& stream, uint64_t entity)
    : base_(base::combine(base::combine(choices.seed_, stream.hash), entity)),
      stream_(stream.hash),
      entity_(entity) {}

void Choices::override_choice(const ChoiceKey& key, uint64_t value) {
  overrides_.set(key, value);
  special_ = true;
}

void Choices::replay(const std::vector<Choice>& recording) {
  for (const Choice& choice : recording) overrides_.set(choice.key, choice.value);
  replaying_ = true;
  special_ = true;
}

void Choices::record() {
  recording_ = true;
  special_ = true;
}

uint64_t Choices::draw_special(const ChoicePoint& point, uint64_t k, uint64_t bound,
                               uint64_t value) {
  CHECK(bound > 0);
  ChoiceKey key{point.stream_, point.entity_, k};
  if (const uint64_t* given = overrides_.find(key)) {
    value = *given;
    if (value >= bound) {
      if (replaying_ && !divergence_) divergence_ = key;
      value = bound - 1;
    }
  } else if (replaying_) {
    if (!divergence_) divergence_ = key;
    value = 0;
  }
  CHECK(value < bound);
  if (recording_) recorded_.push_back({key, value});
  return value;
}

}  // namespace verdict::sim
