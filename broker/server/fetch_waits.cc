#include "broker/server/fetch_waits.h"

#include "broker/base/check.h"

namespace verdict::server {

// One poll's interest in partitions of this shard. Tells once.
class FetchWaits::Watch {
 public:
  Watch(FetchWaits& owner, PollId id) : owner_(owner), id_(id) {}
  ~Watch() {
    for (auto& link : links_) link->unlink();
  }

  void add(std::shared_ptr<replica::Partition> partition) {
    links_.push_back(std::make_unique<Link>(*this, std::move(partition)));
    links_.back()->start();
  }
  void tell() {
    if (told_) return;
    told_ = true;
    owner_.tell_(id_);
  }

 private:
  class Link final : public replica::ProgressWatcher {
   public:
    Link(Watch& watch, std::shared_ptr<replica::Partition> partition)
        : watch_(watch), partition_(std::move(partition)) {}
    void start() { partition_->watch(*this); }
    void on_progress() override { watch_.tell(); }

   private:
    Watch& watch_;
    std::shared_ptr<replica::Partition> partition_;  // its list holds this link
  };
  FetchWaits& owner_;
  PollId id_;
  bool told_ = false;
  std::vector<std::unique_ptr<Link>> links_;
};

FetchWaits::FetchWaits(runtime::Tasks& tasks, Tell tell) : tasks_(tasks), tell_(std::move(tell)) {}

FetchWaits::~FetchWaits() = default;

void FetchWaits::unwatch(const PollId& id) { watches_.erase(id); }

FetchWaits::Poll FetchWaits::open() {
  Poll poll{{tasks_.shard(), ++last_number_}, std::make_shared<runtime::Event>(tasks_)};
  polls_.emplace(poll.id.number, poll.progress);
  return poll;
}

bool FetchWaits::progress(const PollId& id) {
  CHECK(id.origin == tasks_.shard());
  const auto at = polls_.find(id.number);
  if (at == polls_.end()) return false;
  at->second->set();
  return true;
}

void FetchWaits::wake_all() {
  for (auto& [number, event] : polls_) event->set();
}

void FetchWaits::watch(const PollId& id, const std::vector<SeenPartition>& seen,
                       const std::vector<std::shared_ptr<replica::Partition>>& partitions) {
  CHECK(seen.size() == partitions.size());
  for (size_t i = 0; i < seen.size(); ++i) {
    const auto& partition = partitions[i];
    const bool moved = partition == nullptr || partition->removed() ||
                       partition->offline().has_value() ||
                       partition->high_watermark() != seen[i].high_watermark ||
                       partition->leader_epoch() != seen[i].leader_epoch;
    if (moved) return tell_(id);
  }
  CHECK(!watches_.contains(id));
  auto watch = std::make_unique<Watch>(*this, id);
  for (const auto& partition : partitions) watch->add(partition);
  watches_.insert_or_assign(id, std::move(watch));
}

}  // namespace verdict::server
