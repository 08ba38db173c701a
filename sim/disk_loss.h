#pragma once
// The power loss: decides, choice by choice, what of the pending operations reached the device.
//
// One draw picks the shape for the whole disk. Each 4 KiB page then holds its durable bytes plus a
// prefix of its pending writes, the first lost one perhaps torn at a sector; a file has any size
// that it had since its last sync; a directory keeps a prefix of its pending operations.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/choices.h"
#include "sim/disk_model.h"

namespace verdict::sim {

enum class LossShape : uint8_t {
  everything_kept = 0,
  nothing_kept,
  write_order,  // all operations of the disk, in order, up to a point
  one_page_lost,
  each_page_alone,
};
inline constexpr size_t kLossShapes = 5;
std::string_view to_string(LossShape shape);

struct LossReport {
  struct File {
    std::string path;
    uint64_t entity = 0;
    uint64_t bytes_lost = 0;
    uint64_t size_before = 0;
    uint64_t size_after = 0;
    bool torn = false;
  };
  uint64_t ordinal = 0;  // of the power loss on this disk, from 1
  int64_t at_ns = 0;
  LossShape shape = LossShape::everything_kept;
  std::vector<File> files;  // that lost bytes, changed their size or went with their name
  std::vector<std::string> names_lost;      // paths that were there and are not
  std::vector<std::string> names_returned;  // paths that were removed or renamed and are back
  std::vector<std::string> names_reverted;  // paths that lead to the file which they led to before
  uint64_t bytes_lost() const;
  bool has_effect() const {
    return !files.empty() || !names_lost.empty() || !names_returned.empty() ||
           !names_reverted.empty();
  }
};

struct LossInput {
  uint64_t ordinal = 0;
  int64_t now_ns = 0;
  int64_t device_alive_ns = 0;   // before now when the device hangs: it wrote nothing since
  int64_t writeback_max_ns = 0;  // what was older then was written back by itself
  uint64_t node_entity = 0;
};

// Applies a power loss to `model`: afterwards current and device agree and nothing pends.
LossReport lose_power(DiskModel& model, Choices& choices, const LossInput& input);

}  // namespace verdict::sim
