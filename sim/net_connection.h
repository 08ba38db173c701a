#pragma once
// The state of one TCP connection as the kernels of its two machines and the wire between them
// hold it. Data only: NetCore moves it.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/hash_map.h"
#include "broker/base/intrusive_list.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "sim/kernel.h"
#include "sim/net.h"

namespace verdict::sim {

class NetListener;
class NetStream;

namespace tcp {

// A queue whose room is kept when it empties, so that steady traffic allocates nothing.
template <class T>
class Ring {
 public:
  static constexpr size_t kKeepMax = 1024;  // elements of room that reset() keeps

  bool empty() const { return count_ == 0; }
  size_t size() const { return count_; }
  T& front() {
    CHECK(count_ > 0);
    return items_[first_];
  }
  T& back() {
    CHECK(count_ > 0);
    return items_[(first_ + count_ - 1) & (items_.size() - 1)];
  }
  T& at(size_t index) {
    CHECK(index < count_);
    return items_[(first_ + index) & (items_.size() - 1)];
  }
  void push_back(T value) {
    if (count_ == items_.size()) [[unlikely]]
      grow();
    items_[(first_ + count_++) & (items_.size() - 1)] = std::move(value);
  }
  T pop_front() {
    T value = std::move(front());
    first_ = (first_ + 1) & (items_.size() - 1);
    --count_;
    return value;
  }
  T pop_back() {
    T value = std::move(back());
    --count_;
    return value;
  }
  void reset() {
    while (count_ > 0) pop_back();
    first_ = 0;
    if (items_.size() > kKeepMax) std::vector<T>().swap(items_);
  }

 private:
  void grow() {
    std::vector<T> larger(items_.empty() ? 8 : items_.size() * 2);
    for (size_t i = 0; i < count_; ++i) larger[i] = std::move(at(i));
    items_.swap(larger);
    first_ = 0;
  }
  std::vector<T> items_;  // a power of two
  size_t first_ = 0;
  size_t count_ = 0;
};

// One ordered pair of nodes.
struct Link {
  bool cut = false;
  SlowLink slow;
  int64_t ns_per_mib = 0;
  uint64_t connections = 0;  // that were ever begun on it
  NetEffects effects;
};

// One machine. Outlives its processes.
struct Host {
  KernelNode* node = nullptr;
  std::string name;
  std::string address;
  bool powered = true;
  bool refuses = false;
  bool hangs = false;
  uint32_t backlog_limit = 0;
  uint32_t descriptor_limit = 0;
  uint32_t descriptors = 0;  // streams that the present process has open
  uint64_t short_read_permille = 0;
  bool short_reads_forced = false;
  uint16_t next_port = 0;
  ChoicePoint resolve;
  // By port; several when the shards of one process listen together, in the order of shards.
  base::OrderedMap<uint16_t, std::vector<NetListener*>> listeners;
  std::vector<std::unique_ptr<Link>> links;  // to the host of that index
};

// What travels on the wire, in order.
enum class Packet : uint8_t {
  ack,  // the third step of the handshake
  data,
  fin,
  rst,  // is never sent again when a cut takes it
};

struct Flight {
  int64_t arrival_ns = 0;
  uint32_t bytes = 0;
  Packet packet = Packet::data;
};

// One direction of a connection.
//
// Invariants:
//   - slices hold `received` bytes that have arrived, then `in_flight` bytes; flights add up to
//     the latter; flights arrive in order;
//   - received + in_flight + releasing + released <= used <= window.
struct Flow {
  uint64_t entity = 0;
  uint64_t window = 0;
  Ring<base::Slice> slices;
  Ring<Flight> flights;
  uint64_t received = 0;
  uint64_t in_flight = 0;
  uint64_t written = 0;  // positions in the stream, for the trace
  uint64_t delivered = 0;
  uint64_t read = 0;
  int64_t wire_free_ns = 0;
  int64_t last_arrival_ns = 0;
  int64_t packet_sent_ns = -1;  // when the last flight was sent, if more data fits into it
  int64_t packet_end_ns = 0;    // up to this time on the wire

  // Room: the reader gives it back, the writer learns of it one latency later. It looks when it
  // wants room; only a blocked writer costs an event.
  uint64_t used = 0;       // bytes whose room the writer has not got back
  uint64_t released = 0;   // read, not announced yet
  uint64_t releasing = 0;  // announced, known to the writer from releasing_at_ns on
  int64_t releasing_at_ns = 0;
  int64_t last_read_ns = 0;
  bool blocked = false;       // the writer waits for room
  bool window_event = false;  // one event for that is pending

  // Cuts. `stalled`: flights that are due wait for a retransmission.
  bool stalled = false;
  bool acks_held = false;
  bool fin_arrived = false;
  bool rst_owed = false;  // the writing machine answers RST as soon as a packet passes
  bool timeout_event = false;
  int64_t stalled_since_ns = 0;
  int64_t acks_held_since_ns = 0;
  int64_t stuck_since_ns = kNeverNs;  // from when bytes are unacknowledged because of a cut
  size_t held_flights = 0;            // of the front, already counted as held

  ChoicePoint latency;
  ChoicePoint tail;
  ChoicePoint ack;
  ChoicePoint short_read;
  ChoicePoint retransmit;
  ChoicePoint torn;

  uint64_t room() const { return window - used; }
};

enum class SideState : uint8_t {
  absent,  // no SYN has come
  connecting,
  handshaking,  // in the queue of SYNs
  open,
  dead,  // this machine knows the connection no more
};

struct Side {
  Host* host = nullptr;
  uint16_t port = 0;
  SideState state = SideState::absent;
  NetStream* stream = nullptr;  // the program's end
  bool connected = false;       // the handshake succeeded
  bool write_shut = false;
  bool closed = false;  // by the program; what arrives from now on is answered with RST
  std::optional<base::Errc> error;
};

// Side 0 connected to side 1. flows[s] carries what side s writes, links[s] is its way. Recycled,
// never freed, so a stale event can tell by its generation.
struct Connection : base::ListNode {
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint64_t entity = 0;
  uint16_t target_port = 0;
  bool loopback = false;
  bool by_localhost = false;  // the program connected to 127.0.0.1
  uint32_t attempts = 0;
  NetListener* listener = nullptr;  // while side 1 shakes hands or waits to be accepted
  std::array<Link*, 2> links{};
  std::array<Side, 2> sides;
  std::array<Flow, 2> flows;
  ChoicePoint overflow;

  // Whether a program can still see anything of it.
  bool held() const {
    return sides[0].stream != nullptr || sides[1].stream != nullptr || listener != nullptr;
  }
};

}  // namespace tcp
}  // namespace verdict::sim
