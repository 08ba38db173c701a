#include "scenarios/history.h"

#include <algorithm>
#include <cstring>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/base/hash.h"

namespace verdict::scenarios {
namespace {

constexpr uint64_t kMark = 0x7665726469637421ULL;  // "verdict!"

// Byte `i` of the value of record `id`, after the id and the mark.
std::byte pattern_byte(uint64_t id, size_t i) {
  return static_cast<std::byte>(base::mix64(id + i / 8) >> (8 * (i % 8)));
}

}  // namespace

uint32_t History::partition(const PartitionName& name) {
  auto at = std::find(partitions_.begin(), partitions_.end(), name);
  if (at == partitions_.end()) at = partitions_.insert(partitions_.end(), name);
  return static_cast<uint32_t>(at - partitions_.begin());
}

uint32_t History::add_session(ProducerSession session) {
  sessions_.push_back(std::move(session));
  return static_cast<uint32_t>(sessions_.size() - 1);
}

base::Slice History::note_send(uint32_t session, uint32_t partition, uint32_t bytes, int64_t now_ns,
                               uint64_t* id) {
  CHECK(session < sessions_.size());
  CHECK(partition < partitions_.size());
  bytes = std::max(bytes, kValueBytesMin);
  *id = sent_.size() + 1;
  sent_.push_back({.id = *id,
                   .session = session,
                   .partition = partition,
                   .sent_ns = now_ns,
                   .value_bytes = bytes});
  base::MutableBuffer value(bytes);
  base::store_be(value.data(), kMark);
  base::store_be(value.data() + 8, *id);
  for (size_t i = kValueBytesMin; i < bytes; ++i) value.data()[i] = pattern_byte(*id, i);
  return std::move(value).freeze(bytes);
}

void History::note_acked(uint64_t id, int64_t offset, int64_t now_ns) {
  CHECK(id >= 1);
  CHECK(id <= sent_.size());
  Sent& sent = sent_[id - 1];
  CHECK(sent.outcome == Outcome::unknown);
  sent.outcome = Outcome::acked;
  sent.offset = offset;
  sent.answered_ns = now_ns;
  ++acked_;
}

void History::note_failed(uint64_t id, int64_t now_ns) {
  CHECK(id >= 1);
  CHECK(id <= sent_.size());
  Sent& sent = sent_[id - 1];
  CHECK(sent.outcome == Outcome::unknown);
  sent.outcome = Outcome::failed;
  sent.answered_ns = now_ns;
}

const Sent* History::find(uint64_t id) const {
  return id >= 1 && id <= sent_.size() ? &sent_[id - 1] : nullptr;
}

uint32_t History::add_reader(ReaderSession session) {
  readers_.push_back(std::move(session));
  return static_cast<uint32_t>(readers_.size() - 1);
}

void History::note_read(uint32_t reader, uint32_t partition, int32_t leader_epoch, int64_t offset,
                        const base::Slice& value, int64_t now_ns) {
  CHECK(reader < readers_.size());
  CHECK(partition < partitions_.size());
  uint64_t id = 0;
  std::string why;
  if (value.size() < kValueBytesMin || base::load_be<uint64_t>(value.data()) != kMark) {
    why = "a value that nobody sent, " + std::to_string(value.size()) + " bytes";
  } else {
    id = base::load_be<uint64_t>(value.data() + 8);
    const Sent* sent = find(id);
    if (sent == nullptr) {
      why = "a value with the unknown id " + std::to_string(id);
      id = 0;
    } else if (sent->value_bytes != value.size()) {
      why = "the value of record " + std::to_string(id) + " with " + std::to_string(value.size()) +
            " bytes instead of " + std::to_string(sent->value_bytes);
    } else {
      size_t wrong = 0;
      for (size_t i = kValueBytesMin; i < value.size(); ++i) {
        if (value.data()[i] != pattern_byte(id, i)) ++wrong;
      }
      if (wrong > 0) {
        why = "the value of record " + std::to_string(id) + " with " + std::to_string(wrong) +
              " bytes changed";
      }
    }
  }
  if (!why.empty()) foreign_.push_back({partition, offset, std::move(why)});
  reads_.push_back({reader, partition, leader_epoch, offset, id, now_ns});
}

void History::note_final_range(uint32_t partition, int64_t start, int64_t end) {
  CHECK(start <= end);
  final_ranges_[partition] = {start, end};
}

void History::note_producer_id(int64_t producer_id, int16_t epoch) {
  producer_ids_.push_back({producer_id, epoch});
}

}  // namespace verdict::scenarios
