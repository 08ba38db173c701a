#pragma once
// Loop: the real world for one node. Its fibers run on the thread that calls run(); its network is
// this machine's TCP, its data a directory of this machine, its time the kernel's.
//
// Invariants:
//   - all fibers of a node run on one thread, and so do all its objects; other threads exist only
//     inside this room and touch nothing of a node;
//   - a fiber that never waits does not keep the loop from I/O and timers longer than
//     kFibersPerTurn resumes;
//   - an idle loop sleeps in the kernel.

#include <memory>
#include <string>

#include "broker/base/function.h"
#include "broker/base/result.h"
#include "broker/runtime/node.h"

namespace verdict::io {

struct Options {
  // Root of Node::data; created, with its parents, when absent.
  std::string data_directory;
  // Off: other processes may have it open as well. For a client, which keeps no data.
  bool data_is_ours = true;
  // Threads for syncs, cold reads and whatever else may wait for the disk.
  int offload_threads = 4;
  // Log events below it go nowhere.
  runtime::Severity log_level = runtime::Severity::info;
  // Off: log events go nowhere at all.
  bool log_to_stderr = true;
  // SIGTERM and SIGINT set Node::stop instead of ending the process. For the one loop of a program,
  // made before the program starts threads of its own.
  bool handle_signals = false;
  // There is one shard so far; anything else is refused.
  uint32_t shards = 1;
  runtime::KnobValues knobs;
#if VERDICT_EXHIBITS
  std::optional<runtime::Exhibit> exhibit;
#endif
};

class Loop {
 public:
  // invalid: an option makes no sense. Otherwise what the data directory or the kernel said.
  static base::Result<std::unique_ptr<Loop>> create(Options options);

  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // Streams, listeners and files of this loop are gone by then.
  ~Loop();

  // Runs `main` as the root fiber of a node until it and everything it started has ended. It may be
  // called again, on the same thread: the node boots again on the same data, with Node::stop not
  // set.
  void run(base::UniqueFunction<void(runtime::Node&)> main);

  // Ends the node as a crash of its process would: its fibers unwind by FiberKilled, children
  // first, what was written to its files stays, its sockets close. In a fiber of this node this
  // call does not return; run() returns soon after it.
  void kill();

  // Sets Node::stop. May be called from any thread.
  void request_stop();

 private:
  class Impl;
  explicit Loop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace verdict::io
