// A simulated world as a lab: two machines and the network between them. Several kinds, because
// what a body claims must hold for every seed, order of ready fibers and number of shards.

#include "sim/world.h"
#include "tests/conformance/lab.h"

namespace verdict::conformance {
namespace {

constexpr uint32_t kServer = 0;
constexpr uint32_t kClient = 1;
constexpr int64_t kRunNsMax = 400LL * 86'400 * 1'000'000'000;  // of virtual time; longer is a hang

struct Shape {
  uint64_t seed;
  int64_t shuffle_window_ns;
  uint32_t shards;
};

class SimulatedLab final : public Lab {
 public:
  explicit SimulatedLab(Shape shape)
      : shape_(shape),
        world_({.kernel = {.seed = shape.seed, .shuffle_window_ns = shape.shuffle_window_ns},
                .net = {}}) {
    CHECK(world_.add_node({.name = "server", .shards = shape.shards}) == kServer);
    CHECK(world_.add_node({.name = "client"}) == kClient);
  }

  void run(Body body) override {
    boot_server(std::move(body));
    run_to_end();
  }
  void run_pair(Body server, Body client) override {
    boot_server(std::move(server));
    auto shared = std::make_shared<Body>(std::move(client));  // a Program can be copied
    world_.boot(kClient, [shared](runtime::Node& node) { (*shared)(node); });
    run_to_end();
  }
  void kill() override {
    world_.crash(kServer);
    CHECK(false);  // it does not return into a fiber of its node
    std::abort();
  }
  void request_stop() override { world_.stop(kServer); }
  void occupy(runtime::Node& node, runtime::Duration length) override {
    node.tasks.charge(length.ns);
  }
  runtime::Node& node(base::ShardId shard) override {
    CHECK(shard.value < nodes_.size());
    CHECK(nodes_[shard.value] != nullptr);
    return *nodes_[shard.value];
  }
  uint32_t shards() const override { return shape_.shards; }
  std::string host() const override { return world_.address(kServer); }

 private:
  // The body runs on shard 0 once the others are up; they serve posts until it has ended.
  void boot_server(Body body) {
    nodes_.assign(shape_.shards, nullptr);
    done_.assign(shape_.shards, nullptr);
    auto shared = std::make_shared<Body>(std::move(body));
    world_.boot(kServer, [this, shared](runtime::Node& node) {
      uint32_t shard = node.tasks.shard().value;
      runtime::Event done(node.tasks);
      nodes_[shard] = &node;
      done_[shard] = &done;
      if (shard != 0) {
        must(done.wait(kNever));
        return;
      }
      for (runtime::Node*& other : nodes_) {
        while (other == nullptr) must(node.clock.sleep(runtime::milliseconds(1)));
      }
      (*shared)(node);
      for (uint32_t other = 1; other < shape_.shards; ++other) {
        node.tasks.post(base::ShardId{other}, [this, other] { done_[other]->set(); });
      }
    });
  }
  void run_to_end() {
    world_.run_until(world_.now_ns() + kRunNsMax,
                     [this] { return !world_.running(kServer) && !world_.running(kClient); });
    CHECK(!world_.running(kServer));  // the body hangs
    CHECK(!world_.running(kClient));
  }

  Shape shape_;
  sim::World world_;
  std::vector<runtime::Node*> nodes_;  // by shard, of the server
  std::vector<runtime::Event*> done_;
};

}  // namespace

std::vector<LabKind> simulated_labs() {
  const std::pair<const char*, Shape> kShapes[] = {
      {"Simulated", {1, 20'000, 1}},
      {"SimulatedInOrder", {2, 0, 2}},
      {"SimulatedShuffled", {3, 1'000'000, 3}},
  };
  std::vector<LabKind> kinds;
  for (const auto& [name, shape] : kShapes) {
    kinds.push_back(
        {name, shape.shards, [s = shape] { return std::make_unique<SimulatedLab>(s); }});
  }
  return kinds;
}

}  // namespace verdict::conformance
