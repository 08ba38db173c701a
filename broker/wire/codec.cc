#include "broker/wire/codec.h"

#include <algorithm>
#include <cstring>

namespace verdict::wire {

bool same_bytes(const base::Slices& a, const base::Slices& b) {
  if (a.size() != b.size()) return false;
  const base::Slice flat_a = a.flatten();
  const base::Slice flat_b = b.flatten();
  return flat_a.text() == flat_b.text();
}

// --- Reader --------------------------------------------------------------------------------------

Reader::Reader(const base::Slices& bytes) : bytes_(bytes), later_(bytes.size()) {
  if (bytes.count() == 0) return;
  const base::Slice& first = *bytes.begin();
  at_ = first.data();
  end_ = at_ + first.size();
  later_ -= first.size();
}

base::Error Reader::error(std::string_view message, int16_t version) const {
  CHECK(!ok());
  std::string detail(message);
  detail += " v" + std::to_string(version) + ", field " + failed_field_ + ": " + reason_;
  return {base::Errc::invalid, std::move(detail)};
}

void Reader::fail(const char* field, const char* reason) {
  CHECK(field != nullptr);
  CHECK(reason != nullptr);
  at_ = end_ = nullptr;
  later_ = 0;
  if (!ok()) return;  // the first failure is the one that tells something
  failed_field_ = field;
  reason_ = reason;
}

void Reader::expect_end() {
  if (remaining() != 0) fail("(end)", "bytes are left over");
}

void Reader::next_slice() {
  CHECK(later_ > 0);
  const base::Slice& next = bytes_.begin()[++slice_];
  CHECK(!next.empty());
  at_ = next.data();
  end_ = at_ + next.size();
  later_ -= next.size();
}

uint64_t Reader::straddling(size_t bytes, const char* field) {
  if (remaining() < bytes) {
    fail(field, "the bytes end early");
    return 0;
  }
  uint64_t result = 0;
  for (size_t i = 0; i < bytes; ++i) {
    if (at_ == end_) next_slice();
    result = result << 8 | static_cast<uint64_t>(*at_++);
  }
  return result;
}

uint64_t Reader::uvarint(unsigned bits, const char* field) {
  std::byte copy[base::kVarint64BytesMax];
  const size_t most = std::min(remaining(), sizeof copy);
  if (static_cast<size_t>(end_ - at_) >= most) {
    const std::byte* at = at_;
    if (auto v = base::read_uvarint(at, at_ + most, bits)) {
      at_ = at;
      return *v;
    }
  } else {
    bytes_.copy_to(position(), {copy, most});
    const std::byte* at = copy;
    if (auto v = base::read_uvarint(at, copy + most, bits)) {
      (void)take(static_cast<size_t>(at - copy), field);
      return *v;
    }
  }
  fail(field, "no varint of this size");
  return 0;
}

base::Slices Reader::take(size_t count, const char* field) {
  base::Slices out;
  if (count > remaining()) {
    fail(field, "the bytes end early");
    return out;
  }
  while (count > 0) {
    if (at_ == end_) next_slice();
    const base::Slice& present = bytes_.begin()[slice_];
    const size_t here = std::min(count, static_cast<size_t>(end_ - at_));
    out.push_back(present.cut(static_cast<size_t>(at_ - present.data()), here));
    at_ += here;
    count -= here;
  }
  return out;
}

// Nothing for null.
std::optional<size_t> Reader::text_length(Lengths lengths, const char* field) {
  int64_t n = 0;
  if (lengths == Lengths::compact) {
    n = static_cast<int64_t>(uvarint(32, field)) - 1;
  } else {
    int16_t fixed = 0;
    value(fixed, field);
    n = fixed;
  }
  if (n >= 0 && static_cast<size_t>(n) <= std::min(kStringBytesMax, remaining())) {
    return static_cast<size_t>(n);
  }
  if (n != -1) fail(field, "a length that cannot be");
  return std::nullopt;
}

// Nothing for null.
std::optional<size_t> Reader::length(Lengths lengths, const char* field) {
  int64_t n = 0;
  if (lengths == Lengths::compact) {
    n = static_cast<int64_t>(uvarint(32, field)) - 1;
  } else {
    int32_t fixed = 0;
    value(fixed, field);
    n = fixed;
  }
  if (n >= 0 && static_cast<size_t>(n) <= remaining()) return static_cast<size_t>(n);
  if (n != -1) fail(field, "a length that cannot be");
  return std::nullopt;
}

void Reader::copy_text(size_t length, std::string& out) {
  CHECK(length <= remaining());
  if (static_cast<size_t>(end_ - at_) >= length) {
    out.assign(reinterpret_cast<const char*>(at_), length);
    at_ += length;
    return;
  }
  out.clear();
  out.reserve(length);
  const base::Slices parts = take(length, "");
  for (const base::Slice& part : parts) out += part.text();
}

void Reader::text(Lengths lengths, std::string& out, const char* field) {
  if (auto n = text_length(lengths, field)) {
    copy_text(*n, out);
  } else {
    fail(field, "null where a string must be");
  }
}

void Reader::text(Lengths lengths, std::optional<std::string>& out, const char* field) {
  out.reset();
  if (auto n = text_length(lengths, field)) copy_text(*n, out.emplace());
}

void Reader::bytes(Lengths lengths, base::Slice& out, const char* field) {
  base::Slices parts;
  records(lengths, parts, field);
  out = parts.flatten();
}

void Reader::bytes(Lengths lengths, std::optional<base::Slice>& out, const char* field) {
  std::optional<base::Slices> parts;
  records(lengths, parts, field);
  out.reset();
  if (parts) out = parts->flatten();
}

void Reader::records(Lengths lengths, base::Slices& out, const char* field) {
  if (auto n = length(lengths, field)) {
    out = take(*n, field);
  } else {
    fail(field, "null where bytes must be");
  }
}

void Reader::records(Lengths lengths, std::optional<base::Slices>& out, const char* field) {
  out.reset();
  if (auto n = length(lengths, field)) out = take(*n, field);
}

std::optional<size_t> Reader::array_or_null(Lengths lengths, size_t element_bytes_min,
                                            const char* field) {
  CHECK(element_bytes_min > 0);
  const std::optional<size_t> n = length(lengths, field);
  if (n && *n > remaining() / element_bytes_min) {
    fail(field, "more elements than the bytes can hold");
    return std::nullopt;
  }
  return n;
}

size_t Reader::array(Lengths lengths, size_t element_bytes_min, const char* field) {
  const std::optional<size_t> n = array_or_null(lengths, element_bytes_min, field);
  if (!n) fail(field, "null where an array must be");
  return n.value_or(0);
}

bool Reader::present(const char* field) {
  int8_t mark = 0;
  value(mark, field);
  if (mark != 1 && mark != -1) fail(field, "neither null nor a struct");
  return mark == 1;
}

uint32_t Reader::tag_count(const char* field) {
  const uint64_t count = uvarint(32, field);
  if (count > remaining() / 2) {  // a tag has two bytes or more
    fail(field, "more tags than the bytes can hold");
    return 0;
  }
  return static_cast<uint32_t>(count);
}

Reader::Tag Reader::tag(int64_t& previous, const char* field) {
  Tag tag;
  tag.number = static_cast<uint32_t>(uvarint(32, field));
  const uint64_t size = uvarint(32, field);
  if (!ok()) return tag;
  if (tag.number <= previous) {
    fail(field, "tags out of order");
    return tag;
  }
  previous = tag.number;
  tag.bytes = take(size, field);
  return tag;
}

void Reader::finish(const Reader& part, const char* field) {
  if (!part.ok()) {
    fail(part.failed_field_, part.reason_);
  } else if (part.remaining() != 0) {
    fail(field, "bytes are left over in the tagged field");
  }
}

void Reader::unknown_tags(UnknownTags& out, const char* field) {
  int64_t previous = -1;
  for (uint32_t left = tag_count(field); left > 0; --left) {
    const Tag kept = tag(previous, field);
    if (!ok()) return;
    keep_tag(out, kept);
  }
}

// --- Writer --------------------------------------------------------------------------------------

Writer::Writer(size_t bytes_expected) : buffer_(std::max(bytes_expected, kBytesExpected)) {}

void Writer::grow(size_t more) {
  base::MutableBuffer bigger(std::max(buffer_.capacity() * 2, size_ + more));
  std::memcpy(bigger.data(), buffer_.data(), size_);
  buffer_ = std::move(bigger);
  CHECK(buffer_.capacity() - size_ >= more);
}

void Writer::raw(const std::byte* data, size_t count) {
  if (count == 0) return;
  reserve(count);
  std::memcpy(buffer_.data() + size_, data, count);
  size_ += count;
}

void Writer::length(Lengths lengths, size_t count) {
  CHECK(count <= INT32_MAX);
  if (lengths == Lengths::compact) {
    uvarint(count + 1);
  } else {
    value(static_cast<int32_t>(count));
  }
}

void Writer::put_text(Lengths lengths, std::string_view v) {
  CHECK(v.size() <= kStringBytesMax);
  if (lengths == Lengths::compact) {
    uvarint(v.size() + 1);
  } else {
    value(static_cast<int16_t>(v.size()));
  }
  raw(reinterpret_cast<const std::byte*>(v.data()), v.size());
}

void Writer::text(Lengths lengths, const std::string& v) { put_text(lengths, v); }

void Writer::text(Lengths lengths, const std::optional<std::string>& v) {
  if (v) {
    put_text(lengths, *v);
  } else if (lengths == Lengths::compact) {
    uvarint(0);
  } else {
    value(int16_t{-1});
  }
}

void Writer::prose(Lengths lengths, const std::string& v) {
  put_text(lengths, std::string_view(v).substr(0, kStringBytesMax));
}

void Writer::prose(Lengths lengths, const std::optional<std::string>& v) {
  if (v) {
    prose(lengths, *v);
  } else {
    text(lengths, v);
  }
}

void Writer::bytes(Lengths lengths, const base::Slices& v) {
  length(lengths, v.size());
  payload(v);
}

void Writer::bytes(Lengths lengths, const std::optional<base::Slices>& v) {
  if (v) {
    bytes(lengths, *v);
  } else {
    null_array(lengths);
  }
}

void Writer::bytes(Lengths lengths, const std::optional<base::Slice>& v) {
  if (v) {
    bytes(lengths, base::Slices(*v));
  } else {
    null_array(lengths);
  }
}

void Writer::array(Lengths lengths, size_t count) { length(lengths, count); }

void Writer::null_array(Lengths lengths) {
  if (lengths == Lengths::compact) {
    uvarint(0);
  } else {
    value(int32_t{-1});
  }
}

void Writer::payload(const base::Slices& v) {
  if (v.size() < kCopyBytesMax || open_tags_ > 0) {
    for (const base::Slice& part : v) raw(part.data(), part.size());
    return;
  }
  references_.push_back({.position = size_, .bytes = v});
  referred_ += v.size();
}

namespace {

bool is_known(uint32_t number, uint64_t known) { return number < 64 && (known >> number & 1) != 0; }

}  // namespace

size_t Writer::unknown_count(const UnknownTags& tags, uint64_t known) {
  size_t count = 0;
  for (const UnknownTag& tag : tags) count += is_known(tag.number, known) ? 0 : 1;
  return count;
}

size_t Writer::unknown_tags(const UnknownTags& tags, uint64_t known, size_t next, uint64_t before) {
  for (; next < tags.size() && tags[next].number < before; ++next) {
    CHECK(next == 0 || tags[next - 1].number < tags[next].number);
    if (is_known(tags[next].number, known)) continue;
    const size_t mark = begin_tag(tags[next].number);
    payload(tags[next].bytes);
    end_tag(mark);
  }
  return next;
}

void Writer::unknown_tags(const UnknownTags& tags) {
  uvarint(tags.size());
  for (size_t i = 0; i < tags.size(); ++i) {
    CHECK(i == 0 || tags[i - 1].number < tags[i].number);
    uvarint(tags[i].number);
    uvarint(tags[i].bytes.size());
    raw(tags[i].bytes.data(), tags[i].bytes.size());
  }
}

size_t Writer::begin_tag(uint32_t number) {
  uvarint(number);
  ++open_tags_;
  return size_;
}

void Writer::end_tag(size_t mark) {
  CHECK(open_tags_ > 0);
  CHECK(mark <= size_);
  --open_tags_;
  // The length stands before the value and is known only now. Tagged values are small.
  const size_t value_bytes = size_ - mark;
  const size_t prefix = base::uvarint_size(value_bytes);
  reserve(prefix);
  std::memmove(buffer_.data() + mark + prefix, buffer_.data() + mark, value_bytes);
  base::write_uvarint(buffer_.data() + mark, value_bytes);
  size_ += prefix;
}

void Writer::patch_int32(size_t position, int32_t v) {
  CHECK(position + sizeof v <= size_);
  CHECK(references_.empty() || position + sizeof v <= references_.front().position);
  base::store_be(buffer_.data() + position, v);
}

base::Slices Writer::finish() && {
  CHECK(open_tags_ == 0);
  const size_t total = size();
  base::Slice buffer = std::move(buffer_).freeze(size_);
  base::Slices out;
  size_t done = 0;
  for (const Reference& reference : references_) {
    out.push_back(buffer.cut(done, reference.position - done));
    out.append(reference.bytes);
    done = reference.position;
  }
  out.push_back(buffer.cut(done, buffer.size() - done));
  CHECK(out.size() == total);
  return out;
}

}  // namespace verdict::wire
