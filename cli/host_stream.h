#pragma once
// HostStream: one of the process's own streams (standard input, a file, standard output), read or
// written by a fiber while the loop goes on.
//
// Invariants: the kernel is asked in slices of kSliceMs at most, so an interrupt is seen soon, also
// when a terminal says nothing or a pipe takes nothing; an interrupt never cuts what a reader of
// standard output still takes.

#include <cstddef>
#include <string>
#include <string_view>

#include "broker/base/result.h"
#include "broker/runtime/scheduler.h"

namespace verdict::cli {

class HostStream {
 public:
  static constexpr int kSliceMs = 200;
  static constexpr size_t kReadBytes = 64U * 1024;
  // What a pipe that is ready to be written takes without blocking (PIPE_BUF).
  static constexpr size_t kWriteBytes = 4'096;

  // `fd` stays with the caller. `interrupted` is looked at between two slices.
  HostStream(runtime::Tasks& tasks, int fd, const bool& interrupted)
      : tasks_(tasks), fd_(fd), interrupted_(interrupted) {}

  // Up to kReadBytes; empty at the end. cancelled after an interrupt, io.
  base::Result<std::string> read_some();
  // closed when the reader went away, cancelled when it takes nothing after an interrupt, io.
  base::Result<> write_all(std::string_view bytes);

 private:
  runtime::Tasks& tasks_;
  const int fd_;
  const bool& interrupted_;
};

}  // namespace verdict::cli
