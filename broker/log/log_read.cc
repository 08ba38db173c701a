// How a log is read: by offset, from memory or file, and by timestamp.
#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/log.h"
#include "broker/log/probes.h"
#include "broker/log/segment.h"

namespace verdict::log {

using base::Errc;
using base::fail;
using base::Result;
using base::Slice;

namespace {

constexpr int kReadAttemptsMax = 4;              // a read starts anew when the log is cut meanwhile
constexpr size_t kReadBytesMax = 64U << 20;      // of one read, whatever is asked for
constexpr size_t kSearchChunkBytes = 64U << 10;  // of a search by timestamp
constexpr size_t kUncompressedBytesMax = 128U << 20;

// The first record of the batch with a timestamp of at least `timestamp_ms` and an offset of at
// least `start`.
Result<std::optional<TimestampOffset>> first_record(const record::BatchHeader& header,
                                                    const Slice& batch, int64_t timestamp_ms,
                                                    Offset start) {
  std::optional<TimestampOffset> found;
  LeaderEpoch epoch{header.leader_epoch};
  if (header.log_append_time()) {
    Offset first{std::max(header.base_offset, start.value)};
    if (first.value <= header.last_offset() && header.max_timestamp_ms >= timestamp_ms) {
      found = TimestampOffset{header.max_timestamp_ms, first, epoch};
    }
    return found;
  }
  auto visit = [&](const record::RecordSummary& record) -> Result<> {
    int64_t at_ms = header.timestamp_ms(record.timestamp_delta_ms);
    Offset offset{header.base_offset + record.offset_delta};
    if (!found && at_ms >= timestamp_ms && offset >= start) {
      found = TimestampOffset{at_ms, offset, epoch};
    }
    return {};
  };
  TRY(record::walk_records(header, batch, kUncompressedBytesMax, visit));
  return found;
}

}  // namespace

size_t Log::segment_index(Offset offset) const {
  auto after =
      std::upper_bound(segments_.begin(), segments_.end(), offset,
                       [](Offset wanted, const SegmentRef& s) { return wanted < s->base(); });
  CHECK(after != segments_.begin());
  return static_cast<size_t>(after - segments_.begin()) - 1;
}

Result<ReadResult> Log::read(Offset from, Offset limit, size_t bytes_max) {
  check_shard();
  for (int attempt = 0; attempt < kReadAttemptsMax; ++attempt) {
    if (offline_) return std::unexpected(*offline_);
    if (from < start_ || from > next_) {
      return fail(Errc::invalid, options_.name + ": offset " + std::to_string(from.value) +
                                     " is not within " + std::to_string(start_.value) + ".." +
                                     std::to_string(next_.value));
    }
    Offset end = std::min(limit, next_);
    if (from >= end) return ReadResult{{}, from};
    if (!tail_.empty() && from >= tail_.front().base) return read_tail(from, end, bytes_max);
    node_.observer.reached(probe(ProbeId::read_from_file));
    uint64_t truncations = truncations_;
    for (size_t i = segment_index(from); i < segments_.size(); ++i) {
      SegmentRef segment = segments_[i];  // a truncation may drop it while we wait for the disk
      auto result = read_segment(*segment, from, end, bytes_max);
      if (truncations != truncations_) break;
      if (!result) {
        return fail(result.error().code, options_.name + "/" + result.error().detail);
      }
      if (*result) return std::move(**result);
    }
    if (truncations == truncations_) return ReadResult{{}, from};
  }
  return fail(Errc::wrong_state, options_.name + ": cut again and again while it was read");
}

ReadResult Log::read_tail(Offset from, Offset limit, size_t bytes_max) const {
  auto at = std::partition_point(tail_.begin(), tail_.end(),
                                 [&](const TailBatch& batch) { return batch.next <= from; });
  CHECK(at != tail_.end());
  ReadResult result{{}, from};
  for (; at != tail_.end() && at->next <= limit; ++at) {
    if (!result.batches.empty() && result.batches.size() + at->bytes.size() > bytes_max) break;
    result.batches.append(at->bytes);
    result.next = at->next;
  }
  return result;
}

// Nothing when no batch of the segment holds or follows `from`.
Result<std::optional<ReadResult>> Log::read_segment(Segment& segment, Offset from, Offset limit,
                                                    size_t bytes_max) {
  std::optional<BatchWalker::Step> first = TRY(segment.locate(std::max(from, segment.base())));
  if (!first) return std::optional<ReadResult>();
  ReadResult result{{}, from};
  if (first->header.next_offset() > limit.value) return std::optional(std::move(result));
  uint64_t wanted = std::min(bytes_max, kReadBytesMax);
  wanted = std::min(wanted, segment.size_bytes() - first->position);
  wanted = std::max<uint64_t>(wanted, first->header.total_bytes());
  Slice bytes = TRY(segment.file().read_at(first->position, static_cast<size_t>(wanted)));
  size_t end = 0;
  while (bytes.size() - end >= record::kHeaderBytes) {
    record::BatchHeader header = record::read_header(bytes.bytes().subspan(end));
    if (auto good = record::check_header(header, INT32_MAX); !good) {
      return fail(Errc::corrupt, segment.file_name() + " at byte " +
                                     std::to_string(first->position + end) + ": " +
                                     good.error().detail);
    }
    if (header.total_bytes() > bytes.size() - end || header.next_offset() > limit.value) break;
    end += header.total_bytes();
    result.next = Offset{header.next_offset()};
  }
  if (end == 0) {
    return fail(Errc::corrupt, segment.file_name() + ": shorter than it was");
  }
  result.batches.push_back(bytes.cut(0, end));
  return std::optional(std::move(result));
}

Result<std::optional<TimestampOffset>> Log::find_in_segment(Segment& segment,
                                                            int64_t timestamp_ms) {
  uint64_t from = 0;
  if (auto entry = segment.times().lookup(timestamp_ms)) {
    from = segment.position_before(segment.base() + entry->relative_offset);
  }
  BatchWalker walker(segment.file(), from, segment.size_bytes(), kSearchChunkBytes);
  for (;;) {
    std::optional<BatchWalker::Step> step = TRY(walker.next());
    if (!step) return std::optional<TimestampOffset>();
    const record::BatchHeader& header = step->header;
    if (header.max_timestamp_ms < timestamp_ms || header.last_offset() < start_.value) continue;
    Slice batch = TRY(walker.bytes());
    std::optional<TimestampOffset> found = TRY(first_record(header, batch, timestamp_ms, start_));
    if (found) return found;
  }
}

Result<TimestampOffset> Log::find_timestamp(int64_t timestamp_ms) {
  check_shard();
  if (offline_) return std::unexpected(*offline_);
  std::vector<SegmentRef> segments = segments_;  // they may change while we wait for the disk
  for (const SegmentRef& segment : segments) {
    if (segment->max_timestamp_ms() < timestamp_ms || segment->next() <= start_) continue;
    auto found = find_in_segment(*segment, timestamp_ms);
    if (!found) {
      return fail(found.error().code,
                  options_.name + "/" + segment->file_name() + ": " + found.error().detail);
    }
    if (*found) return **found;
  }
  return TimestampOffset{};
}

Result<TimestampOffset> Log::max_timestamp() {
  check_shard();
  if (offline_) return std::unexpected(*offline_);
  int64_t newest_ms = -1;
  for (const SegmentRef& segment : segments_) {
    if (segment->next() > start_) newest_ms = std::max(newest_ms, segment->max_timestamp_ms());
  }
  if (newest_ms < 0) return TimestampOffset{};
  return find_timestamp(newest_ms);
}

}  // namespace verdict::log
