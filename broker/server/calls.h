#pragma once
// Calls: the questions that one shard has put to others and that are not answered yet.
//
// A question crosses as a post that carries values; the answer comes back as a post that carries
// the number of the question. So no promise ever leaves its shard.

#include <cstdint>
#include <memory>
#include <utility>

#include "broker/base/hash_map.h"
#include "broker/runtime/sync.h"

namespace verdict::server {

class Calls {
 public:
  template <class T>
  struct Opened {
    uint64_t id;
    runtime::Future<T> answer;
  };

  template <class T>
  Opened<T> open(runtime::Tasks& tasks) {
    auto call = std::make_unique<Open<T>>(tasks);
    Opened<T> opened{++last_id_, call->promise.future()};
    open_.emplace(opened.id, std::move(call));
    return opened;
  }
  // The type is that of open(). Nothing when the question was given up.
  template <class T>
  void answer(uint64_t id, T value) {
    auto at = open_.find(id);
    if (at == open_.end()) return;
    std::unique_ptr<Base> call = std::move(at->second);
    open_.erase(at);
    static_cast<Open<T>&>(*call).promise.set(std::move(value));
  }
  // There will be no answer: who waits hears `closed`.
  void abandon(uint64_t id) { open_.erase(id); }
  void abandon_all() { open_.clear(); }
  size_t size() const { return open_.size(); }

 private:
  struct Base {
    virtual ~Base() = default;
  };
  template <class T>
  struct Open final : Base {
    explicit Open(runtime::Tasks& tasks) : promise(tasks) {}
    runtime::Promise<T> promise;
  };
  uint64_t last_id_ = 0;
  base::OrderedMap<uint64_t, std::unique_ptr<Base>> open_;
};

}  // namespace verdict::server
