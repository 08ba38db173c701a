#include "broker/io/signals.h"

#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "broker/base/check.h"
#include "broker/io/system_error.h"

namespace verdict::io {

using base::Result;

void ignore_sigpipe() {
  struct sigaction action{};
  CHECK(sigaction(SIGPIPE, nullptr, &action) == 0);
  if (action.sa_handler != SIG_DFL) return;
  action.sa_handler = SIG_IGN;
  CHECK(sigaction(SIGPIPE, &action, nullptr) == 0);
}

Result<std::unique_ptr<StopRequest>> StopRequest::create(Poller& poller, bool handle_signals,
                                                         base::UniqueFunction<void()> on_stop) {
  std::unique_ptr<StopRequest> stop(new StopRequest(std::move(on_stop)));
  stop->requests_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop->requests_.valid()) return std::unexpected(socket_error(errno, "eventfd", ""));
  TRY(poller.add(stop->requests_.get(), *stop));
  if (!handle_signals) return stop;
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGTERM);
  sigaddset(&taken, SIGINT);
  Descriptor signals(signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return std::unexpected(socket_error(errno, "signalfd", ""));
  TRY(poller.add(signals.get(), *stop));
  CHECK(pthread_sigmask(SIG_BLOCK, &taken, &stop->mask_before_) == 0);
  stop->signals_ = std::move(signals);
  return stop;
}

StopRequest::~StopRequest() {
  if (!signals_.valid()) return;
  CHECK(pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr) == 0);
}

void StopRequest::request() { CHECK(eventfd_write(requests_.get(), 1) == 0 || errno == EAGAIN); }

void StopRequest::on_events(uint32_t) {
  eventfd_t requests = 0;
  bool stop = eventfd_read(requests_.get(), &requests) == 0;
  signalfd_siginfo signal{};
  while (signals_.valid() && read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
    stop = true;
  }
  if (stop) on_stop_();
}

}  // namespace verdict::io
