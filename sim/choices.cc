#include "sim/choices.h"

#include <cinttypes>
#include <cstdio>

namespace verdict::sim {

ChoicePoint::ChoicePoint(Choices& choices, const ChoiceStream& stream, uint64_t entity)
    : base_(base::combine(base::combine(choices.seed_, stream.hash), entity)),
      stream_(stream.hash),
      entity_(entity) {
  if (choices.keeps_names_) [[unlikely]]
    choices.stream_names_[stream.hash] = stream.name;
}

void Choices::override_choice(const ChoiceKey& key, uint64_t value) {
  overrides_.set(key, value);
  special_ = true;
}

void Choices::replay(const std::vector<Choice>& recording) {
  for (const Choice& choice : recording) overrides_.set(choice.key, choice.value);
  replaying_ = true;
  keep_names();
}

void Choices::record() {
  recording_ = true;
  special_ = true;
}

std::string Choices::describe(const ChoiceKey& key) const {
  auto stream = stream_names_.find(key.stream);
  auto entity = entity_names_.find(key.entity);
  constexpr uint64_t kOrdinalMax = 1'000'000;  // larger entities are hashes
  char number[24];
  std::snprintf(number, sizeof number, key.entity <= kOrdinalMax ? "%" PRIu64 : "%016" PRIx64,
                key.entity);
  char unknown[24];
  std::snprintf(unknown, sizeof unknown, "%016" PRIx64, key.stream);
  return (stream == stream_names_.end() ? std::string(unknown) : std::string(stream->second)) +
         " of " + (entity == entity_names_.end() ? std::string(number) : entity->second) +
         ", number " + std::to_string(key.k);
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
