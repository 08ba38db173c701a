#include "sim/choices.h"

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

std::string Choices::hex(uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = text.size(); i-- > 0; value >>= 4) text[i] = kDigits[value & 15];
  return text;
}

std::string Choices::describe(const ChoiceKey& key) const {
  auto stream = stream_names_.find(key.stream);
  auto entity = entity_names_.find(key.entity);
  constexpr uint64_t kOrdinalMax = 1'000'000;  // larger entities are hashes
  std::string where = entity != entity_names_.end() ? entity->second
                      : key.entity <= kOrdinalMax   ? std::to_string(key.entity)
                                                    : hex(key.entity);
  return (stream == stream_names_.end() ? hex(key.stream) : std::string(stream->second)) + " of " +
         where + ", number " + std::to_string(key.k);
}

uint64_t Choices::draw_special(const ChoicePoint& point, uint64_t k, uint64_t bound, uint64_t value,
                               uint64_t missing) {
  CHECK(bound > 0 || missing == value);
  ChoiceKey key{point.stream_, point.entity_, k};
  if (const uint64_t* given = overrides_.find(key)) {
    value = *given;
    if (bound > 0 && value >= bound) {
      if (replaying_ && !divergence_) divergence_ = key;
      value = bound - 1;
    }
  } else if (replaying_) {
    if (!divergence_) divergence_ = key;
    value = missing;
  }
  CHECK(bound == 0 || value < bound);
  if (recording_) recorded_.push_back({key, value});
  return value;
}

}  // namespace verdict::sim
