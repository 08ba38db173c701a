// One seed, one history: the broker draws nothing and orders nothing by itself.

#include "tests/unit/server/broker_rig.h"

namespace verdict::server {
namespace {

// Several clients, a stop, a power loss, and the hash of everything that happened.
uint64_t history(uint64_t seed, uint32_t shards) {
  BrokerRig rig({.seed = seed, .shards = shards});
  rig.start();
  rig.run([&](Client& first) {
    first.create("t", 5, {{"flush.messages", "1"}});
    runtime::Nursery others(first.node().tasks);
    for (int c = 0; c < 4; ++c) {
      others.spawn("client", [&, c] {
        Client client(first.node(), rig.address());
        for (int i = 0; i < 10; ++i) {
          client.produce("t", (c + i) % 5, batch_of({std::to_string(c * 100 + i)}));
          client.fetch("t", i % 5, 0, 20);
        }
      });
    }
    (void)others.join_all(first.soon());
    others.stop();
  });
  rig.stop();
  rig.start();
  rig.run([](Client& client) { client.create("u", 3); });
  rig.lose_power();
  rig.start();
  return rig.world.trace_hash();
}

TEST(Determinism, the_same_seed_gives_the_same_hash_and_another_seed_another_one) {
  for (uint32_t shards : {1U, 2U, 3U}) {
    EXPECT_EQ(history(1, shards), history(1, shards));
    EXPECT_NE(history(1, shards), history(2, shards));
  }
}

}  // namespace
}  // namespace verdict::server
