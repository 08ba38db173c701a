#include "scenarios/loss.h"

#include <set>

#include "broker/base/check.h"
#include "broker/base/endian.h"
#include "broker/record/batch.h"

namespace verdict::scenarios {
namespace {

constexpr size_t kUncompressedBytesMax = 64U << 20;

// The offsets at which each record stands on the disk, by record id. A producer that is not
// idempotent may have written a record twice, and only one of the copies was acknowledged.
using Copies = base::OrderedMap<uint64_t, std::set<int64_t>>;

void collect(const record::BatchHeader& header, const base::Slice& batch, Copies& copies) {
  auto records = record::read_records(header, base::Slices(batch), kUncompressedBytesMax);
  if (!records) return;  // a torn or rotten batch holds nothing that counts
  for (const record::Record& r : *records) {
    if (r.value && r.value->size() >= History::kValueBytesMin) {
      copies[base::load_be<uint64_t>(r.value->data() + 8)].insert(header.base_offset +
                                                                  r.offset_delta);
    }
  }
}

bool is_partition_log(const std::string& path, const History& history) {
  if (!path.ends_with(".log")) return false;
  for (uint32_t p = 0; p < history.partition_count(); ++p) {
    if (path.find(history.partition_name(p).to_string() + "/") != std::string::npos) return true;
  }
  return false;
}

struct OnDisk {
  Copies durable;  // batch, everything before it in its file, and file name survive a power loss
  Copies rest;
};

void read_log(sim::Disk& disk, const std::string& path, const base::Slice& content, OnDisk& found) {
  bool durable = disk.name_is_durable(path);
  size_t at = 0;
  while (content.size() - at >= record::kHeaderBytes) {
    record::BatchHeader header = record::read_header(content.bytes().subspan(at));
    if (!record::check_header(header, content.size() - at)) break;
    size_t size = header.total_bytes();
    if (size > content.size() - at) break;
    base::Slice batch = content.cut(at, size);
    if (record::batch_crc(base::Slices(batch)) != header.crc) break;
    // What stands behind a torn batch is cut with it.
    durable = durable && disk.is_durable(path, at, size);
    collect(header, batch, durable ? found.durable : found.rest);
    at += size;
  }
}

OnDisk read_disk(sim::Disk& disk, const History& history) {
  OnDisk found;
  for (const std::string& path : disk.paths()) {
    if (!is_partition_log(path, history)) continue;
    auto content = disk.content(path);
    if (content) read_log(disk, path, *content, found);
  }
  return found;
}

bool is_durable(const Sent& sent, const Copies& durable) {
  auto copies = durable.find(sent.id);
  if (copies == durable.end()) return false;
  // An answer under way may speak of any copy; with one copy there is no doubt.
  return sent.offset >= 0 ? copies->second.contains(sent.offset) : copies->second.size() == 1;
}

}  // namespace

void mark_undurable(sim::Disk& disk, History& history) {
  OnDisk found = read_disk(disk, history);
  for (Sent& sent : history.sent()) sent.may_be_lost = !is_durable(sent, found.durable);
  for (const auto& [id, offsets] : found.rest) {
    for (int64_t offset : offsets) history.note_may_vanish(id, offset);
  }
}

void clear_durable(sim::Disk& disk, History& history) {
  OnDisk found = read_disk(disk, history);
  for (Sent& sent : history.sent()) {
    if (is_durable(sent, found.durable)) sent.may_be_lost = false;
  }
}

}  // namespace verdict::scenarios
