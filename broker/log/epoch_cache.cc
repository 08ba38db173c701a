#include "broker/log/epoch_cache.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/log/checkpoint_file.h"
#include "broker/log/file_names.h"

namespace verdict::log {

using base::Errc;
using base::LeaderEpoch;
using base::Offset;

bool EpochCache::assign(LeaderEpoch epoch, Offset start) {
  CHECK(start.value >= 0);
  if (epoch.value < 0 || epoch <= last()) return false;
  while (!entries_.empty() && entries_.back().start >= start) entries_.pop_back();
  entries_.push_back({epoch, start});
  if (entries_.size() > 1) CHECK(entries_[entries_.size() - 2].epoch < epoch);
  return true;
}

LeaderEpoch EpochCache::last() const {
  return entries_.empty() ? LeaderEpoch{} : entries_.back().epoch;
}

std::optional<EpochCache::End> EpochCache::end_of(LeaderEpoch epoch, Offset log_end) const {
  if (epoch.value < 0 || entries_.empty()) return std::nullopt;
  if (epoch == last()) return End{epoch, log_end};
  auto higher =
      std::upper_bound(entries_.begin(), entries_.end(), epoch,
                       [](LeaderEpoch wanted, const Entry& entry) { return wanted < entry.epoch; });
  if (higher == entries_.end()) return std::nullopt;
  // Before the first known epoch nothing is there: it ends where the first one begins.
  if (higher == entries_.begin()) return End{epoch, higher->start};
  return End{std::prev(higher)->epoch, higher->start};
}

LeaderEpoch EpochCache::at(Offset offset) const {
  auto after =
      std::upper_bound(entries_.begin(), entries_.end(), offset,
                       [](Offset wanted, const Entry& entry) { return wanted < entry.start; });
  return after == entries_.begin() ? LeaderEpoch{} : std::prev(after)->epoch;
}

bool EpochCache::truncate_end(Offset end) {
  size_t before = entries_.size();
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
  return entries_.size() != before;
}

bool EpochCache::truncate_start(Offset start) {
  if (entries_.empty() || entries_.front().start >= start) return false;
  size_t keep = 0;  // the entry that holds `start`
  while (keep + 1 < entries_.size() && entries_[keep + 1].start <= start) ++keep;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(keep));
  entries_.front().start = std::max(entries_.front().start, start);
  CHECK(entries_.front().start >= start);
  return true;
}

std::string EpochCache::encode() const {
  std::vector<std::string> lines;
  lines.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    lines.push_back(std::to_string(entry.epoch.value) + " " + std::to_string(entry.start.value));
  }
  return format_checkpoint(lines);
}

base::Result<EpochCache> EpochCache::decode(std::string_view text) {
  std::vector<std::string> lines = TRY(parse_checkpoint(kEpochCheckpointName, text));
  EpochCache cache;
  for (const std::string& line : lines) {
    std::vector<std::string_view> words = split_words(line);
    std::optional<int64_t> epoch = words.size() == 2 ? parse_int64(words[0]) : std::nullopt;
    std::optional<int64_t> start = words.size() == 2 ? parse_int64(words[1]) : std::nullopt;
    bool good = epoch && start && *epoch >= 0 && *epoch <= INT32_MAX && *start >= 0;
    if (good && !cache.entries_.empty()) {
      good = *epoch > cache.last().value && *start > cache.entries_.back().start.value;
    }
    if (!good) {
      return base::fail(Errc::corrupt,
                        std::string(kEpochCheckpointName) + ": entry '" + line + "'");
    }
    cache.entries_.push_back({LeaderEpoch{static_cast<int32_t>(*epoch)}, Offset{*start}});
  }
  return cache;
}

}  // namespace verdict::log
