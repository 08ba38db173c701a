#include "broker/record/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "broker/base/check.h"
#include "broker/base/endian.h"

namespace verdict::record {

using base::Errc;
using base::MutableBuffer;
using base::Result;
using base::Slice;
using base::Slices;

namespace {

constexpr int kGzipHeader = 16;  // zlib's notation: added to the bits of the window
constexpr int kGzipWindowMin = 9;
constexpr int kGzipWindowMax = 15;
constexpr int kGzipMemoryMax = 8;       // zlib's default, for the largest window
constexpr size_t kGzipLookAhead = 262;  // bytes of a window that matches do not reach
constexpr int kLz4UsualLevel = 9;       // Kafka's default, and there it means the fast compressor
constexpr int kLz4HighMin = 3;
constexpr int kLz4HighMax = 12;

// snappy-java's framing: this, then blocks, each after its length. Several may follow each other.
constexpr size_t kXerialHeaderBytes = 16;
constexpr std::array<uint8_t, kXerialHeaderBytes> kXerialHeader = {
    0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1};
constexpr size_t kXerialMagicBytes = 8;
constexpr size_t kXerialBlockBytes = 32 * 1024;
// Three bytes of snappy make at most 64.
constexpr size_t kSnappyRatioMax = 22;

// What comes out of a decompressor: grows as bytes come, up to one byte over the limit.
class Output {
 public:
  Output(size_t packed_bytes, size_t bytes_max)
      : bytes_max_(bytes_max),
        capacity_max_(std::min(bytes_max, MutableBuffer::kBytesMax - 1) + 1),
        buffer_(std::min(std::max(4 * packed_bytes, kFirstBytes), capacity_max_)) {}

  // Room for one byte or more, and for `count` if the limit allows.
  std::span<std::byte> room(size_t count = 1) {
    CHECK(!over());
    if (buffer_.capacity() - size_ < count) {
      size_t wanted = std::max(2 * buffer_.capacity(), size_ + count);
      MutableBuffer bigger(std::min(wanted, capacity_max_));
      std::memcpy(bigger.data(), buffer_.data(), size_);
      buffer_ = std::move(bigger);
    }
    CHECK(buffer_.capacity() > size_);
    return buffer_.bytes().subspan(size_);
  }
  void wrote(size_t count) {
    CHECK(count <= buffer_.capacity() - size_);
    size_ += count;
  }
  bool over() const { return size_ >= capacity_max_ || size_ > bytes_max_; }
  size_t bytes_left() const { return capacity_max_ - 1 - size_; }
  Slice finish() { return std::move(buffer_).freeze(size_); }

 private:
  static constexpr size_t kFirstBytes = 512;

