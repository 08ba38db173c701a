#include "sim/net_core.h"

#include <algorithm>
#include <bit>

#include "sim/net_stream.h"

namespace verdict::sim {

using base::Errc;
using base::Slice;
using tcp::Flow;
using tcp::Packet;
using tcp::Side;
using tcp::SideState;

namespace {

constexpr ChoiceStream kLatency{"net.latency"};
constexpr ChoiceStream kTail{"net.tail"};
constexpr ChoiceStream kAck{"net.ack"};
constexpr ChoiceStream kShortRead{"net.short_read"};
constexpr ChoiceStream kRetransmit{"net.retransmit"};
constexpr ChoiceStream kTorn{"net.torn"};
constexpr ChoiceStream kWindow{"net.window"};
constexpr ChoiceStream kOverflow{"net.overflow"};
constexpr ChoiceStream kResolve{"net.resolve"};

constexpr uint64_t kBandwidthMin = 1'000;
constexpr uint64_t kWindowLimit = 1U << 30;
constexpr uint64_t kShortReadScale = 1U << 20;
constexpr uint64_t kReleaseBytes = 1460;  // less room is not worth an announcement
constexpr int64_t kPacketNs = 20'000;     // of time on the wire, at most, in one packet
constexpr uint16_t kFirstPort = 32768;
constexpr uint16_t kLastPort = 60999;
constexpr std::string_view kLoopbackAddress = "127.0.0.1";
constexpr std::string_view kLoopbackName = "localhost";

int64_t ns_per_mib(int64_t bytes_per_s) {
  CHECK(bytes_per_s >= static_cast<int64_t>(kBandwidthMin));
  return (int64_t{1} << 20) * 1'000'000'000 / bytes_per_s;
}

uint64_t draw_window(Choices& choices, const NetOptions& options, uint64_t entity) {
  ChoicePoint point(choices, kWindow, entity);
  auto halvings =
      static_cast<uint64_t>(std::bit_width(options.window_max_bytes / options.window_min_bytes));
  uint64_t window = options.window_max_bytes >> choices.draw(point, halvings);
  window -= choices.draw(point, window / 2 + 1);
  return std::max(window, options.window_min_bytes);
}

// Keeps the room of the rings.
void recycle(Flow& flow) {
  flow.slices.reset();
  flow.flights.reset();
  tcp::Ring<Slice> slices = std::move(flow.slices);
  tcp::Ring<tcp::Flight> flights = std::move(flow.flights);
  flow = Flow{};
  flow.slices = std::move(slices);
  flow.flights = std::move(flights);
}

}  // namespace

NetCore::NetCore(Kernel& kernel, const NetOptions& options)
    : kernel_(kernel),
      options_(options),
      ns_per_mib_(ns_per_mib(options.bandwidth_bytes_per_s)),
      loopback_ns_per_mib_(ns_per_mib(options.loopback_bandwidth_bytes_per_s)) {
  // A packet never arrives in the instant in which it was sent.
  CHECK(options.latency_min_ns > 0 && options.loopback_latency_ns > 0);
  CHECK(options.latency_jitter_ns >= 0 && options.loopback_jitter_ns >= 0);
  CHECK(options.tail_permille <= 1000 && options.short_read_permille <= 1000);
  CHECK(options.window_min_bytes > 0 && options.window_min_bytes <= options.window_max_bytes);
  CHECK(options.window_max_bytes <= kWindowLimit);
  CHECK(options.retransmit_min_ns > 0 && options.retransmit_max_ns >= options.retransmit_min_ns);
  CHECK(options.connect_attempts_max > 0 && options.connect_attempts_max < 16);
}

NetCore::~NetCore() {
  while (Connection* c = live_.front()) c->unlink();
}

// ---------------------------------------------------------------- machines

NetCore::Host& NetCore::add_host(KernelNode& node, std::string_view name) {
  if (hosts_.size() <= node.index) hosts_.resize(node.index + 1);
  CHECK(hosts_[node.index] == nullptr);
  auto host = std::make_unique<Host>();
  host->node = &node;
  host->name = name;
  uint32_t number = node.index + 1;
  host->address = "10.0." + std::to_string(number >> 8) + "." + std::to_string(number & 255);
  host->short_read_permille = options_.short_read_permille;
  host->next_port = kFirstPort;
  kernel_.choices().name_entity(node.path, name);
  host->resolve = ChoicePoint(kernel_.choices(), kResolve, node.path);
  hosts_[node.index] = std::move(host);
  return *hosts_[node.index];
}

NetCore::Host& NetCore::host(const KernelNode& node) {
  CHECK(node.index < hosts_.size());
  CHECK(hosts_[node.index] != nullptr);
  return *hosts_[node.index];
}

NetCore::Host* NetCore::find_address(Host& from, std::string_view address) {
  if (address == kLoopbackAddress) return &from;
  for (const auto& host : hosts_) {
    if (host != nullptr && host->address == address) return host.get();
  }
  return nullptr;
}

NetCore::Host* NetCore::find_name(Host& from, std::string_view name) {
  if (name == kLoopbackName) return &from;
  for (const auto& host : hosts_) {
    if (host != nullptr && host->name == name) return host.get();
  }
  return nullptr;
}

NetCore::Link& NetCore::link(const Host& from, const Host& to) {
  auto& links = hosts_[from.node->index]->links;
  if (links.size() <= to.node->index) links.resize(to.node->index + 1);
  auto& link = links[to.node->index];
  if (link == nullptr) {
    link = std::make_unique<Link>();
    link->ns_per_mib = &from == &to ? loopback_ns_per_mib_ : ns_per_mib_;
  }
  return *link;
}

uint16_t NetCore::take_port(Host& host) {
  for (int tries = kFirstPort; tries <= kLastPort; ++tries) {
    uint16_t port = host.next_port;
    host.next_port = port == kLastPort ? kFirstPort : static_cast<uint16_t>(port + 1);
    if (!host.listeners.contains(port)) return port;
  }
  return 0;
}

void NetCore::slow_link(Host& from, Host& to, SlowLink slow) {
  CHECK(&from != &to);
  CHECK(slow.extra_latency_ns >= 0);
  Link& l = link(from, to);
  l.slow = slow;
  l.ns_per_mib =
      slow.bandwidth_bytes_per_s == 0 ? ns_per_mib_ : ns_per_mib(slow.bandwidth_bytes_per_s);
}

// ---------------------------------------------------------------- connections

NetCore::Connection& NetCore::create(Host& from, Host& to, uint16_t port) {
  if (free_slots_.empty()) {
    CHECK(connections_.size() < kConnectionsMax);
    free_slots_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.push_back(std::make_unique<Connection>());
    connections_.back()->slot = free_slots_.back();
  }
  Connection& c = *connections_[free_slots_.back()];
  free_slots_.pop_back();
  Choices& choices = kernel_.choices();
  c.links = {&link(from, to), &link(to, from)};
  uint64_t ordinal = c.links[0]->connections++;
  c.entity = base::combine(base::combine(from.node->path, to.node->path), ordinal);
  c.loopback = &from == &to;
  c.target_port = port;
  c.overflow = ChoicePoint(choices, kOverflow, c.entity);
  c.sides[0].host = &from;
  c.sides[1].host = &to;
  for (size_t d = 0; d < 2; ++d) {
    Flow& flow = c.flows[d];
    flow.entity = base::combine(c.entity, d);
    flow.window = draw_window(choices, options_, flow.entity);
    flow.latency = ChoicePoint(choices, kLatency, flow.entity);
    flow.tail = ChoicePoint(choices, kTail, flow.entity);
    flow.ack = ChoicePoint(choices, kAck, flow.entity);
    flow.short_read = ChoicePoint(choices, kShortRead, flow.entity);
    flow.retransmit = ChoicePoint(choices, kRetransmit, flow.entity);
    flow.torn = ChoicePoint(choices, kTorn, flow.entity);
    flow.acks_held = ack_path_cut(c, d);
    flow.acks_held_since_ns = kernel_.now_ns();
  }
  live_.push_back(c);
  if (choices.keeps_names()) [[unlikely]] {
    std::string name =
        from.name + ">" + to.name + ":" + std::to_string(port) + "#" + std::to_string(ordinal);
    choices.name_entity(c.entity, name);
    choices.name_entity(c.flows[0].entity, name + " out");
    choices.name_entity(c.flows[1].entity, name + " back");
  }
  return c;
}

void NetCore::settle(Connection& c) {
  if (c.held() || !c.linked()) return;
  c.unlink();
  ++c.generation;
  c.attempts = 0;
  for (size_t i = 0; i < 2; ++i) {
    c.sides[i] = Side{};
    recycle(c.flows[i]);
  }
  free_slots_.push_back(c.slot);
}

void NetCore::schedule(int64_t at_ns, const Connection& c, Kind kind, size_t d) {
  uint64_t argument =
      (((c.generation << kKindBits | static_cast<uint64_t>(kind)) << 1 | d) << kSlotBits) | c.slot;
  kernel_.schedule(at_ns, *this, argument);
}

void NetCore::on_event(uint64_t argument) {
  Connection& c = *connections_[argument & (kConnectionsMax - 1)];
  argument >>= kSlotBits;
  size_t d = argument & 1;
  argument >>= 1;
  auto kind = static_cast<Kind>(argument & ((1U << kKindBits) - 1));
  constexpr uint64_t kGenerationMask = UINT64_MAX >> (kSlotBits + 1 + kKindBits);
  if ((argument >> kKindBits) != (c.generation & kGenerationMask)) return;
  switch (kind) {
    case Kind::arrive:
      on_arrive(c, d);
      break;
    case Kind::window:
      on_window(c, d);
      break;
    case Kind::retransmit:
      on_retransmit(c, d);
      break;
    case Kind::acks:
      on_acks(c, d);
      break;
    case Kind::timeout:
      on_timeout(c, d);
      break;
    case Kind::syn:
      on_syn(c);
      break;
    case Kind::syn_retry:
      on_syn_retry(c);
      break;
    case Kind::syn_ack:
      on_syn_ack(c);
      break;
    case Kind::refused:
      on_refused(c);
      break;
  }
  settle(c);
}

// ---------------------------------------------------------------- writing

size_t NetCore::write(Connection& c, size_t s, std::span<const Slice> slices) {
  Side& side = c.sides[s];
  Flow& flow = c.flows[s];
  CHECK(side.state == SideState::open);
  CHECK(!side.write_shut);
  uint64_t total = 0;
  for (const Slice& slice : slices) total += slice.size();
  if (total == 0) return 0;
  if (flow.room() < total) learn_releases(c, s);
  uint64_t taken = std::min(flow.room(), total);
  bool hashing = kernel_.options().hash_trace;
  uint64_t left = taken;
  uint64_t print = 0;
  for (const Slice& slice : slices) {
    if (left == 0) break;
    if (slice.empty()) continue;
    Slice part = slice.size() <= left ? slice : slice.cut(0, left);
    left -= part.size();
    if (hashing) print = base::mix64(print ^ part.fingerprint());
    flow.slices.push_back(std::move(part));
  }
  if (taken < total) block(c, s);
  if (taken == 0) return 0;
  record(side, EventKind::net_write, flow.entity, flow.written, taken ^ print);
  flow.used += taken;
  flow.in_flight += taken;
  flow.written += taken;
  CHECK(flow.used <= flow.window);
  if (c.links[s]->slow.extra_latency_ns > 0 || c.links[s]->slow.bandwidth_bytes_per_s > 0) {
    c.links[s]->effects.bytes_delayed += taken;
  }
  send(c, s, Packet::data, static_cast<uint32_t>(taken));
  return taken;
}

void NetCore::send(Connection& c, size_t d, Packet packet, uint32_t bytes) {
  Flow& flow = c.flows[d];
  int64_t start = std::max(kernel_.now_ns(), flow.wire_free_ns);
  flow.wire_free_ns =
      start +
      static_cast<int64_t>(
          (static_cast<uint64_t>(bytes) * static_cast<uint64_t>(c.links[d]->ns_per_mib)) >> 20);
  if (packet == Packet::data && flow.packet_sent_ns == kernel_.now_ns() &&
      flow.wire_free_ns <= flow.packet_end_ns) {
    // What is written at one instant travels together.
    CHECK(flow.flights.back().packet == Packet::data);
    flow.flights.back().bytes += bytes;
    return;
  }
  flow.packet_sent_ns = packet == Packet::data ? kernel_.now_ns() : -1;
  flow.packet_end_ns = flow.wire_free_ns + kPacketNs;
  int64_t arrival = std::max(flow.last_arrival_ns, flow.wire_free_ns + draw_latency(c, d));
  flow.last_arrival_ns = arrival;
  if (!flow.flights.empty() && flow.flights.back().arrival_ns == arrival) {
    // Its event is still to come, and delivers all that is due.
    tcp::Flight& last = flow.flights.back();
    if (last.packet == Packet::data && packet == Packet::data) {
      last.bytes += bytes;
    } else {
      flow.flights.push_back({arrival, bytes, packet});
    }
    return;
  }
  flow.flights.push_back({arrival, bytes, packet});
  schedule(arrival, c, Kind::arrive, d);
}

bool NetCore::has_room(Connection& c, size_t s) {
  Flow& flow = c.flows[s];
  if (flow.room() > 0) return true;
  learn_releases(c, s);
  if (flow.room() > 0) return true;
  block(c, s);
  return false;
}

void NetCore::block(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  flow.blocked = true;
  if (flow.acks_held || path_blocked(c, d)) start_stuck(c, d);
  announce_release(c, d);
}

void NetCore::shutdown_write(Connection& c, size_t s) {
  Side& side = c.sides[s];
  if (side.write_shut || side.state == SideState::dead) return;
  side.write_shut = true;
  if (side.state != SideState::open) return;  // goes out when the handshake is done
  record(side, EventKind::net_fin, c.flows[s].entity, c.flows[s].written, 0);
  send(c, s, Packet::fin, 0);
  notify_writable(c, s);
}

// ---------------------------------------------------------------- reading

Slice NetCore::read(Connection& c, size_t s, size_t limit) {
  size_t d = 1 - s;
  Flow& flow = c.flows[d];
  Host& host = *c.sides[s].host;
  CHECK(limit > 0);
  CHECK(flow.received > 0);
  Slice& front = flow.slices.front();
  uint64_t n =
      std::min({static_cast<uint64_t>(limit), static_cast<uint64_t>(front.size()), flow.received});
  // One draw says whether and where: the larger, the shorter.
  uint64_t value = kernel_.choices().draw(flow.short_read, 1000 * kShortReadScale);
  uint64_t range = host.short_read_permille * kShortReadScale;
  uint64_t threshold = 1000 * kShortReadScale - range;
  if (value >= threshold && n > 1) {
    n -= 1 + (n - 1) * (value - threshold) / range;
    n = std::max<uint64_t>(n, 1);
    if (host.short_reads_forced) ++c.links[d]->effects.short_reads;
  }
  Slice slice = n == front.size() ? flow.slices.pop_front() : front.take_front(n);
  record(c.sides[s], EventKind::net_read, flow.entity, flow.read, n);
  flow.read += n;
  flow.received -= n;
  flow.released += n;
  flow.last_read_ns = kernel_.now_ns();
  if (flow.acks_held && ack_path_cut(c, d)) [[unlikely]]
    ++c.links[s]->effects.acks_held;
  announce_release(c, d);
  return slice;
}

// ---------------------------------------------------------------- room

// Announces what was read when that is worth it, and sees to it that a blocked writer wakes.
void NetCore::announce_release(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (flow.releasing == 0 && flow.released >= std::min(kReleaseBytes, flow.window / 4 + 1)) {
    flow.releasing = flow.released;
    flow.released = 0;
    flow.releasing_at_ns = flow.last_read_ns + draw_ack_latency(c, d);
  }
  if (!flow.blocked || flow.window_event || flow.releasing == 0 || flow.acks_held) return;
  flow.window_event = true;
  schedule(std::max(kernel_.now_ns(), flow.releasing_at_ns), c, Kind::window, d);
}

// Gives the writer the room of every announcement that has reached it.
void NetCore::learn_releases(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  while (!flow.acks_held && flow.releasing > 0 && flow.releasing_at_ns <= kernel_.now_ns()) {
    CHECK(flow.used >= flow.releasing);
    flow.used -= flow.releasing;
    flow.releasing = 0;
    announce_release(c, d);
  }
  CHECK(flow.received + flow.in_flight + flow.releasing + flow.released <= flow.used);
}

void NetCore::on_window(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  flow.window_event = false;
  learn_releases(c, d);
  if (!flow.blocked) return;
  if (flow.room() == 0) {
    announce_release(c, d);
    return;
  }
  flow.blocked = false;
  notify_writable(c, d);
}

// ---------------------------------------------------------------- the program's end

void NetCore::close(Connection& c, size_t s) {
  CHECK(c.sides[s].stream != nullptr);
  c.sides[s].stream = nullptr;
  finish(c, s);
  settle(c);
}

void NetCore::abort(Connection& c, size_t s) {
  CHECK(c.sides[s].stream != nullptr);
  c.sides[s].stream = nullptr;
  c.sides[s].closed = true;
  drop_received(c.flows[1 - s]);
  send_rst(c, s);
  settle(c);
}

void NetCore::finish(Connection& c, size_t s) {
  Side& side = c.sides[s];
  side.closed = true;
  if (side.state == SideState::connecting) {
    die(c, s);
    return;
  }
  if (side.state != SideState::open) return;
  if (c.flows[1 - s].received > 0) {
    drop_received(c.flows[1 - s]);
    send_rst(c, s);
    return;
  }
  shutdown_write(c, s);
}

void NetCore::notify_readable(Connection& c, size_t s) {
  if (c.sides[s].stream != nullptr) c.sides[s].stream->readable().queue.notify_all();
}

void NetCore::notify_writable(Connection& c, size_t s) {
  if (c.sides[s].stream != nullptr) c.sides[s].stream->writable().queue.notify_all();
}

size_t NetCore::open_connections(const Host* a, const Host* b) {
  size_t count = 0;
  for (Connection* c = live_.front(); c != nullptr; c = live_.next(*c)) {
    bool matches = a == nullptr || (c->sides[0].host == a && c->sides[1].host == b) ||
                   (c->sides[0].host == b && c->sides[1].host == a);
    if (matches && c->held()) ++count;
  }
  return count;
}

uint64_t NetCore::bytes_on_the_way() {
  uint64_t bytes = 0;
  for (Connection* c = live_.front(); c != nullptr; c = live_.next(*c)) {
    for (const Flow& flow : c->flows) bytes += flow.received + flow.in_flight;
  }
  return bytes;
}

}  // namespace verdict::sim
