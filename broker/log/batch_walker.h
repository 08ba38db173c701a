#pragma once
// BatchWalker: goes from batch to batch through a part of a segment's file, reading in chunks.
//
// Follows only headers that make sense; whether the bytes behind them are whole is asked for with
// crc_fits(). Needs memory for one chunk, whatever the batches claim.

#include <cstdint>
#include <optional>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/record/batch.h"
#include "broker/runtime/file.h"

namespace verdict::log {

class BatchWalker {
 public:
  struct Step {
    uint64_t position;
    record::BatchHeader header;
    uint64_t end() const { return position + header.total_bytes(); }
  };

  // Walks [from, end) of `file`, `chunk_bytes` at a time.
  BatchWalker(runtime::File& file, uint64_t from, uint64_t end, size_t chunk_bytes);

  // The next batch; nothing at the end. corrupt when the bytes are no batch or it reaches beyond
  // the end: position() is then the first byte that is not part of a batch.
  base::Result<std::optional<Step>> next();
  // Whether the checksum of the batch that next() returned last fits its bytes.
  base::Result<bool> crc_fits();
  // All bytes of that batch.
  base::Result<base::Slice> bytes();
  // Where the next batch begins.
  uint64_t position() const { return position_; }

 private:
  // `n` bytes at `at`, from the chunk or a new one; `n` is at most the chunk.
  base::Result<base::Slice> read(uint64_t at, size_t n);

  runtime::File& file_;
  uint64_t position_;
  uint64_t end_;
  size_t chunk_bytes_;
  base::Slice chunk_;
  uint64_t chunk_from_ = 0;
  std::optional<Step> last_;
};

}  // namespace verdict::log
