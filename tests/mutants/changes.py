"""Changes that break a promise of the broker. The text stands in the place of the anchor, which is
there once."""

from typing import NamedTuple


class Change(NamedTuple):
    """One of them; its name says what the broker does then."""
    name: str
    file: str
    anchor: str
    text: str


CHANGES = [
    Change("only the first of several answers is sent",
           "broker/server/connection.cc",
           "    outgoing.frames.append(*answer);",
           "    if (outgoing.frames.empty()) outgoing.frames.append(*answer);"),
    Change("a sync covers what came during it",
           "broker/log/log_sync.cc",
           "    durable_ = std::max(durable_, target);",
           "    durable_ = std::max(durable_, next_);"),
    Change("epoch checkpoints are never written",
           "broker/log/log_sync.cc",
           "  bool epochs = std::exchange(epochs_dirty_, false);",
           "  bool epochs = false;"),
    Change("snapshots are never synced",
           "broker/log/log_sync.cc",
           "  std::vector<Offset> snapshots = std::exchange(unsynced_snapshots_, {});",
           "  std::vector<Offset> snapshots;\n"
           "  unsynced_snapshots_.clear();"),
    Change("visible before its sync",
           "broker/replica/partition.cc",
           "    start_commit();\n"
           "  } else",
           "    start_commit();\n"
           "    raise_high_watermark(log_->next());\n"
           "  } else"),
    Change("a duplicate does not wait for its original",
           "broker/replica/partition.cc",
           "  return AppendTicket{appended->base, through,",
           "  return AppendTicket{appended->base, appended->duplicate ? Offset{0} : through,"),
    Change("the end of the log is out of range",
           "broker/replica/partition.cc",
           "position.from > log_->next()",
           "position.from >= log_->next()"),
    Change("a replaced history is not told",
           "broker/replica/partition.cc",
           "  if (end->epoch < position.last_fetched_epoch || end->end < position.from) {",
           "  if (position.last_fetched_epoch.value > 100000) {"),
    Change("metadata are told before their sync",
           "broker/meta/metadata_log.cc",
           "  if (auto synced = log_->sync_through(log_->next()); !synced) {\n"
           "    return std::unexpected(go_offline(synced.error()));\n"
           "  }\n"
           "  node_.observer.reached(kProbeCommitSynced);",
           "  node_.observer.reached(kProbeCommitSynced);"),
    Change("a raft epoch is claimed again",
           "broker/meta/metadata_log.cc",
           "  epoch_ = LeaderEpoch{last + 1};",
           "  epoch_ = LeaderEpoch{std::max(last, 1)};"),
    Change("one batch of a producer is remembered",
           "broker/log/producer_table.cc",
           "    if (entry.batches.size() == kBatchesRemembered) entry.batches.erase",
           "    if (entry.batches.size() == 1) entry.batches.erase"),
    Change("a checkpoint is renamed before its sync",
           "broker/log/checkpoint_file.cc",
           "  TRY(file->sync());\n",
           "  (void)file;\n"),
    Change("a checkpoint may come back old",
           "broker/log/checkpoint_file.cc",
           "  if (sync_directory == SyncDirectory::yes) TRY(directory.sync());",
           "  (void)sync_directory;"),
    Change("the metadata folder may go",
           "broker/meta/metadata_log.cc",
           "  TRY(log_directory.sync());\n",
           ""),
    Change("a failed sync is forgotten",
           "broker/log/log_sync.cc",
           '    synced = std::unexpected(go_offline(synced.error(), "a sync"));',
           "    synced = Result<>();"),
    Change("reads go beyond the high watermark",
           "broker/replica/partition.cc",
           "  auto read = log_->read(position.from, high_watermark_, position.bytes_max);",
           "  auto read = log_->read(position.from, log_->next(), position.bytes_max);"),
    Change("long polls are not woken",
           "broker/replica/partition.cc",
           "  high_watermark_ = to;\n"
           "  wake_all();",
           "  high_watermark_ = to;\n"
           "  moved_.notify_all();"),
    Change("a producer id is given twice",
           "broker/meta/controller.cc",
           "  return first++;",
           "  return first;"),
    Change("leader epochs stay at a restart",
           "broker/meta/controller.cc",
           "      if (partition.leader.value != self && !orphan) continue;",
           "      if (!orphan) continue;"),
    Change("batches carry leader epoch 0",
           "broker/log/log.cc",
           "batch.with_position(next_.value, epoch.value)",
           "batch.with_position(next_.value, 0)"),
    Change("the recovery point runs ahead of the syncs",
           "broker/server/broker_core.cc",
           "    recovery_points_[key] = at.recovery_point;",
           "    recovery_points_[key] = at.high_watermark;"),
    Change("the latest offset is the end of the log",
           "broker/replica/partition.cc",
           "    case kLatestOffset:\n"
           "      answer.offset = high_watermark_;",
           "    case kLatestOffset:\n"
           "      answer.offset = log_->next();"),
    Change("a stale producer epoch is taken",
           "broker/log/producer_table.cc",
           "  if (header.producer_epoch < entry.epoch) return {SequenceVerdict::stale_epoch};",
           "  if (header.producer_epoch < entry.epoch) return {};"),
    Change("a gap in a sequence is taken",
           "broker/log/producer_table.cc",
           "  return {follows(last, header.base_sequence) ? SequenceVerdict::next\n"
           "                                              : SequenceVerdict::out_of_order};",
           "  return {header.base_sequence > last || follows(last, header.base_sequence) ? "
           "SequenceVerdict::next\n"
           "                                              : SequenceVerdict::out_of_order};"),
    Change("the high watermark told is the end of the log",
           "broker/replica/partition.cc",
           "  part.high_watermark = high_watermark_;",
           "  part.high_watermark = log_->next();"),
    Change("leader epochs are not checked",
           "broker/replica/partition.cc",
           "  if (current_epoch.value < 0 || current_epoch == leader_epoch_) return "
           "ErrorCode::none;",
           "  if (current_epoch.value < 100000) return ErrorCode::none;"),
    Change("a log goes on after a failed write",
           "broker/log/log.cc",
           '    return std::unexpected(go_offline(written.error(), "a write"));',
           "    return std::unexpected(written.error());"),
    Change("a log goes on after a failed roll",
           "broker/log/log.cc",
           '      return std::unexpected(go_offline(rolled.error(), "a roll"));',
           "      return std::unexpected(rolled.error());"),
    Change("a rewritten tail is not synced",
           "broker/log/segment.cc",
           "    at += n;\n"
           "  }\n"
           "  TRY(file_->sync());\n"
           "  bytes_dirty_ = false;",
           "    at += n;\n"
           "  }\n"
           "  bytes_dirty_ = false;"),
    Change("a cut is not synced",
           "broker/log/segment.cc",
           "  TRY(file_->truncate(size_));\n"
           "  TRY(file_->sync());\n"
           "  CHECK(file_->size() == size_);\n"
           "  return {};\n"
           "}\n"
           "\n"
           "Result<> Segment::truncate",
           "  TRY(file_->truncate(size_));\n"
           "  CHECK(file_->size() == size_);\n"
           "  return {};\n"
           "}\n"
           "\n"
           "Result<> Segment::truncate"),
    Change("batches of an old producer epoch are remembered",
           "broker/log/producer_table.cc",
           "    entry.epoch = header.producer_epoch;\n"
           "    entry.batches.clear();",
           "    entry.epoch = header.producer_epoch;"),
    Change("a batch over the limit of a fetch is never sent",
           "broker/replica/partition.cc",
           "  if (fits || position.at_least_one) part.records",
           "  if (fits) part.records"),
    Change("a new leader epoch is not noted",
           "broker/replica/partition.cc",
           "  if (auto begun = log_->begin_epoch(epoch); !begun) fail(begun.error());\n",
           ""),
    Change("every stop counts as clean",
           "broker/meta/controller.cc",
           "    started.previous_was_clean = start.previous_epoch == previous->epoch;",
           "    started.previous_was_clean = true;"),
    Change("a sealed segment forgets that it is dirty",
           "broker/log/segment.cc",
           "  sealed_ = true;\n"
           "  check_invariants();",
           "  sealed_ = true;\n"
           "  bytes_dirty_ = false;\n"
           "  check_invariants();"),
    Change("a sync forgets what came during it",
           "broker/log/segment.cc",
           "    bytes_dirty_ = false;\n"
           "    TRY(file_->sync());\n"
           "  }\n"
           "  if (sealed_",
           "    TRY(file_->sync());\n"
           "    bytes_dirty_ = false;\n"
           "  }\n"
           "  if (sealed_"),
    Change("an index entry points behind its batch",
           "broker/log/segment.cc",
           "        {static_cast<int32_t>(header.last_offset() - base_.value), "
           "static_cast<int32_t>(size_)});",
           "        {static_cast<int32_t>(header.last_offset() - base_.value), "
           "static_cast<int32_t>(size_ + header.total_bytes())});"),
    Change("the folder of a deleted topic stays",
           "broker/server/broker_core.cc",
           "    TRY(fate == Fate::removed ? directory_->mark_deleted(folder) : "
           "directory_->set_aside(folder));",
           "    (void)folder; (void)fate;"),
]
