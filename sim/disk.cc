#include "sim/disk.h"

#include <algorithm>

namespace verdict::sim {
namespace {

using base::Errc;
using base::Result;
using base::Slice;

constexpr ChoiceStream kSyncStream{"disk.sync"};
constexpr ChoiceStream kTailStream{"disk.tail"};
constexpr ChoiceStream kDeviceStream{"disk.device"};
constexpr ChoiceStream kErrorStream{"disk.error"};
constexpr uint64_t kLatencySteps = 1U << 16;
constexpr uint64_t kSlowByFar = 10;  // from this factor on slowness is an effect
constexpr int64_t kBytesPerNs = 4;

uint64_t event_argument(uint32_t slot, uint32_t generation) {
  return (static_cast<uint64_t>(generation) << 32) | slot;
}

}  // namespace

// Receives the disk's events, and outlives it as long as some are pending.
class Disk::Events final : public EventTarget {
 public:
  explicit Events(Disk& disk) : disk_(&disk) {}
  void on_event(uint64_t argument) override {
    if (disk_ != nullptr) disk_->on_event(argument);
  }
  void cut() { disk_ = nullptr; }

 private:
  Disk* disk_;
};

// ---------------------------------------------------------------- handles and calls

DiskHandle::DiskHandle(Disk& disk, runtime::Tasks& tasks, InodeRef inode)
    : disk_(&disk), tasks_(tasks), inode_(std::move(inode)) {
  CHECK(inode_ != nullptr);
  disk.handles_.push_back(*this);
  disk.model_.handle_opened(*inode_);
}

void DiskHandle::detach() {
  if (disk_ == nullptr) return;
  disk_->model_.handle_closed(*inode_);
  disk_ = nullptr;
  inode_.reset();
  unlink();
}

Disk::Call::Call(Disk& d, runtime::Tasks& tasks) : disk(d), queue(tasks) {
  if (disk.free_slots_.empty()) {
    disk.free_slots_.push_back(static_cast<uint32_t>(disk.slots_.size()));
    disk.slots_.emplace_back();
  }
  slot = disk.free_slots_.back();
  disk.free_slots_.pop_back();
  Slot& own = disk.slots_[slot];
  CHECK(own.call == nullptr);
  own.call = this;
  generation = own.generation;
}

Disk::Call::~Call() {
  Slot& own = disk.slots_[slot];
  if (own.call != this) return;  // the process died first
  own.call = nullptr;
  ++own.generation;
  disk.free_slots_.push_back(slot);
}

// ---------------------------------------------------------------- Disk

Disk::Disk(Kernel& kernel, KernelNode& node, DiskOptions options)
    : kernel_(kernel),
      node_(node),
      options_(options),
      events_(std::make_unique<Events>(*this)),
      model_([this](const std::string& path) -> Place& { return place_of(path); }) {
  CHECK(options.capacity_bytes > 0);
  CHECK(options.sync_min_ns > 0);
  CHECK(options.sync_max_ns >= options.sync_min_ns);
  CHECK(options.sync_tail_max_ns >= options.sync_max_ns);
  CHECK(options.background_writeback_max_ns > 0);
}

Disk::~Disk() {
  process_ended();
  events_->cut();
  kernel_.retire(std::move(events_));
}

Place& Disk::place_of(const std::string& path) {
  auto [at, is_new] = places_.try_emplace(path);
  Place& place = at->second;
  if (!is_new) return place;
  place.path = path;
  place.entity = base::combine(node_.path, base::hash_text(path));
  place.sync = ChoicePoint(kernel_.choices(), kSyncStream, place.entity);
  place.tail = ChoicePoint(kernel_.choices(), kTailStream, place.entity);
  place.device = ChoicePoint(kernel_.choices(), kDeviceStream, place.entity);
  place.error = ChoicePoint(kernel_.choices(), kErrorStream, place.entity);
  kernel_.choices().name_entity(place.entity, node_.name + ":/" + path);
  return place;
}

void Disk::process_ended() {
  while (DiskHandle* handle = handles_.front()) handle->detach();
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].call == nullptr) continue;
    slots_[i].call = nullptr;
    ++slots_[i].generation;
    free_slots_.push_back(i);
  }
}

