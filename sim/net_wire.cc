// What happens to packets on their way: arrival, cuts, retransmission, time-outs, resets.

#include <algorithm>

#include "sim/net_core.h"
#include "sim/net_stream.h"

namespace verdict::sim {

using base::Errc;
using tcp::Flight;
using tcp::Flow;
using tcp::Packet;
using tcp::Side;
using tcp::SideState;

namespace {

constexpr uint64_t kTailScale = 1024;
constexpr uint64_t kTornScale = 1U << 20;

uint64_t range_of(int64_t ns) { return static_cast<uint64_t>(ns) + 1; }

}  // namespace

// ---------------------------------------------------------------- ways

bool NetCore::path_blocked(const Connection& c, size_t d) const {
  return !c.loopback && (c.links[d]->cut || !c.sides[1 - d].host->powered);
}

bool NetCore::ack_path_cut(const Connection& c, size_t d) const {
  return !c.loopback && c.links[1 - d]->cut;
}

int64_t NetCore::draw_latency(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  Choices& choices = kernel_.choices();
  if (c.loopback) {
    return options_.loopback_latency_ns +
           static_cast<int64_t>(choices.draw(flow.latency, range_of(options_.loopback_jitter_ns)));
  }
  auto jitter =
      static_cast<int64_t>(choices.draw(flow.latency, range_of(options_.latency_jitter_ns)));
  int64_t latency = options_.latency_min_ns + jitter + c.links[d]->slow.extra_latency_ns;
  // One draw says whether and how late: the larger, the later.
  uint64_t value = choices.draw(flow.tail, 1000 * kTailScale);
  uint64_t range = options_.tail_permille * kTailScale;
  uint64_t threshold = 1000 * kTailScale - range;
  if (value >= threshold && range > 0) [[unlikely]] {
    latency += options_.tail_max_ns / static_cast<int64_t>(range) *
               static_cast<int64_t>(value - threshold + 1);
  }
  return latency;
}

int64_t NetCore::draw_ack_latency(Connection& c, size_t d) {
  int64_t base = c.loopback ? options_.loopback_latency_ns
                            : options_.latency_min_ns + c.links[1 - d]->slow.extra_latency_ns;
  int64_t jitter = c.loopback ? options_.loopback_jitter_ns : options_.latency_jitter_ns;
  return base + static_cast<int64_t>(kernel_.choices().draw(c.flows[d].ack, range_of(jitter)));
}

int64_t NetCore::draw_retransmit(Connection& c, size_t d, int64_t since_ns) {
  int64_t held = kernel_.now_ns() - since_ns;
  int64_t most = std::clamp(held, options_.retransmit_min_ns, options_.retransmit_max_ns);
  uint64_t range = range_of(most - options_.retransmit_min_ns);
  return options_.retransmit_min_ns +
         static_cast<int64_t>(kernel_.choices().draw(c.flows[d].retransmit, range));
}

// ---------------------------------------------------------------- arrival

void NetCore::on_arrive(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (flow.flights.empty() || flow.flights.front().arrival_ns > kernel_.now_ns()) return;
  if (flow.stalled || path_blocked(c, d)) [[unlikely]] {
    hold(c, d);
    return;
  }
  deliver_due(c, d);
}

void NetCore::deliver_due(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  CHECK(!flow.stalled);
  flow.held_flights = 0;
  while (!flow.flights.empty() && flow.flights.front().arrival_ns <= kernel_.now_ns()) {
    Flight flight = flow.flights.pop_front();
    land(c, d, flight);
  }
}

void NetCore::land(Connection& c, size_t d, const Flight& flight) {
  size_t r = 1 - d;
  Side& reader = c.sides[r];
  Flow& flow = c.flows[d];
  switch (flight.packet) {
    case Packet::data:
      land_data(c, d, flight.bytes);
      return;
    case Packet::ack:
      if (reader.state == SideState::handshaking) {
        handshake_done(c);
      } else if (reader.state == SideState::dead) {
        reply_rst(c, r);
      }
      return;
    case Packet::fin:
      if (reader.state != SideState::open) {
        die(c, r);
        reply_rst(c, r);
        return;
      }
      flow.fin_arrived = true;
      record(reader, EventKind::net_fin, flow.entity, flow.delivered, 1);
      if (flow.acks_held) withhold_ack(c, d);
      notify_readable(c, r);
      return;
    case Packet::rst:
      flow.rst_owed = false;
      if (reader.state != SideState::dead) fail(c, r, Errc::reset);
      return;
  }
}

void NetCore::land_data(Connection& c, size_t d, uint32_t bytes) {
  size_t r = 1 - d;
  Side& reader = c.sides[r];
  Flow& flow = c.flows[d];
  CHECK(flow.in_flight >= bytes);
  flow.in_flight -= bytes;
  if (reader.state != SideState::open || reader.closed) [[unlikely]] {
    CHECK(flow.received == 0);
    drop_front(flow, bytes);
    die(c, r);
    reply_rst(c, r);
    return;
  }
  record(reader, EventKind::net_deliver, flow.entity, flow.delivered, bytes);
  flow.received += bytes;
  flow.delivered += bytes;
  if (flow.acks_held) [[unlikely]]
    withhold_ack(c, d);
  notify_readable(c, r);
}

// Something arrived while acknowledgements are held. Once their way is free, one tells all.
void NetCore::withhold_ack(Connection& c, size_t d) {
  if (ack_path_cut(c, d)) {
    start_stuck(c, d);
  } else {
    schedule(kernel_.now_ns() + draw_ack_latency(c, d), c, Kind::acks, d);
  }
}

// ---------------------------------------------------------------- cuts

// What is due on a blocked way waits, in order, until it is sent again.
void NetCore::hold(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (c.sides[d].state == SideState::dead) {
    // Nobody is there to send it again.
    drop_flights(flow);
    flow.stalled = false;
    if (c.sides[1 - d].state == SideState::handshaking) die(c, 1 - d);
    return;
  }
  if (!flow.stalled) {
    flow.stalled = true;
    flow.stalled_since_ns = kernel_.now_ns();
    flow.held_flights = 0;
    tear(c, d);
  }
  uint64_t bytes = 0;
  while (flow.held_flights < flow.flights.size()) {
    const Flight& flight = flow.flights.at(flow.held_flights);
    if (flight.arrival_ns > kernel_.now_ns()) break;
    bytes += flight.bytes;
    if (flight.packet != Packet::ack) start_stuck(c, d);
    ++flow.held_flights;
  }
  c.links[d]->effects.bytes_held += bytes;
  record(c.sides[d], EventKind::net_stall, flow.entity, flow.delivered, bytes);
}

// A cut can fall within a write: some prefix of the first flight got through before it.
void NetCore::tear(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  const Side& reader = c.sides[1 - d];
  Flight& first = flow.flights.front();
  if (first.packet != Packet::data || !reader.host->powered) return;
  if (reader.state != SideState::open || reader.closed) return;
  uint64_t value = kernel_.choices().draw(flow.torn, kTornScale);
  auto through = static_cast<uint32_t>(first.bytes * value / kTornScale);
  if (through == 0) return;
  CHECK(through < first.bytes);
  first.bytes -= through;
  land_data(c, d, through);
}

void NetCore::on_retransmit(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (path_blocked(c, d)) return;  // the next heal() comes back here
  const Side& reader = c.sides[1 - d];
  if (flow.rst_owed && flow.flights.empty()) {
    reply_rst(c, d);
    return;
  }
  if (flow.stalled) {
    flow.stalled = false;
    deliver_due(c, d);
  } else if (flow.blocked && reader.state == SideState::dead) {
    reply_rst(c, 1 - d);  // to the probe of a writer without room
  }
  if (!flow.stalled && !flow.acks_held) flow.stuck_since_ns = kNeverNs;
}

void NetCore::on_acks(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (!flow.acks_held || ack_path_cut(c, d)) return;
  flow.acks_held = false;
  if (!flow.stalled && !path_blocked(c, d)) flow.stuck_since_ns = kNeverNs;
  flow.releasing_at_ns = std::min(flow.releasing_at_ns, kernel_.now_ns());
  learn_releases(c, d);
  if (!flow.blocked) return;
  if (flow.room() == 0) {
    announce_release(c, d);
    return;
  }
  flow.blocked = false;
  notify_writable(c, d);
}

// From now on bytes of this direction are not acknowledged because of a fault.
void NetCore::start_stuck(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  if (flow.stuck_since_ns != kNeverNs || c.sides[d].state == SideState::dead) return;
  flow.stuck_since_ns = kernel_.now_ns();
  if (flow.timeout_event) return;
  flow.timeout_event = true;
  schedule(flow.stuck_since_ns + options_.user_timeout_ns, c, Kind::timeout, d);
}

void NetCore::on_timeout(Connection& c, size_t d) {
  Flow& flow = c.flows[d];
  flow.timeout_event = false;
  if (flow.stuck_since_ns == kNeverNs || c.sides[d].state == SideState::dead) return;
  int64_t end = flow.stuck_since_ns + options_.user_timeout_ns;
  if (end > kernel_.now_ns()) {
    flow.timeout_event = true;
    schedule(end, c, Kind::timeout, d);
    return;
  }
  ++c.links[d]->effects.timeouts;
  fail(c, d, Errc::timed_out);
}

// The way from side `d` works again (since it stopped at `since_ns`): what waits is sent again.
void NetCore::probe(Connection& c, size_t d, int64_t since_ns) {
  const Flow& flow = c.flows[d];
  bool asks_for_room = flow.blocked && c.sides[1 - d].state == SideState::dead;
  if (!flow.stalled && !flow.rst_owed && !asks_for_room) return;
  schedule(kernel_.now_ns() + draw_retransmit(c, d, since_ns), c, Kind::retransmit, d);
}

// ---------------------------------------------------------------- ends

// Side `s` tears down: RST behind what is in flight already.
void NetCore::send_rst(Connection& c, size_t s) {
  die(c, s);
  SideState other = c.sides[1 - s].state;
  if (other == SideState::dead || other == SideState::absent || path_blocked(c, s)) return;
  record(c.sides[s], EventKind::net_reset, c.flows[s].entity, c.flows[s].written, 0);
  send(c, s, Packet::rst, 0);
}

// The machine of side `s`, which knows the connection no more, answers a packet of the other side.
void NetCore::reply_rst(Connection& c, size_t s) {
  CHECK(c.sides[s].state == SideState::dead);
  Flow& flow = c.flows[s];
  if (c.sides[1 - s].state == SideState::dead || !c.sides[s].host->powered) return;
  flow.rst_owed = true;
  if (path_blocked(c, s)) {
    // The other side's bytes stay unacknowledged, and it asks again when the way is free.
    start_stuck(c, 1 - s);
    return;
  }
  if (!flow.flights.empty() && flow.flights.back().packet == Packet::rst) return;
  send(c, s, Packet::rst, 0);
}

// Side `s` learns that its connection is gone.
void NetCore::fail(Connection& c, size_t s, Errc error) {
  Side& side = c.sides[s];
  CHECK(side.state != SideState::dead);
  side.error = error;
  record(side, EventKind::net_reset, c.flows[s].entity, c.flows[s].written,
         static_cast<uint64_t>(error));
  die(c, s);
  drop_received(c.flows[1 - s]);
  notify_readable(c, s);
  notify_writable(c, s);
}

// The machine of side `s` forgets the connection; what is on the wire already goes on.
void NetCore::die(Connection& c, size_t s) {
  Side& side = c.sides[s];
  Flow& flow = c.flows[s];
  if (side.state == SideState::dead) return;
  if (side.state == SideState::handshaking) leave_listener(c);
  side.state = SideState::dead;
  if (!flow.stalled) return;
  drop_flights(flow);
  flow.stalled = false;
  if (c.sides[1 - s].state == SideState::handshaking) die(c, 1 - s);
}

void NetCore::drop_received(Flow& flow) {
  drop_front(flow, flow.received);
  flow.received = 0;
}

void NetCore::drop_front(Flow& flow, uint64_t bytes) {
  while (bytes > 0) {
    base::Slice& front = flow.slices.front();
    uint64_t n = std::min(bytes, static_cast<uint64_t>(front.size()));
    bytes -= n;
    if (n == front.size()) {
      flow.slices.pop_front();
    } else {
      front.drop_front(n);
    }
  }
}

void NetCore::drop_flights(Flow& flow) {
  drop_last_bytes(flow, flow.in_flight);
  while (!flow.flights.empty()) flow.flights.pop_back();
  flow.held_flights = 0;
  CHECK(flow.in_flight == 0);
}

// The last `bytes` that are in flight, and every packet behind them, never arrive.
void NetCore::drop_last_bytes(Flow& flow, uint64_t bytes) {
  CHECK(bytes <= flow.in_flight);
  flow.in_flight -= bytes;
  for (uint64_t left = bytes; left > 0;) {
    base::Slice& back = flow.slices.back();
    uint64_t n = std::min(left, static_cast<uint64_t>(back.size()));
    left -= n;
    if (n == back.size()) {
      flow.slices.pop_back();
    } else {
      back = back.cut(0, back.size() - n);
    }
  }
  while (bytes > 0) {
    Flight& last = flow.flights.back();
    uint64_t n = std::min(bytes, static_cast<uint64_t>(last.bytes));
    bytes -= n;
    last.bytes -= static_cast<uint32_t>(n);
    if (last.bytes == 0) flow.flights.pop_back();
  }
}

// What machine `s` had sent goes on up to a byte that may lie anywhere; the rest never left it.
void NetCore::lose_power(Connection& c, size_t s) {
  Side& side = c.sides[s];
  Flow& out = c.flows[s];
  side.closed = true;
  if (side.stream != nullptr) {
    side.stream->detach();
    side.stream = nullptr;
  }
  if (side.state == SideState::dead) return;
  if (!out.stalled && out.in_flight > 0) {
    uint64_t value = kernel_.choices().draw(out.torn, kTornScale);
    drop_last_bytes(out, out.in_flight * value / kTornScale);
  }
  die(c, s);
  drop_received(c.flows[1 - s]);
  if (c.flows[1 - s].blocked) start_stuck(c, 1 - s);
}

}  // namespace verdict::sim
