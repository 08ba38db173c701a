#include "broker/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace verdict::base {
namespace {

Result<int> parse(int input) {
  if (input < 0) return fail(Errc::invalid, "negative: " + std::to_string(input));
  return input;
}
Result<> require(bool condition) {
  if (!condition) return fail(Errc::wrong_state);
  return {};
}

Result<int> twice(int input) {
  int value = TRY(parse(input));
  return value * 2;
}

TEST(Try, gives_the_value_or_returns_the_error) {
  EXPECT_EQ(twice(4), 8);
  Result<int> failed = twice(-4);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::invalid);
  EXPECT_EQ(failed.error().detail, "negative: -4");
}

Result<std::string> converts(int input, int& reached) {
  TRY(require(input != 1));
  ++reached;
  int number = TRY(parse(input));
  ++reached;
  return std::to_string(number);
}

TEST(Try, works_as_a_statement_and_between_different_results) {
  int reached = 0;
  EXPECT_EQ(converts(1, reached).error().code, Errc::wrong_state);
  EXPECT_EQ(reached, 0);
  EXPECT_EQ(converts(-1, reached).error().code, Errc::invalid);
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(converts(7, reached), "7");
  EXPECT_EQ(reached, 3);
}

// Counts how many of it live.
struct Counted {
  explicit Counted(int& count) : alive(&count) { ++*alive; }
  Counted(Counted&& other) noexcept : alive(other.alive) { ++*alive; }
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --*alive; }
  int* alive;
};

Result<Counted> make(int& alive, int& calls, bool good) {
  ++calls;
  Counted local(alive);
  if (!good) return fail(Errc::io, "a detail that is long enough to live on the heap");
  return local;
}

Result<std::unique_ptr<Counted>> use(int& alive, int& calls, bool good) {
  Counted before(alive);
  Counted value = TRY(make(alive, calls, good));
  std::unique_ptr<Counted> kept = std::make_unique<Counted>(std::move(value));
  return kept;
}

TEST(Try, evaluates_once_moves_and_leaks_nothing) {
  int alive = 0;
  int calls = 0;
  {
    auto good = use(alive, calls, true);
    EXPECT_TRUE(good.has_value());
    EXPECT_EQ(alive, 1);
    auto bad = use(alive, calls, false);
    EXPECT_EQ(bad.error().code, Errc::io);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(calls, 2);
}

Result<int> sum(int a, int b) {
  int left = TRY(twice(a));
  int right = TRY(twice(b));
  return left + right;
}

TEST(Try, returns_the_first_error_of_several) {
  EXPECT_EQ(sum(1, 2), 6);
  EXPECT_EQ(sum(-1, -2).error().detail, "negative: -1");
  EXPECT_EQ(sum(1, -2).error().detail, "negative: -2");
}

TEST(Error, is_told_in_words) {
  EXPECT_EQ((Error{Errc::timed_out, "connect to 10.0.0.1:9092"}.to_string()),
            "timed_out: connect to 10.0.0.1:9092");
  EXPECT_EQ((Error{Errc::closed, ""}.to_string()), "closed");
}

TEST(Error, every_code_has_a_name_of_its_own) {
  std::string all;
  for (int code = static_cast<int>(Errc::cancelled); code <= static_cast<int>(Errc::wrong_state);
       ++code) {
    std::string name(to_string(static_cast<Errc>(code)));
    EXPECT_NE(name, "unknown") << code;
    EXPECT_EQ(all.find(" " + name + " "), std::string::npos) << name;
    all += " " + name + " ";
  }
  EXPECT_EQ(to_string(static_cast<Errc>(0)), "unknown");
}

}  // namespace
}  // namespace verdict::base
