// The exhibits of a partition: what it looks like when an acknowledgement comes too soon.

#include <algorithm>

#include "broker/replica/partition.h"

#if VERDICT_EXHIBITS

namespace verdict::replica {

// The bug: the offsets are handed out and the answer goes out before the batch is written.
std::optional<AppendTicket> Partition::acknowledge_first(const record::ValidatedBatch& batch) {
  if (log_->producers().check(batch.header).verdict == log::SequenceVerdict::duplicate) {
    return std::nullopt;
  }
  promised_ = std::max(promised_, log_->next());
  AppendTicket ticket{promised_, promised_ + batch.header.record_count, -1, log_->start()};
  promised_ = ticket.through;
  constexpr runtime::Duration kBehind = runtime::milliseconds(5);
  late_.emplace_back(node_.clock.after(kBehind), batch);
  if (late_.size() == 1) {
    host_.nursery().spawn("late write", [self = shared_from_this()] { self->write_late(); });
  }
  return ticket;
}

void Partition::write_late() {
  while (!late_.empty()) {
    // When the shard stops, the rest is written without a wait.
    (void)node_.clock.sleep_until(late_.front().first);
    if (!offline_ && !removed_) (void)write(late_.front().second);
    late_.pop_front();
  }
}

// The bug: a sync takes as long as the last one did, so the answer goes out 1 ms before its end.
bool Partition::acknowledge_early(const AppendTicket& ticket) {
  constexpr runtime::Duration kEarly = runtime::milliseconds(1);
  while (high_watermark_ < ticket.through && !offline_ && !removed_) {
    const bool under_way = committing_ && sync_through_ >= ticket.through;
    if (under_way && last_sync_ > kEarly) {
      const runtime::Instant at = sync_started_ + (last_sync_ - kEarly);
      if (node_.clock.now() >= at) return true;
      if (moved_.wait(at) == runtime::Wake::cancelled) return false;
      continue;
    }
    if (!committing_ || moved_.wait(runtime::Instant::never()) == runtime::Wake::cancelled) {
      return false;
    }
  }
  return false;
}

}  // namespace verdict::replica

#endif
