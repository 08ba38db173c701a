#pragma once
// Machines with nothing but a network: programs boot, crash, lose power and come back.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/base/hash.h"
#include "broker/runtime/network.h"
#include "broker/runtime/sync.h"
#include "sim/kernel.h"
#include "sim/net.h"

namespace verdict::sim {

inline constexpr int64_t kMs = 1'000'000;
inline constexpr uint16_t kPort = 9092;
using Seen = std::vector<std::string>;

// What a program of the rig gets.
struct NetProgram {
  runtime::Tasks& tasks;
  runtime::Network& network;
  runtime::Instant now() const { return tasks.scheduler().now(tasks); }
  runtime::Instant in_ms(int64_t ms) const { return now() + runtime::milliseconds(ms); }
  void sleep_ms(int64_t ms) const { (void)tasks.scheduler().suspend(nullptr, 0, in_ms(ms), true); }
};

// Options without chance: every packet takes exactly 100 us, no read is short.
inline NetOptions plain_net() {
  NetOptions options;
  options.latency_min_ns = 100'000;
  options.latency_jitter_ns = 0;
  options.tail_permille = 0;
  options.short_read_permille = 0;
  options.window_min_bytes = 64 * 1024;
  options.window_max_bytes = 64 * 1024;
  return options;
}

class NetRig {
 public:
  using Body = std::function<void(NetProgram&)>;

  explicit NetRig(uint64_t seed = 1, NetOptions options = {})
      : kernel({.seed = seed}), net(kernel, options) {}
  ~NetRig() {
    for (uint32_t i = 0; i < machines_.size(); ++i) {
      if (machines_[i]->process != nullptr) crash(i);
    }
    kernel.drop_events();
  }

  uint32_t add(std::string_view name) {
    machines_.push_back(std::make_unique<Machine>());
    machines_.back()->node = &kernel.add_node(name);
    net.register_node(*machines_.back()->node, name);
    return machines_.back()->node->index;
  }
  KernelNode& node(uint32_t i) { return *machines_[i]->node; }
  std::string address(uint32_t i) { return net.address(node(i)); }

  void boot(uint32_t i, Body body) {
    Machine& m = *machines_[i];
    ASSERT_EQ(m.process, nullptr);
    ++m.node->incarnation;
    m.process = std::make_unique<Process>();
    Process& p = *m.process;
    p.body = std::move(body);
    p.shards.push_back(std::make_unique<Shard>(kernel, *m.node, base::ShardId{0}, 1));
    Shard& shard = *p.shards.back();
    shard.set_siblings(&p.shards);
    p.network = net.attach(*m.node, shard.tasks());
    kernel.spawn_root(shard.tasks(), "main", [&p, &shard] {
      NetProgram program{shard.tasks(), *p.network};
      p.body(program);
    });
  }
  void crash(uint32_t i) {
    net.process_ended(node(i));
    unwind(i);
  }
  void power_off(uint32_t i) {
    net.power_lost(node(i));
    if (machines_[i]->process != nullptr) unwind(i);
  }
  void power_on(uint32_t i) { net.power_back(node(i)); }
  // After a pause.
  void poke(uint32_t i) {
    for (auto& shard : machines_[i]->process->shards) kernel.poke(*shard);
  }
  bool running(uint32_t i) { return machines_[i]->process != nullptr; }
  void cut_both(uint32_t a, uint32_t b) {
    net.cut(node(a), node(b));
    net.cut(node(b), node(a));
  }
  void heal_both(uint32_t a, uint32_t b) {
    net.heal(node(a), node(b));
    net.heal(node(b), node(a));
  }
  void run_ms(int64_t ms) { kernel.run_until(kernel.now_ns() + ms * kMs); }

  Kernel kernel;
  Net net;

