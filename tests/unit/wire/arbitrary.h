#pragma once
// Random values of messages, and a table of all messages with what the tests do to each.
//
// The functions that fill a message are generated from its schema, independently of the codec.

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/hash.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/base/uuid.h"
#include "broker/wire/codec.h"

namespace verdict::wire {

// Random values, the same for the same seed.
class Arbitrary {
 public:
  explicit Arbitrary(uint64_t seed) : state_(seed) {}

  uint64_t bits() { return state_ = base::mix64(state_); }
  uint64_t below(uint64_t limit) { return bits() % limit; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  size_t count() { return below(4); }

  template <std::integral T>
  void value(T& out) {
    const uint64_t drawn = bits();
    switch (below(4)) {
      case 0:
        out = static_cast<T>(below(4));
        break;
      case 1:
        out = static_cast<T>(~below(4));
        break;
      default:
        out = static_cast<T>(drawn);
        break;
    }
  }
  void value(bool& out) { out = one_in(2); }
  void value(double& out) { out = static_cast<double>(static_cast<int32_t>(bits())) / 8; }
  void value(base::Uuid& out) { out = {.high = bits(), .low = one_in(3) ? 0 : bits()}; }
  void value(std::string& out) {
    out.resize(length());
    for (char& c : out) c = static_cast<char>(bits());
  }
  void value(base::Slice& out) {
    std::string text;
    value(text);
    out = base::Slice::copy_of(text);
  }
  // Sometimes in several parts, sometimes long enough to be referred to.
  void value(base::Slices& out) {
    out = {};
    for (size_t left = count(); left > 0; --left) {
      base::Slice part;
      value(part);
      out.push_back(part);
    }
  }
  // Tagged fields whose numbers are not among the bits of `known`.
  void tags(UnknownTags& out, uint64_t known) {
    out.clear();
    if (!one_in(3)) return;
    uint32_t number = 0;
    for (size_t left = count(); left > 0; --left) {
      number += static_cast<uint32_t>(one_in(8) ? below(1U << 30) : 1 + below(4)) - 1;
      while (number < 64 && (known >> number & 1) != 0) ++number;
      base::Slice bytes;
      value(bytes);
      out.push_back({.number = number++, .bytes = bytes});
    }
  }

  // The same bytes in several slices.
  base::Slices shredded(const base::Slices& bytes) {
    base::Slices out;
    for (size_t at = 0; at < bytes.size();) {
      const size_t most = one_in(2) ? 3 : 100;
      const size_t part = std::min(bytes.size() - at, 1 + below(most));
      out.push_back(base::Slice::copy_of(bytes.cut(at, part).flatten().text()));
      at += part;
    }
    return out;
  }

 private:
  size_t length() {
    if (one_in(20)) return below(1000);
    return one_in(3) ? 0 : below(20);
  }

  uint64_t state_;
};

struct MessageUnderTest {
  std::string_view name;
  int16_t api_key;
  int16_t version_min;
  int16_t version_max;
  int16_t flexible_from;
  // A random value, encoded.
  base::Slices (*arbitrary)(Arbitrary& any, int16_t version);
  // Whether a random value is the same after encoding and decoding, in one slice and in many.
  bool (*round_trips)(Arbitrary& any, int16_t version);
  // What the bytes decode to, encoded again.
  base::Result<base::Slices> (*recode)(const base::Slices& bytes, int16_t version);
  // Only the first half of it.
  base::Result<> (*decode)(const base::Slices& bytes, int16_t version);
};

template <class Message, auto fill>
struct UnderTest {
  static base::Slices arbitrary(Arbitrary& any, int16_t version) {
    Message message;
    fill(any, version, message);
    return message.encode(version);
  }
  static bool round_trips(Arbitrary& any, int16_t version) {
    Message message;
    fill(any, version, message);
    const base::Slices bytes = message.encode(version);
    const auto whole = Message::decode(bytes, version);
    const auto parts = Message::decode(any.shredded(bytes), version);
    return whole && parts && *whole == message && *parts == message;
  }
  static base::Result<base::Slices> recode(const base::Slices& bytes, int16_t version) {
    const auto message = Message::decode(bytes, version);
    if (!message) return std::unexpected(message.error());
    return message->encode(version);
  }
  static base::Result<> decode(const base::Slices& bytes, int16_t version) {
    const auto message = Message::decode(bytes, version);
    if (!message) return std::unexpected(message.error());
    return {};
  }
};

// `fill` is an overload set: the cast chooses the one for Message.
template <class Message, void (*fill)(Arbitrary&, int16_t, Message&)>
constexpr MessageUnderTest under_test() {
  using Test = UnderTest<Message, fill>;
  return {.name = Message::kName,
          .api_key = Message::kApiKey,
          .version_min = Message::kVersionMin,
          .version_max = Message::kVersionMax,
          .flexible_from = Message::kFlexibleFrom,
          .arbitrary = &Test::arbitrary,
          .round_trips = &Test::round_trips,
          .recode = &Test::recode,
          .decode = &Test::decode};
}

}  // namespace verdict::wire
