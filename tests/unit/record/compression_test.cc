#include "broker/record/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zstd.h>

#include <algorithm>

#include "broker/base/endian.h"
#include "tests/unit/record/batches.h"

namespace verdict::record {
namespace {

using base::Errc;
using base::Slice;
using base::Slices;

class EveryCodec : public testing::TestWithParam<Codec> {};
INSTANTIATE_TEST_SUITE_P(Compression, EveryCodec,
                         testing::Values(Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd),
                         [](const auto& instance) {
                           return std::string(to_string(instance.param));
                         });

TEST_P(EveryCodec, gives_back_what_it_was_given_in_any_slicing) {
  for (size_t size : {1UL, 2UL, 100UL, 32'768UL, 32'769UL, 65'536UL, 65'537UL, 300'000UL}) {
    Slice plain = Slice::copy_of(text_of(size));
    Slice packed = compress(GetParam(), 0, in_pieces(plain, 10'007));
    for (size_t piece : {1UL, 7UL, 4096UL, 1UL << 20}) {
      if (piece == 1 && size > 70'000) continue;  // slow under the sanitizers, and nothing new
      auto unpacked = decompress(GetParam(), in_pieces(packed, piece), size);
      ASSERT_TRUE(unpacked.has_value()) << size << " by " << piece;
      ASSERT_EQ(unpacked->text(), plain.text()) << size << " by " << piece;
    }
  }
}

TEST_P(EveryCodec, makes_text_smaller) {
  Slice plain = Slice::copy_of(text_of(100'000));
  EXPECT_LT(compress(GetParam(), 0, plain).size(), plain.size() * 2 / 3);
}

TEST_P(EveryCodec, takes_every_level_and_cuts_it_to_its_range) {
  Slice plain = Slice::copy_of(text_of(20'000));
  for (int level : {-200'000, -7, -1, 0, 1, 3, 6, 9, 12, 17, 22, 1000}) {
    auto unpacked = decompress(GetParam(), compress(GetParam(), level, plain), kPlenty);
    ASSERT_TRUE(unpacked.has_value()) << level;
    ASSERT_EQ(unpacked->text(), plain.text()) << level;
  }
}

TEST_P(EveryCodec, limit_is_exact) {
  for (size_t size : {1UL, 512UL, 513UL, 40'000UL}) {
    Slice packed = compress(GetParam(), 0, Slice::copy_of(std::string(size, 'a')));
    EXPECT_TRUE(decompress(GetParam(), packed, size).has_value()) << size;
    auto over = decompress(GetParam(), packed, size - 1);
    ASSERT_FALSE(over.has_value()) << size;
    EXPECT_EQ(over.error().code, Errc::too_large) << size;
  }
}

TEST_P(EveryCodec, bombs_end_at_the_limit) {
  // 64 MiB of zeros: a few KiB for the strong codecs.
  Slice packed = compress(GetParam(), 0, Slice::copy_of(std::string(64U << 20, '\0')));
  auto unpacked = decompress(GetParam(), packed, 1U << 20);
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().code, Errc::too_large);
}

TEST_P(EveryCodec, cut_blocks_are_corrupt_at_every_length) {
  Slice packed = compress(GetParam(), 0, Slice::copy_of(text_of(2'000)));
  // A cut after snappy's framing header leaves a sound stream of no bytes.
  size_t sound = GetParam() == Codec::snappy ? 16 : packed.size();
  for (size_t size = 0; size < packed.size(); ++size) {
    auto unpacked = decompress(GetParam(), packed.cut(0, size), kPlenty);
    if (size == sound) continue;
    ASSERT_FALSE(unpacked.has_value()) << size;
    ASSERT_EQ(unpacked.error().code, Errc::corrupt) << size;
  }
}

TEST_P(EveryCodec, no_flipped_bit_leads_to_a_crash_or_past_the_limit) {
  std::vector<std::byte> packed = vector_of(compress(GetParam(), 0, Slice::copy_of(text_of(600))));
  constexpr size_t kLimit = 100'000;
  for (size_t i = 0; i < packed.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<std::byte> other = packed;
      other[i] ^= static_cast<std::byte>(1 << bit);
      auto unpacked = decompress(GetParam(), slice_of(other), kLimit);
      if (unpacked) {
        ASSERT_LE(unpacked->size(), kLimit);
      } else {
        ASSERT_TRUE(unpacked.error().code == Errc::corrupt ||
                    unpacked.error().code == Errc::too_large);
      }
    }
  }
}

TEST_P(EveryCodec, nothing_is_no_compressed_block) {
  auto unpacked = decompress(GetParam(), {}, kPlenty);
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().code, Errc::corrupt);
}

TEST_P(EveryCodec, streams_one_after_the_other_are_read_as_one) {
  Slices two(compress(GetParam(), 0, Slice::copy_of("first ")));
  two.push_back(compress(GetParam(), 0, Slice::copy_of("second")));
  for (size_t piece : {1UL, 5UL, 1000UL}) {
    auto unpacked = decompress(GetParam(), in_pieces(two, piece), kPlenty);
    ASSERT_TRUE(unpacked.has_value()) << piece;
    EXPECT_EQ(unpacked->text(), "first second");
  }
}

TEST_P(EveryCodec, bytes_after_the_stream_are_corrupt) {
  Slices packed(compress(GetParam(), 0, Slice::copy_of("first ")));
  packed.push_back(Slice::copy_of("rubbish"));
  auto unpacked = decompress(GetParam(), packed, kPlenty);
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().code, Errc::corrupt);
}

TEST(Compression, none_passes_the_bytes_on_within_the_limit) {
  Slice plain = Slice::copy_of("plain");
  EXPECT_EQ(compress(Codec::none, 0, plain).data(), plain.data());
  EXPECT_EQ(decompress(Codec::none, plain, 5)->data(), plain.data());
  auto over = decompress(Codec::none, plain, 4);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, Errc::too_large);
}

TEST(Compression, levels_of_gzip_lz4_and_zstd_have_an_effect) {
  Slice plain = Slice::copy_of(text_of(200'000));
  EXPECT_LT(compress(Codec::gzip, 9, plain).size(), compress(Codec::gzip, 1, plain).size());
  EXPECT_LT(compress(Codec::lz4, 12, plain).size(), compress(Codec::lz4, 0, plain).size());
  EXPECT_EQ(compress(Codec::lz4, 9, plain).size(), compress(Codec::lz4, 0, plain).size());
  EXPECT_LT(compress(Codec::zstd, 19, plain).size(), compress(Codec::zstd, -5, plain).size());
  EXPECT_EQ(compress(Codec::zstd, 3, plain).size(), compress(Codec::zstd, 0, plain).size());
}

TEST(Snappy, raw_blocks_are_read_too) {
  // librdkafka can be told to write them, and so does much of what is not Java.
  std::string plain = text_of(100'000);
  std::string raw;
  snappy::Compress(plain.data(), plain.size(), &raw);
  auto unpacked = decompress(Codec::snappy, in_pieces(Slice::copy_of(raw), 999), plain.size());
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(unpacked->text(), plain);
}

TEST(Snappy, written_framing_is_snappy_javas) {
  Slice packed = compress(Codec::snappy, 0, Slice::copy_of(text_of(40'000)));
  constexpr std::array<uint8_t, 16> kHeader = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                               0,    0,   0,   1,   0,   0,   0,   1};
  for (size_t i = 0; i < kHeader.size(); ++i) {
    EXPECT_EQ(static_cast<uint8_t>(packed.data()[i]), kHeader[i]);
  }
  // Two blocks, the first of 32 KiB.
  auto length = base::load_be<uint32_t>(packed.data() + 16);
  size_t plain = 0;
  ASSERT_TRUE(snappy::GetUncompressedLength(reinterpret_cast<const char*>(packed.data() + 20),
                                            length, &plain));
  EXPECT_EQ(plain, 32'768U);
  auto second = base::load_be<uint32_t>(packed.data() + 20 + length);
  EXPECT_EQ(20 + length + 4 + second, packed.size());
}

TEST(Snappy, declared_length_that_the_bytes_cannot_hold_is_a_lie) {
  // 2^32 - 1 bytes, says the varint of a block of six.
  std::string raw("\xff\xff\xff\xff\x0f\x00", 6);
  auto unpacked = decompress(Codec::snappy, Slice::copy_of(raw), 1U << 30);
  ASSERT_FALSE(unpacked.has_value());
  EXPECT_EQ(unpacked.error().code, Errc::corrupt);
}

TEST(Lz4, blocks_do_not_refer_to_each_other) {
  // Java's reader refuses frames whose blocks do.
  Slice packed = compress(Codec::lz4, 0, Slice::copy_of(text_of(300'000)));
  EXPECT_EQ(base::load_be<uint32_t>(packed.data()), 0x04224d18U);
  auto flags = static_cast<uint8_t>(packed.data()[4]);
  EXPECT_EQ(flags >> 6, 1);    // version
  EXPECT_NE(flags & 0x20, 0);  // independent blocks
  EXPECT_EQ(flags & 0x1f, 0);  // no checksums, no size, no dictionary
}

TEST(Lz4, frames_with_linked_blocks_checksums_and_size_are_read) {
  std::string plain = text_of(200'000);
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockMode = LZ4F_blockLinked;
  preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
  preferences.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
  preferences.frameInfo.contentSize = plain.size();
  std::string packed(LZ4F_compressFrameBound(plain.size(), &preferences), '\0');
  packed.resize(
      LZ4F_compressFrame(packed.data(), packed.size(), plain.data(), plain.size(), &preferences));
  auto unpacked = decompress(Codec::lz4, in_pieces(Slice::copy_of(packed), 1000), plain.size());
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(unpacked->text(), plain);
}

TEST(Zstd, frames_without_a_declared_size_are_read) {
  // As Java's stream writes them.
  std::string plain = text_of(300'000);
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  std::string packed(ZSTD_compressBound(plain.size()) + 1000, '\0');
  ZSTD_outBuffer out{packed.data(), packed.size(), 0};
  for (size_t at = 0; at < plain.size(); at += 10'000) {
    ZSTD_inBuffer in{plain.data() + at, 10'000, 0};
    ASSERT_EQ(ZSTD_isError(ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_continue)), 0U);
    ASSERT_EQ(in.pos, in.size);
  }
  ZSTD_inBuffer none{nullptr, 0, 0};
  ASSERT_EQ(ZSTD_compressStream2(context.get(), &out, &none, ZSTD_e_end), 0U);
  packed.resize(out.pos);
  ASSERT_EQ(ZSTD_getFrameContentSize(packed.data(), packed.size()), ZSTD_CONTENTSIZE_UNKNOWN);
  auto unpacked = decompress(Codec::zstd, in_pieces(Slice::copy_of(packed), 777), plain.size());
  ASSERT_TRUE(unpacked.has_value());
  EXPECT_EQ(unpacked->text(), plain);
}

TEST(Zstd, frame_that_declares_a_huge_window_is_refused_where_little_is_allowed) {
  // Magic, a descriptor without single segment, a window of 2^27, an empty last block.
  std::string frame("\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 9);
  auto large = decompress(Codec::zstd, Slice::copy_of(frame), 128U << 20);
  EXPECT_TRUE(large.has_value());
  auto small = decompress(Codec::zstd, Slice::copy_of(frame), 1U << 20);
  ASSERT_FALSE(small.has_value());
  EXPECT_EQ(small.error().code, Errc::corrupt);
}

}  // namespace
}  // namespace verdict::record
