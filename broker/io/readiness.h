#pragma once
// Readiness: what is known of one direction of a descriptor, as a condition to wait for.
//
// An event makes it `ready`; a call that found or left nothing makes it `drained`; a call that may
// have left something makes it `unknown`, and whoever asks then asks the kernel. Because events are
// edges, `drained` is only set after a call that the kernel answered with less than was asked for.

#include <cstdint>

#include "broker/runtime/wait.h"

namespace verdict::io {

class Readiness final : public runtime::Waitable {
 public:
  // `poll_events` is what poll(2) calls this direction.
  Readiness(runtime::Tasks& tasks, int fd, int16_t poll_events)
      : Waitable(tasks), fd_(fd), poll_events_(poll_events) {}

  bool ready() const override;
  // A call now would certainly find nothing.
  bool drained() const { return state_ == State::drained; }

  // Notifies who waits.
  void set_ready();
  // Ready for good: the end, an error.
  void set_ready_forever();
  void set_unknown();
  void set_drained();
  // Ready whatever the kernel says, for as long as its owner holds something already.
  void set_held(bool held) { held_ = held; }
  // The descriptor is closed; what is known stays.
  void forget_descriptor() { fd_ = -1; }

 private:
  enum class State : uint8_t { unknown, ready, drained, ready_forever };
  int fd_;
  int16_t poll_events_;
  bool held_ = false;
  mutable State state_ = State::unknown;  // ready() may learn
};

}  // namespace verdict::io
