#include "fault/swarm.h"

#include <algorithm>

#include "broker/base/check.h"

namespace verdict::fault {
namespace {

constexpr sim::ChoiceStream kPlanStream{"plan"};
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMillisecond;

// Draws of one plan, one entity per fault, so that a fault keeps its draws when another goes.
class Dice {
 public:
  Dice(sim::Choices& choices, uint64_t entity)
      : choices_(choices), point_(choices, kPlanStream, entity) {}
  uint64_t below(uint64_t bound) { return choices_.draw(point_, bound); }
  bool permille(uint64_t chance) { return choices_.happens(point_, chance); }
  int64_t between(int64_t low, int64_t high) {
    CHECK(low <= high);
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }
  // Every order of magnitude is as likely as another.
  int64_t spread(int64_t low, int64_t high) {
    CHECK(low > 0);
    int doublings = 0;
    for (int64_t v = low; v < high; v *= 2) ++doublings;
    int64_t value = low;
    for (auto n = below(static_cast<uint64_t>(doublings) + 1); n > 0; --n) value *= 2;
    return std::clamp(value + between(0, value), low, high);
  }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    CHECK(!from.empty());
    return from[below(from.size())];
  }

 private:
  sim::Choices& choices_;
  sim::ChoicePoint point_;
};

constexpr uint64_t kSetUpEntity = 0;  // faults are entities 1, 2, …

void aim(Dice& dice, const Budget& budget, Trigger& trigger) {
  constexpr int64_t kNthMax = 200;
  trigger.k = static_cast<uint64_t>(dice.spread(1, kNthMax));
  uint64_t how = dice.below(3);
  if (!budget.aim_probes.empty() && (how == 0 || budget.aim_paths.empty())) {
    trigger.on = Trigger::On::probe;
    trigger.name = dice.pick(budget.aim_probes);
    return;
  }
  trigger.on = how == 1 ? Trigger::On::write : Trigger::On::sync;
  trigger.name = dice.pick(budget.aim_paths);
  trigger.before = trigger.on == Trigger::On::sync && dice.below(2) == 0;
}

int64_t draw_amount(Dice& dice, Kind kind) {
  switch (kind) {
    case Kind::slow_node:
      return dice.spread(50, 2'000);
    case Kind::slow_link:
      return dice.spread(5 * kMillisecond, kSecond);
    case Kind::accept_overflow:
      return dice.between(1, 2);
    case Kind::short_reads:
      return dice.between(200, 1'000);
    case Kind::disk_full:
      return dice.spread(512, 64 << 10);
    case Kind::disk_slow:
      return dice.spread(20, 400);
    case Kind::io_errors:
      return dice.between(50, 500);
    case Kind::clock_step:
      return dice.spread(kMillisecond, 86'400 * kSecond) * (dice.below(2) == 0 ? 1 : -1);
    case Kind::clock_drift:
      return dice.spread(10, 200'000) * (dice.below(2) == 0 ? 1 : -1);
    default:
      return 0;
  }
}

int64_t draw_duration(Dice& dice, Kind kind) {
  switch (kind) {
    case Kind::crash:
    case Kind::power_loss:
    case Kind::clock_drift:
      return dice.spread(20 * kMillisecond, 4 * kSecond);
    case Kind::pause:
      return dice.spread(100 * kMillisecond, 8 * kSecond);
    case Kind::disk_stall:
      return dice.spread(50 * kMillisecond, 5 * kSecond);
    default:
      return dice.spread(200 * kMillisecond, 8 * kSecond);
  }
}

bool happens_to_clients(Kind kind) {
  return kind == Kind::crash || kind == Kind::stop || kind == Kind::pause ||
         kind == Kind::slow_node || kind == Kind::short_reads || kind == Kind::clock_step ||
         kind == Kind::clock_freeze;
}

Fault draw_fault(Dice& dice, const Budget& budget, Kind kind) {
  const KindInfo& what = info(kind);
  Fault fault;
  fault.kind = kind;
  fault.trigger.at_ns = dice.between(budget.from_ns, budget.to_ns) / 1'000 * 1'000;
  constexpr uint64_t kClientPermille = 150;
  bool on_client =
      !budget.clients.empty() && happens_to_clients(kind) && dice.permille(kClientPermille);
  fault.target = dice.pick(on_client ? budget.clients : budget.brokers);
  if (what.second) {
    fault.second = budget.clients.empty() ? dice.pick(budget.brokers) : dice.pick(budget.clients);
    if (dice.below(2) == 1) std::swap(fault.target, fault.second);
  }
  bool kills = kind == Kind::crash || kind == Kind::power_loss;
  if (kills && !on_client && dice.permille(budget.aimed_permille) &&
      (!budget.aim_probes.empty() || !budget.aim_paths.empty())) {
    fault.trigger.at_ns = 0;
    aim(dice, budget, fault.trigger);
  }
  if (what.lasts) fault.duration_ns = draw_duration(dice, kind) / 1'000 * 1'000;
  fault.amount = draw_amount(dice, kind);
  if (what.path && !budget.aim_paths.empty()) fault.path = dice.pick(budget.aim_paths);
  return fault;
}

}  // namespace

Plan draw_plan(sim::Choices& choices, const Budget& budget) {
  CHECK(!budget.brokers.empty());
  CHECK(budget.faults_min <= budget.faults_max);
  CHECK(budget.from_ns <= budget.to_ns);
  Plan plan;
  if (budget.kinds.empty()) return plan;
  Dice set_up(choices, kSetUpEntity);
  std::vector<Kind> chosen;
  for (Kind kind : budget.kinds) {
    if (set_up.below(2) == 1) chosen.push_back(kind);
  }
  if (chosen.empty()) chosen.push_back(set_up.pick(budget.kinds));
  auto count = static_cast<uint64_t>(set_up.between(budget.faults_min, budget.faults_max));
  for (uint64_t i = 0; i < count; ++i) {
    Dice dice(choices, i + 1);
    plan.faults.push_back(draw_fault(dice, budget, dice.pick(chosen)));
  }
  return plan;
}

}  // namespace verdict::fault
