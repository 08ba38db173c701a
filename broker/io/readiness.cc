#include "broker/io/readiness.h"

#include <poll.h>

#include "broker/base/check.h"

namespace verdict::io {

bool Readiness::ready() const {
  if (held_) return true;
  if (state_ == State::unknown) {
    CHECK(fd_ >= 0);
    pollfd question{fd_, poll_events_, 0};
    int answers = ::poll(&question, 1, 0);
    // No answer: then the call itself has to tell.
    if (answers < 0) return true;
    state_ = answers > 0 ? State::ready : State::drained;
  }
  return state_ != State::drained;
}

void Readiness::set_ready() {
  if (state_ != State::ready_forever) state_ = State::ready;
  queue.notify_all();
}

void Readiness::set_ready_forever() {
  state_ = State::ready_forever;
  queue.notify_all();
}

void Readiness::set_unknown() {
  if (state_ != State::ready_forever) state_ = State::unknown;
}

void Readiness::set_drained() {
  if (state_ != State::ready_forever) state_ = State::drained;
}

}  // namespace verdict::io
