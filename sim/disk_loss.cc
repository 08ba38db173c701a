#include "sim/disk_loss.h"

#include <algorithm>
#include <utility>

namespace verdict::sim {
namespace {

using base::combine;

constexpr ChoiceStream kShape{"disk.shape"};
// Where the write order ends.
constexpr ChoiceStream kPoint{"disk.point"};
// How many writes a page loses, and how the first of them is torn.
constexpr ChoiceStream kPage{"disk.page"};
// Which page is lost.
constexpr ChoiceStream kVictim{"disk.victim"};
constexpr ChoiceStream kSize{"disk.size"};
// How many name operations a directory loses.
constexpr ChoiceStream kNames{"disk.names"};
// 0: the sync of a file took its name along.
constexpr ChoiceStream kSyncedName{"disk.synced_name"};
// 0: a forgotten write reached the device.
constexpr ChoiceStream kForgotten{"disk.forgotten"};
constexpr uint64_t kForgottenOdds = 4;
// The age from which on writes were written back.
constexpr ChoiceStream kWriteback{"disk.writeback"};

// How far the pending writes of a page, or of a file, reached the device: operations before `limit`
// whole, that at `limit` up to the file offset `torn_end`.
struct Reach {
  size_t limit = SIZE_MAX;
  uint64_t torn_end = 0;
};

struct FilePlan {
  Inode* file = nullptr;
  uint64_t entity = 0;
  size_t size_count = 0;  // operations whose size counts
  Reach usual;
  base::OrderedMap<uint64_t, Reach> pages;  // that differ
  std::vector<bool> forgotten_kept;         // by operation; empty: all
  uint64_t bytes_lost = 0;
  bool torn = false;

  const Reach& reach(uint64_t page) const {
    auto at = pages.find(page);
    return at == pages.end() ? usual : at->second;
  }
};

// One pending operation's part in one page.
struct PageOp {
  uint64_t page;
  size_t index;
  auto operator<=>(const PageOp&) const = default;
};

// The page that a truncate leaves half used, whose tail it zeroes.
bool has_boundary(const FileOp& op) {
  return op.kind == FileOpKind::truncate && op.offset % kPageBytes != 0;
}

std::vector<PageOp> page_ops(const Inode& file) {
  std::vector<PageOp> ops;
  for (size_t i = 0; i < file.log.size(); ++i) {
    const FileOp& op = file.log[i];
    if (op.state != OpState::pending) continue;
    if (op.kind == FileOpKind::truncate) {
      if (has_boundary(op)) ops.push_back({op.offset / kPageBytes, i});
      continue;
    }
    uint64_t last = (op.end() - 1) / kPageBytes;
    for (uint64_t page = op.offset / kPageBytes; page <= last; ++page) ops.push_back({page, i});
  }
  std::sort(ops.begin(), ops.end());
  return ops;
}

// The end of the first sectors of [from, to) that a torn write leaves: a draw of 0 leaves none.
uint64_t tear(Choices& choices, ChoicePoint& point, uint64_t from, uint64_t to) {
  CHECK(from < to);
  uint64_t first = from / kSectorBytes;
  uint64_t sectors = (to - 1) / kSectorBytes - first + 1;
  uint64_t kept = choices.draw(point, sectors);
  return kept == 0 ? from : (first + kept) * kSectorBytes;
}

class PowerLoss {
 public:
  PowerLoss(DiskModel& model, Choices& choices, const LossInput& input)
      : model_(model), choices_(choices), input_(input) {}
  LossReport run();

 private:
  ChoicePoint point(const ChoiceStream& stream, uint64_t entity) {
    return ChoicePoint(choices_, stream, entity);
  }
  uint64_t draw(const ChoiceStream& stream, uint64_t entity, uint64_t bound) {
    ChoicePoint once = point(stream, entity);
    return choices_.draw(once, bound);
  }
  void collect(const InodeRef& inode);
  uint64_t entity_of(const Inode& inode);
  void write_back();
  void plan_files();
  void plan_write_order();
  void plan_one_page();
  void plan_pages(FilePlan& plan);
  // Of the operations in [from, to) of `ops`, all in one page, the last `lost` are lost.
  void lose_in_page(FilePlan& plan, const std::vector<PageOp>& ops, size_t from, size_t to,
                    size_t lost, ChoicePoint& point);
  void decide_forgotten(FilePlan& plan);
  size_t kept_names(const Inode& directory, uint64_t entity);
  DiskContent outcome(FilePlan& plan);
  void write_kept(const FilePlan& plan, size_t index, DiskContent& content, uint64_t& kept);
  void apply_all();
  using Names = base::OrderedMap<std::string, std::pair<InodeRef, uint64_t>>;  // with the size
  Names names() const;
  void report(const Names& before);

