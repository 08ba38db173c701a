#pragma once
// Deaths and Guard: who died in which order when a node was killed. Tracked: how many still live.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/conformance/lab.h"

namespace verdict::conformance {

// Notes the deaths of guards, in order. Outlives every node.
class Deaths {
 public:
  void born() { ++alive_; }
  void died(std::string name) {
    --alive_;
    order_.push_back(std::move(name));
  }
  int alive() const { return alive_; }
  const std::vector<std::string>& order() const { return order_; }
  size_t place(std::string_view name) const {
    auto at = std::find(order_.begin(), order_.end(), name);
    EXPECT_NE(at, order_.end()) << name;
    return static_cast<size_t>(at - order_.begin());
  }

 private:
  int alive_ = 0;
  std::vector<std::string> order_;
};

class Guard {
 public:
  Guard(Deaths& deaths, std::string name) : deaths_(&deaths), name_(std::move(name)) {
    deaths.born();
  }
  Guard(Guard&& other) noexcept
      : deaths_(std::exchange(other.deaths_, nullptr)), name_(std::move(other.name_)) {}
  Guard& operator=(Guard&&) = delete;
  ~Guard() {
    if (deaths_ != nullptr) deaths_->died(name_);
  }

 private:
  Deaths* deaths_;
  std::string name_;
};

// Counts what is alive.
class Tracked {
 public:
  explicit Tracked(int& alive) : alive_(&alive) { ++*alive_; }
  Tracked(Tracked&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
  Tracked& operator=(Tracked&&) = delete;
  ~Tracked() {
    if (alive_ != nullptr) --*alive_;
  }

 private:
  int* alive_;
};

// Ends only by a kill.
inline void wait_for_ever(runtime::Node& node) {
  must(node.clock.sleep_until(kNever));
  ADD_FAILURE() << "a killed fiber went on";
}

}  // namespace verdict::conformance
