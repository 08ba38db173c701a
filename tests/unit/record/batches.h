#pragma once
// Batches made by hand for tests: sound ones, and ones that are wrong in exactly one way.

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/record/batch.h"

namespace verdict::record {

inline constexpr size_t kPlenty = 1U << 20;
inline constexpr int64_t kNowMs = 1'795'219'103'829;
inline constexpr std::array kAllCodecs = {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4,
                                          Codec::zstd};

// Names the codec in a test's output.
inline void PrintTo(Codec codec, std::ostream* out) { *out << to_string(codec); }

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline base::Slice slice_of(const std::vector<std::byte>& bytes) {
  return base::Slice::copy_of(std::span<const std::byte>(bytes));
}

inline std::vector<std::byte> vector_of(const base::Slices& slices) {
  std::vector<std::byte> bytes(slices.size());
  slices.copy_to(0, bytes);
  return bytes;
}

// The same bytes in pieces of `size`, each in a buffer of its own.
inline base::Slices in_pieces(const base::Slices& whole, size_t size) {
  base::Slices pieces;
  for (size_t at = 0; at < whole.size(); at += size) {
    size_t count = std::min(size, whole.size() - at);
    pieces.push_back(base::Slice::copy_of(whole.cut(at, count).flatten().bytes()));
  }
  return pieces;
}

// Text that compresses to about a third.
inline std::string text_of(size_t size, uint32_t seed = 1) {
  std::string text;
  while (text.size() < size) {
    seed = seed * 1664525 + 1013904223;
    text += "word" + std::to_string(seed >> 24) + ' ';
  }
  text.resize(size);
  return text;
}

// `count` records "key i" -> "value i", a millisecond apart from kNowMs on.
inline base::Slice sound_batch(int count, BatchBuilder::Options options = {}) {
  BatchBuilder builder(options);
  for (int i = 0; i < count; ++i) {
    std::string key = "key " + std::to_string(i);
    std::string value = "value " + std::to_string(i);
    builder.add(kNowMs + i, bytes_of(key), bytes_of(value));
  }
  return builder.build();
}

inline BatchHeader header_of(const base::Slices& batch) {
  return read_header(batch.flatten().bytes());
}

// A batch of this header over this body, with the length and the CRC that fit.
inline base::Slice sealed(BatchHeader header, const base::Slices& body) {
  header.batch_length = static_cast<int32_t>(kHeaderBytes - kLengthFieldEnd + body.size());
  header.crc = batch_crc(header, body);
  std::vector<std::byte> bytes(kHeaderBytes + body.size());
  write_header(header, std::span(bytes).first<kHeaderBytes>());
  body.copy_to(0, std::span(bytes).subspan(kHeaderBytes));
  return slice_of(bytes);
}

inline base::Slices body_of(const base::Slices& batch) {
  return batch.cut(kHeaderBytes, batch.size() - kHeaderBytes);
}

// The batch with its header changed by `change`, and a CRC that fits again.
template <class Change>
base::Slice changed(const base::Slices& batch, Change change) {
  BatchHeader header = header_of(batch);
  change(header);
  return sealed(header, body_of(batch));
}

inline std::string text(const std::optional<base::Slice>& slice) {
  return slice ? std::string(slice->text()) : "(null)";
}

}  // namespace verdict::record
