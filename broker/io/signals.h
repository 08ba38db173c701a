#pragma once
// StopRequest: SIGTERM, SIGINT and requests of other threads, turned into one call on the loop.

#include <atomic>
#include <csignal>
#include <memory>

#include "broker/base/function.h"
#include "broker/base/result.h"
#include "broker/io/descriptor.h"
#include "broker/io/poller.h"

namespace verdict::io {

// A peer or a reader that went away is an error of a call and not the end of the process. Leaves a
// handler of the program's own alone.
void ignore_sigpipe();

class StopRequest final : private Pollable {
 public:
  // `on_stop` is called on the main stack, once for every request. With `handle_signals` both
  // signals are taken from the calling thread, and from every thread started after this.
  static base::Result<std::unique_ptr<StopRequest>> create(Poller& poller, bool handle_signals,
                                                           base::UniqueFunction<void()> on_stop);
  // Gives the signals back.
  ~StopRequest();

  // From any thread.
  void request();

 private:
  explicit StopRequest(base::UniqueFunction<void()> on_stop) : on_stop_(std::move(on_stop)) {}
  void on_events(uint32_t events) override;

  base::UniqueFunction<void()> on_stop_;
  Descriptor requests_;  // eventfd
  Descriptor signals_;   // signalfd, when signals are handled
  sigset_t mask_before_{};
};

}  // namespace verdict::io
