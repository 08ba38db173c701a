#include "broker/record/record_cursor.h"

#include <algorithm>

#include "broker/base/check.h"
#include "broker/base/varint.h"

namespace verdict::record {

namespace {

// Most varints of a record have one byte or two, and a record has six of them or more. Reads one of
// those into `out`, or returns false and reads nothing.
[[gnu::always_inline]] inline bool read_short(const std::byte*& at, const std::byte* end,
                                              uint32_t& out) {
  if (at == end) return false;
  const auto low = static_cast<uint8_t>(at[0]);
  if (low < 0x80) {
    out = low;
    ++at;
    return true;
  }
  if (end - at < 2) return false;
  const auto high = static_cast<uint8_t>(at[1]);
  if (high >= 0x80) return false;
  out = (low & 0x7fU) | static_cast<uint32_t>(high) << 7;
  at += 2;
  return true;
}

[[gnu::always_inline]] inline bool read_int(const std::byte*& at, const std::byte* end,
                                            int32_t& out) {
  if (uint32_t raw = 0; read_short(at, end, raw)) [[likely]] {
    out = base::unzigzag32(raw);
    return true;
  }
  auto v = base::read_varint(at, end);
  if (!v) return false;
  out = *v;
  return true;
}

[[gnu::always_inline]] inline bool read_long(const std::byte*& at, const std::byte* end,
                                             int64_t& out) {
  if (uint32_t raw = 0; read_short(at, end, raw)) [[likely]] {
    out = base::unzigzag64(raw);
    return true;
  }
  auto v = base::read_varlong(at, end);
  if (!v) return false;
  out = *v;
  return true;
}

// A length (-1: absent) and as many bytes.
[[gnu::always_inline]] inline bool read_field(const std::byte*& at, const std::byte* end,
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
  record = {at, static_cast<size_t>(length)};
  last_size_ = static_cast<size_t>(length);
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
  record = gathered_;
  straddles_ = true;
  return true;
}

base::Slice RecordCursor::slice() const {
  if (straddles_) return base::Slice::copy_of(gathered_);
  const base::Slice& whole = slices_[index_];  // next() enters another one only when it is called
  const auto end = static_cast<size_t>(at_ - whole.data());
  CHECK(last_size_ <= end);
  return whole.cut(end - last_size_, last_size_);
}

}  // namespace verdict::record
