#pragma once
// TcpListener: a listening socket and the connections that wait in it.

#include <memory>

#include "broker/io/descriptor.h"
#include "broker/io/poller.h"
#include "broker/io/readiness.h"
#include "broker/io/stream.h"
#include "broker/runtime/network.h"

namespace verdict::io {

class TcpListener final : public runtime::Listener, public runtime::ShardBound, private Pollable {
 public:
  // Port 0 takes a free one; an empty host means all addresses of this machine.
  static base::Result<std::unique_ptr<TcpListener>> create(runtime::Tasks& tasks, Poller& poller,
                                                           ReceiveBuffers& buffers,
                                                           const runtime::Endpoint& at,
                                                           runtime::ListenOptions options);

  base::Result<std::unique_ptr<runtime::Stream>> try_accept() override;
  runtime::Waitable& acceptable() override { return acceptable_; }
  runtime::Endpoint local() const override { return local_; }
  void close() override;

 private:
  TcpListener(runtime::Tasks& tasks, Poller& poller, ReceiveBuffers& buffers, Descriptor fd);
  void on_events(uint32_t events) override;

  runtime::Tasks& tasks_;
  Poller& poller_;
  ReceiveBuffers& buffers_;
  Descriptor fd_;
  runtime::Endpoint local_;
  Readiness acceptable_;
};

}  // namespace verdict::io
