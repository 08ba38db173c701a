#include "broker/server/broker.h"

#include "broker/base/check.h"
#include "broker/server/broker_core.h"

namespace verdict::server {

Broker::Broker(BrokerOptions options) : options_(std::move(options)) {
  CHECK(!options_.config.listeners.empty());
}

Broker::~Broker() = default;

void Broker::run(runtime::Node& node) {
  CHECK(node.tasks.shard_count() <= kShardsMax);
  // On the heap: other fibers refer to it, and a killed node unwinds its root last.
  auto shard = std::make_unique<BrokerShard>(node, options_.config, table_);
  if (node.tasks.shard().value == 0) {
    lead(node, *shard);
  } else {
    follow(*shard);
  }
  shard->stop_all();
}

void Broker::follow(BrokerShard& shard) {
  shard.node().tasks.post({0}, [this] {
    ++arrived_;
    if (arrivals_ != nullptr) arrivals_->notify_all();
  });
  shard.start_housekeeping();
  (void)shard.ended().wait(runtime::Instant::never());
}

void Broker::lead(runtime::Node& node, BrokerShard& shard) {
  for (const std::string& warning : options_.warnings) {
    node.observer.warning("config", {{"what", warning}});
  }
  arrivals_ = std::make_unique<runtime::WaitQueue>(node.tasks);
  while (arrived_ + 1 < node.tasks.shard_count()) arrivals_->wait_uncancellable();
  auto core = std::make_unique<BrokerCore>(shard);
  auto started = core->start();
  if (!started) {
    failure_ = started.error();
    node.observer.error("broker did not start", {{"why", failure_->to_string()}});
  } else {
    shard.start_housekeeping();
    failure_ = core->wait_for_end();
    if (!failure_) {
      if (auto stopped = core->stop_cleanly(); !stopped) failure_ = stopped.error();
    }
    if (failure_) {
      node.observer.error("log directory offline", {{"why", failure_->to_string()}});
    } else {
      node.observer.info("broker stopped", {});
    }
  }
  end_others(node);
  // Fibers of this shard may still stand in the core.
  shard.stop_all();
  core.reset();
  arrivals_.reset();
}

void Broker::end_others(runtime::Node& node) {
  for (uint32_t i = 1; i < node.tasks.shard_count(); ++i) {
    node.tasks.post({i}, [this, i] {
      if (BrokerShard* there = table_.at({i})) there->ended().set();
    });
  }
}

}  // namespace verdict::server
