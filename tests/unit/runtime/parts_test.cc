// The small parts of the seam: time, knobs, probes, exhibits, endpoints, file names, entropy.

#include <gtest/gtest.h>

#include <set>

#include "broker/runtime/node.h"

namespace verdict::runtime {
namespace {

TEST(TimeTypes, arithmetic) {
  EXPECT_EQ(seconds(2), milliseconds(2'000));
  EXPECT_EQ(milliseconds(3), microseconds(3'000));
  EXPECT_EQ(microseconds(4), nanoseconds(4'000));
  EXPECT_EQ(seconds(1) + milliseconds(5) - microseconds(1), nanoseconds(1'004'999'000));
  EXPECT_EQ(milliseconds(7) * 3, milliseconds(21));
  EXPECT_EQ(nanoseconds(1'999'999).ms(), 1);
  Instant at{1'000};
  EXPECT_EQ(at + nanoseconds(5), Instant{1'005});
  EXPECT_EQ(at - nanoseconds(5), Instant{995});
  EXPECT_EQ(Instant{1'005} - at, nanoseconds(5));
  EXPECT_LT(at, Instant::never());
  EXPECT_EQ(WallTime{1'234'567'890}.ms(), 1'234);
}

TEST(TimeTypes, a_sum_beyond_the_end_of_time_is_never) {
  EXPECT_EQ(Instant{5} + Duration{INT64_MAX}, Instant::never());
  EXPECT_EQ(Instant::never() + nanoseconds(1), Instant::never());
  EXPECT_EQ(Instant::never() + nanoseconds(0), Instant::never());
  EXPECT_EQ(Instant{INT64_MAX - 1} + nanoseconds(1), Instant::never());
}

TEST(Knobs, have_their_standard_until_they_are_set) {
  constexpr Knob kSegment{"log.segment.bytes", 1 << 30, 1'024, 1 << 20};
  constexpr Knob kOther{"log.segment.ms", 7, 1, 100};
  KnobValues values;
  EXPECT_EQ(values.get(kSegment), 1 << 30);
  EXPECT_FALSE(values.is_set(kSegment));
  values.set(kSegment, 2'048);
  EXPECT_EQ(values.get(kSegment), 2'048);
  EXPECT_TRUE(values.is_set(kSegment));
  EXPECT_EQ(values.get(kOther), 7);
  // The name is the identity: the same knob declared elsewhere has the same value.
  constexpr Knob kSame{"log.segment.bytes", 5, 1, 9};
  EXPECT_EQ(values.get(kSame), 2'048);
}

TEST(Probes, are_known_by_name) {
  constexpr Probe kRoll{"log.roll"};
  static_assert(kRoll.hash == base::hash_text("log.roll"));
  EXPECT_NE(kRoll.hash, Probe{"log.cut"}.hash);
}

TEST(Fields, take_text_and_whole_numbers) {
  EXPECT_EQ(Field("text", "value").value, "value");
  EXPECT_EQ(Field("text", std::string("value")).value, "value");
  EXPECT_EQ(Field("number", -5).value, "-5");
  EXPECT_EQ(Field("number", UINT64_MAX).value, "18446744073709551615");
}

// Keeps what it was told.
class Notebook final : public Observer {
 public:
  explicit Notebook(Severity least) : least_(least) {}
  void log(Severity, std::string_view event, std::span<const Field> fields) override {
    std::string line(event);
    for (const Field& f : fields) line += " " + std::string(f.name) + "=" + f.value;
    lines.push_back(line);
  }
  bool wants(Severity severity) const override { return severity >= least_; }
  void reached(const Probe&) override {}
  bool provoke(const Probe&) override { return false; }
  std::vector<std::string> lines;

 private:
  Severity least_;
};

TEST(Observers, hear_what_they_want_and_every_error) {
  Notebook all(Severity::debug);
  all.info("started", {{"port", 9092}, {"host", "here"}});
  all.warning("slow", {});
  all.error("broken", {{"file", "f"}});
  EXPECT_EQ(all.lines,
            (std::vector<std::string>{"started port=9092 host=here", "slow", "broken file=f"}));
  Notebook few(Severity::error);
  few.info("started", {});
  few.warning("slow", {});
  few.error("broken", {});
  EXPECT_EQ(few.lines, std::vector<std::string>{"broken"});
}

#if VERDICT_EXHIBITS
TEST(Exhibits, each_has_a_name_of_its_own) {
  std::set<std::string_view> names;
  for (const ExhibitInfo& e : kExhibits) {
    EXPECT_TRUE(names.insert(e.name).second) << e.name;
    EXPECT_EQ(e.name.find('_'), std::string_view::npos) << e.name;
    EXPECT_FALSE(e.text.empty());
  }
  EXPECT_GE(names.size(), 7U);
}
#else
TEST(Exhibits, are_a_constant_false_in_the_tree_that_ships) {
  static_assert(!EXHIBIT(no_node_is_looked_at, no_such_exhibit_either));
}
#endif

TEST(Endpoints, are_told_as_host_and_port) {
  EXPECT_EQ((Endpoint{"10.0.0.1", 9092}.to_string()), "10.0.0.1:9092");
  EXPECT_LT((Endpoint{"a", 2}), (Endpoint{"b", 1}));
  EXPECT_EQ((Endpoint{"a", 2}), (Endpoint{"a", 2}));
}

TEST(FileNames, are_names_and_no_paths) {
  for (std::string_view good : {"a", "...", "..a", "a b", "-", "00000000000000000000.log"}) {
    EXPECT_TRUE(valid_file_name(good)) << good;
  }
  EXPECT_TRUE(valid_file_name(std::string(255, 'x')));
  for (std::string_view bad : {"", ".", "..", "/", "a/b", "../a", "a/"}) {
    EXPECT_FALSE(valid_file_name(bad)) << bad;
  }
  EXPECT_FALSE(valid_file_name(std::string(256, 'x')));
  EXPECT_FALSE(valid_file_name(std::string_view("a\0b", 3)));
}

// Gives the values it was made with.
class Loaded final : public Random {
 public:
  explicit Loaded(uint64_t value) : value_(value) {}
  uint64_t next(std::string_view) override { return value_; }
  void fill(std::string_view, std::span<std::byte>) override {}

 private:
  uint64_t value_;
};

TEST(RandomBelow, spans_the_whole_range_and_never_reaches_the_bound) {
  for (uint64_t bound : {uint64_t{1}, uint64_t{2}, uint64_t{10}, uint64_t{1'000'000'007}}) {
    EXPECT_EQ(Loaded(0).below("s", bound), 0U);
    EXPECT_EQ(Loaded(UINT64_MAX).below("s", bound), bound - 1);
  }
  EXPECT_EQ(Loaded(uint64_t{1} << 63).below("s", 10), 5U);
}

}  // namespace
}  // namespace verdict::runtime
