#pragma once
// Resolver: asks the system for the addresses of a name, on threads of its own, because a name
// server that does not answer holds its thread for a long time.

#include <memory>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/io/offload_pool.h"
#include "broker/runtime/time.h"

namespace verdict::io {

class Resolver {
 public:
  // Questions that are asked or wait to be asked; more are refused with exhausted.
  static constexpr size_t kQuestionsMax = 256;

  static base::Result<std::unique_ptr<Resolver>> create(Poller& poller);

  base::Result<std::vector<std::string>> resolve(runtime::Tasks& tasks, const std::string& host,
                                                 runtime::Instant deadline);

 private:
  explicit Resolver(std::unique_ptr<OffloadPool> pool) : pool_(std::move(pool)) {}
  std::unique_ptr<OffloadPool> pool_;
};

}  // namespace verdict::io
