#pragma once
// A process that does everything a file system allows, in any order, and tells a reference about
// it.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "tests/unit/sim/disk_reference.h"
#include "tests/unit/sim/disk_rig.h"

namespace verdict::sim {

class DiskDrill {
 public:
  DiskDrill(DiskRig& rig, uint64_t seed, int64_t sleep_max_ns)
      : root(std::make_shared<RefNode>()), rig_(rig), state_(seed), sleep_max_ns_(sleep_max_ns) {
    root->is_directory = true;
  }

  uint64_t next(uint64_t bound) { return (state_ = base::mix64(state_)) % bound; }
  // One process of `steps` operations.
  void run(uint64_t steps) {
    rig_.run([&](runtime::Directory& directory, runtime::Tasks& tasks) {
      for (uint64_t i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
        step(directory, tasks);
      }
    });
  }
  Found found() const {
    Found all;
    for (const std::string& path : rig_.disk->paths()) {
      all[path] = path.back() == '/' ? "" : rig_.content(path);
    }
    return all;
  }
  Found current() const {
    Found all;
    add(*root, "", all);
    return all;
  }
  // Every file in the tree as it is.
  std::vector<std::pair<std::string, RefFile*>> files() {
    std::vector<std::pair<std::string, RefFile*>> all;
    add_files(*root, "", all);
    return all;
  }

  std::shared_ptr<RefNode> root;

 private:
  static void add(const RefNode& directory, const std::string& prefix, Found& all) {
    for (const auto& [name, node] : directory.current) {
      all[prefix + name + (node->is_directory ? "/" : "")] = node->file.current;
      if (node->is_directory) add(*node, prefix + name + "/", all);
    }
  }
  static void add_files(RefNode& directory, const std::string& prefix,
                        std::vector<std::pair<std::string, RefFile*>>& all) {
    for (const auto& [name, node] : directory.current) {
      if (node->is_directory) add_files(*node, prefix + name + "/", all);
      if (!node->is_directory) all.emplace_back(prefix + name, &node->file);
    }
  }

  std::string payload() {
    uint64_t n = 1 + (next(3) == 0 ? next(9000) : next(700));
    std::string bytes(n, 0);
    for (char& c : bytes) c = static_cast<char>(1 + next(250));
    return bytes;
  }

  void step(runtime::Directory& top, runtime::Tasks& tasks) {
    RefNode* node = root.get();
    runtime::Directory* directory = &top;
    std::unique_ptr<runtime::Directory> below;
    std::string sub = "d" + std::to_string(next(2));
    if (next(2) == 0 && root->current.contains(sub)) {
      auto opened = top.subdirectory(sub, runtime::OpenMode::open_existing);
      ASSERT_TRUE(opened.has_value());
      below = std::move(*opened);
      directory = below.get();
      node = root->current.at(sub).get();
    }
    std::string name = "f" + std::to_string(next(4));
    uint64_t kind = next(18);
    if (kind < 10) return on_file(*directory, *node, name, kind);
    if (kind < 16) return on_names(*directory, *node, name, kind);
    if (kind == 16) return make_directory(top, sub);
    if (next(4) == 0)
      sleep_for(tasks, static_cast<int64_t>(1 + next(static_cast<uint64_t>(sleep_max_ns_))));
  }

  void on_file(runtime::Directory& directory, RefNode& node, const std::string& name,
               uint64_t kind) {
    auto opened = directory.open(name, runtime::OpenMode::open_existing);
    ASSERT_EQ(opened.has_value(), node.current.contains(name));
    if (!opened) {
      ASSERT_EQ(opened.error().code, base::Errc::not_found);
      return;
    }
    RefFile& reference = node.current.at(name)->file;
    runtime::File& file = **opened;
    if (kind == 0 || kind == 1) {
      ASSERT_TRUE(file.sync().has_value());
      return reference.sync();
    }
    if (kind == 2) {
      uint64_t size = next(reference.current.size() + 3000);
      ASSERT_TRUE(file.truncate(size).has_value());
      return reference.truncate(size, rig_.kernel.now_ns());
    }
    if (kind == 3) {
      uint64_t offset = next(reference.current.size() + 10);
      size_t n = next(8000);
      auto bytes = file.read_at(offset, n);
      ASSERT_TRUE(bytes.has_value());
      std::string expected =
          offset < reference.current.size() ? reference.current.substr(offset, n) : "";
      ASSERT_EQ(bytes->text(), expected);
      return;
    }
    std::string bytes = payload();
    uint64_t offset = reference.current.size();
    if (kind == 4) offset = next(offset + 6000);
    size_t head = next(bytes.size() + 1);
    base::Slice whole = base::Slice::copy_of(bytes);
    base::Slice parts[2] = {whole.cut(0, head), whole.cut(head, bytes.size() - head)};
    ASSERT_TRUE(file.write_at(offset, parts).has_value());
    reference.write(offset, bytes, rig_.kernel.now_ns());
    ASSERT_EQ(file.size(), reference.current.size());
  }

  void on_names(runtime::Directory& directory, RefNode& node, const std::string& name,
                uint64_t kind) {
    bool present = node.current.contains(name);
    if (kind <= 12) {
      auto opened = directory.open(name, runtime::OpenMode::open_or_create);
      ASSERT_TRUE(opened.has_value());
      if (!present) {
        node.change(
            {RefNode::NameOp::link, name, "", std::make_shared<RefNode>(), rig_.kernel.now_ns()});
      }
      return;
    }
    if (kind == 13) {
      ASSERT_TRUE(directory.sync().has_value());
      return node.sync();
    }
    if (kind == 14) {
      std::string to = "f" + std::to_string(next(4));
      auto result = directory.rename(name, to);
      ASSERT_EQ(result.has_value(), present);
      if (present && to != name) {
        node.change(
            {RefNode::NameOp::rename, name, to, node.current.at(name), rig_.kernel.now_ns()});
      }
      return;
    }
    auto result = directory.remove(name);
    ASSERT_EQ(result.has_value(), present);
    if (present) {
      node.change({RefNode::NameOp::unlink, name, "", node.current.at(name), rig_.kernel.now_ns()});
    }
  }

  void make_directory(runtime::Directory& top, const std::string& name) {
    bool present = root->current.contains(name);
    auto made = top.subdirectory(name, runtime::OpenMode::create_exclusive);
    ASSERT_EQ(made.has_value(), !present);
    if (present) {
      bool empty = root->current.at(name)->current.empty();
      auto result = top.remove(name);
      ASSERT_EQ(result.has_value(), empty);
      if (empty) {
        root->change(
            {RefNode::NameOp::unlink, name, "", root->current.at(name), rig_.kernel.now_ns()});
      } else {
        ASSERT_EQ(result.error().code, base::Errc::wrong_state);
      }
      return;
    }
    auto node = std::make_shared<RefNode>();
    node->is_directory = true;
    root->change({RefNode::NameOp::link, name, "", node, rig_.kernel.now_ns()});
  }

  DiskRig& rig_;
  uint64_t state_;
  int64_t sleep_max_ns_;
};

}  // namespace verdict::sim
