#pragma once
// The seam's Stream, Listener and Network over NetCore: what the programs of a node hold.
//
// Invariant: when the process has ended, nothing that these objects do reaches NetCore.

#include <memory>

#include "broker/runtime/network.h"
#include "broker/runtime/scheduler.h"
#include "sim/net_core.h"

namespace verdict::sim {

class NetStream final : public runtime::Stream, private runtime::ShardBound {
 public:
  NetStream(NetCore& core, tcp::Connection& c, size_t side, runtime::Tasks& tasks);
  ~NetStream() override;

  base::Result<std::optional<base::Slice>> try_read(size_t limit) override;
  base::Result<size_t> try_write(std::span<const base::Slice> slices) override;
  runtime::Waitable& readable() override { return readable_; }
  runtime::Waitable& writable() override { return writable_; }
  std::optional<base::Result<>> connect_result() override;
  void shutdown_write() override;
  void abort() override;
  runtime::Endpoint local() const override { return local_; }
  runtime::Endpoint peer() const override { return peer_; }

  // The process has ended, or the machine has lost power.
  void detach() { c_ = nullptr; }

 private:
  struct Readable final : runtime::Waitable {
    Readable(NetStream& s, runtime::Tasks& tasks) : Waitable(tasks), stream(s) {}
    bool ready() const override { return stream.can_read(); }
    NetStream& stream;
  };
  struct Writable final : runtime::Waitable {
    Writable(NetStream& s, runtime::Tasks& tasks) : Waitable(tasks), stream(s) {}
    bool ready() const override { return stream.can_write(); }
    NetStream& stream;
  };
  bool can_read() const;
  bool can_write() const;
  const tcp::Side& side() const { return c_->sides[s_]; }
  base::Error error(base::Errc code) const {
    return {code, "connection with " + peer_.to_string()};
  }
  void leave();

  NetCore& core_;
  tcp::Connection* c_;  // null when aborted or detached
  size_t s_;
  tcp::Host& host_;
  runtime::Endpoint local_;
  runtime::Endpoint peer_;
  Readable readable_;
  Writable writable_;
};

class NetListener final : public runtime::Listener, private runtime::ShardBound {
 public:
  NetListener(NetCore& core, tcp::Host& host, runtime::Tasks& tasks, runtime::Endpoint local,
              int backlog, bool loopback_only);
  ~NetListener() override;

  base::Result<std::unique_ptr<runtime::Stream>> try_accept() override;
  runtime::Waitable& acceptable() override { return acceptable_; }
  runtime::Endpoint local() const override { return local_; }
  void close() override;

  // ---- for NetCore
  base::ShardId shard() const { return tasks_.shard(); }
  bool loopback_only() const { return loopback_only_; }
  // Connections that shake hands or wait to be accepted.
  size_t waiting() const { return expected_ + queue_.size(); }
  size_t limit(uint32_t forced) const { return forced > 0 ? forced : backlog_; }
  void expect() { ++expected_; }
  void expect_no_more() {
    CHECK(expected_ > 0);
    --expected_;
  }
  void arrived(tcp::Connection& c);
  // Nothing comes any more; the queue is the caller's to end.
  void detach();
  tcp::Host& host() { return host_; }

 private:
  struct Acceptable final : runtime::Waitable {
    Acceptable(NetListener& l, runtime::Tasks& tasks) : Waitable(tasks), listener(l) {}
    bool ready() const override { return listener.closed_ || !listener.queue_.empty(); }
    NetListener& listener;
  };

  NetCore& core_;
  tcp::Host& host_;
  runtime::Tasks& tasks_;
  runtime::Endpoint local_;
  size_t backlog_;
  bool loopback_only_;
  bool closed_ = false;
  size_t expected_ = 0;
  tcp::Ring<tcp::Connection*> queue_;
  Acceptable acceptable_;
};

class NodeNetwork final : public runtime::Network, private runtime::ShardBound {
 public:
  NodeNetwork(NetCore& core, tcp::Host& host, runtime::Tasks& tasks)
      : ShardBound(tasks), core_(core), host_(host), tasks_(tasks) {}

  base::Result<std::unique_ptr<runtime::Listener>> listen(const runtime::Endpoint& at,
                                                          runtime::ListenOptions options) override;
  base::Result<std::unique_ptr<runtime::Stream>> begin_connect(
      const runtime::Endpoint& to) override;
  base::Result<std::vector<std::string>> resolve(const std::string& host,
                                                 runtime::Instant deadline) override;

 private:
  NetCore& core_;
  tcp::Host& host_;
  runtime::Tasks& tasks_;
};

// Whether the programs of `host` may open one more stream.
bool has_descriptor(NetCore& core, tcp::Host& host);

}  // namespace verdict::sim
