#pragma once
// The disk of one node: what is written survives a process crash, what is synced survives a power
// loss, and everything in between is decided by keyed choices when the power goes.
//
// Writes pend until their file is synced, names until their directory is. Appends to the page cache
// and cached reads cost time but do not suspend; everything else does.
//
// Invariants:
//   - a sync that returned ok covers every write that returned before it was called, and no later
//     power loss takes any of them away;
//   - a write costs no event: whether it was written back before a power loss is decided then.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/runtime/file.h"
#include "broker/runtime/wait.h"
#include "sim/disk_loss.h"
#include "sim/disk_model.h"
#include "sim/kernel.h"

namespace verdict::sim {

struct DiskOptions {
  uint64_t capacity_bytes = 64ULL << 30;
  int64_t cache_cost_ns = 1'000;  // of a write or a cached read, plus a quarter ns per byte
  int64_t name_min_ns = 5'000;    // what names, sizes and overwritten pages take
  int64_t name_max_ns = 50'000;
  int64_t cold_read_min_ns = 50'000;  // first read of a file after a power loss
  int64_t cold_read_max_ns = 500'000;
  int64_t sync_min_ns = 100'000;
  int64_t sync_max_ns = 5'000'000;
  uint64_t sync_tail_permille = 5;
  int64_t sync_tail_max_ns = 200'000'000;
  int64_t background_writeback_max_ns = 30'000'000'000;
};

enum class DiskOpKind : uint8_t { write, truncate, sync, name };
inline constexpr size_t kDiskOpKinds = 4;
enum class DiskOpPhase : uint8_t { before, after };

// One operation as a watcher sees it. Paths have no leading slash; the root directory is "".
struct DiskOp {
  DiskOpKind kind;
  DiskOpPhase phase;      // sync has both, the others only `after`: done, about to return
  std::string_view path;  // of a name operation: the (new) name's path
  uint64_t k;             // counts from 1, per path and kind, over all incarnations
  bool ok;                // `after`: whether it succeeded
  bool is_directory;      // sync of a directory
};

// Sees operations as they happen, so that a fault can hit between a write and its sync. on_op runs
// in the fiber that calls the disk, except for the end of a sync, which is on the main stack. It
// may call kernel.kill_soon() for this disk's node.
class DiskWatcher {
 public:
  virtual ~DiskWatcher() = default;
  virtual void on_op(const DiskOp& op) = 0;
};

// Which operations fail with Errc::io as long as this is set. A failed sync forgets.
struct DiskErrors {
  std::string pattern;  // see path_matches(); empty: every path
  bool reads = false;
  bool writes = false;  // and truncates and name operations
  bool syncs = false;
  uint64_t permille = 1000;
};

// Whether `path` fits `pattern`, where '*' stands for any text, '/' included. Empty fits all.
bool path_matches(std::string_view pattern, std::string_view path);

// What the faults really did; a fault whose counter did not move changed nothing.
struct DiskEffects {
  uint64_t syncs_failed = 0;
  uint64_t bytes_forgotten = 0;  // by failed syncs
  uint64_t io_errors = 0;        // returned to callers, syncs included
  uint64_t no_space_errors = 0;
  uint64_t ops_slowed = 0;  // at least tenfold
  uint64_t ops_stalled = 0;
  uint64_t bits_rotten = 0;
  uint64_t writes_misdirected = 0;
  uint64_t evicted_bytes = 0;  // forgotten bytes that left the page cache
  uint64_t power_losses = 0;
  uint64_t power_losses_by_shape[kLossShapes] = {};
  uint64_t power_losses_with_effect = 0;
  uint64_t bytes_lost = 0;
  uint64_t names_lost = 0;
  uint64_t torn_writes = 0;
};

class Disk;

// Where bit_rot() struck.
struct DiskDamage {
  std::string path;
  uint64_t offset = 0;
};

// What has not reached the device for one path.
struct DiskPending {
  std::string path;
  uint64_t writes = 0;
  uint64_t bytes = 0;
  uint64_t names = 0;  // of a directory
};

// What an open file or directory of a process holds on to; empty once the process is dead.
class DiskHandle : public base::ListNode {
 public:
  DiskHandle(Disk& disk, runtime::Tasks& tasks, InodeRef inode);
  ~DiskHandle() { detach(); }
  void detach();

