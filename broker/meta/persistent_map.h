#pragma once
// PersistentMap: an ordered map whose copies share what they have in common. A copy costs nothing,
// a change after a copy O(log n), so that every commit can publish a whole new image.
//
// Invariants: in key order; a treap whose priorities are hashes of the keys, so its shape depends
// on its content alone. A node that another map also holds is never written.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "broker/base/check.h"
#include "broker/base/hash_map.h"

namespace verdict::meta {

template <class Key, class Value>
class PersistentMap {
  struct Node;
  using Link = std::shared_ptr<Node>;

 public:
  using Entry = std::pair<const Key, Value>;

  // Walks in key order. Valid while a map that holds the same nodes lives.
  class Iterator {
   public:
    Iterator() = default;
    const Entry& operator*() const { return *path_.back()->entry; }
    const Entry* operator->() const { return path_.back()->entry.get(); }
    Iterator& operator++() {
      const Node* node = path_.back();
      path_.pop_back();
      descend(node->right.get());
      return *this;
    }
    bool operator==(const Iterator& other) const {
      if (path_.empty() || other.path_.empty()) return path_.empty() == other.path_.empty();
      return path_.back() == other.path_.back();
    }

   private:
    friend class PersistentMap;
    void descend(const Node* node) {
      for (; node != nullptr; node = node->left.get()) path_.push_back(node);
    }
    std::vector<const Node*> path_;  // nodes that are still to be visited, the next one last
  };

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Iterator begin() const {
    Iterator at;
    at.descend(root_.get());
    return at;
  }
  Iterator end() const { return {}; }

  // The value at `key`, null when absent. Valid until this map changes.
  template <class K>
  const Value* find(const K& key) const {
    const Node* node = root_.get();
    while (node != nullptr) {
      if (key < node->entry->first) {
        node = node->left.get();
      } else if (node->entry->first < key) {
        node = node->right.get();
      } else {
        return &node->entry->second;
      }
    }
    return nullptr;
  }
  template <class K>
  bool contains(const K& key) const {
    return find(key) != nullptr;
  }
  // The first entry whose key is not less than `key`.
  template <class K>
  Iterator lower_bound(const K& key) const {
    Iterator at;
    for (const Node* node = root_.get(); node != nullptr;) {
      if (node->entry->first < key) {
        node = node->right.get();
      } else {
        at.path_.push_back(node);
        node = node->left.get();
      }
    }
    return at;
  }

  // Inserts or replaces.
  void set(Key key, Value value) {
    const uint64_t priority = base::KeyHash{}(key);
    auto entry = std::make_shared<const Entry>(std::move(key), std::move(value));
    if (replace(entry)) return;
    insert(root_, std::move(entry), priority);
    ++size_;
  }
  // False when there is none.
  template <class K>
  bool erase(const K& key) {
    if (!contains(key)) return false;
    erase_present(root_, key);
    CHECK(size_ > 0);
    --size_;
    return true;
  }

 private:
  struct Node {
    std::shared_ptr<const Entry> entry;
    uint64_t priority;
    Link left;
    Link right;
  };

  // Makes `link` the only owner of its node, by a copy when another map holds it as well.
  static Node& own(Link& link) {
    if (link.use_count() != 1) {
      link = std::make_shared<Node>(*link);
    } else {
      // Another shard may have let go of the node just now: its reads come before our writes.
      std::atomic_thread_fence(std::memory_order_acquire);
    }
    return *link;
  }

  bool replace(const std::shared_ptr<const Entry>& entry) {
    if (!contains(entry->first)) return false;
    Link* link = &root_;
    for (;;) {
      Node& node = own(*link);
      if (entry->first < node.entry->first) {
        link = &node.left;
      } else if (node.entry->first < entry->first) {
        link = &node.right;
      } else {
        node.entry = entry;
        return true;
      }
    }
  }

  static void insert(Link& link, std::shared_ptr<const Entry> entry, uint64_t priority) {
    if (link == nullptr || link->priority < priority ||
        (link->priority == priority && entry->first < link->entry->first)) {
      auto node = std::make_shared<Node>(Node{nullptr, priority, nullptr, nullptr});
      split(std::move(link), entry->first, node->left, node->right);
      node->entry = std::move(entry);
      link = std::move(node);
      return;
    }
    Node& node = own(link);
    Link& side = entry->first < node.entry->first ? node.left : node.right;
    insert(side, std::move(entry), priority);
  }

  // Divides `link` into what is less than `key` and what is greater; `key` is not in it.
  static void split(Link link, const Key& key, Link& less, Link& greater) {
    if (link == nullptr) return;
    Node& node = own(link);
    if (node.entry->first < key) {
      Link right = std::move(node.right);
      split(std::move(right), key, node.right, greater);
      less = std::move(link);
    } else {
      Link left = std::move(node.left);
      split(std::move(left), key, less, node.left);
      greater = std::move(link);
    }
  }

  template <class K>
  static void erase_present(Link& link, const K& key) {
    Node& node = own(link);
    if (key < node.entry->first) {
      erase_present(node.left, key);
    } else if (node.entry->first < key) {
      erase_present(node.right, key);
    } else {
      Link left = std::move(node.left);
      Link right = std::move(node.right);
      link = merge(std::move(left), std::move(right));
    }
  }

  // Joins two treaps; all keys of `left` are less than those of `right`.
  static Link merge(Link left, Link right) {
    if (left == nullptr) return right;
    if (right == nullptr) return left;
    const bool left_on_top =
        left->priority > right->priority ||
        (left->priority == right->priority && left->entry->first < right->entry->first);
    Link& top = left_on_top ? left : right;
    Node& node = own(top);
    if (left_on_top) {
      Link inner = std::move(node.right);
      node.right = merge(std::move(inner), std::move(right));
    } else {
      Link inner = std::move(node.left);
      node.left = merge(std::move(left), std::move(inner));
    }
    return std::move(top);
  }

  Link root_;
  size_t size_ = 0;
};

}  // namespace verdict::meta
