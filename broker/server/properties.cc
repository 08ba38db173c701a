#include "broker/server/properties.h"

#include "broker/base/check.h"

namespace verdict::server {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\f' || c == '\r'; }

// Walks the characters of one logical line; a backslash at the end of a line continues it.
class Scanner {
 public:
  Scanner(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  bool at_line_end() const { return at_end() || text_[at_] == '\n'; }
  char peek() const { return text_[at_]; }
  int line() const { return line_; }
  int column() const { return column_; }

  void advance() {
    CHECK(!at_end());
    if (text_[at_] == '\n') {
      ++line_;
      column_ = 1;
    } else {
      ++column_;
    }
    ++at_;
  }
  void skip_blanks() {
    while (!at_line_end() && (is_blank(peek()) || continues())) skip_one();
  }
  void skip_line() {
    while (!at_line_end()) advance();
    if (!at_end()) advance();
  }
  // One character of a key or value, escapes resolved; nothing is added for a continuation.
  base::Result<> take(std::string& out) {
    if (continues()) {
      skip_one();
      return {};
    }
    if (peek() != '\\') {
      out.push_back(peek());
      advance();
      return {};
    }
    const int from = column_;
    advance();
    if (at_line_end()) {
      return fail_at({file_, line_, from, from}, from,
                     "a backslash at the end of the file continues nothing; remove it");
    }
    const char c = peek();
    advance();
    switch (c) {
      case 't':
        out.push_back('\t');
        return {};
      case 'n':
        out.push_back('\n');
        return {};
      case 'r':
        out.push_back('\r');
        return {};
      case 'f':
        out.push_back('\f');
        return {};
      case 'u':
        return take_code_point(out, from);
      default:
        out.push_back(c);
        return {};
    }
  }

 private:
  // Whether a backslash and the end of the line stand here.
  bool continues() const {
    if (at_end() || text_[at_] != '\\') return false;
    if (at_ + 1 < text_.size() && text_[at_ + 1] == '\n') return true;
    return at_ + 2 < text_.size() && text_[at_ + 1] == '\r' && text_[at_ + 2] == '\n';
  }
  void skip_one() {
    if (!continues()) return advance();
    while (peek() != '\n') advance();
    advance();
    while (!at_line_end() && is_blank(peek())) advance();
  }
  base::Result<> take_code_point(std::string& out, int from) {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = at_line_end() ? ' ' : peek();
      uint32_t digit = 16;
      if (c >= '0' && c <= '9') digit = static_cast<uint32_t>(c - '0');
      if (c >= 'a' && c <= 'f') digit = static_cast<uint32_t>(c - 'a' + 10);
      if (c >= 'A' && c <= 'F') digit = static_cast<uint32_t>(c - 'A' + 10);
      if (digit == 16) {
        return fail_at({file_, line_, from, from}, from,
                       "\\u needs four hexadecimal digits, as in \\u00e9");
      }
      code = code * 16 + digit;
      advance();
    }
    if (code < 0x80) {
      out.push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      out.push_back(static_cast<char>(0xc0 | (code >> 6)));
      out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
    } else {
      out.push_back(static_cast<char>(0xe0 | (code >> 12)));
      out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
      out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
    }
    return {};
  }

  const std::string& file_;
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
};

void strip_end(std::string& text) {
  while (!text.empty() && is_blank(text.back())) text.pop_back();
}

}  // namespace

std::unexpected<base::Error> fail_at(const Place& place, int column, const std::string& detail) {
  std::string where = place.file;
  if (place.line > 0) where += ":" + std::to_string(place.line) + ":" + std::to_string(column);
  return base::fail(base::Errc::invalid, where + ": " + detail);
}

base::Result<std::vector<Property>> parse_properties(const std::string& file,
                                                     std::string_view text) {
  if (text.size() > kPropertiesBytesMax) {
    return base::fail(base::Errc::too_large,
                      file + ": longer than 1 MiB; a properties file has one setting per line");
  }
  std::vector<Property> properties;
  Scanner scanner(file, text);
  while (!scanner.at_end()) {
    scanner.skip_blanks();
    if (scanner.at_line_end() || scanner.peek() == '#' || scanner.peek() == '!') {
      scanner.skip_line();
      continue;
    }
    Property property;
    property.place = {file, scanner.line(), scanner.column(), scanner.column()};
    while (!scanner.at_line_end() && !is_blank(scanner.peek()) && scanner.peek() != '=' &&
           scanner.peek() != ':') {
      TRY(scanner.take(property.key));
    }
    scanner.skip_blanks();
    bool separated = false;
    if (!scanner.at_line_end() && (scanner.peek() == '=' || scanner.peek() == ':')) {
      separated = true;
      scanner.advance();
      scanner.skip_blanks();
    }
    property.place.value_column = scanner.column();
    if (property.key.empty()) {
      return fail_at(property.place, property.place.key_column,
                     "a setting without a name; write name=value");
    }
    if (!separated && scanner.at_line_end()) {
      return fail_at(property.place, property.place.key_column,
                     property.key + " has no value; write " + property.key + "=value");
    }
    while (!scanner.at_line_end()) TRY(scanner.take(property.value));
    if (!scanner.at_end()) scanner.advance();
    strip_end(property.value);
    properties.push_back(std::move(property));
  }
  return properties;
}

base::Result<Property> parse_override(std::string_view text) {
  const size_t at = text.find('=');
  Property property;
  property.place.file = "-o " + std::string(text);
  if (at == std::string_view::npos || at == 0) {
    return fail_at(property.place, 0, "not of the form key=value");
  }
  property.key = text.substr(0, at);
  property.value = text.substr(at + 1);
  return property;
}

}  // namespace verdict::server
