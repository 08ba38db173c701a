#pragma once
// DiskFile: one open file of this machine.
//
// What the page cache answers at once runs on the loop: appends and reads of cached bytes, up to
// kOnLoopBytesMax each. Everything else waits for the disk and runs on the pool.

#include <string>

#include "broker/io/descriptor.h"
#include "broker/io/offload_pool.h"
#include "broker/runtime/file.h"

namespace verdict::io {

class DiskFile final : public runtime::File, public runtime::ShardBound {
 public:
  static constexpr size_t kOnLoopBytesMax = 1U << 20;

  // Where reads were answered.
  struct Counters {
    uint64_t reads_on_loop = 0;
    uint64_t reads_offloaded = 0;
  };

  // `fd` is a regular file that has `size` bytes. `name` is for messages.
  DiskFile(runtime::Tasks& tasks, OffloadPool& pool, Descriptor fd, std::string name,
           uint64_t size);
  ~DiskFile() override;

  base::Result<base::Slice> read_at(uint64_t offset, size_t n) override;
  base::Result<> write_at(uint64_t offset, std::span<const base::Slice> slices) override;
  base::Result<> sync() override;
  base::Result<> truncate(uint64_t size) override;
  uint64_t size() const override;

  const Counters& counters() const { return counters_; }

 private:
  base::Result<size_t> read_cached(uint64_t offset, std::span<std::byte> out);

  runtime::Tasks& tasks_;
  OffloadPool& pool_;
  Descriptor fd_;
  std::string name_;
  mutable uint64_t size_seen_;         // what the file had when last asked; others may write it too
  bool reads_without_waiting_ = true;  // the file system can say "not cached"
  uint64_t truncates_ = 0;
  uint64_t truncates_synced_ = 0;
  Counters counters_;
};

}  // namespace verdict::io
