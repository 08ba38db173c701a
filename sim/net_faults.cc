// The life of machines and what faults do to connections.

#include <algorithm>

#include "sim/net_core.h"
#include "sim/net_stream.h"

namespace verdict::sim {

using base::Errc;
using tcp::Flow;
using tcp::Side;
using tcp::SideState;

// Visits every connection, oldest first; `visit` may end and settle the one that it is given.
template <class Visit>
void NetCore::for_each(Visit visit) {
  for (Connection* c = live_.front(); c != nullptr;) {
    Connection* next = live_.next(*c);
    visit(*c);
    c = next;
  }
}

// ---------------------------------------------------------------- life of machines

void NetCore::close_listener(NetListener& listener) {
  Host& host = listener.host();
  auto at = host.listeners.find(listener.local().port);
  CHECK(at != host.listeners.end());
  CHECK(std::erase(at->second, &listener) == 1);
  if (at->second.empty()) host.listeners.erase(at);
  for_each([&](Connection& c) {
    if (c.listener != &listener) return;
    Side& side = c.sides[1];
    side.closed = true;
    bool waits = side.state == SideState::open;
    if (side.state == SideState::handshaking) die(c, 1);  // a late ACK is answered with RST
    c.listener = nullptr;
    if (waits) {
      drop_received(c.flows[0]);
      send_rst(c, 1);
    }
    settle(c);
  });
  listener.detach();
}

void NetCore::process_ended(Host& host) {
  while (!host.listeners.empty()) close_listener(*host.listeners.begin()->second.front());
  for_each([&](Connection& c) {
    for (size_t s = 0; s < 2; ++s) {
      Side& side = c.sides[s];
      if (side.host != &host || side.stream == nullptr) continue;
      side.stream->detach();
      side.stream = nullptr;
      finish(c, s);
    }
    settle(c);
  });
  host.descriptors = 0;
}

void NetCore::power_lost(Host& host) {
  host.powered = false;
  for_each([&](Connection& c) {
    for (size_t s = 0; s < 2; ++s) {
      if (c.sides[s].host != &host) continue;
      lose_power(c, s);
      if (s == 1) c.listener = nullptr;
    }
    settle(c);
  });
  for (auto& [port, listeners] : host.listeners) {
    for (NetListener* listener : listeners) listener->detach();
  }
  host.listeners.clear();
  host.descriptors = 0;
}

void NetCore::power_back(Host& host) {
  host.powered = true;
  for_each([&](Connection& c) {
    for (size_t s = 0; s < 2; ++s) {
      if (c.sides[s].host != &host) continue;
      const Flow& to_host = c.flows[1 - s];
      probe(c, 1 - s, to_host.stalled ? to_host.stalled_since_ns : kernel_.now_ns());
    }
  });
}

// ---------------------------------------------------------------- faults

void NetCore::cut(Host& from, Host& to) {
  CHECK(&from != &to);
  Link& l = link(from, to);
  if (l.cut) return;
  l.cut = true;
  for_each([&](Connection& c) {
    for (size_t d = 0; d < 2; ++d) {
      if (c.links[d] != &l) continue;
      if (c.flows[d].blocked) start_stuck(c, d);
      // What the other side writes still arrives, but is not acknowledged.
      Flow& other = c.flows[1 - d];
      learn_releases(c, 1 - d);
      other.acks_held = true;
      other.acks_held_since_ns = kernel_.now_ns();
      if (other.blocked) start_stuck(c, 1 - d);
    }
  });
}

void NetCore::heal(Host& from, Host& to) {
  CHECK(&from != &to);
  Link& l = link(from, to);
  if (!l.cut) return;
  l.cut = false;
  for_each([&](Connection& c) {
    for (size_t d = 0; d < 2; ++d) {
      if (c.links[d] != &l) continue;
      Flow& flow = c.flows[d];
      if (!flow.stalled && !flow.acks_held) flow.stuck_since_ns = kNeverNs;
      probe(c, d, flow.stalled ? flow.stalled_since_ns : kernel_.now_ns());
      const Flow& other = c.flows[1 - d];
      if (!other.acks_held) continue;
      bool owes = other.stuck_since_ns != kNeverNs || other.releasing + other.released > 0;
      int64_t wait = owes ? draw_retransmit(c, 1 - d, other.acks_held_since_ns) : 0;
      schedule(kernel_.now_ns() + wait, c, Kind::acks, 1 - d);
    }
  });
}

size_t NetCore::reset_connections(Host& a, const Host* b) {
  size_t count = 0;
  for_each([&](Connection& c) {
    bool with_a = c.sides[0].host == &a || c.sides[1].host == &a;
    const Host* other = c.sides[0].host == &a ? c.sides[1].host : c.sides[0].host;
    if (c.loopback || !with_a || (b != nullptr && other != b)) return;
    bool hit = false;
    for (size_t s = 0; s < 2; ++s) {
      const Side& side = c.sides[s];
      if (side.state != SideState::open && side.state != SideState::handshaking) continue;
      if (side.stream != nullptr && side.state == SideState::open) {
        ++c.links[s]->effects.resets_hit_open;
      }
      hit = true;
      fail(c, s, Errc::reset);
    }
    if (!hit) return;
    ++count;
    if (c.sides[0].state == SideState::dead) {
      for (Flow& flow : c.flows) {
        drop_flights(flow);
        flow.stalled = false;
      }
    }
    settle(c);
  });
  return count;
}

size_t NetCore::half_open(Host& a, const Host* b) {
  size_t count = 0;
  for_each([&](Connection& c) {
    if (c.loopback) return;
    for (size_t s = 0; s < 2; ++s) {
      const Side& side = c.sides[s];
      if (side.host != &a || side.state != SideState::open) continue;
      if (b != nullptr && c.sides[1 - s].host != b) continue;
      ++count;
      if (side.stream != nullptr) ++c.links[s]->effects.sides_forgotten;
      fail(c, s, Errc::reset);
      probe(c, 1 - s, kernel_.now_ns());
    }
    settle(c);
  });
  return count;
}

}  // namespace verdict::sim
