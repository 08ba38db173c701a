#pragma once
// A disk and nothing else: one node whose processes come and go.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/runtime/sync.h"
#include "sim/disk.h"

namespace verdict::sim {

class DiskRig {
 public:
  using Body = std::function<void(runtime::Directory&, runtime::Tasks&)>;

  explicit DiskRig(uint64_t seed, DiskOptions options = {}, std::string_view name = "a")
      : kernel({.seed = seed}),
        node(kernel.add_node(name)),
        disk(std::make_unique<Disk>(kernel, node, options)) {}
  ~DiskRig() { crash(); }

  // Starts a process that runs `body`.
  void start(Body body) {
    CHECK(shards_.empty());
    ++node.incarnation;
    done_ = false;
    shards_.push_back(std::make_unique<Shard>(kernel, node, base::ShardId{0}, 1));
    shards_.back()->set_siblings(&shards_);
    kernel.spawn_root(shards_.back()->tasks(), "main",
                      [this, body, &tasks = shards_.back()->tasks()] {
                        auto root = disk->attach(tasks);
                        body(*root, tasks);
                        done_ = true;
                      });
  }
  bool done() const { return done_; }
  void advance(int64_t ns) { kernel.run_until(kernel.now_ns() + ns); }
  // Runs `body` to its end in a process of its own, which then crashes.
  void run(Body body) {
    constexpr int64_t kLimitNs = 1'000'000'000'000'000;
    start(std::move(body));
    kernel.run_until(kernel.now_ns() + kLimitNs, [this] { return done_; });
    EXPECT_TRUE(done_) << "a file call never returned";
    crash();
  }
  void crash() {
    disk->process_ended();
    kernel.kill_shards(shards_);
    for (auto& shard : shards_) kernel.retire(std::move(shard));
    shards_.clear();
  }
  const LossReport& power_off() {
    crash();
    return disk->power_lost();
  }
  std::string content(std::string_view path) const {
    auto bytes = disk->content(path);
    return bytes ? std::string(bytes->text()) : "(absent)";
  }

  Kernel kernel;
  KernelNode& node;
  std::unique_ptr<Disk> disk;

 private:
  std::vector<std::unique_ptr<Shard>> shards_;
  bool done_ = false;
};

inline void sleep_for(runtime::Tasks& tasks, int64_t ns) {
  auto& scheduler = tasks.scheduler();
  (void)scheduler.suspend(nullptr, 0, scheduler.now(tasks) + runtime::nanoseconds(ns), true);
}

inline base::Result<> write_text(runtime::File& file, uint64_t offset, std::string_view text) {
  base::Slice slice = base::Slice::copy_of(text);
  return file.write_at(offset, {&slice, 1});
}

inline std::unique_ptr<runtime::File> open_file(
    runtime::Directory& directory, std::string_view name,
    runtime::OpenMode mode = runtime::OpenMode::open_or_create) {
  auto file = directory.open(name, mode);
  CHECK(file.has_value());
  return std::move(*file);
}

// The choices of a power loss can be set by their keys, as a plan does.
inline void choose_shape(DiskRig& rig, LossShape shape) {
  uint64_t ordinal = rig.disk->effects().power_losses + 1;
  rig.kernel.choices().override_choice({.stream = ChoiceStream("disk.shape").hash,
                                        .entity = base::combine(rig.node.path, ordinal),
                                        .k = 0},
                                       static_cast<uint64_t>(shape));
}

}  // namespace verdict::sim
