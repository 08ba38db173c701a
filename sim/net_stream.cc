#include "sim/net_stream.h"

#include <algorithm>

namespace verdict::sim {

using base::Errc;
using base::Result;
using base::Slice;
using runtime::Endpoint;
using tcp::Flow;
using tcp::SideState;

namespace {

constexpr std::string_view kLoopbackAddress = "127.0.0.1";
constexpr int kBacklogMax = 4096;

Endpoint endpoint(const tcp::Connection& c, size_t s) {
  const tcp::Side& side = c.sides[s];
  return {c.by_localhost ? std::string(kLoopbackAddress) : side.host->address, side.port};
}

bool is_numeric(std::string_view host) {
  return host.find_first_not_of("0123456789.") == std::string_view::npos && !host.empty();
}

}  // namespace

bool has_descriptor(NetCore& core, tcp::Host& host) {
  if (host.descriptor_limit == 0 || host.descriptors < host.descriptor_limit) return true;
  ++core.link(host, host).effects.accepts_exhausted;
  return false;
}

// ---------------------------------------------------------------- NetStream

NetStream::NetStream(NetCore& core, tcp::Connection& c, size_t side, runtime::Tasks& tasks)
    : ShardBound(tasks),
      core_(core),
      c_(&c),
      s_(side),
      host_(*c.sides[side].host),
      local_(endpoint(c, side)),
      peer_(endpoint(c, 1 - side)),
      readable_(*this, tasks),
      writable_(*this, tasks) {
  CHECK(c.sides[side].stream == nullptr);
  c.sides[side].stream = this;
  ++host_.descriptors;
}

NetStream::~NetStream() {
  if (c_ == nullptr) return;
  leave();
  core_.close(*std::exchange(c_, nullptr), s_);
}

void NetStream::leave() {
  CHECK(host_.descriptors > 0);
  --host_.descriptors;
}

Result<std::optional<Slice>> NetStream::try_read(size_t limit) {
  check_shard();
  CHECK(limit > 0);
  if (c_ == nullptr) return std::unexpected(error(Errc::closed));
  const Flow& in = c_->flows[1 - s_];
  if (in.received > 0) return core_.read(*c_, s_, limit);
  if (side().error) return std::unexpected(error(*side().error));
  if (in.fin_arrived) return Slice();
  return std::nullopt;
}

Result<size_t> NetStream::try_write(std::span<const Slice> slices) {
  check_shard();
  if (c_ == nullptr || side().write_shut) return std::unexpected(error(Errc::closed));
  if (side().error) return std::unexpected(error(*side().error));
  if (side().state == SideState::connecting) return size_t{0};
  return core_.write(*c_, s_, slices);
}

bool NetStream::can_read() const {
  if (c_ == nullptr || side().error) return true;
  const Flow& in = c_->flows[1 - s_];
  return in.received > 0 || in.fin_arrived;
}

bool NetStream::can_write() const {
  if (c_ == nullptr || side().error || side().write_shut) return true;
  if (side().state == SideState::connecting) return false;
  return core_.has_room(*c_, s_);
}

std::optional<Result<>> NetStream::connect_result() {
  check_shard();
  if (c_ == nullptr) return std::unexpected(error(Errc::closed));
  if (side().connected) return Result<>();
  if (side().error) return std::unexpected(error(*side().error));
  return std::nullopt;
}

void NetStream::shutdown_write() {
  check_shard();
  if (c_ != nullptr) core_.shutdown_write(*c_, s_);
}

void NetStream::abort() {
  check_shard();
  if (c_ == nullptr) return;
  leave();
  core_.abort(*std::exchange(c_, nullptr), s_);
  readable_.queue.notify_all();
  writable_.queue.notify_all();
}

// ---------------------------------------------------------------- NetListener

NetListener::NetListener(NetCore& core, tcp::Host& host, runtime::Tasks& tasks, Endpoint local,
                         int backlog, bool loopback_only)
    : ShardBound(tasks),
      core_(core),
      host_(host),
      tasks_(tasks),
      local_(std::move(local)),
      backlog_(static_cast<size_t>(std::clamp(backlog, 1, kBacklogMax))),
      loopback_only_(loopback_only),
      acceptable_(*this, tasks) {
  std::vector<NetListener*>& together = host.listeners[local_.port];
  auto at = std::find_if(together.begin(), together.end(), [&](const NetListener* other) {
    return tasks.shard() < other->tasks_.shard();
  });
  together.insert(at, this);
}

NetListener::~NetListener() {
  if (!closed_) core_.close_listener(*this);
}

Result<std::unique_ptr<runtime::Stream>> NetListener::try_accept() {
  check_shard();
  if (closed_) return base::fail(Errc::closed, "listener " + local_.to_string());
  if (queue_.empty()) return nullptr;
  if (!has_descriptor(core_, host_)) {
    return base::fail(Errc::exhausted, "accept at " + local_.to_string());
  }
  tcp::Connection& c = *queue_.pop_front();
  auto stream = std::make_unique<NetStream>(core_, c, 1, tasks_);
  core_.accepted(c);
  return stream;
}

void NetListener::close() {
  check_shard();
  if (closed_) return;
  core_.close_listener(*this);
  acceptable_.queue.notify_all();
}

void NetListener::arrived(tcp::Connection& c) {
  expect_no_more();
  queue_.push_back(&c);
  acceptable_.queue.notify_all();
}

void NetListener::detach() {
  closed_ = true;
  expected_ = 0;
  queue_.reset();
}

// ---------------------------------------------------------------- NodeNetwork

Result<std::unique_ptr<runtime::Listener>> NodeNetwork::listen(const Endpoint& at,
                                                               runtime::ListenOptions options) {
  check_shard();
  bool loopback_only = at.host == kLoopbackAddress || at.host == "localhost";
  bool here = loopback_only || at.host.empty() || at.host == "0.0.0.0" ||
              at.host == host_.address || at.host == host_.name;
  if (!here) return base::fail(Errc::unreachable, at.host + " is not an address of this node");
  Endpoint local = at;
  if (local.port == 0) local.port = core_.take_port(host_);
  if (local.port == 0) return base::fail(Errc::exhausted, "ports");
  // Other shards of this process may listen at the same port.
  if (auto there = host_.listeners.find(local.port); there != host_.listeners.end()) {
    for (const NetListener* other : there->second) {
      if (other->shard() == tasks_.shard() || other->loopback_only() != loopback_only) {
        return base::fail(Errc::address_in_use, local.to_string());
      }
    }
  }
  core_.kernel().record(*host_.node, EventKind::net_listen, tasks_.path(), local.port, 0);
  return std::make_unique<NetListener>(core_, host_, tasks_, std::move(local), options.backlog,
                                       loopback_only);
}

Result<std::unique_ptr<runtime::Stream>> NodeNetwork::begin_connect(const Endpoint& to) {
  check_shard();
  if (!is_numeric(to.host)) {
    return base::fail(Errc::invalid, "'" + to.host + "' is not a numeric address");
  }
  tcp::Host* target = core_.find_address(host_, to.host);
  if (target == nullptr) return base::fail(Errc::unreachable, to.to_string());
  if (!has_descriptor(core_, host_)) {
    return base::fail(Errc::exhausted, "connect to " + to.to_string());
  }
  tcp::Connection& c = core_.begin_connect(host_, *target, to.port, to.host == kLoopbackAddress);
  return std::make_unique<NetStream>(core_, c, 0, tasks_);
}

Result<std::vector<std::string>> NodeNetwork::resolve(const std::string& host,
                                                      runtime::Instant deadline) {
  check_shard();
  if (is_numeric(host)) return std::vector<std::string>{host};
  if (host == "localhost") return std::vector<std::string>{std::string(kLoopbackAddress)};
  auto range = static_cast<uint64_t>(core_.options().resolve_max_ns) + 1;
  auto delay = static_cast<int64_t>(core_.kernel().choices().draw(host_.resolve, range));
  if (delay > 0) {
    runtime::Instant answer = core_.kernel().now(tasks_) + runtime::nanoseconds(delay);
    runtime::WaitQueue nobody_notifies(tasks_);
    runtime::Wake wake = nobody_notifies.wait(std::min(answer, deadline));
    if (wake == runtime::Wake::cancelled || answer > deadline) {
      return std::unexpected(runtime::to_result(wake, "resolve").error());
    }
  }
  tcp::Host* found = core_.find_name(host_, host);
  if (found == nullptr) return base::fail(Errc::not_found, "host " + host);
  return std::vector<std::string>{found->address};
}

}  // namespace verdict::sim
