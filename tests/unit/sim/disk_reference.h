#pragma once
// What a disk may look like after a power loss, said a second time and in the simplest way: every
// byte of every version, and a search for an explanation of what is found.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace verdict::sim {

inline constexpr uint64_t kRefPage = 4096;
inline constexpr uint64_t kRefSector = 512;

struct RefFile {
  struct Op {
    bool is_truncate;
    uint64_t offset;
    std::string bytes;
    uint64_t size_after;
    int64_t at_ns;
  };
  std::string durable;
  std::string current;
  std::vector<Op> ops;  // since the last sync

  void write(uint64_t offset, const std::string& bytes, int64_t at_ns) {
    if (current.size() < offset + bytes.size()) current.resize(offset + bytes.size());
    current.replace(offset, bytes.size(), bytes);
    ops.push_back({false, offset, bytes, current.size(), at_ns});
  }
  void truncate(uint64_t size, int64_t at_ns) {
    current.resize(size);
    ops.push_back({true, size, {}, size, at_ns});
  }
  void sync() {
    durable = current;
    ops.clear();
  }
  void restart_from(const std::string& found) {
    durable = current = found;
    ops.clear();
  }

  // `page` as it is when the first `kept` of its operations reached the device whole, the next one
  // with `sectors` sectors, and the sizes of the first `sized` operations of the file did.
  std::string page(uint64_t page, size_t kept, uint64_t sectors, size_t sized) const;
  size_t ops_of_page(uint64_t page, size_t first_n) const;
  bool touches(const Op& op, uint64_t page) const;
  // Whether a power loss may leave `found`; operations up to `old_ns` were written back.
  bool may_be(const std::string& found, int64_t old_ns) const;
  // Whether `found` is the file after its first n operations, for some n.
  bool is_some_version(const std::string& found) const;
  std::string version(size_t n) const;
};

inline bool RefFile::touches(const Op& op, uint64_t page) const {
  if (op.is_truncate) return op.offset / kRefPage == page && op.offset % kRefPage != 0;
  return op.offset < (page + 1) * kRefPage && op.offset + op.bytes.size() > page * kRefPage;
}

inline size_t RefFile::ops_of_page(uint64_t page, size_t first_n) const {
  size_t count = 0;
  for (size_t i = 0; i < first_n; ++i) count += touches(ops[i], page) ? 1 : 0;
  return count;
}

inline std::string RefFile::page(uint64_t page, size_t kept, uint64_t sectors, size_t sized) const {
  uint64_t start = page * kRefPage;
  std::string bytes = durable.size() > start ? durable.substr(start, kRefPage) : std::string();
  bytes.resize(kRefPage);
  size_t seen = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    if (op.is_truncate && i < sized) {
      for (uint64_t b = 0; b < kRefPage; ++b) {
        if (start + b >= op.offset) bytes[b] = 0;
      }
    }
    if (!touches(op, page)) continue;
    size_t nth = seen++;
    if (op.is_truncate) {
      if (nth < kept) {
        for (uint64_t b = op.offset % kRefPage; b < kRefPage; ++b) bytes[b] = 0;
      }
      continue;
    }
    uint64_t from = std::max(op.offset, start);
    uint64_t to = std::min(op.offset + op.bytes.size(), start + kRefPage);
    if (nth > kept || (nth == kept && sectors == 0)) continue;
    if (nth == kept) to = std::min(to, (from / kRefSector + sectors) * kRefSector);
    for (uint64_t at = from; at < to; ++at) bytes[at - start] = op.bytes[at - op.offset];
  }
  return bytes;
}