  size_t bytes_max_;
  size_t capacity_max_;
  MutableBuffer buffer_;
  size_t size_ = 0;
};

std::unexpected<base::Error> broken(Codec codec) {
  return fail(Errc::corrupt, "the " + std::string(to_string(codec)) + " block is damaged");
}

std::unexpected<base::Error> bomb(Codec codec, size_t bytes_max) {
  return fail(Errc::too_large, "the " + std::string(to_string(codec)) +
                                   " block decompresses to more than " + std::to_string(bytes_max) +
                                   " bytes");
}

struct Step {
  size_t consumed = 0;
  size_t produced = 0;
  bool ended = false;  // a whole frame or member was read; another may follow
  bool damaged = false;
};

// Drives a streaming decompressor over the slices. `step(in, out)` does one call of it.
template <class StepFn>
Result<Slice> pump(Codec codec, const Slices& packed, size_t bytes_max, StepFn step) {
  Output out(packed.size(), bytes_max);
  bool ended = false;
  for (const Slice& slice : packed) {
    std::span<const std::byte> in = slice.bytes();
    bool full = false;  // the decompressor may hold more than there was room for
    while (!in.empty() || (full && !ended)) {
      std::span<std::byte> room = out.room();
      Step s = step(in, room);
      if (s.damaged) return broken(codec);
      in = in.subspan(s.consumed);
      out.wrote(s.produced);
      if (out.over()) return bomb(codec, bytes_max);
      ended = s.ended;
      full = s.produced == room.size();
      if (s.consumed == 0 && s.produced == 0) {
        if (!in.empty()) return broken(codec);
        break;
      }
    }
  }
  if (!ended) return broken(codec);
  return out.finish();
}

// ---- gzip ----

Result<Slice> gzip_decompress(const Slices& packed, size_t bytes_max) {
  z_stream z{};
  CHECK(inflateInit2(&z, kGzipWindowMax + kGzipHeader) == Z_OK);
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, &inflateEnd);
  bool ended = false;
  return pump(Codec::gzip, packed, bytes_max,
              [&](std::span<const std::byte> in, std::span<std::byte> out) {
                if (ended) CHECK(inflateReset(&z) == Z_OK);
                // zlib does not write through next_in, whatever its type says.
                z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
                z.avail_in = static_cast<uInt>(in.size());
                z.next_out = reinterpret_cast<Bytef*>(out.data());
                z.avail_out = static_cast<uInt>(out.size());
                int code = inflate(&z, Z_NO_FLUSH);
                ended = code == Z_STREAM_END;
                bool damaged = !ended && code != Z_OK && code != Z_BUF_ERROR;
                return Step{in.size() - z.avail_in, out.size() - z.avail_out, ended, damaged};
              });
}

Slice gzip_compress(int level, const Slice& plain) {
  z_stream z{};
  int zlib_level = level == 0 ? Z_DEFAULT_COMPRESSION : std::clamp(level, 1, 9);
  // A window that holds all of a small batch packs as well as the largest one, which costs a
  // quarter of a megabyte that has to be cleared. Any reader takes any window.
  int window = std::clamp(static_cast<int>(std::bit_width(plain.size() + kGzipLookAhead)),
                          kGzipWindowMin, kGzipWindowMax);
  int memory = kGzipMemoryMax - (kGzipWindowMax - window);
  CHECK(deflateInit2(&z, zlib_level, Z_DEFLATED, window + kGzipHeader, memory,
                     Z_DEFAULT_STRATEGY) == Z_OK);
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, &deflateEnd);
  MutableBuffer out(deflateBound(&z, plain.size()));
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.capacity());
  CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
  size_t size = out.capacity() - z.avail_out;
  return std::move(out).freeze(size);
}

// ---- snappy ----

// One raw block, appended to `out`.
Result<> snappy_block(std::span<const std::byte> block, size_t bytes_max, Output& out) {
  const char* data = reinterpret_cast<const char*>(block.data());
  size_t length = 0;
  if (!snappy::GetUncompressedLength(data, block.size(), &length)) return broken(Codec::snappy);
  // The length is only declared: what so few bytes cannot make is a lie, not a reason to allocate.
  if (length > kSnappyRatioMax * block.size()) return broken(Codec::snappy);
  if (length > out.bytes_left()) return bomb(Codec::snappy, bytes_max);
  std::span<std::byte> room = out.room(std::max<size_t>(length, 1));
  if (!snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(room.data()))) {
    return broken(Codec::snappy);
  }
  out.wrote(length);
  return {};
}

Result<Slice> snappy_decompress(const Slices& packed, size_t bytes_max) {
  Slice whole = packed.flatten();
  std::span<const std::byte> in = whole.bytes();
  Output out(in.size(), bytes_max);
  auto at_header = [&in] {
    return in.size() >= kXerialHeaderBytes &&
           std::memcmp(in.data(), kXerialHeader.data(), kXerialMagicBytes) == 0;
  };
  if (!at_header()) {
    TRY(snappy_block(in, bytes_max, out));
    return out.finish();
  }
  while (!in.empty()) {
    if (at_header()) {
      in = in.subspan(kXerialHeaderBytes);
      continue;
    }
    if (in.size() < sizeof(int32_t)) return broken(Codec::snappy);
    auto length = base::load_be<uint32_t>(in.data());
    in = in.subspan(sizeof(int32_t));
    if (length > in.size()) return broken(Codec::snappy);
    TRY(snappy_block(in.first(length), bytes_max, out));
    in = in.subspan(length);
  }
  return out.finish();
}

Slice snappy_compress(const Slice& plain) {
  auto block_max = [](size_t bytes) {
    return sizeof(int32_t) + snappy::MaxCompressedLength(bytes);
  };
  MutableBuffer out(kXerialHeaderBytes +
                    plain.size() / kXerialBlockBytes * block_max(kXerialBlockBytes) +
                    block_max(plain.size() % kXerialBlockBytes));
  std::memcpy(out.data(), kXerialHeader.data(), kXerialHeaderBytes);
  size_t size = kXerialHeaderBytes;
  for (size_t from = 0; from < plain.size(); from += kXerialBlockBytes) {
    size_t count = std::min(kXerialBlockBytes, plain.size() - from);
    std::byte* block = out.data() + size;
    size_t packed = 0;
    snappy::RawCompress(reinterpret_cast<const char*>(plain.data() + from), count,
                        reinterpret_cast<char*>(block + sizeof(int32_t)), &packed);
    base::store_be(block, static_cast<int32_t>(packed));
    size += sizeof(int32_t) + packed;
  }
  CHECK(size <= out.capacity());
  return std::move(out).freeze(size);
}

