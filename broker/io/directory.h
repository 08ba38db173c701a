#pragma once
// DiskDirectory: one directory of this machine. Names are looked up below its descriptor and never
// through symbolic links, so that nothing outside can be reached. All of it runs on the pool.

#include <functional>
#include <string>

#include "broker/io/descriptor.h"
#include "broker/io/offload_pool.h"
#include "broker/runtime/file.h"

namespace verdict::io {

class DiskDirectory final : public runtime::Directory, public runtime::ShardBound {
 public:
  // The directory at `path`, made durably with its parents where absent. With
  // `exclusive` it is this descriptor's alone: wrong_state while another such one of here or of
  // another process is open. On the calling thread.
  static base::Result<Descriptor> open_root(const std::string& path, bool exclusive);

  DiskDirectory(runtime::Tasks& tasks, OffloadPool& pool, Descriptor fd, std::string name);

  base::Result<std::unique_ptr<runtime::File>> open(std::string_view name,
                                                    runtime::OpenMode mode) override;
  base::Result<std::unique_ptr<runtime::Directory>> subdirectory(std::string_view name,
                                                                 runtime::OpenMode mode) override;
  base::Result<std::vector<runtime::DirectoryEntry>> list() override;
  base::Result<> rename(std::string_view from, std::string_view to) override;
  base::Result<> remove(std::string_view name) override;
  base::Result<> sync() override;
  base::Result<runtime::Space> space() override;

 private:
  std::string path_of(std::string_view name) const;
  // Runs `call`, which returns 0 or an errno, on the pool.
  int offload(std::function<int()> call);

  runtime::Tasks& tasks_;
  OffloadPool& pool_;
  Descriptor fd_;
  std::string name_;  // for messages
};

}  // namespace verdict::io