 protected:
  Disk& disk() const {
    CHECK(disk_ != nullptr);
    return *disk_;
  }
  const InodeRef& inode() const { return inode_; }
  runtime::Tasks& tasks() const { return tasks_; }

 private:
  Disk* disk_;
  runtime::Tasks& tasks_;
  InodeRef inode_;
};

class Disk final {
 public:
  Disk(Kernel& kernel, KernelNode& node, DiskOptions options);
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  ~Disk();

  // The root directory for one shard of one incarnation.
  std::unique_ptr<runtime::Directory> attach(runtime::Tasks& tasks);
  // The process is dead; call before its fibers unwind. Its handles are detached, nothing that is
  // under way ends. The page cache stays.
  void process_ended();
  // After process_ended(): what is on the device becomes all there is.
  const LossReport& power_lost();
  // Everything is gone, as on a new disk. After process_ended().
  void wipe();

  // ---- faults
  // The next `count` syncs of files or directories that match fail with io, and forget.
  void fail_next_sync(std::string pattern, uint32_t count = 1);
  void set_errors(std::optional<DiskErrors> errors);
  // From now on only `free_bytes` fit; nullopt: the capacity counts again.
  void set_full(std::optional<uint64_t> free_bytes);
  // Every device operation takes `factor` times as long, and writes suspend.
  void set_slow(uint64_t factor);
  // No operation takes longer because of it: a device that hangs is set_stalled().
  static constexpr int64_t kSlowWaitMaxNs = 5'000'000'000;
  // Everything but cached reads hangs until it is released.
  void set_stalled(bool stalled);
  // Flips one durable bit of one file that matches; nullopt when no durable byte is there.
  std::optional<DiskDamage> bit_rot(std::string_view pattern);
  // The next write to a file that matches lands on another page of the device. The page cache
  // hides it until eviction or power loss.
  void misdirect_next_write(std::string pattern);
  // The clean pages of every file leave the page cache: reads see the device from now on, so
  // forgotten writes and misdirected ones come to light.
  void evict_clean_pages();
  // Ends every fault above, stalls included.
  void clear_faults();

  // `watcher` outlives the disk or is replaced by null.
  void set_watcher(DiskWatcher* watcher) { watcher_ = watcher; }

  // ---- inspection; paths as in DiskOp
  const DiskEffects& effects() const { return effects_; }
  const LossReport& last_loss() const { return last_loss_; }
  // What a reader sees now.
  std::optional<base::Slice> content(std::string_view path) const;
  // What a power loss now leaves of this file for sure where no pending write overlaps.
  std::optional<base::Slice> durable_content(std::string_view path) const;
  // Whether these bytes, as they read now, survive every power loss. Judges content, not the name.
  bool is_durable(std::string_view path, uint64_t offset, uint64_t length) const;
  // All bytes below this offset are durable.
  uint64_t durable_through(std::string_view path) const;
  // Whether the name, and those of the directories above it, survive every power loss.
  bool name_is_durable(std::string_view path) const;
  std::vector<DiskPending> pending() const;
  // Every path, directories with a trailing '/', sorted.
  std::vector<std::string> paths() const;
  uint64_t used_bytes() const { return model_.used_bytes(); }

 private:
  friend class DiskFile;
  friend class DiskDirectory;
  friend class DiskHandle;
  class Events;

