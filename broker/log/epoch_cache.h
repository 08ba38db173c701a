#pragma once
// EpochCache: at which offset each leader epoch of a partition began (KIP-101), as kept in
// leader-epoch-checkpoint.
//
// Invariant: epochs and start offsets both grow strictly from entry to entry.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/ids.h"
#include "broker/base/result.h"

namespace verdict::log {

class EpochCache {
 public:
  struct Entry {
    base::LeaderEpoch epoch;
    base::Offset start;
    auto operator<=>(const Entry&) const = default;
  };
  struct End {
    base::LeaderEpoch epoch;
    base::Offset end;
    auto operator<=>(const End&) const = default;
  };

  // `epoch` begins at `start`. An epoch that is not newer than the last one changes nothing; older
  // ones that would begin at or after `start` have no records and go. True when something changed.
  bool assign(base::LeaderEpoch epoch, base::Offset start);
  // -1 when none is known.
  base::LeaderEpoch last() const;
  // Where the largest epoch of at most `epoch` ends in a log that ends at `log_end`; nothing for
  // one that is newer than all known.
  std::optional<End> end_of(base::LeaderEpoch epoch, base::Offset log_end) const;
  // The epoch of the record at `offset`; -1 before the first one.
  base::LeaderEpoch at(base::Offset offset) const;
  // Drops the epochs that begin at or after `end`. True when something changed.
  bool truncate_end(base::Offset end);
  // Drops the epochs that end at or before `start`, and moves the one that holds it. True when
  // something changed.
  bool truncate_start(base::Offset start);
  void clear() { entries_.clear(); }
  const std::vector<Entry>& entries() const { return entries_; }

  // Kafka's text.
  std::string encode() const;
  static base::Result<EpochCache> decode(std::string_view text);

 private:
  std::vector<Entry> entries_;
};

}  // namespace verdict::log
