// What the broker's hot paths over record batches cost: checksum, walk, validation, codecs.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <span>
#include <string>

#include "broker/base/crc32c.h"
#include "broker/record/batch.h"
#include "broker/record/compression.h"
#include "broker/record/validate.h"

namespace verdict::record {
namespace {

using base::Slice;
using base::Slices;

constexpr int64_t kNowMs = 1'795'219'103'829;
constexpr size_t kUncompressedMax = 64U << 20;

// Text that compresses to about a third.
std::string text_of(size_t size) {
  std::string text;
  uint32_t seed = 1;
  while (text.size() < size) {
    seed = seed * 1664525 + 1013904223;
    text += "word" + std::to_string(seed >> 24) + ' ';
  }
  text.resize(size);
  return text;
}

// A batch of about `bytes` uncompressed bytes, in records whose values have `value_bytes`.
Slice batch_of(size_t bytes, size_t value_bytes, Codec codec = Codec::none) {
  BatchBuilder builder({.codec = codec});
  std::string text = text_of(bytes + value_bytes);
  size_t at = 0;
  do {
    auto value = std::as_bytes(std::span(text).subspan(at % bytes, value_bytes));
    builder.add(kNowMs, std::nullopt, value);
    at += value_bytes;
  } while (builder.uncompressed_bytes() + value_bytes < bytes);
  return builder.build();
}

void count_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void crc(benchmark::State& state) {
  std::string text = text_of(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(base::crc32c(0, std::as_bytes(std::span(text))));
  }
  count_bytes(state, text.size());
}
BENCHMARK(crc)->Arg(1 << 10)->Arg(16 << 10)->Arg(128 << 10);

void walk_100_byte_records(benchmark::State& state) {
  Slice batch = batch_of(static_cast<size_t>(state.range(0)), 92);
  BatchHeader header = read_header(batch.bytes());
  int64_t sum = 0;
  for (auto _ : state) {
    auto walked = walk_records(header, batch, kUncompressedMax, [&sum](const RecordSummary& r) {
      sum += r.offset_delta;
      return base::Result<>();
    });
    benchmark::DoNotOptimize(walked.has_value());
  }
  benchmark::DoNotOptimize(sum);
  count_bytes(state, batch.size());
  state.SetItemsProcessed(state.iterations() * header.record_count);
}
BENCHMARK(walk_100_byte_records)->Arg(16 << 10)->Arg(128 << 10);

void read_100_byte_records(benchmark::State& state) {
  Slice batch = batch_of(static_cast<size_t>(state.range(0)), 92);
  BatchHeader header = read_header(batch.bytes());
  for (auto _ : state) {
    benchmark::DoNotOptimize(read_records(header, batch, kUncompressedMax)->size());
  }
  state.SetItemsProcessed(state.iterations() * header.record_count);
}
BENCHMARK(read_100_byte_records)->Arg(16 << 10);

// Everything that Produce does to a batch before the log sees it. Items are records.
void validate(benchmark::State& state) {
  auto value_bytes = static_cast<size_t>(state.range(1));
  Slice batch = batch_of(static_cast<size_t>(state.range(0)), value_bytes,
                         static_cast<Codec>(state.range(2)));
  Slices pieces;
  auto count = static_cast<size_t>(state.range(3));
  for (size_t i = 0; i < count; ++i) {
    size_t from = batch.size() * i / count;
    pieces.push_back(
        Slice::copy_of(batch.cut(from, batch.size() * (i + 1) / count - from).bytes()));
  }
  for (auto _ : state) {
    auto judged = validate_for_append(pieces, {}, kNowMs);
    benchmark::DoNotOptimize(judged->header.crc);
  }
  count_bytes(state, batch.size());
  state.SetItemsProcessed(state.iterations() * read_header(batch.bytes()).record_count);
}
BENCHMARK(validate)
    ->ArgNames({"bytes", "value", "codec", "slices"})
    ->Args({16 << 10, 92, 0, 1})
    ->Args({128 << 10, 92, 0, 1})
    ->Args({128 << 10, 92, 0, 4})
    ->Args({128 << 10, 1000, 0, 1})
    ->Args({128 << 10, 92, 1, 1})
    ->Args({128 << 10, 92, 2, 1})
    ->Args({128 << 10, 92, 3, 1})
    ->Args({128 << 10, 92, 4, 1});

void build_100_byte_records(benchmark::State& state) {
  std::string value = text_of(92);
  constexpr int kRecords = 160;
  for (auto _ : state) {
    BatchBuilder builder({});
    for (int i = 0; i < kRecords; ++i) {
      builder.add(kNowMs, std::nullopt, std::as_bytes(std::span(value)));
    }
    benchmark::DoNotOptimize(builder.build().size());
  }
  state.SetItemsProcessed(state.iterations() * kRecords);
}
BENCHMARK(build_100_byte_records);

// The rate is of uncompressed bytes.
void pack(benchmark::State& state) {
  auto codec = static_cast<Codec>(state.range(0));
  Slice plain = Slice::copy_of(text_of(static_cast<size_t>(state.range(1))));
  for (auto _ : state) benchmark::DoNotOptimize(compress(codec, 0, plain).size());
  count_bytes(state, plain.size());
  state.SetLabel(std::string(to_string(codec)));
}
BENCHMARK(pack)->ArgsProduct({{1, 2, 3, 4}, {16 << 10, 128 << 10}});

void unpack(benchmark::State& state) {
  auto codec = static_cast<Codec>(state.range(0));
  auto size = static_cast<size_t>(state.range(1));
  Slice packed = compress(codec, 0, Slice::copy_of(text_of(size)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(decompress(codec, packed, kUncompressedMax)->size());
  }
  count_bytes(state, size);
  state.SetLabel(std::string(to_string(codec)));
}
BENCHMARK(unpack)->ArgsProduct({{1, 2, 3, 4}, {16 << 10, 128 << 10}});

}  // namespace
}  // namespace verdict::record

BENCHMARK_MAIN();
