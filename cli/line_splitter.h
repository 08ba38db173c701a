#pragma once
// Lines out of a stream of bytes, for `verdict produce`.
//
// Invariant: the lines, each with a newline behind it, are the bytes of the input, but for the
// newline that the last line may lack. Nothing else is touched: an empty line is a line, a carriage
// return stays.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace verdict::cli {

class LineSplitter {
 public:
  static constexpr size_t kLineBytesMax =
      1'000'000;  // under the 1 MiB that brokers take by default

  // More input. Only when next_line() has nothing more.
  void feed(std::string chunk);
  // The next whole line without its newline, valid until the next call; nothing when input is
  // needed, or when the line is too long.
  std::optional<std::string_view> next_line();
  // After the end of the input: the line that had no newline.
  std::optional<std::string_view> last_line();
  // The present line is longer than kLineBytesMax; there is no going on.
  bool too_long() const;

 private:
  std::string buffer_;
  size_t from_ = 0;      // of the present line
  size_t searched_ = 0;  // no newline in [from_, searched_)
};

struct KeyAndValue {
  std::optional<std::string_view> key;
  std::string_view value;
};

// Cuts at the first `delimiter`; without one (or with an empty one) there is no key, as in kcat.
KeyAndValue split_key(std::string_view line, std::string_view delimiter);

}  // namespace verdict::cli
