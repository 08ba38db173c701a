#include "broker/client/fetched.h"

#include <algorithm>
#include <array>
#include <utility>

#include "broker/base/check.h"
#include "broker/record/batch.h"

namespace verdict::client {

using base::Errc;
using base::fail;
using base::Result;
using base::Slices;

namespace {

// What any batch can add to its offset still fits.
constexpr int64_t kOffsetMax = INT64_MAX - INT32_MAX - 1;

using Aborted = std::vector<wire::FetchResponse::AbortedTransaction>;

// Which producers are inside an aborted transaction, as the batches go by.
class AbortedFilter {
 public:
  explicit AbortedFilter(const wire::FetchResponse::PartitionData& data)
      : transactions_(data.aborted_transactions.value_or(Aborted{})) {
    std::sort(transactions_.begin(), transactions_.end(),
              [](const auto& a, const auto& b) { return a.first_offset < b.first_offset; });
  }
  bool drops(const record::BatchHeader& header) {
    while (next_ < transactions_.size() &&
           transactions_[next_].first_offset <= header.last_offset()) {
      producers_.insert(transactions_[next_++].producer_id);
    }
    return header.transactional() && producers_.contains(header.producer_id);
  }
  // After a marker that ends the producer's transaction.
  void ended(int64_t producer_id) { producers_.erase(producer_id); }

 private:
  Aborted transactions_;
  size_t next_ = 0;
  std::set<int64_t> producers_;
};

// The header of the batch at `from`; nothing when the batch is not whole.
Result<std::optional<record::BatchHeader>> header_at(const Slices& bytes, size_t from) {
  std::array<std::byte, record::kHeaderBytes> raw{};
  const size_t left = bytes.size() - from;
  if (left < raw.size()) return std::nullopt;
  bytes.copy_to(from, raw);
  const record::BatchHeader header = record::read_header(raw);
  TRY(record::check_header(header, INT32_MAX));
  if (header.base_offset < 0 || header.base_offset > kOffsetMax) {
    return fail(Errc::corrupt, "offset " + std::to_string(header.base_offset));
  }
  if (header.total_bytes() > left) return std::nullopt;
  return header;
}

Result<> read_batch(const record::BatchHeader& header, const Slices& batch,
                    const TopicPartition& at, int64_t from_offset,
                    std::vector<ConsumedRecord>& out) {
  std::vector<record::Record> records =
      TRY(record::read_records(header, batch, kUncompressedBytesMax));
  for (record::Record& record : records) {
    const int64_t offset = header.base_offset + record.offset_delta;
    if (offset < from_offset) continue;
    out.push_back({.topic = at.topic,
                   .partition = at.partition,
                   .leader_epoch = header.leader_epoch,
                   .offset = offset,
                   .timestamp_ms = header.timestamp_ms(record.timestamp_delta_ms),
                   .key = std::move(record.key),
                   .value = std::move(record.value),
                   .headers = std::move(record.headers)});
  }
  return {};
}

}  // namespace

Result<> read_fetched(const wire::FetchResponse::PartitionData& data, const TopicPartition& at,
                      bool committed_only, FetchPosition& position,
                      std::vector<ConsumedRecord>& out) {
  if (!data.records) return {};
  const Slices& bytes = *data.records;
  AbortedFilter filter(data);
  for (size_t from = 0; from < bytes.size();) {
    const auto found = TRY(header_at(bytes, from));
    if (!found) return {};
    const record::BatchHeader& header = *found;
    const Slices batch = bytes.cut(from, header.total_bytes());
    from += batch.size();
    if (header.last_offset() < position.offset) continue;
    if (record::batch_crc(batch) != header.crc) {
      return fail(Errc::corrupt, at.to_string() + ": checksum of the batch at offset " +
                                     std::to_string(header.base_offset));
    }
    const bool dropped = committed_only && filter.drops(header);
    if (header.control()) {
      filter.ended(header.producer_id);
    } else if (!dropped) {
      TRY(read_batch(header, batch, at, position.offset, out));
    }
    CHECK(header.next_offset() > position.offset);
    position = {.offset = header.next_offset(), .last_epoch = header.leader_epoch};
  }
  return {};
}

}  // namespace verdict::client
