#pragma once
// Kafka's requests: their keys, names and versions, and which of them this broker offers.

#include <cstdint>
#include <span>
#include <string_view>

namespace verdict::wire {

struct VersionRange {
  int16_t min = 0;
  int16_t max = -1;
  constexpr bool empty() const { return max < min; }
  constexpr bool contains(int16_t version) const { return min <= version && version <= max; }
  constexpr bool operator==(const VersionRange&) const = default;
};

struct Api {
  int16_t key;
  std::string_view name;
  // Versions that Kafka 4.3 speaks.
  VersionRange valid;
  // Versions that ApiVersions offers; empty while there is no handler. Produce begins at 0 although
  // versions below 3 are refused: clients based on librdkafka before 2.12 send compressed batches
  // uncompressed otherwise.
  VersionRange advertised;
  // The first version with compact lengths and tagged fields; versions below never have them.
  int16_t flexible_from;

  constexpr bool flexible(int16_t version) const { return version >= flexible_from; }
  // Whether a request of this version is answered.
  constexpr bool served(int16_t version) const {
    return advertised.contains(version) && valid.contains(version);
  }
};

inline constexpr int16_t kApiVersionsKey = 18;

// All of them, ascending by key.
std::span<const Api> api_table();
// Nothing for a key that Kafka does not have.
const Api* find_api(int16_t key);

}  // namespace verdict::wire
