#pragma once
// Exhibits: real historical bugs behind named switches. EXHIBIT(node, id) is a constant false in
// the tree that ships; only trees built with VERDICT_EXHIBITS can switch one on.

#include <cstdint>

#if VERDICT_EXHIBITS

#include <array>
#include <optional>
#include <string_view>

namespace verdict::runtime {

#define VERDICT_EXHIBIT_LIST(X)                                                             \
  X(ack_before_write, "ack-before-write", "a produce is acknowledged before it is written") \
  X(segment_directory_not_synced, "segment-directory-not-synced",                           \
    "the directory of a new segment is never synced (KAFKA-3968)")                          \
  X(torn_tail_kept, "torn-tail-kept", "recovery keeps the bytes after a torn batch")        \
  X(producer_state_not_rebuilt, "producer-state-not-rebuilt",                               \
    "a restart forgets what producers have sent (Redpanda #3039)")                          \
  X(dedup_forgotten_at_roll, "dedup-forgotten-at-roll",                                     \
    "a new segment starts with an empty table of producers")                                \
  X(ack_after_failed_sync, "ack-after-failed-sync",                                         \
    "a failed sync is tried again and the second success believed (fsyncgate)")             \
  X(ack_before_sync, "ack-before-sync",                                                     \
    "a produce is acknowledged 1 ms before the sync it "                                    \
    "promises")

enum class Exhibit : uint8_t {
#define VERDICT_EXHIBIT_ENUM(id, name, text) id,
  VERDICT_EXHIBIT_LIST(VERDICT_EXHIBIT_ENUM)
#undef VERDICT_EXHIBIT_ENUM
};

struct ExhibitInfo {
  Exhibit id;
  std::string_view name;
  std::string_view text;
};

inline constexpr auto kExhibits = std::to_array<ExhibitInfo>({
#define VERDICT_EXHIBIT_INFO(id, name, text) {Exhibit::id, name, text},
    VERDICT_EXHIBIT_LIST(VERDICT_EXHIBIT_INFO)
#undef VERDICT_EXHIBIT_INFO
});

}  // namespace verdict::runtime

#define EXHIBIT(node, id) ((node).exhibit == ::verdict::runtime::Exhibit::id)

#else

#define EXHIBIT(node, id) false

#endif
