#include "broker/record/record_cursor.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/varint.h"

namespace verdict::record {

namespace {

// Most varints of a record have one byte, and a record has six of them or more.
inline bool read_int(const std::byte*& at, const std::byte* end, int32_t& out) {
  if (at != end && static_cast<uint8_t>(*at) < 0x80) [[likely]] {
    out = base::unzigzag32(static_cast<uint8_t>(*at++));
    return true;
  }
  auto v = base::read_varint(at, end);
  if (!v) return false;
  out = *v;
  return true;
}

inline bool read_long(const std::byte*& at, const std::byte* end, int64_t& out) {
  if (at != end && static_cast<uint8_t>(*at) < 0x80) [[likely]] {
    out = base::unzigzag64(static_cast<uint8_t>(*at++));
    return true;
  }
  auto v = base::read_varlong(at, end);
  if (!v) return false;
  out = *v;
  return true;
}

// A length (-1: absent) and as many bytes.
inline bool read_field(const std::byte*& at, const std::byte* end,
                       std::optional<std::span<const std::byte>>& out) {
  int32_t length = 0;
  if (!read_int(at, end, length)) return false;
  if (length < 0) {
    out.reset();
    return length == -1;
  }
  if (length > end - at) return false;
  out.emplace(at, static_cast<size_t>(length));
  at += length;
  return true;
}

}  // namespace

const char* parse_record(std::span<const std::byte> record, RecordView& view) {
  const std::byte* at = record.data();
  const std::byte* const end = at + record.size();
  if (at == end) return "it is empty";
  view.attributes = static_cast<int8_t>(*at++);
  if (!read_long(at, end, view.timestamp_delta_ms)) return "bad timestamp delta";
  if (!read_int(at, end, view.offset_delta)) return "bad offset delta";
  view.after_offset = {at, end};
  if (!read_field(at, end, view.key)) return "bad key length";
  if (!read_field(at, end, view.value)) return "bad value length";
  if (!read_int(at, end, view.header_count)) return "bad header count";
  // A header takes two bytes or more.
  if (view.header_count < 0 || view.header_count > (end - at) / 2) return "bad header count";
  view.headers = {at, end};
  std::optional<std::span<const std::byte>> field;
  for (int32_t i = 0; i < view.header_count; ++i) {
    if (!read_field(at, end, field) || !field) return "bad header key";
    if (!read_field(at, end, field)) return "bad header value";
  }
  if (at != end) return "its length does not fit its fields";
  return nullptr;
}

HeaderView next_header(std::span<const std::byte>& headers) {
  const std::byte* at = headers.data();
  const std::byte* const end = at + headers.size();
  std::optional<std::span<const std::byte>> key;
  HeaderView header;
  CHECK(read_field(at, end, key));
  CHECK(key.has_value());
  CHECK(read_field(at, end, header.value));
  header.key = *key;
  headers = {at, end};
  return header;
}

RecordCursor::RecordCursor(const base::Slices& section)
    : slices_(section.span()), left_(section.size()) {
  if (!slices_.empty()) enter(0);
}

void RecordCursor::enter(size_t index) {
  CHECK(index < slices_.size());
  index_ = index;
  at_ = slices_[index].data();
  end_ = at_ + slices_[index].size();
}

bool RecordCursor::next(std::span<const std::byte>& record) {
  if (at_ == end_ && left_ > 0) enter(index_ + 1);
  const std::byte* at = at_;
  int32_t length = 0;
  if (!read_int(at, end_, length) || length > end_ - at) return next_straddling(record);
  if (length < 0) return false;
  last_ = record = {at, static_cast<size_t>(length)};
  last_index_ = index_;
  straddles_ = false;
  left_ -= static_cast<size_t>(at + length - at_);
  at_ = at + length;
  return true;
}

std::byte RecordCursor::take_byte() {
  CHECK(left_ > 0);
  if (at_ == end_) enter(index_ + 1);
  --left_;
  return *at_++;
}

bool RecordCursor::next_straddling(std::span<const std::byte>& record) {
  std::byte varint[base::kVarint32BytesMax];
  size_t n = 0;
  do {
    if (left_ == 0 || n == base::kVarint32BytesMax) return false;
    varint[n++] = take_byte();
  } while (static_cast<uint8_t>(varint[n - 1]) >= 0x80);
  const std::byte* at = varint;
  int32_t length = 0;
  if (!read_int(at, varint + n, length)) return false;
  if (length < 0 || static_cast<size_t>(length) > left_) return false;
  gathered_.resize(static_cast<size_t>(length));
  for (size_t done = 0; done < gathered_.size();) {
    if (at_ == end_) enter(index_ + 1);
    size_t part = std::min(gathered_.size() - done, static_cast<size_t>(end_ - at_));
    std::copy_n(at_, part, gathered_.begin() + static_cast<ptrdiff_t>(done));
    at_ += part;
    left_ -= part;
    done += part;
  }
  last_ = record = gathered_;
  straddles_ = true;
  return true;
}

base::Slice RecordCursor::slice() const {
  if (straddles_) return base::Slice::copy_of(last_);
  const base::Slice& whole = slices_[last_index_];
  return whole.cut(static_cast<size_t>(last_.data() - whole.data()), last_.size());
}

}  // namespace verdict::record