const LossReport& Disk::power_lost() {
  CHECK(handles_.empty());
  ++effects_.power_losses;
  last_loss_ = lose_power(model_, kernel_.choices(),
                          {.ordinal = effects_.power_losses,
                           .now_ns = kernel_.now_ns(),
                           .device_alive_ns = device_alive_ns(),
                           .writeback_max_ns = options_.background_writeback_max_ns,
                           .node_entity = node_.path});
  ++effects_.power_losses_by_shape[static_cast<size_t>(last_loss_.shape)];
  if (last_loss_.has_effect()) ++effects_.power_losses_with_effect;
  effects_.bytes_lost += last_loss_.bytes_lost();
  effects_.names_lost += last_loss_.names_lost.size();
  for (const LossReport::File& file : last_loss_.files) {
    if (file.torn) ++effects_.torn_writes;
    kernel_.record(node_, EventKind::disk_lost, file.entity, file.bytes_lost, file.size_after);
  }
  for (const std::string& name : last_loss_.names_lost) {
    kernel_.record(node_, EventKind::disk_lost, place_of(name).entity, 0, UINT64_MAX);
  }
  return last_loss_;
}

void Disk::wipe() {
  CHECK(handles_.empty());
  model_.clear();
  record_fault(node_.path, base::hash_text("wipe"));
}

// ---------------------------------------------------------------- waiting

void Disk::on_event(uint64_t argument) {
  auto index = static_cast<uint32_t>(argument);
  CHECK(index < slots_.size());
  const Slot& slot = slots_[index];
  if (slot.call == nullptr || slot.generation != argument >> 32) return;
  if (stalled_) {
    slot.call->held = true;
    ++effects_.ops_stalled;
    return;
  }
  finish(*slot.call);
}

void Disk::finish(Call& call) {
  uint32_t slot = call.slot;
  uint32_t generation = call.generation;
  call.held = false;
  if (call.syncing != nullptr) finish_sync(call);
  // Whoever watches the end of a sync may have killed the process.
  if (slots_[slot].call == nullptr || slots_[slot].generation != generation) return;
  call.queue.notify_all();
}

void Disk::wait(Call& call, int64_t duration_ns) {
  CHECK(duration_ns > 0);
  if (slow_factor_ >= kSlowByFar) ++effects_.ops_slowed;
  int64_t slowed_ns = duration_ns * static_cast<int64_t>(slow_factor_);
  duration_ns = std::max(duration_ns, std::min(slowed_ns, Disk::kSlowWaitMaxNs));
  kernel_.schedule(kernel_.now_ns() + duration_ns, *events_,
                   event_argument(call.slot, call.generation));
  call.queue.wait_uncancellable();
}

void Disk::wait_for_release(runtime::Tasks& tasks) {
  while (stalled_) [[unlikely]] {
    ++effects_.ops_stalled;
    Call call(*this, tasks);
    call.held = true;
    call.queue.wait_uncancellable();
  }
}

void Disk::wait_for_device(runtime::Tasks& tasks, ChoicePoint& point, int64_t min_ns,
                           int64_t max_ns) {
  CHECK(max_ns >= min_ns);
  wait_for_release(tasks);
  auto range = static_cast<uint64_t>(max_ns - min_ns + 1);
  auto duration = min_ns + static_cast<int64_t>(kernel_.choices().draw(point, range));
  Call call(*this, tasks);
  wait(call, duration);
}

void Disk::wait_for_name(runtime::Tasks& tasks, Inode& inode) {
  wait_for_device(tasks, inode.place->device, options_.name_min_ns, options_.name_max_ns);
}

int64_t Disk::device_alive_ns() const { return stalled_ ? stalled_since_ns_ : kernel_.now_ns(); }

void Disk::write_back_old(Inode& inode) {
  if (inode.log.empty()) return;
  // With slack, so that it is done for many operations at once.
  int64_t age = options_.background_writeback_max_ns;
  if (inode.log.front().at_ns > device_alive_ns() - age - age / 8) return;
  model_.written_back(inode, device_alive_ns() - age);
}

// ---------------------------------------------------------------- errors, watchers

void Disk::watch(DiskOpKind kind, DiskOpPhase phase, const Place& place, uint64_t k, bool ok,
                 bool is_directory) {
  if (watcher_ == nullptr) return;
  watcher_->on_op({kind, phase, place.path, k, ok, is_directory});
}

std::unexpected<base::Error> Disk::io_error(const char* what, const Place& place) {
  ++effects_.io_errors;
  return base::fail(Errc::io, std::string(what) + " " + place.path + ": input/output error");
}

