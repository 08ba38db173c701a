#pragma once
// Node: everything that broker code may touch of the world, handed down explicitly. There is one
// per shard; nothing else of the world exists for the code above.

#include "broker/runtime/clock.h"
#include "broker/runtime/exhibit.h"
#include "broker/runtime/file.h"
#include "broker/runtime/knob.h"
#include "broker/runtime/network.h"
#include "broker/runtime/observer.h"
#include "broker/runtime/random.h"
#include "broker/runtime/scheduler.h"
#include "broker/runtime/sync.h"

namespace verdict::runtime {

struct Node {
  Clock& clock;
  Random& random;
  Network& network;
  Directory& data;
  Tasks& tasks;
  Observer& observer;
  const KnobValues& knobs;
  // Set when the node is asked to stop in good order (SIGTERM). One per shard.
  Event& stop;
#if VERDICT_EXHIBITS
  std::optional<Exhibit> exhibit;
#endif
};

}  // namespace verdict::runtime
