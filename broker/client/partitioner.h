#pragma once
// Partitioner: the partition that Kafka's own producer would choose, so that a key lands in the
// same place whichever client sends it.
//
// With a key: murmur2 of its bytes, the sign cut off, modulo the number of partitions. Without one:
// the same partition until about a batch has gone there, then another one at random (KIP-794).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "broker/runtime/random.h"

namespace verdict::client {

// Kafka's 32-bit murmur2, by which it spreads keys.
uint32_t murmur2(std::span<const std::byte> bytes);

// The place of a key among `partitions` (> 0) of them.
int32_t partition_of_key(std::span<const std::byte> key, int32_t partitions);

class Partitioner {
 public:
  // `partitions` > 0; `sticky_bytes`: the batch size of the producer.
  Partitioner(runtime::Random& random, int32_t partitions, size_t sticky_bytes);

  // Where a record of about `bytes` bytes goes.
  int32_t choose(const std::optional<std::span<const std::byte>>& key, size_t bytes);

 private:
  int32_t any();

  runtime::Random& random_;
  const int32_t partitions_;
  const size_t sticky_bytes_;
  int32_t sticky_;
  size_t sent_bytes_ = 0;  // to sticky_ since it was chosen
};

}  // namespace verdict::client