bool Disk::error_hits(bool DiskErrors::* kind, Place& place) {
  if (!errors_) [[likely]]
    return false;
  if (!(*errors_.*kind) || !path_matches(errors_->pattern, place.path)) return false;
  return kernel_.choices().happens(place.error, errors_->permille);
}

void Disk::record_fault(uint64_t entity, uint64_t what) {
  kernel_.record(node_, EventKind::disk_fault, entity, what, 0);
}

// ---------------------------------------------------------------- reading and writing

Result<Slice> Disk::read(runtime::Tasks& tasks, Inode& inode, uint64_t offset, size_t n) {
  if (inode.cold) [[unlikely]] {
    inode.cold = false;
    wait_for_device(tasks, inode.place->device, options_.cold_read_min_ns,
                    options_.cold_read_max_ns);
  }
  if (offset < inode.current.size() &&
      std::min<uint64_t>(n, inode.current.size() - offset) > base::MutableBuffer::kBytesMax) {
    return base::fail(Errc::too_large, "read " + inode.place->path);
  }
  if (error_hits(&DiskErrors::reads, *inode.place)) return io_error("read", *inode.place);
  Slice bytes = inode.current.read(offset, n);
  tasks.charge(options_.cache_cost_ns + static_cast<int64_t>(bytes.size()) / kBytesPerNs);
  kernel_.record(node_, EventKind::disk_read, inode.place->entity, offset, bytes.size());
  return bytes;
}

Result<> Disk::write(runtime::Tasks& tasks, Inode& inode, uint64_t offset,
                     std::span<const Slice> slices) {
  uint64_t length = 0;
  for (const Slice& slice : slices) length += slice.size();
  if (length == 0) return {};
  if (offset > kFileBytesMax || length > kFileBytesMax - offset) {
    return base::fail(Errc::too_large, "write " + inode.place->path);
  }
  wait_for_release(tasks);
  if (offset < inode.current.size()) {
    wait_for_name(tasks, inode);  // the rest of its first page may have to be read
  } else if (slow_factor_ > 1) {
    wait_for_device(tasks, inode.place->device, options_.cache_cost_ns, options_.cache_cost_ns);
  }
  tasks.charge(options_.cache_cost_ns + static_cast<int64_t>(length) / kBytesPerNs);
  Place& place = *inode.place;
  uint64_t k = ++place.ordinals[static_cast<size_t>(DiskOpKind::write)];
  if (error_hits(&DiskErrors::writes, place)) {
    write_prefix(inode, offset, slices, kernel_.choices().draw(place.error, length));
    watch(DiskOpKind::write, DiskOpPhase::after, place, k, false);
    return io_error("write", place);
  }
  uint64_t fits = fitting_bytes(inode, offset, length);
  write_prefix(inode, offset, slices, fits);
  watch(DiskOpKind::write, DiskOpPhase::after, place, k, fits == length);
  if (fits == length) return {};
  ++effects_.no_space_errors;
  return base::fail(Errc::no_space, "write " + place.path + ": no space left on the device");
}

