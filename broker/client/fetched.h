#pragma once
// From the bytes of a fetch answer to records: pure, every byte judged.

#include <cstdint>
#include <set>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"
#include "broker/client/cluster.h"
#include "broker/client/consumer.h"
#include "broker/wire/fetch.h"

namespace verdict::client {

// Where a consumer stands in a partition.
struct FetchPosition {
  int64_t offset = 0;       // of the next record
  int32_t last_epoch = -1;  // leader epoch of the record before it
};

inline constexpr size_t kUncompressedBytesMax = 128U << 20;  // of one batch

// Appends the records from `position` on to `out` and moves the position behind them. A batch that
// is not whole at the end is left for the next fetch. With `committed_only`, the records of the
// aborted transactions are left out. An error leaves the position at the batch in question.
base::Result<> read_fetched(const wire::FetchResponse::PartitionData& data,
                            const TopicPartition& at, bool committed_only, FetchPosition& position,
                            std::vector<ConsumedRecord>& out);

}  // namespace verdict::client
