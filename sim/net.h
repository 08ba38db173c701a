#pragma once
// The network of the world: TCP between nodes, with latency, bandwidth, bounded windows, and every
// way in which networks and the machines behind them fail.
//
// Invariants:
//   - the bytes of one direction arrive in order, once and without gap, or the connection ends;
//   - bytes that were taken from a writer and whose room it has not got back never exceed the
//     window of that direction;
//   - payload is handed on as slices, never copied; a write costs at most one kernel event;
//   - a connection draws only from choice points of its own, named by its ordered link and its
//     ordinal there, so what happens between other nodes changes nothing here.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "broker/runtime/network.h"
#include "sim/kernel.h"

namespace verdict::sim {

struct NetOptions {
  int64_t latency_min_ns = 50'000;
  int64_t latency_jitter_ns = 450'000;
  uint64_t tail_permille = 1;        // of writes whose packet is late
  int64_t tail_max_ns = 50'000'000;  // by at most this
  int64_t loopback_latency_ns = 5'000;
  int64_t loopback_jitter_ns = 15'000;
  int64_t bandwidth_bytes_per_s = 1'000'000'000;
  int64_t loopback_bandwidth_bytes_per_s = 10'000'000'000;
  uint64_t window_min_bytes = 16 * 1024;  // drawn per direction
  uint64_t window_max_bytes = 1024 * 1024;
  uint64_t short_read_permille = 20;
  // After a path works again, bytes that it held wait this long to be sent again; no longer than
  // they had been held when that is more than the minimum.
  int64_t retransmit_min_ns = 200'000'000;
  int64_t retransmit_max_ns = 3'000'000'000;
  // A side whose bytes are not acknowledged for so long gives up: timed_out.
  int64_t user_timeout_ns = 30'000'000'000;
  // A connect without answer tries again after this, doubling each time.
  int64_t connect_retry_ns = 1'000'000'000;
  uint32_t connect_attempts_max = 7;  // then timed_out
  int64_t resolve_max_ns = 2'000'000;
};

// What faults really did: each kind of fault counts in a field of its own only what it changed.
struct NetEffects {
  uint64_t bytes_held = 0;         // cut or powerless machine: arrived late or never
  uint64_t acks_held = 0;          // cut: releases of window that came late or never
  uint64_t connects_held = 0;      // cut or powerless machine: attempts without answer
  uint64_t timeouts = 0;           // sides that gave up on bytes so held
  uint64_t connects_hung = 0;      // hang_connects: attempts without answer
  uint64_t connects_refused = 0;   // refuse_connects
  uint64_t accept_overflows = 0;   // limit_backlog: attempts dropped or refused
  uint64_t resets_hit_open = 0;    // reset_connections: sides whose program had the stream open
  uint64_t sides_forgotten = 0;    // half_open: likewise
  uint64_t short_reads = 0;        // set_short_reads
  uint64_t bytes_delayed = 0;      // slow_link
  uint64_t accepts_exhausted = 0;  // limit_descriptors: accepts and connects that failed

  NetEffects& operator+=(const NetEffects& other);
  auto operator<=>(const NetEffects&) const = default;
};

struct SlowLink {
  int64_t extra_latency_ns = 0;
  int64_t bandwidth_bytes_per_s = 0;  // 0: as before
};

class NetCore;

// Every method is called on the main stack.
class Net {
 public:
  Net(Kernel& kernel, NetOptions options);
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;
  // All networks that attach() gave out are gone before.
  ~Net();

  // ---- nodes
  // The node's address is 10.0.0.<index + 1>; `name` resolves to it. "localhost" and 127.0.0.1 are
  // the node itself.
  void register_node(KernelNode& node, std::string_view name);
  std::string address(const KernelNode& node) const;
  // The network of one shard of the node's present incarnation.
  std::unique_ptr<runtime::Network> attach(KernelNode& node, runtime::Tasks& tasks);

  // ---- life of nodes
  // The process is over, its fibers unwind next: the machine closes what was open. Peers get FIN,
  // or RST where bytes lie unread; listeners are gone. What fibers still do reaches nobody.
  void process_ended(KernelNode& node);
  // The machine is gone: peers hear nothing, what is sent to it stays unacknowledged.
  void power_lost(KernelNode& node);
  // The machine answers again: RST to whatever belongs to a connection from before.
  void power_back(KernelNode& node);

  // ---- faults. Loopback is never cut or slow.
  // Bytes, acknowledgements and connects from `from` to `to` do not pass until heal().
  void cut(KernelNode& from, KernelNode& to);
  void heal(KernelNode& from, KernelNode& to);
  bool is_cut(const KernelNode& from, const KernelNode& to) const;
  // What is written from now on goes slower; the default SlowLink restores the link.
  void slow_link(KernelNode& from, KernelNode& to, SlowLink slow);
  // Both sides of every connection of `a` with `b` (null: with anybody) get reset. Returns how many
  // connections that were.
  size_t reset_connections(KernelNode& a, KernelNode* b = nullptr);
  // `a` forgets its connections with `b` (null: with anybody), and the other sides are not told.
  size_t half_open(KernelNode& a, KernelNode* b = nullptr);
  // New connections to `node` are refused; or get no answer.
  void refuse_connects(KernelNode& node, bool on);
  void hang_connects(KernelNode& node, bool on);
  // Listeners of `node` queue at most `limit` connections, whatever they asked for; 0 lifts it.
  void limit_backlog(KernelNode& node, uint32_t limit);
  // The programs of `node` can have at most `limit` streams open; 0 lifts it.
  void limit_descriptors(KernelNode& node, uint32_t limit);
  // Reads of `node` are short with this probability; kShortReadsAsOptions restores it.
  static constexpr uint64_t kShortReadsAsOptions = UINT64_MAX;
  void set_short_reads(KernelNode& node, uint64_t permille);

  // ---- what happened
  NetEffects effects() const;  // of all links together
  // Of what went, or would have gone, from `from` to `to`.
  NetEffects effects(const KernelNode& from, const KernelNode& to) const;

  // ---- inspection
  // Connections of which at least one side is open in a program or waits to be accepted.
  size_t open_connections() const;
  size_t open_connections(const KernelNode& a, const KernelNode& b) const;
  // Bytes written and not yet read, in flight or unread, over all connections.
  uint64_t bytes_on_the_way() const;

 private:
  std::unique_ptr<NetCore> core_;
};

}  // namespace verdict::sim
