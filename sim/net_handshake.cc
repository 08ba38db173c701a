// How connections begin: SYN, SYN-ACK, ACK, and every way in which that fails.

#include <algorithm>

#include "sim/net_core.h"
#include "sim/net_stream.h"

namespace verdict::sim {

using base::Errc;
using tcp::Packet;
using tcp::Side;
using tcp::SideState;

namespace {

constexpr ChoiceStream kShardStream{"net.shard"};

}  // namespace

NetCore::Connection& NetCore::begin_connect(Host& from, Host& to, uint16_t port,
                                            bool by_localhost) {
  CHECK(from.powered);
  Connection& c = create(from, to, port);
  c.by_localhost = by_localhost;
  c.sides[0].state = SideState::connecting;
  c.sides[0].port = take_port(from);
  c.sides[1].port = port;
  record(c.sides[0], EventKind::net_connect, c.entity, to.node->index, port);
  send_syn(c);
  return c;
}

void NetCore::send_syn(Connection& c) {
  CHECK(c.sides[0].state == SideState::connecting);
  ++c.attempts;
  schedule(kernel_.now_ns() + draw_latency(c, 0), c, Kind::syn, 0);
}

// An attempt got no answer.
void NetCore::retry_syn(Connection& c) {
  CHECK(c.attempts > 0);
  record(c.sides[0], EventKind::net_stall, c.entity, c.attempts, 0);
  int64_t wait = options_.connect_retry_ns << std::min(c.attempts - 1, 30U);
  schedule(kernel_.now_ns() + wait, c, Kind::syn_retry, 0);
}

void NetCore::on_syn_retry(Connection& c) {
  if (c.sides[0].state == SideState::connecting) {
    if (c.attempts < options_.connect_attempts_max) {
      send_syn(c);
    } else {
      fail(c, 0, Errc::timed_out);
    }
    return;
  }
  // The client is gone without a word; the server gives up too.
  if (c.sides[0].state == SideState::dead && c.sides[1].state == SideState::handshaking) die(c, 1);
}

void NetCore::on_syn(Connection& c) {
  if (c.sides[0].state != SideState::connecting) return;
  Host& server = *c.sides[1].host;
  NetEffects& effects = c.links[0]->effects;
  if (path_blocked(c, 0)) {
    ++effects.connects_held;
    retry_syn(c);
    return;
  }
  if (!c.loopback && server.hangs) {
    ++effects.connects_hung;
    retry_syn(c);
    return;
  }
  if (!c.loopback && server.refuses) {
    ++effects.connects_refused;
    refuse(c);
    return;
  }
  if (c.sides[1].state == SideState::handshaking) {
    schedule(kernel_.now_ns() + draw_latency(c, 1), c, Kind::syn_ack, 0);
    return;
  }
  auto at = server.listeners.find(c.target_port);
  if (at == server.listeners.end() || (at->second.front()->loopback_only() && !c.loopback)) {
    refuse(c);
    return;
  }
  // Shards that listen together share the connections between them.
  ChoicePoint which(kernel_.choices(), kShardStream, c.entity);
  NetListener& listener = *at->second[kernel_.choices().draw(which, at->second.size())];
  if (listener.waiting() >= listener.limit(server.backlog_limit)) {
    overflow(c);
    return;
  }
  uint16_t port = c.sides[1].port;
  c.sides[1] = Side{};
  c.sides[1].host = &server;
  c.sides[1].port = port;
  c.sides[1].state = SideState::handshaking;
  c.listener = &listener;
  listener.expect();
  schedule(kernel_.now_ns() + draw_latency(c, 1), c, Kind::syn_ack, 0);
}

void NetCore::overflow(Connection& c) {
  if (c.sides[1].host->backlog_limit > 0) ++c.links[0]->effects.accept_overflows;
  bool refused = kernel_.choices().draw(c.overflow, 2) == 1;
  if (refused) {
    refuse(c);
  } else {
    retry_syn(c);
  }
}

void NetCore::refuse(Connection& c) {
  schedule(kernel_.now_ns() + draw_latency(c, 1), c, Kind::refused, 0);
}

void NetCore::on_refused(Connection& c) {
  if (c.sides[0].state != SideState::connecting) return;
  if (path_blocked(c, 1)) {
    ++c.links[1]->effects.connects_held;
    retry_syn(c);
    return;
  }
  record(c.sides[0], EventKind::net_refused, c.entity, c.attempts, 0);
  fail(c, 0, Errc::refused);
}

void NetCore::on_syn_ack(Connection& c) {
  if (c.sides[1].state == SideState::dead) {
    // The server's process or machine died meanwhile, but this packet was on its way.
    if (c.sides[0].state != SideState::connecting) return;
  }
  if (path_blocked(c, 1)) {
    ++c.links[1]->effects.connects_held;
    retry_syn(c);
    return;
  }
  if (c.sides[0].state == SideState::connecting) {
    connected(c);
    return;
  }
  if (c.sides[0].state == SideState::dead) {
    if (c.sides[1].state == SideState::handshaking) send(c, 0, Packet::rst, 0);
  }
}

// The client's handshake is done; its machine acknowledges.
void NetCore::connected(Connection& c) {
  Side& client = c.sides[0];
  client.state = SideState::open;
  client.connected = true;
  record(client, EventKind::net_established, c.entity, c.attempts, 0);
  send(c, 0, Packet::ack, 0);
  if (client.write_shut) send(c, 0, Packet::fin, 0);
  notify_writable(c, 0);
}

// The acknowledgement is there: the connection waits to be accepted.
void NetCore::handshake_done(Connection& c) {
  Side& server = c.sides[1];
  CHECK(server.state == SideState::handshaking);
  CHECK(c.listener != nullptr);
  server.state = SideState::open;
  server.connected = true;
  record(server, EventKind::net_established, c.entity, 0, 1);
  c.listener->arrived(c);
}

void NetCore::accepted(Connection& c) {
  CHECK(c.listener != nullptr);
  CHECK(c.sides[1].stream != nullptr);
  c.listener = nullptr;
  record(c.sides[1], EventKind::net_accept, c.entity, c.sides[0].port, c.sides[1].port);
}

void NetCore::leave_listener(Connection& c) {
  CHECK(c.sides[1].state == SideState::handshaking);
  CHECK(c.listener != nullptr);
  c.listener->expect_no_more();
  c.listener = nullptr;
}

}  // namespace verdict::sim
