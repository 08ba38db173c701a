#pragma once
// CRC-32C (Castagnoli), the checksum of Kafka's record batches. Uses the processor's instruction
// where there is one; the portable form gives the same values.

#include <cstddef>
#include <cstdint>
#include <span>

namespace verdict::base {

// Extends `crc` (0 at the start) by `bytes`.
uint32_t crc32c(uint32_t crc, std::span<const std::byte> bytes);

// The table-driven form, for machines without the instruction and to test the other against.
uint32_t crc32c_portable(uint32_t crc, std::span<const std::byte> bytes);

// Whether crc32c() uses the processor's instruction here.
bool crc32c_is_accelerated();

}  // namespace verdict::base
