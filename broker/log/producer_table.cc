#include "broker/log/producer_table.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/endian.h"

namespace verdict::log {
namespace {

using base::Errc;
using base::fail;
using base::Slice;

constexpr int16_t kSnapshotVersion = 1;
constexpr size_t kSnapshotCrcAt = 2;
constexpr size_t kSnapshotCrcStart = 6;
constexpr size_t kSnapshotHeaderBytes = 10;
constexpr size_t kSnapshotEntryBytes = 46;

// The sequence `delta` before `sequence`; sequences count from 0 to 2^31 - 1 and wrap.
int32_t sequence_before(int32_t sequence, int32_t delta) {
  if (sequence >= delta) return sequence - delta;
  return static_cast<int32_t>(INT32_MAX - (int64_t{delta} - sequence) + 1);
}

bool follows(int32_t last, int32_t next) {
  return int64_t{next} == int64_t{last} + 1 || (next == 0 && last == INT32_MAX);
}

}  // namespace

SequenceCheck ProducerTable::check(const record::BatchHeader& header) const {
  if (header.producer_id < 0) return {};
  auto at = entries_.find(header.producer_id);
  if (at == entries_.end()) return {};  // new, expired or deleted: any sequence may begin
  const ProducerEntry& entry = at->second;
  if (header.producer_epoch == entry.epoch) {
    for (const ProducerBatch& batch : entry.batches) {
      if (batch.first_sequence == header.base_sequence &&
          batch.last_sequence == header.last_sequence()) {
        return {SequenceVerdict::duplicate, batch};
      }
    }
  }
  if (header.producer_epoch < entry.epoch) return {SequenceVerdict::stale_epoch};
  if (header.producer_epoch != entry.epoch) {
    bool begins = header.base_sequence == 0 || entry.epoch < 0;
    return {begins ? SequenceVerdict::next : SequenceVerdict::out_of_order};
  }
  int32_t last = entry.batches.empty() ? -1 : entry.batches.back().last_sequence;
  return {follows(last, header.base_sequence) ? SequenceVerdict::next
                                              : SequenceVerdict::out_of_order};
}

void ProducerTable::update(const record::BatchHeader& header) {
  if (header.producer_id < 0) return;
  ProducerEntry& entry = entries_[header.producer_id];
  entry.producer_id = header.producer_id;
  if (entry.epoch != header.producer_epoch) {
    entry.epoch = header.producer_epoch;
    entry.batches.clear();
  }
  entry.last_timestamp_ms = header.max_timestamp_ms;
  if (header.control()) {
    // The end of a transaction: it carries no sequence.
    entry.current_transaction_first_offset = -1;
  } else {
    if (entry.batches.size() == kBatchesRemembered) entry.batches.erase(entry.batches.begin());
    entry.batches.push_back({header.base_sequence, header.last_sequence(), header.base_offset,
                             header.last_offset(), header.max_timestamp_ms});
    if (header.transactional() && entry.current_transaction_first_offset < 0) {
      entry.current_transaction_first_offset = header.base_offset;
    }
  }
  CHECK(entry.batches.size() <= kBatchesRemembered);
  if (entries_.size() > kProducersMax) forget_oldest();
  CHECK(entries_.size() <= kProducersMax);
}

void ProducerTable::forget_oldest() {
  // A quarter at once, so that the search is paid once in many updates.
  std::vector<std::pair<int64_t, int64_t>> by_age;
  by_age.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) by_age.emplace_back(entry.last_timestamp_ms, id);
  auto middle = by_age.begin() + static_cast<std::ptrdiff_t>(kProducersMax / 4);
  std::nth_element(by_age.begin(), middle, by_age.end());
  for (auto it = by_age.begin(); it != middle; ++it) entries_.erase(it->second);
}

void ProducerTable::expire(int64_t now_ms, int64_t expiry_ms) {
  CHECK(expiry_ms >= 0);
  std::erase_if(entries_, [&](const auto& item) {
    const ProducerEntry& entry = item.second;
    int64_t age_ms = 0;
    bool overflow = __builtin_sub_overflow(now_ms, entry.last_timestamp_ms, &age_ms);
    return entry.current_transaction_first_offset < 0 && !overflow && age_ms >= expiry_ms;
  });
}

