#include "broker/wire/api_table.h"

#include <algorithm>
#include <cstddef>

namespace verdict::wire {
namespace {

constexpr VersionRange kNone = {};
constexpr int16_t kNever = INT16_MAX;

// key, name, valid, advertised, flexible from
constexpr Api kApis[] = {
    {0, "Produce", {3, 13}, {0, 9}, 9},
    {1, "Fetch", {4, 18}, {4, 12}, 12},
    {2, "ListOffsets", {1, 11}, {1, 7}, 6},
    {3, "Metadata", {0, 13}, {0, 12}, 9},
    {8, "OffsetCommit", {2, 10}, kNone, 8},
    {9, "OffsetFetch", {1, 10}, kNone, 6},
    {10, "FindCoordinator", {0, 6}, kNone, 3},
    {11, "JoinGroup", {0, 9}, kNone, 6},
    {12, "Heartbeat", {0, 4}, kNone, 4},
    {13, "LeaveGroup", {0, 5}, kNone, 4},
    {14, "SyncGroup", {0, 5}, kNone, 4},
    {15, "DescribeGroups", {0, 6}, kNone, 5},
    {16, "ListGroups", {0, 5}, kNone, 3},
    {17, "SaslHandshake", {0, 1}, kNone, kNever},
    {18, "ApiVersions", {0, 4}, {0, 4}, 3},
    {19, "CreateTopics", {2, 7}, {2, 7}, 5},
    {20, "DeleteTopics", {1, 6}, {1, 6}, 4},
    {21, "DeleteRecords", {0, 2}, kNone, 2},
    {22, "InitProducerId", {0, 6}, {0, 4}, 2},
    {23, "OffsetForLeaderEpoch", {2, 4}, kNone, 4},
    {24, "AddPartitionsToTxn", {0, 5}, kNone, 3},
    {25, "AddOffsetsToTxn", {0, 4}, kNone, 3},
    {26, "EndTxn", {0, 5}, kNone, 3},
    {27, "WriteTxnMarkers", {1, 2}, kNone, 1},
    {28, "TxnOffsetCommit", {0, 5}, kNone, 3},
    {29, "DescribeAcls", {1, 3}, kNone, 2},
    {30, "CreateAcls", {1, 3}, kNone, 2},
    {31, "DeleteAcls", {1, 3}, kNone, 2},
    {32, "DescribeConfigs", {1, 4}, {1, 4}, 4},
    {33, "AlterConfigs", {0, 2}, kNone, 2},
    {34, "AlterReplicaLogDirs", {1, 2}, kNone, 2},
    {35, "DescribeLogDirs", {1, 5}, kNone, 2},
    {36, "SaslAuthenticate", {0, 2}, kNone, 2},
    {37, "CreatePartitions", {0, 3}, kNone, 2},
    {38, "CreateDelegationToken", {1, 3}, kNone, 2},
    {39, "RenewDelegationToken", {1, 2}, kNone, 2},
    {40, "ExpireDelegationToken", {1, 2}, kNone, 2},
    {41, "DescribeDelegationToken", {1, 3}, kNone, 2},
    {42, "DeleteGroups", {0, 2}, kNone, 2},
    {43, "ElectLeaders", {0, 2}, kNone, 2},
    {44, "IncrementalAlterConfigs", {0, 1}, kNone, 1},
    {45, "AlterPartitionReassignments", {0, 1}, kNone, 0},
    {46, "ListPartitionReassignments", {0, 0}, kNone, 0},
    {47, "OffsetDelete", {0, 0}, kNone, kNever},
    {48, "DescribeClientQuotas", {0, 1}, kNone, 1},
    {49, "AlterClientQuotas", {0, 1}, kNone, 1},
    {50, "DescribeUserScramCredentials", {0, 0}, kNone, 0},
    {51, "AlterUserScramCredentials", {0, 0}, kNone, 0},
    {52, "Vote", {0, 2}, kNone, 0},
    {53, "BeginQuorumEpoch", {0, 1}, kNone, 1},
    {54, "EndQuorumEpoch", {0, 1}, kNone, 1},
    {55, "DescribeQuorum", {0, 2}, kNone, 0},
    {56, "AlterPartition", {2, 3}, kNone, 0},
    {57, "UpdateFeatures", {0, 2}, kNone, 0},
    {58, "Envelope", {0, 0}, kNone, 0},
    {59, "FetchSnapshot", {0, 1}, kNone, 0},
    {60, "DescribeCluster", {0, 2}, kNone, 0},
    {61, "DescribeProducers", {0, 0}, kNone, 0},
    {62, "BrokerRegistration", {0, 4}, kNone, 0},
    {63, "BrokerHeartbeat", {0, 2}, kNone, 0},
    {64, "UnregisterBroker", {0, 0}, kNone, 0},
    {65, "DescribeTransactions", {0, 0}, kNone, 0},
    {66, "ListTransactions", {0, 2}, kNone, 0},
    {67, "AllocateProducerIds", {0, 0}, kNone, 0},
    {68, "ConsumerGroupHeartbeat", {0, 1}, kNone, 0},
    {69, "ConsumerGroupDescribe", {0, 1}, kNone, 0},
    {70, "ControllerRegistration", {0, 0}, kNone, 0},
    {71, "GetTelemetrySubscriptions", {0, 0}, kNone, 0},
    {72, "PushTelemetry", {0, 0}, kNone, 0},
    {73, "AssignReplicasToDirs", {0, 0}, kNone, 0},
    {74, "ListConfigResources", {0, 1}, kNone, 0},
    {75, "DescribeTopicPartitions", {0, 0}, kNone, 0},
    {76, "ShareGroupHeartbeat", {1, 1}, kNone, 0},
    {77, "ShareGroupDescribe", {1, 1}, kNone, 0},
    {78, "ShareFetch", {1, 2}, kNone, 0},
    {79, "ShareAcknowledge", {1, 2}, kNone, 0},
    {80, "AddRaftVoter", {0, 1}, kNone, 0},
    {81, "RemoveRaftVoter", {0, 0}, kNone, 0},
    {82, "UpdateRaftVoter", {0, 0}, kNone, 0},
    {83, "InitializeShareGroupState", {0, 0}, kNone, 0},
    {84, "ReadShareGroupState", {0, 0}, kNone, 0},
    {85, "WriteShareGroupState", {0, 1}, kNone, 0},
    {86, "DeleteShareGroupState", {0, 0}, kNone, 0},
    {87, "ReadShareGroupStateSummary", {0, 1}, kNone, 0},
    {88, "StreamsGroupHeartbeat", {0, 0}, kNone, 0},
    {89, "StreamsGroupDescribe", {0, 0}, kNone, 0},
    {90, "DescribeShareGroupOffsets", {0, 1}, kNone, 0},
    {91, "AlterShareGroupOffsets", {0, 0}, kNone, 0},
    {92, "DeleteShareGroupOffsets", {0, 0}, kNone, 0},
};

constexpr bool is_ascending() {
  for (size_t i = 1; i < std::size(kApis); ++i) {
    if (kApis[i - 1].key >= kApis[i].key) return false;
  }
  return true;
}
static_assert(is_ascending());

}  // namespace

std::span<const Api> api_table() { return kApis; }

const Api* find_api(int16_t key) {
  const auto* found = std::ranges::lower_bound(kApis, key, {}, &Api::key);
  return found != std::end(kApis) && found->key == key ? found : nullptr;
}

}  // namespace verdict::wire
