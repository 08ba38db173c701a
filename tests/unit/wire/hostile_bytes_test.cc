// Bytes that no honest peer sends: nothing crashes, nothing is believed, little memory is taken.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "broker/wire/fetch.h"
#include "broker/wire/frame.h"
#include "broker/wire/metadata.h"
#include "broker/wire/metadata_record.h"
#include "tests/unit/wire/all_messages.h"
#include "tests/unit/wire/heap_meter.h"

namespace verdict::wire {
namespace {

using base::Slice;
using base::Slices;

// A decoded message holds at most this many bytes for each byte that it came in: an empty string
// has one byte on the wire and 32 in memory, a struct of strings a little more.
constexpr size_t kHeapPerByte = 64;
constexpr size_t kHeapOfAnError = 4096;

template <class Visit>
void for_each_version(Visit visit) {
  for (const MessageUnderTest& message : all_messages()) {
    for (int16_t version = message.version_min; version <= message.version_max; ++version) {
      SCOPED_TRACE(std::string(message.name) + " v" + std::to_string(version));
      visit(message, version,
            base::combine(base::hash_text(message.name), static_cast<uint64_t>(version)));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// Without this the limits below would hold for a meter that sees nothing.
TEST(HeapMeter, sees_what_is_held_and_released) {
  const HeapMeter meter;
  {
    const std::vector<char> held(1'000'000);
  }
  EXPECT_GE(meter.peak(), 1'000'000U);
  EXPECT_LE(meter.peak(), 1'100'000U);
}

TEST(HostileBytes, every_truncation_and_every_addition_is_invalid) {
  for_each_version([](const MessageUnderTest& message, int16_t version, uint64_t seed) {
    Arbitrary any(seed);
    for (int i = 0; i < 10; ++i) {
      const Slice whole = message.arbitrary(any, version).flatten();
      for (size_t size = 0; size < whole.size(); ++size) {
        auto decoded = message.decode(whole.cut(0, size), version);
        ASSERT_FALSE(decoded) << size << " of " << whole.size();
        ASSERT_EQ(decoded.error().code, base::Errc::invalid);
      }
      auto longer = message.decode(Slices{whole, Slice::copy_of("x")}, version);
      ASSERT_FALSE(longer);
      ASSERT_EQ(longer.error().code, base::Errc::invalid);
    }
  });
}

std::string mutated(Arbitrary& any, std::string bytes) {
  static constexpr uint8_t kEdges[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
  for (size_t left = 1 + any.below(4); left > 0 && !bytes.empty(); --left) {
    const size_t at = any.below(bytes.size());
    switch (any.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(any.bits());
        break;
      case 1:
        bytes[at] = static_cast<char>(kEdges[any.below(std::size(kEdges))]);
        break;
      case 2:
        bytes.erase(at, 1 + any.below(4));
        break;
      default:
        bytes.insert(at, 1 + any.below(5), static_cast<char>(0xff));
        break;
    }
  }
  return bytes;
}

// What is accepted can also be said again, and then stays as it is.
void check_mutant(const MessageUnderTest& message, int16_t version, const Slices& bytes) {
  const HeapMeter meter;
  auto decoded = message.decode(bytes, version);
  ASSERT_LE(meter.peak(), bytes.size() * kHeapPerByte + kHeapOfAnError);
  if (!decoded) {
    ASSERT_EQ(decoded.error().code, base::Errc::invalid);
    ASSERT_NE(decoded.error().detail.find(message.name), std::string::npos);
    return;
  }
  auto once = message.recode(bytes, version);
  ASSERT_TRUE(once);
  auto twice = message.recode(*once, version);
  ASSERT_TRUE(twice);
  ASSERT_TRUE(same_bytes(*once, *twice));
}

TEST(HostileBytes, mutated_bytes_are_refused_or_make_sense_and_take_little_memory) {
  size_t refused = 0;
  size_t accepted = 0;
  for_each_version([&](const MessageUnderTest& message, int16_t version, uint64_t seed) {
    Arbitrary any(seed + 1);
    for (int i = 0; i < 500; ++i) {
      const std::string whole(message.arbitrary(any, version).flatten().text());
      const Slice bytes = Slice::copy_of(mutated(any, whole));
      ASSERT_NO_FATAL_FAILURE(check_mutant(message, version, bytes));
      ASSERT_NO_FATAL_FAILURE((void)message.decode(any.shredded(bytes), version));
      (message.decode(bytes, version) ? accepted : refused) += 1;
    }
  });
  // Both happen often enough to mean something.
  EXPECT_GT(refused, 10'000U);
  EXPECT_GT(accepted, 10'000U);
}

TEST(HostileBytes, random_bytes_are_refused_or_make_sense_and_take_little_memory) {
  for_each_version([](const MessageUnderTest& message, int16_t version, uint64_t seed) {
    Arbitrary any(seed + 2);
    for (int i = 0; i < 200; ++i) {
      std::string bytes(any.below(200), '\0');
      const bool small = any.one_in(2);  // small numbers are followed further
      for (char& b : bytes) b = static_cast<char>(small ? any.below(6) : any.bits());
      ASSERT_NO_FATAL_FAILURE(check_mutant(message, version, Slice::copy_of(bytes)));
    }
  });
}

// A count is believed only as far as the bytes behind it could hold such elements.
TEST(HostileBytes, declared_counts_take_no_memory) {
  for (const int count : {1000, 1 << 20, INT32_MAX}) {
    Writer out;
    out.value(int32_t{0});  // throttle time
    out.value(count);       // brokers
    out.value(int64_t{0});
    const Slices bytes = std::move(out).finish();
    const HeapMeter meter;
    auto decoded = MetadataResponse::decode(bytes, 3);
    ASSERT_FALSE(decoded);
    EXPECT_LE(meter.peak(), kHeapOfAnError);
  }
}

// Many empty elements are the dearest that the bytes can ask for.
TEST(HostileBytes, the_dearest_message_stays_within_the_limit) {
  for_each_version([](const MessageUnderTest& message, int16_t version, uint64_t) {
    for (const char fill : {'\0', '\1', '\2'}) {
      std::string text(20'000, fill);
      const bool compact = version >= message.flexible_from;
      // A count in all likely places: compact, or as an int32.
      for (size_t at = 0; at < 24; ++at) {
        std::string bytes = text;
        const std::string big =
            compact ? std::string("\x88\x27", 2) : std::string("\0\0\x13\x88", 4);
        bytes.replace(at, big.size(), big);
        ASSERT_NO_FATAL_FAILURE(check_mutant(message, version, Slice::copy_of(bytes)));
      }
    }
  });
}

TEST(HostileBytes, frames_of_any_bytes_are_parsed_or_invalid) {
  Arbitrary any(5);
  size_t parsed = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(any.below(40), '\0');
    for (char& b : bytes) b = static_cast<char>(any.one_in(2) ? any.below(20) : any.bits());
    const Slices frame = any.shredded(Slice::copy_of(bytes));
    if (auto request = parse_request(frame)) {
      ++parsed;
      ASSERT_LE(request->body.size(), frame.size());
    } else {
      ASSERT_EQ(request.error().code, base::Errc::invalid);
    }
    if (auto record = decode_metadata_record(frame)) {
      ASSERT_LE(record->body.size(), frame.size());
    } else {
      ASSERT_TRUE(record.error().code == base::Errc::invalid ||
                  record.error().code == base::Errc::unsupported);
    }
  }
  EXPECT_GT(parsed, 100U);
}

}  // namespace
}  // namespace verdict::wire
