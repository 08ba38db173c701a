// How many 64-byte messages one core of the world delivers per second. Run by hand:
//   net_bench [messages]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "broker/runtime/network.h"
#include "broker/runtime/scheduler.h"
#include "sim/kernel.h"
#include "sim/net.h"

namespace verdict::sim {
namespace {

using base::Slice;
using runtime::Instant;

constexpr uint16_t kPort = 9092;
constexpr size_t kMessageBytes = 64;

struct Process {
  std::vector<std::unique_ptr<Shard>> shards;
  std::unique_ptr<runtime::Network> network;
};

std::unique_ptr<Process> boot(Kernel& kernel, Net& net, KernelNode& node,
                              const std::function<void(Process&)>& body) {
  auto process = std::make_unique<Process>();
  process->shards.push_back(std::make_unique<Shard>(kernel, node, base::ShardId{0}, 1));
  process->shards[0]->set_siblings(&process->shards);
  process->network = net.attach(node, process->shards[0]->tasks());
  Process& p = *process;
  kernel.spawn_root(p.shards[0]->tasks(), "main", [&p, body] { body(p); });
  return process;
}

void serve(Process& p, uint64_t& delivered) {
  runtime::Nursery nursery(p.shards[0]->tasks());
  auto listener = p.network->listen({"", kPort}, {});
  for (;;) {
    auto stream = (*listener)->accept(Instant::never());
    if (!stream) break;
    nursery.spawn("reader", [s = std::move(*stream), &delivered] {
      for (;;) {
        auto slice = s->read_some(1U << 20, Instant::never());
        if (!slice || slice->empty()) return;
        delivered += slice->size();
      }
    });
  }
  nursery.stop();
}

void write(Process& p, uint64_t messages, size_t burst) {
  auto stream = p.network->connect({"10.0.0.1", kPort}, Instant::never());
  Slice message = Slice::copy_of(std::string(kMessageBytes, 'x'));
  for (uint64_t i = 0; i < messages; ++i) {
    if (!(*stream)->write_all({&message, 1}, Instant::never())) return;
    if ((i + 1) % burst == 0) p.shards[0]->tasks().yield();
  }
}

void measure(uint64_t messages, size_t connections, size_t burst, bool hashed) {
  KernelOptions options;
  options.hash_trace = hashed;
  Kernel kernel(options);
  Net net(kernel, {});
  KernelNode& server = kernel.add_node("server");
  KernelNode& client = kernel.add_node("client");
  net.register_node(server, "server");
  net.register_node(client, "client");
  uint64_t delivered = 0;
  auto a = boot(kernel, net, server, [&](Process& p) { serve(p, delivered); });
  auto b = boot(kernel, net, client, [&](Process& p) {
    runtime::Nursery nursery(p.shards[0]->tasks());
    for (size_t i = 0; i < connections; ++i) {
      nursery.spawn("writer", [&] { write(p, messages / connections, burst); });
    }
    (void)nursery.join_all(Instant::never());
  });
  auto start = std::chrono::steady_clock::now();
  kernel.run_until(3'600'000'000'000, [&] {
    return delivered >= messages / connections * connections * kMessageBytes;
  });
  auto ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start)
          .count();
  uint64_t got = delivered / kMessageBytes;
  std::printf("%zu connections, burst %zu, %s: %.2f M messages/s, %.0f ns each, %.1f s simulated\n",
              connections, burst, hashed ? "hashed" : "not hashed",
              static_cast<double>(got) * 1e3 / static_cast<double>(ns),
              static_cast<double>(ns) / static_cast<double>(got),
              static_cast<double>(kernel.now_ns()) / 1e9);
  for (auto* process : {&a, &b}) {
    net.process_ended((*process)->shards[0]->node());
    kernel.kill_shards((*process)->shards);
    (*process)->network.reset();
    for (auto& shard : (*process)->shards) kernel.retire(std::move(shard));
  }
  kernel.drop_events();
}

}  // namespace
}  // namespace verdict::sim

int main(int argc, char** argv) {
  uint64_t messages = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4'000'000;
  for (size_t connections : {1, 16}) {
    for (size_t burst : {1, 16, 1024}) {
      for (bool hashed : {true, false}) {
        verdict::sim::measure(messages, connections, burst, hashed);
      }
    }
  }
}