  // One suspended call. Lives on the stack of its fiber; a slot points to it until it ends, is
  // unwound, or its process dies.
  struct Call {
    explicit Call(Disk& d, runtime::Tasks& tasks);
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();
    Disk& disk;
    runtime::WaitQueue queue;
    uint32_t slot = 0;
    uint32_t generation = 0;
    InodeRef syncing;      // set: the end of the call is the end of a sync
    uint64_t covered = 0;  // operations up to this sequence
    uint64_t ordinal = 0;
    uint32_t failures_before = 0;
    bool failed = false;  // a sync: will fail or has failed
    bool held = false;    // waits for the end of a stall
  };
  struct Slot {
    uint32_t generation = 0;
    Call* call = nullptr;
  };

  void on_event(uint64_t argument);
  void finish(Call& call);
  void finish_sync(Call& call);
  void wait_for_release(runtime::Tasks& tasks);
  // Suspends for a keyed time in [min, max], times the slowness.
  void wait_for_device(runtime::Tasks& tasks, ChoicePoint& point, int64_t min_ns, int64_t max_ns);
  // The same for what a device does to names and sizes.
  void wait_for_name(runtime::Tasks& tasks, Inode& inode);
  void wait(Call& call, int64_t duration_ns);

  base::Result<base::Slice> read(runtime::Tasks& tasks, Inode& inode, uint64_t offset, size_t n);
  base::Result<> write(runtime::Tasks& tasks, Inode& inode, uint64_t offset,
                       std::span<const base::Slice> slices);
  void write_prefix(Inode& inode, uint64_t offset, std::span<const base::Slice> slices,
                    uint64_t limit);
  uint64_t fitting_bytes(const Inode& inode, uint64_t offset, uint64_t length) const;
  base::Result<> truncate(runtime::Tasks& tasks, Inode& inode, uint64_t size);
  base::Result<> sync(runtime::Tasks& tasks, const InodeRef& inode);
  base::Result<InodeRef> open(runtime::Tasks& tasks, Inode& directory, std::string_view name,
                              runtime::OpenMode mode, bool is_directory);
  base::Result<> rename(runtime::Tasks& tasks, Inode& directory, std::string_view from,
                        std::string_view to);
  base::Result<> remove(runtime::Tasks& tasks, Inode& directory, std::string_view name);

  int64_t sync_duration_ns(Place& place);
  bool sync_is_to_fail(Place& place);
  bool error_hits(bool DiskErrors::* kind, Place& place);
  std::unexpected<base::Error> io_error(const char* what, const Place& place);
  uint64_t room_bytes() const;
  std::optional<uint64_t> misdirected_offset(const Inode& inode, uint64_t offset, uint64_t end);
  void watch(DiskOpKind kind, DiskOpPhase phase, const Place& place, uint64_t k, bool ok,
             bool is_directory = false);
  // Counts, records and shows a name operation in `directory` that succeeded.
  void name_changed(const Inode& directory, NameOpKind kind, uint64_t name_hash, Place& place);
  Place& place_of(const std::string& path);
  // Now, or when the device began to hang.
  int64_t device_alive_ns() const;
  // What is too old to be pending becomes durable.
  void write_back_old(Inode& inode);
  void record_fault(uint64_t entity, uint64_t what);

  Kernel& kernel_;
  KernelNode& node_;
  DiskOptions options_;
  std::unique_ptr<Events> events_;
  base::OrderedMap<std::string, Place> places_;
  DiskModel model_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  base::IntrusiveList<DiskHandle> handles_;
  DiskWatcher* watcher_ = nullptr;
  DiskEffects effects_;
  LossReport last_loss_;
  uint64_t rot_ordinal_ = 0;

  // Faults.
  struct FailingSync {
    std::string pattern;
    uint32_t count;
  };
  std::vector<FailingSync> failing_syncs_;
  std::optional<DiskErrors> errors_;
  std::optional<uint64_t> full_at_bytes_;  // used bytes may not pass this
  uint64_t slow_factor_ = 1;
  bool stalled_ = false;
  int64_t stalled_since_ns_ = 0;
  std::vector<std::string> misdirections_;
};

}  // namespace verdict::sim
