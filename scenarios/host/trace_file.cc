#include "scenarios/host/trace_file.h"

#include <zstd.h>

#include <filesystem>
#include <fstream>

#include "broker/base/check.h"
#include "broker/base/hash_map.h"

namespace verdict::scenarios::host {
namespace {

using base::Errc;
using base::Result;

constexpr uint32_t kFormat = 1;
constexpr char kMagic[] = "verdict trace 1\n";
constexpr size_t kTraceBytesMax = 1U << 30;
constexpr int kLevel = 3;

}  // namespace

std::string signature(const Anomaly& anomaly) {
  return std::string(anomaly.check) + ": " + anomaly.where;
}

proto::Trace make_trace(const proto::Scenario& scenario, uint64_t seed, const std::string& exhibit,
                        const TrialResult& result) {
  proto::Trace trace;
  trace.set_format(kFormat);
  trace.set_build(__VERSION__);
  *trace.mutable_scenario() = scenario;
  trace.set_seed(seed);
  trace.set_exhibit(exhibit);
  trace.set_plan(fault::print(result.plan));
  for (const Anomaly& anomaly : result.anomalies) trace.add_anomalies(signature(anomaly));
  trace.set_exit_code(static_cast<uint32_t>(result.exit_code()));
  trace.set_hash(result.hash);
  trace.set_events(result.events);
  base::OrderedMap<std::pair<uint64_t, uint64_t>, proto::ChoiceRun*> runs;
  for (const sim::Choice& choice : result.choices) {
    proto::ChoiceRun*& run = runs[{choice.key.stream, choice.key.entity}];
    if (run == nullptr) {
      run = trace.add_choices();
      run->set_stream(choice.key.stream);
      run->set_entity(choice.key.entity);
    }
    // A point that is made anew (after a restart) counts from 0 again and draws the same values.
    if (choice.key.k < static_cast<uint64_t>(run->values_size())) continue;
    CHECK(choice.key.k == static_cast<uint64_t>(run->values_size()));
    run->add_values(choice.value);
  }
  return trace;
}

std::vector<sim::Choice> choices_of(const proto::Trace& trace) {
  std::vector<sim::Choice> choices;
  for (const proto::ChoiceRun& run : trace.choices()) {
    for (int k = 0; k < run.values_size(); ++k) {
      choices.push_back({{run.stream(), run.entity(), static_cast<uint64_t>(k)}, run.values(k)});
    }
  }
  return choices;
}

Result<> write_trace(const proto::Trace& trace, const std::string& path) {
  std::string plain = trace.SerializeAsString();
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  size_t size = ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), kLevel);
  CHECK(ZSTD_isError(size) == 0);
  packed.resize(size);
  std::error_code error;
  std::filesystem::path target(path);
  if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
  std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary);
    file << kMagic << packed;
    file.flush();
    if (!file) {
      return base::fail(Errc::io,
                        "cannot write " + temporary + "; choose another folder with --out");
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (error) return base::fail(Errc::io, "cannot rename to " + path + ": " + error.message());
  return {};
}

Result<proto::Trace> read_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return base::fail(Errc::not_found, path + ": cannot be opened");
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::string_view magic(kMagic);
  if (!bytes.starts_with(magic)) {
    return base::fail(Errc::invalid, path + ": is no trace; `verdict run` writes them");
  }
  std::string_view packed = std::string_view(bytes).substr(magic.size());
  unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size > kTraceBytesMax) {
    return base::fail(Errc::invalid, path + ": the trace is damaged (its length)");
  }
  std::string plain(size, '\0');
  size_t got = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  proto::Trace trace;
  if (ZSTD_isError(got) != 0 || got != size || !trace.ParseFromString(plain)) {
    return base::fail(Errc::invalid, path + ": the trace is damaged");
  }
  if (trace.format() != kFormat) {
    return base::fail(Errc::unsupported, path + ": format " + std::to_string(trace.format()) +
                                             ", this binary reads " + std::to_string(kFormat));
  }
  return trace;
}

}  // namespace verdict::scenarios::host