 private:
  struct Process {
    std::vector<std::unique_ptr<Shard>> shards;
    std::unique_ptr<runtime::Network> network;
    Body body;
  };
  struct Machine {
    KernelNode* node = nullptr;
    std::unique_ptr<Process> process;
  };
  void unwind(uint32_t i) {
    std::unique_ptr<Process> process = std::move(machines_[i]->process);
    kernel.kill_shards(process->shards);
    process->network.reset();
    for (auto& shard : process->shards) kernel.retire(std::move(shard));
    node(i).paused = false;
  }
  std::vector<std::unique_ptr<Machine>> machines_;
};

// Bytes `position` and on of the stream `id`: every position differs, so gaps and repetitions show.
class Pattern {
 public:
  Pattern(uint64_t id, uint64_t position) : id_(id), position_(position) {}
  char next() {
    if (position_ % 8 == 0 || !started_) {
      started_ = true;
      word_ = base::mix64(id_ * 0x100000001b3ULL + position_ / 8);
    }
    return static_cast<char>(word_ >> (8 * (position_++ % 8)));
  }

 private:
  uint64_t id_;
  uint64_t position_;
  uint64_t word_ = 0;
  bool started_ = false;
};

inline base::Slice pattern_slice(uint64_t id, uint64_t position, size_t n) {
  Pattern pattern(id, position);
  std::string text(n, '\0');
  for (char& c : text) c = pattern.next();
  return base::Slice::copy_of(text);
}

inline bool matches_pattern(uint64_t id, uint64_t position, const base::Slice& slice) {
  Pattern pattern(id, position);
  bool same = true;
  for (char c : slice.text()) same &= c == pattern.next();
  return same;
}

// A server that listens and reads; a client that connects, then writes and reads on demand. What
// each sees goes into a list: bytes, "end" or the name of an error.
class Wire : public NetRig {
 public:
  explicit Wire(NetOptions options = plain_net(), uint64_t seed = 1) : NetRig(seed, options) {
    server = add("s");
    client = add("c");
    boot_server();
    boot(client, [this](NetProgram& p) {
      auto stream = p.network.connect({"s", kPort}, p.in_ms(120'000));
      if (!stream) {
        client_saw.push_back(std::string(base::to_string(stream.error().code)));
        return;
      }
      serve(p, **stream, client_saw, client_writes);
    });
    run_ms(10);
  }
  void boot_server() {
    boot(server, [this](NetProgram& p) {
      auto listener = p.network.listen({"", kPort}, {});
      CHECK(listener.has_value());
      for (;;) {
        auto stream = (*listener)->accept(runtime::Instant::never());
        if (!stream) return;
        serve(p, **stream, server_saw, server_writes);
      }
    });
  }
  // Texts to write, one write each.
  void client_sends(std::string text) { client_writes.push_back(std::move(text)); }
  void server_sends(std::string text) { server_writes.push_back(std::move(text)); }
  static std::string joined(const Seen& seen) {
    std::string all;
    for (const auto& s : seen) all += s;
    return all;
  }

  uint32_t server = 0;
  uint32_t client = 0;
  Seen server_saw, client_saw;

 private:
  // Reads until end or error; every 5 ms writes what is asked for.
  void serve(NetProgram& p, runtime::Stream& stream, Seen& seen, std::vector<std::string>& writes) {
    runtime::Nursery nursery(p.tasks);
    nursery.spawn("writer", [&] {
      for (;;) {
        while (writes.empty()) {
          if (p.tasks.cancelled()) return;
          p.sleep_ms(5);
        }
        base::Slice slice = base::Slice::copy_of(writes.front());
        writes.erase(writes.begin());
        if (!stream.write_all({&slice, 1}, runtime::Instant::never())) return;
      }
    });
    for (;;) {
      auto slice = stream.read_some(1 << 20, runtime::Instant::never());
      if (slice && !slice->empty()) {
        seen.push_back(std::string(slice->text()));
        continue;
      }
      seen.push_back(slice ? "end" : std::string(base::to_string(slice.error().code)));
      break;
    }
    nursery.stop();
  }
  std::vector<std::string> client_writes, server_writes;
};

}  // namespace verdict::sim
