#pragma once
// Driver: makes the faults of a plan happen in a world, ends them, and notes for each whether it
// fired and what it really changed.
//
// Invariant: after heal() no fault is in force, every node of the stage is up or booting, and
// nothing of the plan will fire any more.

#include <memory>
#include <string>
#include <vector>

#include "fault/plan.h"
#include "sim/world.h"

namespace verdict::fault {

// What the driver asks of whoever built the world.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::optional<uint32_t> node(std::string_view name) const = 0;
  // Boots the node's program; the node is powered and not running.
  virtual void boot(uint32_t node) = 0;
  // Whether a crash now would interrupt something: requests of clients that wait for an answer.
  virtual bool busy(uint32_t node) const = 0;
  // The node is about to lose its power; its disk is still as it was.
  virtual void before_power_loss(uint32_t /*node*/) {}
};

struct Outcome {
  bool fired = false;
  int64_t at_ns = 0;
  bool effective = false;
  std::string what;  // the change, for people: "3 writes unsynced"
};

class Driver final : public sim::Watcher {
 public:
  // `next` gets probes and log events as well, and may be null.
  Driver(sim::World& world, Stage& stage, Plan plan, sim::Watcher* next);
  ~Driver() override;

  // Arms every fault. Once, before the world runs.
  void start();
  // Ends the safety phase.
  void heal();
  // Judges the faults that are still open; after that outcomes() is final.
  void finish();

  const Plan& plan() const { return plan_; }
  const std::vector<Outcome>& outcomes() const { return outcomes_; }
  // Crashes and power losses that hit a running broker.
  uint32_t kills() const { return kills_; }

  bool on_probe(uint32_t node, const runtime::Probe& probe, uint64_t count) override;
  void on_log(uint32_t node, runtime::Severity severity, std::string_view event,
              std::span<const runtime::Field> fields) override;
  bool wants_log(runtime::Severity severity) const override;

 private:
  class Eye;
  // What the counters said when a fault fired.
  struct Before {
    sim::NetEffects net;
    sim::DiskEffects disk;
    uint64_t late_runs = 0;
    uint64_t exits = 0;
    uint64_t clock_reads = 0;
  };
  struct Armed {
    uint32_t node = 0;
    uint64_t seen = 0;   // matching operations so far
    bool waits = false;  // for its probe or operation
    bool open = false;   // in force
    Before before;
  };

  void on_op(uint32_t node, const sim::DiskOp& op);
  // From a fiber or the main stack; a crash of the running fiber's node does not return.
  void fire(size_t index);
  void fire_on_main(size_t index);
  void kill(size_t index);
  void apply_net(const Fault& fault, bool on);
  void apply_disk(const Fault& fault, uint32_t node, bool on);
  void apply_node(const Fault& fault, uint32_t node, bool on);
  void end(size_t index);
  void judge(size_t index);
  uint64_t change(const Fault& fault, const Armed& armed) const;
  Before look(const Fault& fault, uint32_t node) const;
  void boot_later(uint32_t node, int64_t delay_ns);
  void boot_now(uint32_t node);
  void supervise();
  uint32_t second_node(const Fault& fault) const;

  sim::World& world_;
  Stage& stage_;
  Plan plan_;
  sim::Watcher* next_;
  std::vector<Armed> armed_;
  std::vector<Outcome> outcomes_;
  std::vector<std::unique_ptr<Eye>> eyes_;  // one per node
  std::vector<bool> boot_pending_;          // by node
  std::vector<int64_t> stepped_ns_;         // by node: how far its wall clock was moved
  uint32_t kills_ = 0;
  bool healed_ = false;
  // Events in the world's queue may outlive this object.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace verdict::fault
