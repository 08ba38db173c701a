#pragma once
// What a power loss may take: read from the bytes of the simulated disk, not from the broker.

#include "scenarios/history.h"
#include "sim/disk.h"

namespace verdict::scenarios {

// Marks every record sent so far whose batch is not durable on `disk` now as one that a power loss
// may take, and clears the mark of those that are durable. Records that an earlier loss took keep
// it. Every copy of a record that stands on the disk and is not durable may vanish.
void mark_undurable(sim::Disk& disk, History& history);
// Clears the mark of records that are durable now: no later loss may take them.
void clear_durable(sim::Disk& disk, History& history);

}  // namespace verdict::scenarios
