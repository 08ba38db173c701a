#pragma once
// MetadataLog: the log of __cluster_metadata-0 with this node as its only voter: what was committed
// is durable before anybody hears of it, and each start is a new raft epoch.
//
// Invariants: every record before committed() is synced and in image(); the raft epoch of this run
// is greater than any before it, also when quorum-state was lost; after a failed commit the log
// takes no more, for good, because nobody can say what a later start will find.
//
// On disk: Kafka's own. Record batches in segments, a LeaderChange control batch at the start of
// each epoch, quorum-state as JSON, partition.metadata.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/log/log.h"
#include "broker/meta/image.h"
#include "broker/runtime/node.h"

namespace verdict::meta {

// A commit is one record batch, so that it is there as a whole or not at all. Large enough for one
// topic with kPartitionsPerRequestMax partitions (controller.h) and its configs.
inline constexpr size_t kRecordsPerCommitMax = 10'240;
inline constexpr size_t kCommitBytesMax = 8U << 20;  // Kafka's largest raft batch
inline constexpr size_t kReplayReadBytes = 1U << 20;
inline constexpr size_t kQuorumStateBytesMax = 64U << 10;
inline constexpr std::string_view kMetadataFolder = "__cluster_metadata-0";

// The content of the quorum-state file, version 0 (one static voter).
struct QuorumState {
  NodeId leader;
  LeaderEpoch epoch{0};
  std::vector<int32_t> voters;
  bool operator==(const QuorumState&) const = default;

  std::string to_json() const;
  // corrupt when it is not Kafka's quorum-state.
  static base::Result<QuorumState> from_json(std::string_view text);
};

// Records on their way into the log, framed as Kafka frames them: frame() in records.h.
using RecordValues = std::vector<base::Slice>;

struct Committed {
  Offset first;  // of the first record
  Offset last;
  ImagePointer image;
};

class MetadataLog : public runtime::ShardBound {
 public:
  struct Options {
    NodeId node_id;
    log::OpenOptions log;  // name and topic id are filled in here
  };

  // Opens or creates the log in the folder kMetadataFolder of `log_directory`, replays it, and
  // starts a new raft epoch: quorum-state, then the LeaderChange batch, both durable. corrupt names
  // file and offset of what cannot be replayed; invalid says that the log is another node's.
  static base::Result<std::unique_ptr<MetadataLog>> open(runtime::Node& node,
                                                         runtime::Directory& log_directory,
                                                         Options options);
  virtual ~MetadataLog() = default;

  // Of all that is committed. Never null.
  virtual ImagePointer image() const = 0;
  virtual LeaderEpoch epoch() const = 0;
  // The offset after the last committed record.
  virtual Offset committed() const = 0;
  virtual const log::RecoveryReport& recovery() const = 0;
  // Topics whose removal stands in the log as it was opened; to be asked once.
  virtual std::set<Uuid> take_removed_topics() = 0;
  // Why the log takes no commits any more.
  virtual const std::optional<base::Error>& offline() const = 0;

  // Keeps other writers out while records are made from image(): hold it around commit().
  virtual runtime::Mutex& mutex() = 0;
  // The offset that the first record of the next commit gets. Under mutex().
  virtual Offset next() const = 0;
  // Appends `values` as one batch, syncs, applies, publishes. Under mutex(). At most
  // kRecordsPerCommitMax records and kCommitBytesMax bytes: too_large, and nothing is written.
  // invalid: a record cannot be applied, and nothing is written. Any other error: offline().
  virtual base::Result<Committed> commit(const RecordValues& values) = 0;

  // Nothing is committed afterwards.
  virtual base::Result<> close_cleanly() = 0;

 protected:
  using ShardBound::ShardBound;
};

}  // namespace verdict::meta
