#pragma once
// The records section of a batch, uncompressed: cut into records, and one record into its fields.
// Every byte is judged; nothing here trusts a length.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/base/result.h"
#include "broker/base/slice.h"

namespace verdict::record {

// Bytes of the shortest record: its length, attributes, two deltas, no key, no value, no headers.
inline constexpr size_t kRecordBytesMin = 7;

// A record's fields where they lie.
struct RecordView {
  int8_t attributes = 0;
  int64_t timestamp_delta_ms = 0;
  int32_t offset_delta = 0;
  std::optional<std::span<const std::byte>> key;
  std::optional<std::span<const std::byte>> value;
  int32_t header_count = 0;
  std::span<const std::byte> headers;       // what follows their count
  std::span<const std::byte> after_offset;  // from the key's length to the end
};

// Reads the fields of one record, `record` being its bytes without its length. Nothing when they
// are well-formed, else what is wrong.
const char* parse_record(std::span<const std::byte> record, RecordView& view);

// The next header of a record that parse_record accepted; shortens `headers`.
struct HeaderView {
  std::span<const std::byte> key;
  std::optional<std::span<const std::byte>> value;
};
HeaderView next_header(std::span<const std::byte>& headers);

// Steps over the records of a section that may lie in several slices. A record in one piece is
// seen in place; only one that straddles two slices is copied. The section outlives the cursor.
class RecordCursor {
 public:
  explicit RecordCursor(const base::Slices& section);

  // The next record's bytes without its length, valid until the next call; false when there is no
  // whole record.
  bool next(std::span<const std::byte>& record);
  bool at_end() const { return left_ == 0; }
  // The record that next() gave last; shares the section's buffer unless it straddles.
  base::Slice slice() const;

 private:
  bool next_straddling(std::span<const std::byte>& record);
  void enter(size_t index);
  std::byte take_byte();

  std::span<const base::Slice> slices_;
  size_t index_ = 0;  // of the slice that at_ is in
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;  // of that slice
  size_t left_ = 0;                 // bytes from at_ to the end of the section
  size_t last_size_ = 0;            // of what next() gave, which ends at at_ unless it straddles
  bool straddles_ = false;
  std::vector<std::byte> gathered_;  // a straddling record
};

// Calls visit(view, index, cursor) for each of `count` records; an error when one is malformed or
// when bytes are left over. `visit` returns false to end the walk.
template <class Visit>
base::Result<> for_each_record(const base::Slices& section, int32_t count, Visit&& visit) {
  using base::Errc;
  RecordCursor cursor(section);
  std::span<const std::byte> bytes;
  RecordView view;
  for (int32_t i = 0; i < count; ++i) {
    if (!cursor.next(bytes)) {
      return base::fail(Errc::corrupt, "record " + std::to_string(i) + " of " +
                                           std::to_string(count) + " is not whole");
    }
    if (const char* wrong = parse_record(bytes, view)) {
      return base::fail(Errc::corrupt, "record " + std::to_string(i) + ": " + wrong);
    }
    if (!visit(static_cast<const RecordView&>(view), i, cursor)) return {};
  }
  if (!cursor.at_end()) {
    return base::fail(Errc::corrupt,
                      "bytes are left over after " + std::to_string(count) + " records");
  }
  return {};
}

}  // namespace verdict::record
