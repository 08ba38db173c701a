#include "broker/log/batch_walker.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/crc32c.h"

namespace verdict::log {

using base::Errc;
using base::fail;
using base::Result;
using base::Slice;

BatchWalker::BatchWalker(runtime::File& file, uint64_t from, uint64_t end, size_t chunk_bytes)
    : file_(file), position_(from), end_(end), chunk_bytes_(chunk_bytes) {
  CHECK(from <= end);
  CHECK(chunk_bytes >= record::kHeaderBytes);
}

Result<Slice> BatchWalker::read(uint64_t at, size_t n) {
  CHECK(n <= chunk_bytes_);
  CHECK(at + n <= end_);
  if (at < chunk_from_ || at + n > chunk_from_ + chunk_.size()) {
    size_t wanted = static_cast<size_t>(std::min<uint64_t>(chunk_bytes_, end_ - at));
    chunk_ = TRY(file_.read_at(at, wanted));
    chunk_from_ = at;
    if (chunk_.size() < n) return fail(Errc::corrupt, "the file is shorter than it was");
  }
  return chunk_.cut(static_cast<size_t>(at - chunk_from_), n);
}

Result<std::optional<BatchWalker::Step>> BatchWalker::next() {
  last_.reset();
  if (position_ == end_) return std::optional<Step>();
  uint64_t left = end_ - position_;
  if (left < record::kHeaderBytes) return fail(Errc::corrupt, "torn in the header");
  Slice bytes = TRY(read(position_, record::kHeaderBytes));
  Step step{position_, record::read_header(bytes.bytes())};
  // No segment is larger, and so no batch.
  constexpr uint64_t kBatchBytesMax = INT32_MAX;
  size_t bytes_max = static_cast<size_t>(std::min(left, kBatchBytesMax));
  TRY(record::check_header(step.header, bytes_max));
  CHECK(step.header.total_bytes() >= record::kHeaderBytes);
  CHECK(step.end() <= end_);
  position_ = step.end();
  last_ = step;
  return std::optional<Step>(step);
}

Result<bool> BatchWalker::crc_fits() {
  CHECK(last_.has_value());
  uint32_t crc = 0;
  uint64_t at = last_->position + record::kCrcStart;
  while (at < last_->end()) {
    // What is left of the chunk first, so that a batch across two chunks is read once.
    uint64_t in_chunk = at >= chunk_from_ && at < chunk_from_ + chunk_.size()
                            ? chunk_from_ + chunk_.size() - at
                            : chunk_bytes_;
    size_t n = static_cast<size_t>(std::min(in_chunk, last_->end() - at));
    Slice part = TRY(read(at, n));
    crc = base::crc32c(crc, part.bytes());
    at += n;
  }
  return crc == last_->header.crc;
}

Result<Slice> BatchWalker::bytes() {
  CHECK(last_.has_value());
  size_t n = last_->header.total_bytes();
  if (n <= chunk_bytes_) {
    Slice whole = TRY(read(last_->position, n));
    return whole;
  }
  if (n > base::MutableBuffer::kBytesMax) return fail(Errc::too_large, "batch in a file");
  Slice whole = TRY(file_.read_at(last_->position, n));
  if (whole.size() < n) return fail(Errc::corrupt, "the file is shorter than it was");
  return whole;
}

}  // namespace verdict::log
