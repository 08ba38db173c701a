#pragma once
// NetCore: moves connections. Streams and listeners of programs call it on fibers, the kernel's
// events and Net on the main stack.
//
// Invariants:
//   - a connection is recycled only by settle(), the last step of every entry into this class;
//   - an event carries the generation of its connection, so one that comes too late does nothing;
//   - every walk over connections is in the order in which they were begun.

#include <memory>
#include <span>
#include <vector>

#include "sim/net_connection.h"

namespace verdict::sim {

class NetCore final : public EventTarget {
 public:
  using Connection = tcp::Connection;
  using Host = tcp::Host;
  using Link = tcp::Link;

  NetCore(Kernel& kernel, const NetOptions& options);
  ~NetCore() override;

  Kernel& kernel() { return kernel_; }
  const NetOptions& options() const { return options_; }

  // ---- machines
  Host& add_host(KernelNode& node, std::string_view name);
  Host& host(const KernelNode& node);
  // The machine that `address` or `name` means to `from`, null when there is none.
  Host* find_address(Host& from, std::string_view address);
  Host* find_name(Host& from, std::string_view name);
  Link& link(const Host& from, const Host& to);
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }
  uint16_t take_port(Host& host);

  // ---- what programs do, side `s` of `c`
  Connection& begin_connect(Host& from, Host& to, uint16_t port, bool by_localhost);
  size_t write(Connection& c, size_t s, std::span<const base::Slice> slices);
  base::Slice read(Connection& c, size_t s, size_t limit);
  // Whether side `s` has room to write; if not, its stream is notified when it has.
  bool has_room(Connection& c, size_t s);
  void shutdown_write(Connection& c, size_t s);
  // The program's end is gone: FIN after what was written, RST when bytes lie unread.
  void close(Connection& c, size_t s);
  void abort(Connection& c, size_t s);
  void accepted(Connection& c);
  // Ends what waits for `listener`.
  void close_listener(NetListener& listener);

  // ---- life and faults; see Net
  void process_ended(Host& host);
  void power_lost(Host& host);
  void power_back(Host& host);
  void cut(Host& from, Host& to);
  void heal(Host& from, Host& to);
  void slow_link(Host& from, Host& to, SlowLink slow);
  size_t reset_connections(Host& a, const Host* b);
  size_t half_open(Host& a, const Host* b);
  size_t open_connections(const Host* a, const Host* b);
  uint64_t bytes_on_the_way();

  void on_event(uint64_t argument) override;

 private:
  enum class Kind : uint8_t {
    arrive,
    window,
    retransmit,
    acks,
    timeout,
    syn,
    syn_retry,
    syn_ack,
    refused,
  };
  static constexpr uint64_t kSlotBits = 20;
  static constexpr uint64_t kKindBits = 4;
  static constexpr uint64_t kConnectionsMax = 1U << kSlotBits;

  // Connections
  Connection& create(Host& from, Host& to, uint16_t port);
  // Recycles `c` once no program can see it.
  void settle(Connection& c);
  void schedule(int64_t at_ns, const Connection& c, Kind kind, size_t d);
  template <class Visit>
  void for_each(Visit visit);

  // Handshake
  void send_syn(Connection& c);
  void retry_syn(Connection& c);
  void on_syn(Connection& c);
  void on_syn_retry(Connection& c);
  void on_syn_ack(Connection& c);
  void on_refused(Connection& c);
  void refuse(Connection& c);
  void overflow(Connection& c);
  void connected(Connection& c);
  void handshake_done(Connection& c);
  void leave_listener(Connection& c);

  // Wire
  bool path_blocked(const Connection& c, size_t d) const;
  bool ack_path_cut(const Connection& c, size_t d) const;
  int64_t draw_latency(Connection& c, size_t d);
  int64_t draw_ack_latency(Connection& c, size_t d);
  int64_t draw_retransmit(Connection& c, size_t d, int64_t since_ns);
  void send(Connection& c, size_t d, tcp::Packet packet, uint32_t bytes);
  void on_arrive(Connection& c, size_t d);
  void deliver_due(Connection& c, size_t d);
  void land(Connection& c, size_t d, const tcp::Flight& flight);
  void land_data(Connection& c, size_t d, uint32_t bytes);
  void hold(Connection& c, size_t d);
  void tear(Connection& c, size_t d);
  void on_retransmit(Connection& c, size_t d);
  void withhold_ack(Connection& c, size_t d);
  void on_acks(Connection& c, size_t d);
  void on_window(Connection& c, size_t d);
  void on_timeout(Connection& c, size_t d);
  void start_stuck(Connection& c, size_t d);
  void learn_releases(Connection& c, size_t d);
  void announce_release(Connection& c, size_t d);
  void block(Connection& c, size_t d);
  void probe(Connection& c, size_t d, int64_t since_ns);

  // Ends
  void send_rst(Connection& c, size_t s);
  void reply_rst(Connection& c, size_t s);
  void fail(Connection& c, size_t s, base::Errc error);
  void die(Connection& c, size_t s);
  void lose_power(Connection& c, size_t s);
  void finish(Connection& c, size_t s);
  static void drop_received(tcp::Flow& flow);
  static void drop_front(tcp::Flow& flow, uint64_t bytes);
  static void drop_flights(tcp::Flow& flow);
  static void drop_last_bytes(tcp::Flow& flow, uint64_t bytes);
  static void notify_readable(Connection& c, size_t s);
  static void notify_writable(Connection& c, size_t s);
  void record(const tcp::Side& side, EventKind kind, uint64_t entity, uint64_t a, uint64_t b) {
    kernel_.record(*side.host->node, kind, entity, a, b);
  }

  Kernel& kernel_;
  NetOptions options_;
  int64_t ns_per_mib_;
  int64_t loopback_ns_per_mib_;
  std::vector<std::unique_ptr<Host>> hosts_;              // by node index
  std::vector<std::unique_ptr<Connection>> connections_;  // by slot
  std::vector<uint32_t> free_slots_;
  base::IntrusiveList<Connection> live_;
};

}  // namespace verdict::sim