namespace {

struct SnapshotLine {
  const ProducerEntry* entry;
  ProducerBatch batch;
  int64_t timestamp_ms;
};

void write_line(std::byte* at, const SnapshotLine& line) {
  const ProducerEntry& entry = *line.entry;
  base::store_be(at, entry.producer_id);
  base::store_be(at + 8, entry.epoch);
  base::store_be(at + 10, line.batch.last_sequence);
  base::store_be(at + 14, line.batch.last_offset);
  base::store_be(at + 22, static_cast<int32_t>(line.batch.last_offset - line.batch.base_offset));
  base::store_be(at + 26, line.timestamp_ms);
  base::store_be(at + 34, entry.coordinator_epoch);
  base::store_be(at + 38, entry.current_transaction_first_offset);
}

// An entry with no batch or one.
std::optional<ProducerEntry> read_line(const std::byte* at) {
  ProducerEntry entry;
  entry.producer_id = base::load_be<int64_t>(at);
  entry.epoch = base::load_be<int16_t>(at + 8);
  auto last_sequence = base::load_be<int32_t>(at + 10);
  auto last_offset = base::load_be<int64_t>(at + 14);
  auto delta = base::load_be<int32_t>(at + 22);
  entry.last_timestamp_ms = base::load_be<int64_t>(at + 26);
  entry.coordinator_epoch = base::load_be<int32_t>(at + 34);
  entry.current_transaction_first_offset = base::load_be<int64_t>(at + 38);
  if (entry.producer_id < 0 || delta < 0 || (last_offset >= 0 && delta > last_offset)) {
    return std::nullopt;
  }
  if (last_offset >= 0 && last_sequence >= 0) {
    entry.batches.push_back({sequence_before(last_sequence, delta), last_sequence,
                             last_offset - delta, last_offset, entry.last_timestamp_ms});
  }
  return entry;
}

// Adds a further line of the same producer; false when it cannot be one.
bool join(ProducerEntry& entry, const ProducerEntry& next) {
  if (entry.epoch != next.epoch || entry.batches.empty() || next.batches.size() != 1) return false;
  if (entry.batches.size() == kBatchesRemembered) return false;
  if (next.batches[0].base_offset <= entry.batches.back().last_offset) return false;
  entry.batches.push_back(next.batches[0]);
  entry.last_timestamp_ms = next.last_timestamp_ms;
  return true;
}

}  // namespace

Slice ProducerTable::to_snapshot() const {
  std::vector<SnapshotLine> lines;
  lines.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) {
    // Kafka keeps the last line of a producer, so that one carries what is true of the whole, and
    // no line before it may outlive it there.
    for (size_t i = 0; i + 1 < entry.batches.size(); ++i) {
      int64_t timestamp_ms = std::min(entry.batches[i].timestamp_ms, entry.last_timestamp_ms);
      lines.push_back({&entry, entry.batches[i], timestamp_ms});
    }
    ProducerBatch last = entry.batches.empty() ? ProducerBatch{} : entry.batches.back();
    lines.push_back({&entry, last, entry.last_timestamp_ms});
  }
  size_t bytes = kSnapshotHeaderBytes + lines.size() * kSnapshotEntryBytes;
  base::MutableBuffer buffer(bytes);
  std::byte* out = buffer.data();
  base::store_be(out, kSnapshotVersion);
  base::store_be(out + kSnapshotCrcStart, static_cast<int32_t>(lines.size()));
  std::byte* at = out + kSnapshotHeaderBytes;
  for (const SnapshotLine& line : lines) {
    write_line(at, line);
    at += kSnapshotEntryBytes;
  }
  CHECK(at == out + bytes);
  uint32_t crc = base::crc32c(0, {out + kSnapshotCrcStart, bytes - kSnapshotCrcStart});
  base::store_be(out + kSnapshotCrcAt, crc);
  return std::move(buffer).freeze(bytes);
}

base::Result<ProducerTable> ProducerTable::from_snapshot(const Slice& bytes) {
  if (bytes.size() < kSnapshotHeaderBytes) {
    return fail(Errc::corrupt, "producer snapshot: shorter than its header");
  }
  const std::byte* in = bytes.data();
  if (base::load_be<int16_t>(in) != kSnapshotVersion) {
    return fail(Errc::corrupt, "producer snapshot: version is not 1");
  }
  uint32_t crc = base::crc32c(0, bytes.bytes().subspan(kSnapshotCrcStart));
  if (base::load_be<uint32_t>(in + kSnapshotCrcAt) != crc) {
    return fail(Errc::corrupt, "producer snapshot: checksum");
  }
  auto count = base::load_be<int32_t>(in + kSnapshotCrcStart);
  size_t room = (bytes.size() - kSnapshotHeaderBytes) / kSnapshotEntryBytes;
  if (count < 0 || static_cast<size_t>(count) != room ||
      room > kProducersMax * kBatchesRemembered ||
      kSnapshotHeaderBytes + room * kSnapshotEntryBytes != bytes.size()) {
    return fail(Errc::corrupt, "producer snapshot: count does not fit the length");
  }
  ProducerTable table;
  for (size_t i = 0; i < room; ++i) {
    auto read = read_line(in + kSnapshotHeaderBytes + i * kSnapshotEntryBytes);
    if (!read) return fail(Errc::corrupt, "producer snapshot: entry " + std::to_string(i));
    auto [known, fresh] = table.entries_.try_emplace(read->producer_id, *read);
    if (!fresh && !join(known->second, *read)) {
      return fail(Errc::corrupt, "producer snapshot: entry " + std::to_string(i) +
                                     " does not follow the one before of its producer");
    }
  }
  if (table.entries_.size() > kProducersMax) {
    return fail(Errc::corrupt, "producer snapshot: too many producers");
  }
  return table;
}

void ProducerTable::check_invariants() const {
  CHECK(entries_.size() <= kProducersMax);
  for (const auto& [id, entry] : entries_) {
    CHECK(id == entry.producer_id);
    CHECK(entry.batches.size() <= kBatchesRemembered);
    for (size_t i = 1; i < entry.batches.size(); ++i) {
      CHECK(entry.batches[i - 1].last_offset < entry.batches[i].base_offset);
    }
  }
}

}  // namespace verdict::log