inline bool RefFile::may_be(const std::string& found, int64_t old_ns) const {
  size_t old = 0;
  while (old < ops.size() && ops[old].at_ns <= old_ns) ++old;
  for (size_t sized = old; sized <= ops.size(); ++sized) {
    uint64_t size = sized == 0 ? durable.size() : ops[sized - 1].size_after;
    if (size != found.size()) continue;
    bool all_pages = true;
    for (uint64_t p = 0; all_pages && p * kRefPage < found.size(); ++p) {
      std::string want = found.substr(p * kRefPage, kRefPage);
      bool explained = false;
      size_t count = ops_of_page(p, ops.size());
      for (size_t kept = ops_of_page(p, old); !explained && kept <= count; ++kept) {
        for (uint64_t sectors = 0; !explained && sectors < kRefPage / kRefSector; ++sectors) {
          if (sectors > 0 && kept == count) break;
          explained = page(p, kept, sectors, sized).compare(0, want.size(), want) == 0;
        }
      }
      all_pages = explained;
    }
    if (all_pages) return true;
  }
  return false;
}

inline std::string RefFile::version(size_t n) const {
  std::string bytes = durable;
  for (size_t i = 0; i < n; ++i) {
    const Op& op = ops[i];
    bytes.resize(op.is_truncate ? op.offset : std::max(bytes.size(), op.size_after));
    if (!op.is_truncate) bytes.replace(op.offset, op.bytes.size(), op.bytes);
  }
  return bytes;
}

inline bool RefFile::is_some_version(const std::string& found) const {
  for (size_t n = 0; n <= ops.size(); ++n) {
    if (version(n) == found) return true;
  }
  return false;
}

struct RefNode;
using RefEntries = std::map<std::string, std::shared_ptr<RefNode>>;

struct RefNode {
  struct NameOp {
    enum Kind { link, unlink, rename } kind;
    std::string name;
    std::string to;
    std::shared_ptr<RefNode> node;
    int64_t at_ns;
  };
  bool is_directory = false;
  RefFile file;
  RefEntries durable;
  RefEntries current;
  std::vector<NameOp> ops;

  static void apply(const NameOp& op, RefEntries& entries) {
    if (op.kind != NameOp::link) entries.erase(op.name);
    if (op.kind == NameOp::link) entries[op.name] = op.node;
    if (op.kind == NameOp::rename) entries[op.to] = op.node;
  }
  void change(NameOp op) {
    apply(op, current);
    ops.push_back(std::move(op));
  }
  void sync() {
    durable = current;
    ops.clear();
  }
};

// What was found on a disk: contents by path, directories with a trailing slash.
using Found = std::map<std::string, std::string>;

// Whether a power loss may leave `found` below `directory`; when it may, the reference goes on from
// there.
inline bool explain(RefNode& directory, const std::string& prefix, const Found& found,
                    int64_t old_ns) {
  std::map<std::string, bool> names;  // whether it is a directory
  for (auto at = found.lower_bound(prefix); at != found.end(); ++at) {
    if (at->first.compare(0, prefix.size(), prefix) != 0) break;
    std::string rest = at->first.substr(prefix.size());
    size_t slash = rest.find('/');
    if (rest.empty()) continue;
    if (slash == std::string::npos) names[rest] = false;
    if (slash == rest.size() - 1) names[rest.substr(0, slash)] = true;
  }
  for (size_t kept = 0; kept <= directory.ops.size(); ++kept) {
    if (kept < directory.ops.size() && directory.ops[kept].at_ns <= old_ns) continue;
    RefEntries entries = directory.durable;
    for (size_t i = 0; i < kept; ++i) RefNode::apply(directory.ops[i], entries);
    if (entries.size() != names.size()) continue;
    bool fits = true;
    for (auto at = entries.begin(); fits && at != entries.end(); ++at) {
      auto name = names.find(at->first);
      fits = name != names.end() && name->second == at->second->is_directory;
      if (fits && !at->second->is_directory) {
        fits = at->second->file.may_be(found.at(prefix + at->first), old_ns);
      }
    }
    // A directory below is not tried again with another prefix here: its own name decides.
    for (auto at = entries.begin(); fits && at != entries.end(); ++at) {
      if (!at->second->is_directory) continue;
      fits = explain(*at->second, prefix + at->first + "/", found, old_ns);
    }
    if (!fits) continue;
    for (const auto& [name, node] : entries) {
      if (!node->is_directory) node->file.restart_from(found.at(prefix + name));
    }
    directory.durable = directory.current = entries;
    directory.ops.clear();
    return true;
  }
  return false;
}

}  // namespace verdict::sim
