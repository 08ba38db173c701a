#pragma once
// HashMap: look-up by key without iteration, so that no order of memory or hash can leak out.
//
// OrderedMap is the map to iterate over: always in key order.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>  // lint: unordered ok: wrapped here so that nobody can iterate over it
#include <utility>

#include "broker/base/hash.h"

namespace verdict::base {

template <class Key, class Value, class Compare = std::less<>>
using OrderedMap = std::map<Key, Value, Compare>;

struct KeyHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return hash_text(text); }
  template <class T>
    requires requires(const T& key) { key.hash(); }
  size_t operator()(const T& key) const {
    return key.hash();
  }
  template <class T>
    requires std::is_integral_v<T>
  size_t operator()(T key) const {
    return mix64(static_cast<uint64_t>(key));
  }
};

template <class Key, class Value, class Hash = KeyHash>
class HashMap {
 public:
  template <class K>
  Value* find(const K& key) {
    auto at = map_.find(key);
    return at == map_.end() ? nullptr : &at->second;
  }
  template <class K>
  const Value* find(const K& key) const {
    auto at = map_.find(key);
    return at == map_.end() ? nullptr : &at->second;
  }
  // Inserts or replaces; the reference is valid until the key is erased.
  Value& set(Key key, Value value) {
    return map_.insert_or_assign(std::move(key), std::move(value)).first->second;
  }
  // The value at `key`, default-constructed when absent.
  Value& at_or_create(const Key& key) { return map_[key]; }
  template <class K>
  bool erase(const K& key) {
    auto at = map_.find(key);
    if (at == map_.end()) return false;
    map_.erase(at);
    return true;
  }
  size_t size() const { return map_.size(); }
  bool empty() const { return map_.empty(); }
  void clear() { map_.clear(); }

 private:
  std::unordered_map<Key, Value, Hash, std::equal_to<>> map_;  // lint: unordered ok: no iteration
};

}  // namespace verdict::base
