#pragma once
// A doubly linked list whose links live in the elements: no allocation, O(1) unlink from anywhere.

#include "broker/base/check.h"

namespace verdict::base {

// Base of an element. An element is in at most one list; it must be unlinked before it dies.
class ListNode {
 public:
  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { CHECK(!linked()); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = nullptr;
    prev_ = nullptr;
  }

 private:
  template <class T>
  friend class IntrusiveList;
  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

template <class T>
class IntrusiveList {
 public:
  IntrusiveList() {
    head_.prev_ = &head_;
    head_.next_ = &head_;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    CHECK(empty());
    head_.next_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  void push_back(T& element) {
    ListNode& node = element;
    CHECK(!node.linked());
    node.prev_ = head_.prev_;
    node.next_ = &head_;
    head_.prev_->next_ = &node;
    head_.prev_ = &node;
  }
  T* front() { return empty() ? nullptr : static_cast<T*>(head_.next_); }
  T* back() { return empty() ? nullptr : static_cast<T*>(head_.prev_); }
  // The element after `element`, null at the end.
  T* next(T& element) {
    ListNode& node = element;
    return node.next_ == &head_ ? nullptr : static_cast<T*>(node.next_);
  }

 private:
  ListNode head_;
};

}  // namespace verdict::base
