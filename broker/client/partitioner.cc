#include "broker/client/partitioner.h"

#include "broker/base/check.h"

namespace verdict::client {

namespace {

constexpr uint32_t kSeed = 0x9747b28c;
constexpr uint32_t kFactor = 0x5bd1e995;
constexpr size_t kWordBytes = 4;

uint32_t byte_at(std::span<const std::byte> bytes, size_t at) {
  return std::to_integer<uint32_t>(bytes[at]);
}

}  // namespace

uint32_t murmur2(std::span<const std::byte> bytes) {
  uint32_t hash = kSeed ^ static_cast<uint32_t>(bytes.size());
  size_t at = 0;
  for (; at + kWordBytes <= bytes.size(); at += kWordBytes) {
    uint32_t word = byte_at(bytes, at) | byte_at(bytes, at + 1) << 8 |
                    byte_at(bytes, at + 2) << 16 | byte_at(bytes, at + 3) << 24;
    word *= kFactor;
    word ^= word >> 24;
    word *= kFactor;
    hash = hash * kFactor ^ word;
  }
  const size_t rest = bytes.size() - at;
  for (size_t i = rest; i > 0; --i) hash ^= byte_at(bytes, at + i - 1) << (8 * (i - 1));
  if (rest > 0) hash *= kFactor;
  hash ^= hash >> 13;
  hash *= kFactor;
  hash ^= hash >> 15;
  return hash;
}

int32_t partition_of_key(std::span<const std::byte> key, int32_t partitions) {
  CHECK(partitions > 0);
  return static_cast<int32_t>(murmur2(key) & INT32_MAX) % partitions;
}

Partitioner::Partitioner(runtime::Random& random, int32_t partitions, size_t sticky_bytes)
    : random_(random), partitions_(partitions), sticky_bytes_(sticky_bytes), sticky_(0) {
  CHECK(partitions > 0);
  CHECK(sticky_bytes > 0);
  sticky_ = any();
}

int32_t Partitioner::any() {
  return static_cast<int32_t>(
      random_.below("client.partitioner", static_cast<uint64_t>(partitions_)));
}

int32_t Partitioner::choose(const std::optional<std::span<const std::byte>>& key, size_t bytes) {
  if (key) return partition_of_key(*key, partitions_);
  if (sent_bytes_ >= sticky_bytes_) {
    // Another one, not the same again.
    const auto step = partitions_ == 1 ? 0
                                       : 1 + random_.below("client.partitioner",
                                                           static_cast<uint64_t>(partitions_ - 1));
    sticky_ = static_cast<int32_t>((static_cast<uint64_t>(sticky_) + step) %
                                   static_cast<uint64_t>(partitions_));
    sent_bytes_ = 0;
  }
  sent_bytes_ += bytes;
  CHECK(sticky_ >= 0 && sticky_ < partitions_);
  return sticky_;
}

}  // namespace verdict::client
