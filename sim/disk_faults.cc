// Faults that a trial sets on a disk, and the views of it that checkers have.

#include <algorithm>

#include "sim/disk.h"

namespace verdict::sim {
namespace {

using base::Slice;

constexpr ChoiceStream kRotStream{"disk.rot"};
constexpr ChoiceStream kMisdirectStream{"disk.misdirect"};

}  // namespace

bool path_matches(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return true;
  // The last '*' and what it took so far: on a mismatch it takes one byte more.
  size_t star = std::string_view::npos;
  size_t taken = 0;
  size_t p = 0;
  for (size_t i = 0; i < path.size();) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = i;
    } else if (p < pattern.size() && pattern[p] == path[i]) {
      ++p;
      ++i;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      i = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// ---------------------------------------------------------------- faults

void Disk::fail_next_sync(std::string pattern, uint32_t count) {
  if (count == 0) return;
  failing_syncs_.push_back({std::move(pattern), count});
}

void Disk::set_errors(std::optional<DiskErrors> errors) {
  if (errors) CHECK(errors->permille <= 1000);
  errors_ = std::move(errors);
}

void Disk::set_full(std::optional<uint64_t> free_bytes) {
  full_at_bytes_.reset();
  if (free_bytes) full_at_bytes_ = model_.used_bytes() + *free_bytes;
}

void Disk::set_slow(uint64_t factor) {
  constexpr uint64_t kFactorMax = 1'000'000;
  CHECK(factor >= 1);
  CHECK(factor <= kFactorMax);
  slow_factor_ = factor;
}

void Disk::set_stalled(bool stalled) {
  if (stalled == stalled_) return;
  stalled_ = stalled;
  stalled_since_ns_ = kernel_.now_ns();
  if (stalled) return;
  for (size_t i = 0; i < slots_.size() && !stalled_; ++i) {
    if (slots_[i].call != nullptr && slots_[i].call->held) finish(*slots_[i].call);
  }
}

std::optional<DiskDamage> Disk::bit_rot(std::string_view pattern) {
  constexpr int kTries = 8;
  std::vector<InodeRef> candidates;
  model_.visit([&](const std::string& path, const InodeRef& inode) {
    if (inode->is_directory || !path_matches(pattern, path)) return;
    write_back_old(*inode);
    if (inode->base.size() > 0) candidates.push_back(inode);
  });
  if (candidates.empty()) return std::nullopt;
  ChoicePoint point(kernel_.choices(), kRotStream, base::combine(node_.path, ++rot_ordinal_));
  Inode& file = *candidates[kernel_.choices().draw(point, candidates.size())];
  for (int i = 0; i < kTries; ++i) {
    uint64_t offset = kernel_.choices().draw(point, file.base.size());
    auto bit = static_cast<uint32_t>(kernel_.choices().draw(point, 8));
    if (!model_.flip_bit(file, offset, bit)) continue;
    ++effects_.bits_rotten;
    kernel_.record(node_, EventKind::disk_fault, file.place->entity, offset, bit);
    return DiskDamage{file.place->path, offset};
  }
  return std::nullopt;
}

void Disk::misdirect_next_write(std::string pattern) {
  misdirections_.push_back(std::move(pattern));
}

std::optional<uint64_t> Disk::misdirected_offset(const Inode& inode, uint64_t offset,
                                                 uint64_t end) {
  if (misdirections_.empty()) [[likely]]
    return std::nullopt;
  const Place& place = *inode.place;
  auto at = std::find_if(misdirections_.begin(), misdirections_.end(),
                         [&](const auto& pattern) { return path_matches(pattern, place.path); });
  if (at == misdirections_.end()) return std::nullopt;
  misdirections_.erase(at);
  uint64_t ordinal = place.ordinals[static_cast<size_t>(DiskOpKind::write)];
  ChoicePoint point(kernel_.choices(), kMisdirectStream, base::combine(place.entity, ordinal));
  // Any page of the file but its own, or one beyond the end.
  uint64_t pages = (std::max(inode.current.size(), end) + kPageBytes - 1) / kPageBytes;
  uint64_t page = kernel_.choices().draw(point, pages);
  if (page >= offset / kPageBytes) ++page;
  ++effects_.writes_misdirected;
  kernel_.record(node_, EventKind::disk_fault, place.entity, page, offset);
  return page * kPageBytes + offset % kPageBytes;
}

void Disk::evict_clean_pages() {
  model_.visit([this](const std::string&, const InodeRef& inode) {
    if (inode->is_directory) return;
    write_back_old(*inode);
    effects_.evicted_bytes += model_.evict(*inode);
    inode->cold = true;
  });
}

void Disk::clear_faults() {
  failing_syncs_.clear();
  misdirections_.clear();
  errors_.reset();
  full_at_bytes_.reset();
  slow_factor_ = 1;
  set_stalled(false);
}

// ---------------------------------------------------------------- inspection

std::optional<Slice> Disk::content(std::string_view path) const {
  InodeRef inode = model_.find(path);
  if (inode == nullptr || inode->is_directory) return std::nullopt;
  return inode->current.read(0, inode->current.size());
}

std::optional<Slice> Disk::durable_content(std::string_view path) const {
  InodeRef inode = model_.find(path);
  if (inode == nullptr || inode->is_directory) return std::nullopt;
  DiskContent content = model_.device_content(*inode);
  return content.read(0, content.size());
}

bool Disk::is_durable(std::string_view path, uint64_t offset, uint64_t length) const {
  InodeRef inode = model_.find(path);
  return inode != nullptr && !inode->is_directory && model_.is_durable(*inode, offset, length);
}

uint64_t Disk::durable_through(std::string_view path) const {
  InodeRef inode = model_.find(path);
  return inode == nullptr || inode->is_directory ? 0 : model_.durable_through(*inode);
}

bool Disk::name_is_durable(std::string_view path) const {
  InodeRef directory = model_.root();
  while (!path.empty()) {
    size_t slash = std::min(path.find('/'), path.size());
    std::string_view name = path.substr(0, slash);
    auto now = directory->entries.find(name);
    auto durable = directory->durable_entries.find(name);
    if (now == directory->entries.end() || durable == directory->durable_entries.end()) {
      return false;
    }
    if (now->second != durable->second) return false;
    for (const NameOp& op : directory->name_log) {
      if (op.name == name || op.to == name) return false;
    }
    directory = now->second;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return true;
}

std::vector<DiskPending> Disk::pending() const {
  std::vector<DiskPending> all;
  auto add = [&](const std::string& path, const InodeRef& inode) {
    DiskPending pending{path, 0, 0, inode->name_log.size()};
    for (const FileOp& op : inode->log) {
      if (op.state == OpState::durable) continue;
      ++pending.writes;
      pending.bytes += op.bytes.size();
    }
    if (pending.writes + pending.names > 0) all.push_back(std::move(pending));
  };
  add("", model_.root());
  model_.visit(add);
  return all;
}

std::vector<std::string> Disk::paths() const {
  std::vector<std::string> all;
  model_.visit([&](const std::string& path, const InodeRef& inode) {
    all.push_back(inode->is_directory ? path + "/" : path);
  });
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace verdict::sim