// ---- lz4 ----

Result<Slice> lz4_decompress(const Slices& packed, size_t bytes_max) {
  LZ4F_dctx* context = nullptr;
  CHECK(!LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)));
  std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> guard(
      context, &LZ4F_freeDecompressionContext);
  return pump(Codec::lz4, packed, bytes_max,
              [&](std::span<const std::byte> in, std::span<std::byte> out) {
                size_t produced = out.size();
                size_t consumed = in.size();
                size_t code =
                    LZ4F_decompress(context, out.data(), &produced, in.data(), &consumed, nullptr);
                if (LZ4F_isError(code)) return Step{.damaged = true};
                return Step{consumed, produced, code == 0, false};
              });
}

Slice lz4_compress(int level, const Slice& plain) {
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;  // Java's reader knows no other
  if (level != 0 && level != kLz4UsualLevel) {
    preferences.compressionLevel = std::clamp(level, kLz4HighMin, kLz4HighMax);
  }
  MutableBuffer out(LZ4F_compressFrameBound(plain.size(), &preferences));
  size_t size =
      LZ4F_compressFrame(out.data(), out.capacity(), plain.data(), plain.size(), &preferences);
  CHECK(!LZ4F_isError(size));
  return std::move(out).freeze(size);
}

// ---- zstd ----

Result<Slice> zstd_decompress(const Slices& packed, size_t bytes_max) {
  // A frame declares the window that its reader must hold. More than the bytes that may come out is
  // of no use to an honest one, save that compressors declare 8 MiB for a few bytes.
  constexpr int kWindowLogMin = 23;
  constexpr int kWindowLogMax = 27;  // the library's own limit
  int window_log =
      std::clamp(static_cast<int>(std::bit_width(bytes_max)), kWindowLogMin, kWindowLogMax);
  std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  CHECK(context != nullptr);
  CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log)));
  return pump(Codec::zstd, packed, bytes_max,
              [&](std::span<const std::byte> in, std::span<std::byte> out) {
                ZSTD_inBuffer from{in.data(), in.size(), 0};
                ZSTD_outBuffer to{out.data(), out.size(), 0};
                size_t code = ZSTD_decompressStream(context.get(), &to, &from);
                if (ZSTD_isError(code)) return Step{.damaged = true};
                return Step{from.pos, to.pos, code == 0, false};
              });
}

Slice zstd_compress(int level, const Slice& plain) {
  int zstd_level =
      level == 0 ? ZSTD_CLEVEL_DEFAULT : std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel());
  MutableBuffer out(ZSTD_compressBound(plain.size()));
  size_t size = ZSTD_compress(out.data(), out.capacity(), plain.data(), plain.size(), zstd_level);
  CHECK(!ZSTD_isError(size));
  return std::move(out).freeze(size);
}

}  // namespace

Slice compress(Codec codec, int level, const Slices& plain) {
  Slice whole = plain.flatten();
  switch (codec) {
    case Codec::none:
      return whole;
    case Codec::gzip:
      return gzip_compress(level, whole);
    case Codec::snappy:
      return snappy_compress(whole);
    case Codec::lz4:
      return lz4_compress(level, whole);
    case Codec::zstd:
      return zstd_compress(level, whole);
  }
  CHECK(false);
}

Result<Slice> decompress(Codec codec, const Slices& packed, size_t bytes_max) {
  switch (codec) {
    case Codec::none:
      if (packed.size() > bytes_max) return bomb(codec, bytes_max);
      return packed.flatten();
    case Codec::gzip:
      return gzip_decompress(packed, bytes_max);
    case Codec::snappy:
      return snappy_decompress(packed, bytes_max);
    case Codec::lz4:
      return lz4_decompress(packed, bytes_max);
    case Codec::zstd:
      return zstd_decompress(packed, bytes_max);
  }
  CHECK(false);
}

}  // namespace verdict::record
