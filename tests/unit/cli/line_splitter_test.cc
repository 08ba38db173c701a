#include "cli/line_splitter.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace verdict::cli {
namespace {

using Lines = std::vector<std::string>;

// The lines of `text` that comes in chunks of `size`.
Lines split(const std::string& text, size_t size) {
  LineSplitter splitter;
  Lines lines;
  for (size_t from = 0; from < text.size(); from += size) {
    splitter.feed(text.substr(from, size));
    while (const auto line = splitter.next_line()) lines.emplace_back(*line);
  }
  if (const auto line = splitter.last_line()) lines.emplace_back(*line);
  return lines;
}

TEST(LineSplitter, lines_are_the_same_however_the_input_is_cut) {
  const std::string text = "one\n\ntwo words\r\n\nlast";
  const Lines expected = {"one", "", "two words\r", "", "last"};
  for (size_t size = 1; size <= text.size(); ++size) EXPECT_EQ(split(text, size), expected) << size;
}

TEST(LineSplitter, a_newline_at_the_end_begins_no_line) {
  EXPECT_EQ(split("a\n", 1), (Lines{"a"}));
  EXPECT_EQ(split("\n", 1), (Lines{""}));
  EXPECT_EQ(split("", 1), Lines{});
}

TEST(LineSplitter, lines_with_newlines_behind_them_are_the_input) {
  uint64_t state = 7;
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 300; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text += (state >> 60) < 3 ? '\n' : static_cast<char>(state >> 40);
    }
    std::string joined;
    for (const std::string& line : split(text, 1 + state % 50)) joined += line + "\n";
    if (!text.ends_with('\n')) text += '\n';
    EXPECT_EQ(joined, text);
  }
}

TEST(LineSplitter, a_line_of_the_limit_passes_and_one_byte_more_does_not) {
  const std::string longest(LineSplitter::kLineBytesMax, 'x');
  for (const size_t size : {size_t{1'000}, size_t{65'536}, size_t{3'000'000}}) {
    EXPECT_EQ(split(longest + "\nend", size), (Lines{longest, "end"}));
    LineSplitter splitter;
    const std::string text = "first\n" + longest + "y\nend\n";
    Lines lines;
    for (size_t from = 0; from < text.size() && !splitter.too_long(); from += size) {
      splitter.feed(text.substr(from, size));
      while (const auto line = splitter.next_line()) lines.emplace_back(*line);
    }
    EXPECT_TRUE(splitter.too_long());
    EXPECT_EQ(lines, Lines{"first"});
    EXPECT_FALSE(splitter.next_line().has_value());
  }
}

TEST(LineSplitter, the_key_ends_at_the_first_delimiter) {
  EXPECT_EQ(split_key("k:v:w", ":").key, "k");
  EXPECT_EQ(split_key("k:v:w", ":").value, "v:w");
  EXPECT_EQ(split_key("k=>v", "=>").key, "k");
  EXPECT_EQ(split_key("k=>v", "=>").value, "v");
  EXPECT_EQ(split_key(":v", ":").key, "");
  EXPECT_EQ(split_key("k:", ":").value, "");
}

TEST(LineSplitter, a_line_without_the_delimiter_has_no_key) {
  EXPECT_FALSE(split_key("value", ":").key.has_value());
  EXPECT_EQ(split_key("value", ":").value, "value");
  EXPECT_FALSE(split_key("k:v", "").key.has_value());
  EXPECT_EQ(split_key("k:v", "").value, "k:v");
}

}  // namespace
}  // namespace verdict::cli
