#include "broker/base/slice.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "broker/base/hash.h"

namespace verdict::base {
namespace {

Slice numbered(size_t size) {
  MutableBuffer buffer(size);
  for (size_t i = 0; i < size; ++i) buffer.data()[i] = static_cast<std::byte>(i * 7);
  return std::move(buffer).freeze(size);
}

// ---------------------------------------------------------------- Slice

TEST(Slice, of_nothing_is_empty_and_owns_nothing) {
  Slice none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.size(), 0U);
  EXPECT_EQ(none.buffer_bytes(), 0U);
  EXPECT_EQ(none.fingerprint(), 0U);
  EXPECT_TRUE(none.compact().empty());
  EXPECT_TRUE(none.cut(0, 0).empty());
  EXPECT_TRUE(Slice::copy_of(std::string_view()).empty());
  Slice copy = none;
  copy = copy.cut(0, 0);
  EXPECT_EQ(copy.text(), "");
}

TEST(Slice, copies_and_parts_share_one_buffer) {
  Slice whole = Slice::copy_of("hello, world");
  Slice copy = whole;
  Slice part = whole.cut(7, 5);
  EXPECT_EQ(copy.data(), whole.data());
  EXPECT_EQ(part.data(), whole.data() + 7);
  EXPECT_EQ(part.text(), "world");
  EXPECT_EQ(part.buffer_bytes(), 12U);
  Slice part_of_part = part.cut(1, 3);
  EXPECT_EQ(part_of_part.text(), "orl");
  // The buffer lives as long as any of them.
  whole = Slice();
  copy = Slice();
  part = Slice();
  EXPECT_EQ(part_of_part.text(), "orl");
}

TEST(Slice, moves_and_assignments_keep_the_count_of_owners) {
  Slice a = Slice::copy_of("a");
  Slice b = Slice::copy_of("b");
  Slice moved(std::move(a));
  EXPECT_TRUE(a.empty());  // NOLINT: what a move leaves is defined
  EXPECT_EQ(a.data(), nullptr);
  a = b;
  b = std::move(moved);
  EXPECT_EQ(a.text(), "b");
  EXPECT_EQ(b.text(), "a");
  Slice& same = a;
  a = same;
  EXPECT_EQ(a.text(), "b");
}

TEST(Slice, is_taken_apart_from_the_front) {
  Slice rest = Slice::copy_of("abcdef");
  EXPECT_EQ(rest.take_front(2).text(), "ab");
  EXPECT_EQ(rest.text(), "cdef");
  rest.drop_front(1);
  EXPECT_EQ(rest.text(), "def");
  EXPECT_TRUE(rest.take_front(0).empty());
  EXPECT_EQ(rest.take_front(3).text(), "def");
  EXPECT_TRUE(rest.empty());
  rest.drop_front(0);
}

TEST(Slice, compact_copies_only_what_is_under_a_quarter_of_its_buffer) {
  Slice whole = numbered(400);
  Slice small = whole.cut(10, 99);
  Slice large = whole.cut(10, 100);
  EXPECT_EQ(large.compact().data(), large.data());
  Slice compacted = small.compact();
  EXPECT_NE(compacted.data(), small.data());
  EXPECT_EQ(compacted.text(), small.text());
  EXPECT_EQ(compacted.buffer_bytes(), 99U);
  EXPECT_EQ(whole.compact().data(), whole.data());
}

TEST(Slice, fingerprint_is_the_same_for_the_same_bytes_at_the_same_place) {
  Slice a = numbered(1'000);
  Slice b = numbered(1'000);
  ASSERT_NE(a.data(), b.data());
  EXPECT_EQ(a.fingerprint(), b.fingerprint());
  EXPECT_EQ(a.fingerprint(), a.fingerprint());
  EXPECT_EQ(a.cut(10, 20).fingerprint(), b.cut(10, 20).fingerprint());
  EXPECT_NE(a.cut(10, 20).fingerprint(), a.cut(11, 20).fingerprint());
  EXPECT_NE(a.cut(10, 20).fingerprint(), a.cut(10, 21).fingerprint());
  EXPECT_NE(a.fingerprint(), numbered(1'001).fingerprint());
  EXPECT_NE(Slice::copy_of("abc").fingerprint(), Slice::copy_of("abd").fingerprint());
}

TEST(Slice, fingerprint_has_the_same_value_in_every_build) {
  // The trace hash depends on it: these values may never change between compilers or runs.
  EXPECT_EQ(Slice::copy_of("123456789").fingerprint(), 16457346612048194650U);
  EXPECT_EQ(Slice::copy_of("123456789").cut(2, 3).fingerprint(), 12874699929789744344U);
}

TEST(Slice, crosses_threads) {
  Slice shared = numbered(10'000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([copy = shared] {
      for (size_t i = 0; i < 20'000; ++i) {
        Slice part = copy.cut(i % 5'000, 100);
        Slice again = part;
        if (again.data()[0] != static_cast<std::byte>((i % 5'000) * 7)) std::abort();
        if (i % 1'000 == 0) (void)part.fingerprint();
      }
    });
  }
  shared = Slice();
  for (std::thread& t : threads) t.join();
}

TEST(SliceDeath, parts_beyond_the_end) {
  Slice slice = Slice::copy_of("abc");
  EXPECT_DEATH((void)slice.cut(4, 0), "CHECK failed");
  EXPECT_DEATH((void)slice.cut(2, 2), "CHECK failed");
  EXPECT_DEATH((void)slice.cut(1, SIZE_MAX), "CHECK failed");
  EXPECT_DEATH((void)slice.take_front(4), "CHECK failed");
  EXPECT_DEATH(slice.drop_front(4), "CHECK failed");
}

#ifdef VERDICT_SLICE_GUARD
TEST(SliceDeath, a_write_into_a_frozen_buffer_is_noticed_when_it_is_released) {
  EXPECT_DEATH(
      {
        Slice slice = numbered(100);
        *const_cast<std::byte*>(slice.data() + 50) ^= std::byte{1};
      },
      "CHECK failed: .*fingerprint");
}
#endif

// ---------------------------------------------------------------- MutableBuffer

TEST(MutableBuffer, freezes_what_was_filled) {
  MutableBuffer buffer(100);
  EXPECT_EQ(buffer.capacity(), 100U);
  EXPECT_EQ(buffer.bytes().size(), 100U);
  std::memcpy(buffer.data(), "filled", 6);
  const std::byte* at = buffer.data();
  Slice slice = std::move(buffer).freeze(6);
  EXPECT_EQ(slice.text(), "filled");
  EXPECT_EQ(slice.data(), at);  // not copied
  EXPECT_EQ(slice.buffer_bytes(), 6U);
}

TEST(MutableBuffer, may_be_moved_or_dropped_unfrozen) {
  MutableBuffer a(10);
  MutableBuffer b(20);
  std::byte* at = a.data();
  MutableBuffer c(std::move(a));
  EXPECT_EQ(c.data(), at);
  b = std::move(c);
  EXPECT_EQ(b.data(), at);
  EXPECT_EQ(b.capacity(), 10U);
  EXPECT_TRUE(MutableBuffer(0).bytes().empty());
  EXPECT_TRUE(MutableBuffer(5).freeze(0).empty());
}

TEST(MutableBufferDeath, more_than_it_holds) {
  EXPECT_DEATH((void)MutableBuffer(5).freeze(6), "CHECK failed");
  EXPECT_DEATH(MutableBuffer(MutableBuffer::kBytesMax + 1), "CHECK failed");
}

// ---------------------------------------------------------------- Slices

std::string text_of(const Slices& slices) {
  std::string text;
  for (const Slice& s : slices) text += s.text();
  EXPECT_EQ(text.size(), slices.size());
  return text;
}

TEST(Slices, keep_order_and_length_from_two_to_many) {
  Slices slices;
  EXPECT_TRUE(slices.empty());
  EXPECT_EQ(slices.count(), 0U);
  std::string expected;
  for (size_t i = 0; i < 20; ++i) {
    slices.push_back(Slice::copy_of(std::string(i, static_cast<char>('a' + i))));
    expected += std::string(i, static_cast<char>('a' + i));
    EXPECT_EQ(slices.count(), i);  // the empty one was dropped
    EXPECT_EQ(text_of(slices), expected);
  }
  Slices twice = slices;
  twice.append(slices);
  EXPECT_EQ(text_of(twice), expected + expected);
  EXPECT_EQ(text_of(slices), expected);
}

TEST(Slices, are_made_of_one_or_of_a_list) {
  EXPECT_EQ(text_of(Slices(Slice::copy_of("one"))), "one");
  EXPECT_EQ(Slices(Slice()).count(), 0U);
  EXPECT_EQ(text_of({Slice::copy_of("a"), Slice(), Slice::copy_of("b"), Slice::copy_of("c")}),
            "abc");
}

TEST(Slices, flatten_copies_only_when_there_are_several) {
  Slice one = Slice::copy_of("one");
  EXPECT_EQ(Slices(one).flatten().data(), one.data());
  Slices two{one, Slice::copy_of("two")};
  EXPECT_EQ(two.flatten().text(), "onetwo");
  EXPECT_TRUE(Slices().flatten().empty());
}

TEST(Slices, every_cut_and_copy_of_a_list_is_that_of_its_text) {
  Slices slices;
  std::string whole;
  for (std::string piece : {"abc", "d", "efgh", "ij", "klmno"}) {
    slices.push_back(Slice::copy_of(piece));
    whole += piece;
  }
  for (size_t from = 0; from <= whole.size(); ++from) {
    for (size_t n = 0; from + n <= whole.size(); ++n) {
      ASSERT_EQ(text_of(slices.cut(from, n)), whole.substr(from, n));
      std::string copied(n, '?');
      slices.copy_to(from, std::as_writable_bytes(std::span(copied.data(), n)));
      ASSERT_EQ(copied, whole.substr(from, n));
    }
  }
  // A cut shares the buffers.
  EXPECT_EQ(slices.cut(4, 2).begin()->data(), (slices.begin() + 2)->data());
}

TEST(SlicesDeath, parts_beyond_the_end) {
  Slices slices{Slice::copy_of("ab"), Slice::copy_of("cd")};
  EXPECT_DEATH((void)slices.cut(5, 0), "CHECK failed");
  EXPECT_DEATH((void)slices.cut(1, 4), "CHECK failed");
  std::byte out[4];
  EXPECT_DEATH(slices.copy_to(1, out), "CHECK failed");
}

}  // namespace
}  // namespace verdict::base