  DiskModel& model_;
  Choices& choices_;
  const LossInput& input_;
  base::OrderedMap<uint64_t, InodeRef> inodes_;  // by id
  base::OrderedMap<uint64_t, uint64_t> occurrences_;
  base::OrderedMap<uint64_t, uint64_t> entities_;  // by inode id
  std::vector<FilePlan> plans_;
  uint64_t order_cut_ = UINT64_MAX;  // write_order: operations up to this sequence are kept
  LossReport report_;
};

// Everything that a current, durable or pending name leads to.
void PowerLoss::collect(const InodeRef& inode) {
  if (!inodes_.emplace(inode->id, inode).second) return;
  for (const auto& [name, child] : inode->entries) collect(child);
  for (const auto& [name, child] : inode->durable_entries) collect(child);
  for (const NameOp& op : inode->name_log) collect(op.inode);
}

// Stable: the path, which of the inodes that had it, and which power loss.
uint64_t PowerLoss::entity_of(const Inode& inode) {
  uint64_t nth = occurrences_[inode.place->entity]++;
  return combine(combine(inode.place->entity, nth), input_.ordinal);
}

void PowerLoss::write_back() {
  for (const auto& [id, inode] : inodes_) {
    uint64_t entity = entities_[id] = entity_of(*inode);
    if (inode->log.empty() && inode->name_log.empty()) continue;
    uint64_t age = draw(kWriteback, entity, static_cast<uint64_t>(input_.writeback_max_ns) + 1);
    model_.written_back(*inode, input_.device_alive_ns - static_cast<int64_t>(age));
  }
}

void PowerLoss::plan_files() {
  for (const auto& [id, inode] : inodes_) {
    if (inode->is_directory) continue;
    FilePlan& plan = plans_.emplace_back();
    plan.file = inode.get();
    plan.entity = entities_.at(id);
    plan.size_count = inode->log.size();
    if (report_.shape != LossShape::everything_kept) decide_forgotten(plan);
    if (report_.shape == LossShape::nothing_kept) {
      plan.usual.limit = 0;
      plan.size_count = durable_count(*inode);
    } else if (report_.shape == LossShape::each_page_alone) {
      plan_pages(plan);
    }
  }
  if (report_.shape == LossShape::write_order) plan_write_order();
  if (report_.shape == LossShape::one_page_lost) plan_one_page();
}

void PowerLoss::decide_forgotten(FilePlan& plan) {
  ChoicePoint coin = point(kForgotten, plan.entity);
  for (size_t i = 0; i < plan.file->log.size(); ++i) {
    if (plan.file->log[i].state != OpState::forgotten) continue;
    plan.forgotten_kept.resize(plan.file->log.size());
    plan.forgotten_kept[i] = choices_.draw(coin, kForgottenOdds) == 0;
  }
}

void PowerLoss::plan_write_order() {
  std::vector<uint64_t> order;
  for (const auto& [id, inode] : inodes_) {
    for (const FileOp& op : inode->log) {
      if (op.state == OpState::pending) order.push_back(op.sequence);
    }
    for (const NameOp& op : inode->name_log) order.push_back(op.sequence);
  }
  std::sort(order.begin(), order.end());
  ChoicePoint where = point(kPoint, combine(input_.node_entity, input_.ordinal));
  size_t lost = choices_.draw(where, order.size() + 1);
  if (lost == 0) return;
  uint64_t first_lost = order[order.size() - lost];
  order_cut_ = first_lost - 1;
  for (FilePlan& plan : plans_) {
    const std::vector<FileOp>& log = plan.file->log;
    size_t& limit = plan.usual.limit;
    limit = 0;
    while (limit < log.size() && log[limit].sequence < first_lost) ++limit;
    if (limit == log.size()) continue;
    plan.size_count = std::max(limit, durable_count(*plan.file));
    const FileOp& op = log[limit];
    if (op.sequence != first_lost || op.kind != FileOpKind::write) continue;
    plan.usual.torn_end = tear(choices_, where, op.offset, op.end());
    if (plan.usual.torn_end == op.offset) continue;
    plan.torn = true;
    plan.size_count = limit + 1;
  }
}

void PowerLoss::plan_one_page() {
  ChoicePoint which = point(kVictim, combine(input_.node_entity, input_.ordinal));
  struct Group {
    FilePlan* plan;
    size_t from;
    size_t to;
  };
  std::vector<std::vector<PageOp>> ops;
  std::vector<Group> groups;
  for (FilePlan& plan : plans_) {
    const auto& of_file = ops.emplace_back(page_ops(*plan.file));
    for (size_t i = 0; i < of_file.size(); ++i) {
      if (i == 0 || of_file[i].page != of_file[i - 1].page) groups.push_back({&plan, i, i});
      ++groups.back().to;
    }
  }
  size_t victim = choices_.draw(which, groups.size() + 1);
  if (victim == 0) return;
  const Group& group = groups[victim - 1];
  size_t lost = 1 + choices_.draw(which, group.to - group.from);
  auto plan_index = static_cast<size_t>(group.plan - plans_.data());
  lose_in_page(*group.plan, ops[plan_index], group.from, group.to, lost, which);
}

void PowerLoss::plan_pages(FilePlan& plan) {
  std::vector<PageOp> ops = page_ops(*plan.file);
  for (size_t from = 0; from < ops.size();) {
    size_t to = from + 1;
    while (to < ops.size() && ops[to].page == ops[from].page) ++to;
    ChoicePoint page = point(kPage, combine(plan.entity, ops[from].page));
    size_t lost = choices_.draw(page, to - from + 1);
    if (lost > 0) lose_in_page(plan, ops, from, to, lost, page);
    from = to;
  }
  size_t certain = durable_count(*plan.file);
  size_t open = plan.file->log.size() - certain;
  plan.size_count = plan.file->log.size() - draw(kSize, plan.entity, open + 1);
}

void PowerLoss::lose_in_page(FilePlan& plan, const std::vector<PageOp>& ops, size_t from, size_t to,
                             size_t lost, ChoicePoint& point) {
  CHECK(lost > 0);
  CHECK(lost <= to - from);
  const PageOp& first = ops[to - lost];
  const FileOp& op = plan.file->log[first.index];
  Reach& reach = plan.pages[first.page];
  reach.limit = first.index;
  if (op.kind != FileOpKind::write) return;
  uint64_t start = std::max(op.offset, first.page * kPageBytes);
  uint64_t end = std::min(op.end(), (first.page + 1) * kPageBytes);
  reach.torn_end = tear(choices_, point, start, end);
  if (reach.torn_end > start) plan.torn = true;
}

// ---------------------------------------------------------------- what comes of it

void PowerLoss::write_kept(const FilePlan& plan, size_t index, DiskContent& content,
                           uint64_t& kept) {
  const FileOp& op = plan.file->log[index];
  if (op.device_offset != op.offset) {
    if (plan.reach(op.offset / kPageBytes).limit <= index) return;
    write_to_device(op, content);
    kept += op.bytes.size();
    return;
  }
  for (uint64_t at = op.offset; at < op.end();) {
    uint64_t page = at / kPageBytes;
    const Reach& reach = plan.reach(page);
    uint64_t end = op.end();
    if (!plan.pages.empty()) end = std::min(end, (page + 1) * kPageBytes);
    uint64_t reached = index < reach.limit ? end : at;
    if (index == reach.limit) reached = std::clamp(reach.torn_end, at, end);
    if (reached > at) content.write(at, op.bytes.cut(at - op.offset, reached - at));
    kept += reached - at;
    at = end;
  }
}

DiskContent PowerLoss::outcome(FilePlan& plan) {
  const Inode& file = *plan.file;
  CHECK(plan.size_count >= durable_count(file));
  DiskContent content = file.base;
  for (size_t i = 0; i < file.log.size(); ++i) {
    const FileOp& op = file.log[i];
    bool forgotten = op.state == OpState::forgotten;
    bool forgotten_kept = forgotten && (plan.forgotten_kept.empty() || plan.forgotten_kept[i]);
    if (op.kind == FileOpKind::truncate) {
      if (i < plan.size_count) {
        content.set_size(op.offset);
      } else if (has_boundary(op) &&
                 (forgotten ? forgotten_kept : i < plan.reach(op.offset / kPageBytes).limit)) {
        content.erase(op.offset, (op.offset / kPageBytes + 1) * kPageBytes);
      }
    } else if (op.state == OpState::durable || forgotten_kept) {
      write_to_device(op, content);
    } else if (forgotten) {
      plan.bytes_lost += op.bytes.size();
    } else {
      uint64_t kept = 0;
      write_kept(plan, i, content, kept);
      CHECK(kept <= op.bytes.size());
      plan.bytes_lost += op.bytes.size() - kept;
    }
  }
  size_t count = plan.size_count;
  content.set_size(count == 0 ? file.base.size() : file.log[count - 1].size_after);
  return content;
}

size_t PowerLoss::kept_names(const Inode& directory, uint64_t entity) {
  const std::vector<NameOp>& log = directory.name_log;
  size_t certain = 0;  // names that the sync of their file took along
  for (size_t i = 0; i < log.size(); ++i) {
    bool synced = log[i].kind != NameOpKind::unlink && !log[i].inode->is_directory &&
                  log[i].inode->synced_sequence >= log[i].sequence;
    if (synced) certain = i + 1;
  }
  if (certain > 0 && draw(kSyncedName, entity, 2) != 0) certain = 0;
  size_t kept = log.size();
  switch (report_.shape) {
    case LossShape::everything_kept:
    case LossShape::one_page_lost:
      break;
    case LossShape::nothing_kept:
      kept = 0;
      break;
    case LossShape::write_order:
      while (kept > 0 && log[kept - 1].sequence > order_cut_) --kept;
      break;
    case LossShape::each_page_alone:
      kept -= draw(kNames, entity, log.size() - certain + 1);
      break;
  }
  return std::max(kept, certain);
}

void PowerLoss::apply_all() {
  for (FilePlan& plan : plans_) {
    Inode& file = *plan.file;
    file.base = outcome(plan);
    file.base.check_invariants();
    file.current = file.base;
    file.log.clear();
  }
  for (const auto& [id, inode] : inodes_) {
    inode->linked = false;
    inode->cold = true;
    inode->synced_sequence = 0;
    if (!inode->is_directory) continue;
    size_t kept = kept_names(*inode, entities_.at(id));
    for (size_t i = 0; i < kept; ++i) apply_name(inode->name_log[i], inode->durable_entries);
    inode->name_log.clear();
    inode->forgotten_names_through = 0;
    inode->entries = inode->durable_entries;
  }
  model_.root()->linked = true;
  model_.recount();
}

PowerLoss::Names PowerLoss::names() const {
  Names names;
  model_.visit([&](const std::string& path, const InodeRef& inode) {
    names[path] = {inode, inode->current.size()};
  });
  return names;
}

void PowerLoss::report(const Names& before) {
  Names after = names();
  base::OrderedMap<uint64_t, const FilePlan*> plans;
  for (const FilePlan& plan : plans_) plans[plan.file->id] = &plan;
  for (const auto& [path, entry] : before) {
    const auto& [inode, size] = entry;
    auto now = after.find(path);
    if (now == after.end()) {
      report_.names_lost.push_back(path);
    } else if (now->second.first != inode) {
      report_.names_reverted.push_back(path);
    }
    if (inode->is_directory) continue;
    LossReport::File loss;
    loss.path = path;
    loss.entity = inode->place->entity;
    loss.size_before = size;
    if (now == after.end()) {
      loss.bytes_lost = size;
    } else {
      const FilePlan& plan = *plans.at(inode->id);
      loss.bytes_lost = plan.bytes_lost;
      loss.torn = plan.torn;
      loss.size_after = now->second.second;
    }
    bool changed = loss.bytes_lost > 0 || loss.torn || loss.size_after != loss.size_before;
    if (changed) report_.files.push_back(std::move(loss));
  }
  for (const auto& [path, entry] : after) {
    if (!before.contains(path)) report_.names_returned.push_back(path);
  }
}

LossReport PowerLoss::run() {
  report_.ordinal = input_.ordinal;
  report_.at_ns = input_.now_ns;
  Names before = names();
  collect(model_.root());
  write_back();
  uint64_t entity = combine(input_.node_entity, input_.ordinal);
  report_.shape = static_cast<LossShape>(draw(kShape, entity, kLossShapes));
  plan_files();
  apply_all();
  report(before);
  return std::move(report_);
}

}  // namespace

std::string_view to_string(LossShape shape) {
  switch (shape) {
    case LossShape::everything_kept:
      return "everything kept";
    case LossShape::nothing_kept:
      return "nothing kept";
    case LossShape::write_order:
      return "write order up to a point";
    case LossShape::one_page_lost:
      return "all but one page";
    case LossShape::each_page_alone:
      return "each page alone";
  }
  return "unknown";
}

uint64_t LossReport::bytes_lost() const {
  uint64_t sum = 0;
  for (const File& file : files) sum += file.bytes_lost;
  return sum;
}

LossReport lose_power(DiskModel& model, Choices& choices, const LossInput& input) {
  CHECK(input.ordinal > 0);
  CHECK(input.device_alive_ns <= input.now_ns);
  return PowerLoss(model, choices, input).run();
}

}  // namespace verdict::sim
