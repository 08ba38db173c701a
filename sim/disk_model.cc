#include "sim/disk_model.h"

#include <algorithm>

namespace verdict::sim {

using base::Slice;

void apply_name(const NameOp& op, DiskEntries& entries) {
  switch (op.kind) {
    case NameOpKind::link:
      entries[op.name] = op.inode;
      return;
    case NameOpKind::unlink:
      entries.erase(op.name);
      return;
    case NameOpKind::rename:
      entries.erase(op.name);
      entries[op.to] = op.inode;
      return;
  }
  CHECK(false);
}

size_t durable_count(const Inode& file) {
  size_t count = file.log.size();
  while (count > 0 && file.log[count - 1].state != OpState::durable) --count;
  return count;
}

void write_to_device(const FileOp& op, DiskContent& content) {
  CHECK(op.kind == FileOpKind::write);
  if (op.device_offset == op.offset) {
    content.write(op.offset, op.bytes);
    return;
  }
  // The file's size is right; the bytes are elsewhere, and what lies beyond the file is not ours.
  content.grow(op.end());
  if (op.device_offset >= content.size()) return;
  uint64_t fits = std::min<uint64_t>(op.bytes.size(), content.size() - op.device_offset);
  content.write(op.device_offset, op.bytes.cut(0, fits));
}

void apply_to_device(const FileOp& op, DiskContent& content) {
  if (op.kind == FileOpKind::write) write_to_device(op, content);
  // The size is metadata, which reaches the device in order: with it those of forgotten operations.
  content.set_size(op.size_after);
}

// ---------------------------------------------------------------- tree

DiskModel::DiskModel(std::function<Place&(const std::string&)> place_of)
    : place_of_(std::move(place_of)) {
  clear();
}

void DiskModel::clear() {
  root_ = make_inode(true, "");
  root_->linked = true;
  used_bytes_ = 0;
}

InodeRef DiskModel::make_inode(bool is_directory, const std::string& path) {
  auto inode = std::make_shared<Inode>();
  inode->id = ++inodes_;
  inode->is_directory = is_directory;
  inode->place = &place_of_(path);
  return inode;
}

InodeRef DiskModel::find(std::string_view path) const {
  InodeRef at = root_;
  while (!path.empty()) {
    size_t slash = std::min(path.find('/'), path.size());
    auto entry = at->entries.find(path.substr(0, slash));
    if (entry == at->entries.end()) return nullptr;
    at = entry->second;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return at;
}

namespace {

std::string join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

void visit_below(const std::string& path, const Inode& directory,
                 const std::function<void(const std::string&, const InodeRef&)>& fn) {
  for (const auto& [name, inode] : directory.entries) {
    std::string child = join(path, name);
    fn(child, inode);
    if (inode->is_directory) visit_below(child, *inode, fn);
  }
}

}  // namespace

void DiskModel::visit(const std::function<void(const std::string&, const InodeRef&)>& fn) const {
  visit_below("", *root_, fn);
}

void DiskModel::set_places(Inode& inode, const std::string& path) {
  inode.place = &place_of_(path);
  for (const auto& [name, child] : inode.entries) set_places(*child, join(path, name));
}

void DiskModel::recount() {
  used_bytes_ = 0;
  visit([this](const std::string& path, const InodeRef& inode) {
    inode->linked = true;
    inode->place = &place_of_(path);
    used_bytes_ += inode->current.stored_bytes();
  });
}

void DiskModel::log_name(Inode& directory, NameOp op) {
  CHECK(directory.is_directory);
  op.sequence = ++sequence_;
  apply_name(op, directory.entries);
  directory.name_log.push_back(std::move(op));
}

InodeRef DiskModel::create(Inode& directory, int64_t now_ns, const std::string& name,
                           bool is_directory) {
  CHECK(!directory.entries.contains(name));
  CHECK(directory.linked);
  InodeRef inode = make_inode(is_directory, join(directory.place->path, name));
  inode->linked = true;
  log_name(directory,
           {.kind = NameOpKind::link, .at_ns = now_ns, .name = name, .to = {}, .inode = inode});
  return inode;
}

void DiskModel::rename(Inode& directory, int64_t now_ns, const std::string& from,
                       const std::string& to) {
  CHECK(from != to);
  InodeRef inode = directory.entries.at(from);
  auto replaced = directory.entries.find(to);
  if (replaced != directory.entries.end()) {
    CHECK(!replaced->second->is_directory);
    unlink(*replaced->second);
  }
  log_name(directory,
           {.kind = NameOpKind::rename, .at_ns = now_ns, .name = from, .to = to, .inode = inode});
  set_places(*inode, join(directory.place->path, to));
}

void DiskModel::remove(Inode& directory, int64_t now_ns, const std::string& name) {
  InodeRef inode = directory.entries.at(name);
  CHECK(inode->entries.empty());
  unlink(*inode);
  log_name(directory,
           {.kind = NameOpKind::unlink, .at_ns = now_ns, .name = name, .to = {}, .inode = inode});
}

void DiskModel::unlink(Inode& inode) {
  CHECK(inode.linked);
  inode.linked = false;
  if (inode.handles > 0) return;
  CHECK(used_bytes_ >= inode.current.stored_bytes());
  used_bytes_ -= inode.current.stored_bytes();
}

void DiskModel::handle_closed(Inode& inode) {
  CHECK(inode.handles > 0);
  if (--inode.handles > 0 || inode.linked) return;
  CHECK(used_bytes_ >= inode.current.stored_bytes());
  used_bytes_ -= inode.current.stored_bytes();
}

// ---------------------------------------------------------------- files

void DiskModel::account(const Inode& file, uint64_t before) {
  if (!file.linked && file.handles == 0) return;
  CHECK(used_bytes_ >= before);
  used_bytes_ += file.current.stored_bytes() - before;
}

void DiskModel::write(Inode& file, int64_t now_ns, uint64_t offset, Slice bytes,
                      uint64_t device_offset) {
  CHECK(!file.is_directory);
  CHECK(!bytes.empty());
  uint64_t before = file.current.stored_bytes();
  file.current.write(offset, bytes);
  account(file, before);
  FileOp& op = file.log.emplace_back();
  op.kind = FileOpKind::write;
  op.at_ns = now_ns;
  op.sequence = ++sequence_;
  op.offset = offset;
  op.device_offset = device_offset;
  op.size_after = file.current.size();
  op.bytes = std::move(bytes);
}

void DiskModel::truncate(Inode& file, int64_t now_ns, uint64_t size) {
  CHECK(!file.is_directory);
  CHECK(size <= kFileBytesMax);
  uint64_t before = file.current.stored_bytes();
  file.current.set_size(size);
  account(file, before);
  FileOp& op = file.log.emplace_back();
  op.kind = FileOpKind::truncate;
  op.at_ns = now_ns;
  op.sequence = ++sequence_;
  op.offset = size;
  op.device_offset = size;
  op.size_after = size;
}

namespace {

// Moves what is durable at the front of the log into the base.
void merge_front(Inode& file) {
  auto at = file.log.begin();
  size_t excess = 0;
  if (file.log.size() > kForgottenOpsMax) excess = file.log.size() - kForgottenOpsMax;
  for (; at != file.log.end(); ++at) {
    if (at->state == OpState::durable) {
      apply_to_device(*at, file.base);
    } else if (at->state == OpState::forgotten && excess > 0) {
      // Lost for good; the size that it set is metadata, which the device has.
      file.base.set_size(at->size_after);
    } else {
      break;
    }
    if (excess > 0) --excess;
  }
  file.log.erase(file.log.begin(), at);
}

// Name operations up to `covered` are durable.
void names_done(Inode& directory, uint64_t covered) {
  auto at = directory.name_log.begin();
  for (; at != directory.name_log.end() && at->sequence <= covered; ++at) {
    apply_name(*at, directory.durable_entries);
  }
  directory.name_log.erase(directory.name_log.begin(), at);
}

}  // namespace

void DiskModel::sync_done(Inode& inode, uint64_t covered) {
  CHECK(covered <= sequence_);
  inode.synced_sequence = std::max(inode.synced_sequence, covered);
  if (inode.is_directory) {
    // The journal keeps names in order, so newer ones take forgotten ones along. Alone, those look
    // clean and stay behind.
    bool has_newer = std::any_of(inode.name_log.begin(), inode.name_log.end(), [&](const auto& op) {
      return op.sequence <= covered && op.sequence > inode.forgotten_names_through;
    });
    if (has_newer) names_done(inode, covered);
    return;
  }
  for (FileOp& op : inode.log) {
    if (op.sequence > covered) break;
    if (op.state == OpState::pending) op.state = OpState::durable;
  }
  merge_front(inode);
}

uint64_t DiskModel::sync_failed(Inode& inode, uint64_t covered) {
  CHECK(covered <= sequence_);
  ++inode.sync_failures;
  if (inode.is_directory) {
    inode.forgotten_names_through = std::max(inode.forgotten_names_through, covered);
    return 0;
  }
  uint64_t bytes = 0;
  for (FileOp& op : inode.log) {
    if (op.sequence > covered) break;
    if (op.state != OpState::pending) continue;
    op.state = OpState::forgotten;
    bytes += op.bytes.size();
  }
  merge_front(inode);
  return bytes;
}

void DiskModel::written_back(Inode& inode, int64_t until_ns) {
  if (inode.is_directory) {
    uint64_t covered = 0;
    for (const NameOp& op : inode.name_log) {
      if (op.at_ns > until_ns || op.sequence <= inode.forgotten_names_through) break;
      covered = op.sequence;
    }
    names_done(inode, covered);
    return;
  }
  for (FileOp& op : inode.log) {
    if (op.at_ns > until_ns) break;
    if (op.state == OpState::pending) op.state = OpState::durable;
  }
  merge_front(inode);
}

DiskContent DiskModel::device_content(const Inode& file) const {
  DiskContent content = file.base;
  size_t durable = durable_count(file);
  for (size_t i = 0; i < durable; ++i) {
    const FileOp& op = file.log[i];
    if (op.state == OpState::durable) {
      apply_to_device(op, content);
    } else {
      content.set_size(op.size_after);
    }
  }
  return content;
}

uint64_t DiskModel::evict(Inode& file) {
  CHECK(!file.is_directory);
  uint64_t gone = 0;
  for (FileOp& op : file.log) {
    if (op.state == OpState::pending) break;
    if (op.state == OpState::forgotten) gone += op.bytes.size();
    if (op.state == OpState::forgotten && op.kind == FileOpKind::write) {
      // The size is metadata, which was never forgotten; the bytes are.
      op.kind = FileOpKind::truncate;
      op.bytes = {};
    }
    op.state = OpState::durable;
  }
  merge_front(file);
  uint64_t before = file.current.stored_bytes();
  uint64_t size = file.current.size();
  file.current = file.base;
  for (const FileOp& op : file.log) {
    CHECK(op.state == OpState::pending);
    if (op.kind == FileOpKind::truncate) {
      file.current.set_size(op.offset);
    } else {
      file.current.write(op.offset, op.bytes);
    }
  }
  CHECK(file.current.size() == size);
  account(file, before);
  return gone;
}

uint64_t DiskModel::durable_through(const Inode& file) const {
  uint64_t size = file.base.size();
  uint64_t first_open = UINT64_MAX;
  for (const FileOp& op : file.log) {
    if (op.state == OpState::durable) {
      size = op.size_after;
    } else {
      size = std::min(size, op.size_after);
      first_open = std::min(first_open, op.offset);
    }
  }
  return std::min(size, first_open);
}

bool DiskModel::is_durable(const Inode& file, uint64_t offset, uint64_t length) const {
  uint64_t end = offset + length;
  uint64_t size = file.base.size();
  for (const FileOp& op : file.log) {
    if (op.state == OpState::durable) {
      size = op.size_after;
      continue;
    }
    size = std::min(size, op.size_after);
    bool touches =
        op.kind == FileOpKind::truncate ? op.offset < end : op.offset < end && op.end() > offset;
    if (touches) return false;
  }
  if (end > size) return false;
  Slice device = device_content(file).read(offset, length);
  return device.text() == file.current.read(offset, length).text();
}

bool DiskModel::flip_bit(Inode& file, uint64_t offset, uint32_t bit) {
  CHECK(bit < 8);
  if (offset >= file.base.size()) return false;
  for (const FileOp& op : file.log) {
    bool touches = op.kind == FileOpKind::truncate ? op.offset <= offset
                                                   : op.offset <= offset && op.end() > offset;
    if (touches) return false;
  }
  Slice old = file.base.read(offset, 1);
  Slice cached = file.current.read(offset, 1);
  CHECK(cached.size() == 1);
  base::MutableBuffer buffer(1);
  buffer.data()[0] = old.bytes()[0] ^ static_cast<std::byte>(1U << bit);
  Slice flipped = std::move(buffer).freeze(1);
  file.base.write(offset, flipped);
  uint64_t before = file.current.stored_bytes();
  if (cached.text() == old.text()) file.current.write(offset, flipped);
  account(file, before);
  return true;
}

}  // namespace verdict::sim
