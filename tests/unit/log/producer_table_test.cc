// What a partition remembers of producers, judged by Kafka's rules.

#include "broker/log/producer_table.h"

#include <gtest/gtest.h>

#include "broker/base/crc32c.h"
#include "broker/base/endian.h"

namespace verdict::log {
namespace {

record::BatchHeader header(int64_t producer_id, int16_t epoch, int32_t sequence, int count,
                           int64_t base_offset = 0, int64_t timestamp_ms = 1000) {
  record::BatchHeader h;
  h.base_offset = base_offset;
  h.producer_id = producer_id;
  h.producer_epoch = epoch;
  h.base_sequence = sequence;
  h.last_offset_delta = count - 1;
  h.record_count = count;
  h.max_timestamp_ms = timestamp_ms;
  return h;
}

using V = SequenceVerdict;

TEST(ProducerTable, batches_without_a_producer_are_always_next) {
  ProducerTable table;
  record::BatchHeader plain = header(-1, -1, -1, 5);
  EXPECT_EQ(table.check(plain).verdict, V::next);
  table.update(plain);
  EXPECT_EQ(table.size(), 0U);
}

TEST(ProducerTable, a_producer_that_is_not_known_may_begin_anywhere) {
  // It may be one whose records were deleted: refusing it would stop it for good.
  ProducerTable table;
  EXPECT_EQ(table.check(header(1, 0, 77, 2)).verdict, V::next);
  table.update(header(1, 0, 77, 2));
  EXPECT_EQ(table.check(header(1, 0, 79, 1)).verdict, V::next);
}

TEST(ProducerTable, the_last_five_batches_are_told_from_new_ones) {
  ProducerTable table;
  for (int i = 0; i < 7; ++i) table.update(header(1, 0, 2 * i, 2, 100 + 2 * i));
  for (int i = 0; i < 7; ++i) {
    SequenceCheck check = table.check(header(1, 0, 2 * i, 2));
    EXPECT_EQ(check.verdict, i < 2 ? V::out_of_order : V::duplicate) << i;
    EXPECT_EQ(check.original.base_offset, i < 2 ? -1 : 100 + 2 * i);
  }
  EXPECT_EQ(table.check(header(1, 0, 12, 1)).verdict, V::out_of_order) << "half of a batch";
  EXPECT_EQ(table.check(header(1, 0, 14, 2)).verdict, V::next);
  EXPECT_EQ(table.check(header(1, 0, 15, 2)).verdict, V::out_of_order);
}

TEST(ProducerTable, a_new_epoch_begins_at_zero_and_forgets_the_old_batches) {
  ProducerTable table;
  table.update(header(1, 3, 0, 2));
  EXPECT_EQ(table.check(header(1, 4, 2, 1)).verdict, V::out_of_order);
  EXPECT_EQ(table.check(header(1, 4, 0, 1)).verdict, V::next);
  EXPECT_EQ(table.check(header(1, 2, 0, 1)).verdict, V::stale_epoch);
  EXPECT_EQ(table.check(header(1, 2, 0, 2)).verdict, V::stale_epoch);
  table.update(header(1, 4, 0, 1, 2));
  EXPECT_EQ(table.entries().at(1).batches.size(), 1U);
  EXPECT_EQ(table.check(header(1, 3, 0, 2)).verdict, V::stale_epoch);
}

TEST(ProducerTable, sequences_wrap_from_the_largest_to_zero) {
  ProducerTable table;
  table.update(header(1, 0, INT32_MAX - 1, 2));
  EXPECT_EQ(table.entries().at(1).batches.back().last_sequence, INT32_MAX);
  EXPECT_EQ(table.check(header(1, 0, 0, 1)).verdict, V::next);
  EXPECT_EQ(table.check(header(1, 0, 1, 1)).verdict, V::out_of_order);
  ProducerTable across;
  across.update(header(1, 0, INT32_MAX, 3, 10));
  EXPECT_EQ(across.entries().at(1).batches.back().last_sequence, 1);
  EXPECT_EQ(across.check(header(1, 0, 2, 1)).verdict, V::next);
  auto back = ProducerTable::from_snapshot(across.to_snapshot());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->entries(), across.entries());
}

TEST(ProducerTable, silent_producers_expire_but_not_in_a_transaction) {
  ProducerTable table;
  table.update(header(1, 0, 0, 1, 0, 1000));
  table.update(header(2, 0, 0, 1, 1, 2000));
  record::BatchHeader open = header(3, 0, 0, 1, 2, 1000);
  open.attributes = record::kTransactionalBit;
  table.update(open);
  EXPECT_EQ(table.entries().at(3).current_transaction_first_offset, 2);
  table.expire(1999, 1000);
  EXPECT_EQ(table.size(), 3U);
  table.expire(2000, 1000);
  EXPECT_FALSE(table.entries().contains(1));
  EXPECT_TRUE(table.entries().contains(2));
  EXPECT_TRUE(table.entries().contains(3));
  record::BatchHeader end = header(3, 0, -1, 1, 3, 1000);
  end.attributes = record::kTransactionalBit | record::kControlBit;
  table.update(end);
  EXPECT_EQ(table.entries().at(3).current_transaction_first_offset, -1);
  EXPECT_EQ(table.entries().at(3).batches.size(), 1U) << "a marker carries no sequence";
  table.expire(2000, 1000);
  EXPECT_FALSE(table.entries().contains(3));
}

TEST(ProducerTable, a_snapshot_keeps_all_remembered_batches_the_last_one_last) {
  ProducerTable table;
  for (int64_t id = 1; id <= 3; ++id) {
    for (int i = 0; i < 4; ++i) table.update(header(id, 2, 3 * i, 3, 100 * id + 3 * i, 5000 + i));
  }
  base::Slice bytes = table.to_snapshot();
  EXPECT_EQ(bytes.size(), 10U + 3 * 4 * 46);
  auto back = ProducerTable::from_snapshot(bytes);
  ASSERT_TRUE(back.has_value());
  ASSERT_EQ(back->size(), 3U);
  for (int64_t id = 1; id <= 3; ++id) {
    const ProducerEntry& entry = back->entries().at(id);
    EXPECT_EQ(entry.epoch, 2);
    EXPECT_EQ(entry.last_timestamp_ms, 5003);
    EXPECT_EQ(entry.batches, table.entries().at(id).batches);
    // What a reader that takes one line for each producer, the last, makes of it.
    const std::byte* last = bytes.data() + 10 + (4 * static_cast<size_t>(id) - 1) * 46;
    EXPECT_EQ(base::load_be<int64_t>(last), id);
    EXPECT_EQ(base::load_be<int32_t>(last + 10), 11);
  }
  EXPECT_EQ(back->check(header(1, 2, 0, 3)).verdict, SequenceVerdict::duplicate);
  EXPECT_EQ(back->to_snapshot().text(), bytes.text());
}

TEST(ProducerTable, a_snapshot_whose_lines_of_a_producer_do_not_follow_is_refused) {
  auto snapshot_of = [](std::vector<record::BatchHeader> headers) {
    std::string lines;
    for (const record::BatchHeader& one : headers) {
      ProducerTable table;
      table.update(one);
      lines += std::string(table.to_snapshot().text()).substr(10);
    }
    std::string whole(10, '\0');
    auto* raw = reinterpret_cast<std::byte*>(whole.data());
    base::store_be<int16_t>(raw, 1);
    base::store_be(raw + 6, static_cast<int32_t>(headers.size()));
    whole += lines;
    auto bytes = std::as_bytes(std::span(whole)).subspan(6);
    base::store_be(reinterpret_cast<std::byte*>(whole.data()) + 2, base::crc32c(0, bytes));
    return base::Slice::copy_of(whole);
  };
  std::vector<record::BatchHeader> good;
  for (int i = 0; i < 5; ++i) good.push_back(header(1, 0, i, 1, i));
  EXPECT_TRUE(ProducerTable::from_snapshot(snapshot_of(good)).has_value());
  auto six = good;
  six.push_back(header(1, 0, 5, 1, 5));
  auto backwards = std::vector{good[1], good[0]};
  auto other_epoch = std::vector{good[0], header(1, 1, 0, 1, 7)};
  for (const auto& bad : {six, backwards, other_epoch}) {
    EXPECT_FALSE(ProducerTable::from_snapshot(snapshot_of(bad)).has_value());
  }
}

TEST(ProducerTable, no_changed_or_missing_byte_of_a_snapshot_goes_unseen) {
  ProducerTable table;
  table.update(header(1, 0, 0, 1));
  table.update(header(2, 0, 0, 1, 1));
  std::string good(table.to_snapshot().text());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    EXPECT_FALSE(ProducerTable::from_snapshot(base::Slice::copy_of(bad)).has_value()) << i;
    EXPECT_FALSE(ProducerTable::from_snapshot(base::Slice::copy_of(good.substr(0, i))).has_value());
  }
  EXPECT_FALSE(ProducerTable::from_snapshot(base::Slice::copy_of(good + "x")).has_value());
}

}  // namespace
}  // namespace verdict::log