uint64_t Disk::fitting_bytes(const Inode& inode, uint64_t offset, uint64_t length) const {
  uint64_t room = room_bytes();
  if (length <= room) return length;
  // The longest prefix whose new bytes fit; what overwrites needs no room.
  uint64_t low = 0;
  uint64_t high = length;
  while (low < high) {
    uint64_t middle = low + (high - low + 1) / 2;
    if (middle - inode.current.stored_in(offset, middle) <= room) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Small writes become one extent, so that a reader gets them back without a copy; of large ones
// each slice is an operation of its own.
void Disk::write_prefix(Inode& inode, uint64_t offset, std::span<const Slice> slices,
                        uint64_t limit) {
  constexpr uint64_t kJoinBytesMax = 16 * 1024;
  if (limit == 0) return;
  write_back_old(inode);
  base::Slices parts;
  uint64_t fingerprint = 0;
  for (const Slice& slice : slices) {
    uint64_t n = std::min<uint64_t>(slice.size(), limit - parts.size());
    if (n == 0) continue;
    Slice part = n == slice.size() ? slice : slice.cut(0, n);
    fingerprint = base::combine(fingerprint, part.fingerprint());
    parts.push_back(std::move(part));
  }
  CHECK(parts.size() == limit);
  kernel_.record(node_, EventKind::disk_write, inode.place->entity, offset, limit ^ fingerprint);
  std::optional<uint64_t> elsewhere = misdirected_offset(inode, offset, offset + limit);
  bool join = parts.count() > 1 && (limit <= kJoinBytesMax || elsewhere);
  if (join) parts = base::Slices(parts.flatten());
  for (const Slice& part : parts) {
    model_.write(inode, kernel_.now_ns(), offset, part.compact(), elsewhere.value_or(offset));
    offset += part.size();
  }
}

Result<> Disk::truncate(runtime::Tasks& tasks, Inode& inode, uint64_t size) {
  if (size > kFileBytesMax) return base::fail(Errc::too_large, "truncate " + inode.place->path);
  wait_for_name(tasks, inode);
  Place& place = *inode.place;
  uint64_t k = ++place.ordinals[static_cast<size_t>(DiskOpKind::truncate)];
  if (error_hits(&DiskErrors::writes, place)) return io_error("truncate", place);
  write_back_old(inode);
  model_.truncate(inode, kernel_.now_ns(), size);
  kernel_.record(node_, EventKind::disk_truncate, place.entity, size, 0);
  watch(DiskOpKind::truncate, DiskOpPhase::after, place, k, true);
  return {};
}

uint64_t Disk::room_bytes() const {
  uint64_t limit = std::min(options_.capacity_bytes, full_at_bytes_.value_or(UINT64_MAX));
  return limit > model_.used_bytes() ? limit - model_.used_bytes() : 0;
}

// ---------------------------------------------------------------- sync

int64_t Disk::sync_duration_ns(Place& place) {
  Choices& choices = kernel_.choices();
  // Squared, so that most syncs are near the fast end.
  auto step = static_cast<int64_t>(choices.draw(place.sync, kLatencySteps));
  int64_t range = options_.sync_max_ns - options_.sync_min_ns;
  int64_t share = (step * step) >> 16;
  int64_t duration = options_.sync_min_ns + ((range * share) >> 16);
  if (choices.happens(place.tail, options_.sync_tail_permille)) {
    auto tail = static_cast<uint64_t>(options_.sync_tail_max_ns - options_.sync_max_ns + 1);
    duration = options_.sync_max_ns + static_cast<int64_t>(choices.draw(place.tail, tail));
  }
  return duration;
}

bool Disk::sync_is_to_fail(Place& place) {
  for (auto at = failing_syncs_.begin(); at != failing_syncs_.end(); ++at) {
    if (!path_matches(at->pattern, place.path)) continue;
    if (--at->count == 0) failing_syncs_.erase(at);
    return true;
  }
  return error_hits(&DiskErrors::syncs, place);
}

Result<> Disk::sync(runtime::Tasks& tasks, const InodeRef& file) {
  InodeRef inode = file;  // lives until the end, whatever becomes of the handle
  Place& place = *inode->place;
  uint64_t covered = model_.last_sequence();
  uint32_t failures_before = inode->sync_failures;
  uint64_t k = ++place.ordinals[static_cast<size_t>(DiskOpKind::sync)];
  watch(DiskOpKind::sync, DiskOpPhase::before, place, k, true, inode->is_directory);
  wait_for_release(tasks);
  int64_t duration = sync_duration_ns(place);
  Call call(*this, tasks);
  call.syncing = std::move(inode);
  call.covered = covered;
  call.ordinal = k;
  call.failures_before = failures_before;
  call.failed = sync_is_to_fail(place);
  wait(call, duration);
  if (call.failed) return io_error("sync", place);
  return {};
}

void Disk::finish_sync(Call& call) {
  Inode& inode = *call.syncing;
  Place& place = *inode.place;
  bool is_directory = inode.is_directory;
  // Another sync of this file failed meanwhile: what it forgot is what this one was asked to keep.
  if (inode.sync_failures != call.failures_before) call.failed = true;
  if (call.failed) {
    effects_.bytes_forgotten += model_.sync_failed(inode, call.covered);
    ++effects_.syncs_failed;
  } else {
    model_.sync_done(inode, call.covered);
  }
  kernel_.record(node_, EventKind::disk_sync, place.entity, call.ordinal, call.failed ? 0 : 1);
  watch(DiskOpKind::sync, DiskOpPhase::after, place, call.ordinal, !call.failed, is_directory);
}

}  // namespace verdict::sim
