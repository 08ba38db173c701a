#pragma once
// TcpNetwork: this machine's TCP.

#include "broker/io/listener.h"
#include "broker/io/poller.h"
#include "broker/io/resolver.h"
#include "broker/io/stream.h"
#include "broker/runtime/network.h"

namespace verdict::io {

class TcpNetwork final : public runtime::Network {
 public:
  TcpNetwork(runtime::Tasks& tasks, Poller& poller, Resolver& resolver)
      : tasks_(tasks), poller_(poller), resolver_(resolver) {}

  base::Result<std::unique_ptr<runtime::Listener>> listen(const runtime::Endpoint& at,
                                                          runtime::ListenOptions options) override;
  // What is wrong with the way to `to` is told by connect_result(), also when it is known at once.
  base::Result<std::unique_ptr<runtime::Stream>> begin_connect(
      const runtime::Endpoint& to) override;
  base::Result<std::vector<std::string>> resolve(const std::string& host,
                                                 runtime::Instant deadline) override;

 private:
  runtime::Tasks& tasks_;
  Poller& poller_;
  Resolver& resolver_;
  ReceiveBuffers buffers_;
};

}  // namespace verdict::io
