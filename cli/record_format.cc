#include "cli/record_format.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "broker/base/check.h"

namespace verdict::cli {

using base::Errc;
using base::fail;
using base::Result;
using base::Slice;
using client::ConsumedRecord;

namespace {

constexpr std::string_view kPlaces = "tpoTkshKS";

std::string length_of(const std::optional<Slice>& bytes) {
  return bytes ? std::to_string(bytes->size()) : "-1";
}

void append_bytes(const std::optional<Slice>& bytes, std::string& out) {
  if (bytes) out += bytes->text();
}

void append_headers(const ConsumedRecord& record, std::string& out) {
  for (size_t i = 0; i < record.headers.size(); ++i) {
    if (i > 0) out += ',';
    out += record.headers[i].key.text();
    out += '=';
    append_bytes(record.headers[i].value, out);
  }
}

void append_place(char place, const ConsumedRecord& record, std::string& out) {
  switch (place) {
    case 't':
      out += record.topic;
      break;
    case 'p':
      out += std::to_string(record.partition);
      break;
    case 'o':
      out += std::to_string(record.offset);
      break;
    case 'T':
      out += std::to_string(record.timestamp_ms);
      break;
    case 'k':
      append_bytes(record.key, out);
      break;
    case 's':
      append_bytes(record.value, out);
      break;
    case 'h':
      append_headers(record, out);
      break;
    case 'K':
      out += length_of(record.key);
      break;
    default:
      CHECK(place == 'S');
      out += length_of(record.value);
  }
}

// The byte of "\x41" whose digits begin at `at`.
Result<char> hex_byte(std::string_view text, size_t at) {
  unsigned value = 0;
  const std::string_view digits = text.substr(at, 2);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || digits.size() != 2 || end != digits.data() + 2) {
    return fail(Errc::invalid, "'" + std::string(text) + "': \\x needs two hexadecimal digits");
  }
  return static_cast<char>(value);
}

}  // namespace

Result<std::string> unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      plain += text[i];
      continue;
    }
    const char kind = ++i < text.size() ? text[i] : ' ';
    constexpr std::string_view kKinds = "ntr0\\";
    constexpr std::string_view kBytes("\n\t\r\0\\", 5);
    if (const size_t known = kKinds.find(kind); known != kKinds.npos) {
      plain += kBytes[known];
    } else if (kind == 'x') {
      const char byte = TRY(hex_byte(text, i + 1));
      plain += byte;
      i += 2;
    } else {
      return fail(Errc::invalid, "'" + std::string(text) + "', column " + std::to_string(i) +
                                     ": after a backslash comes one of n t r 0 \\ xHH");
    }
  }
  return plain;
}

Result<RecordFormat> RecordFormat::parse(std::string_view text) {
  RecordFormat format;
  std::string literal;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool percent = text[i] == '%';
    const char place = percent && i + 1 < text.size() ? text[i + 1] : ' ';
    if (!percent) {
      literal += text[i];
    } else if (place == '%') {
      literal += "%";
      ++i;
    } else if (kPlaces.find(place) != kPlaces.npos) {
      const std::string before = TRY(unescape(literal));
      format.pieces_.push_back({.place = place, .literal = before});
      literal.clear();
      ++i;
    } else {
      return fail(Errc::invalid, "'" + std::string(text) + "', column " + std::to_string(i + 1) +
                                     ": there are %t %p %o %T %k %s %h %K %S %%");
    }
  }
  const std::string rest = TRY(unescape(literal));
  format.pieces_.push_back({.literal = rest});
  return format;
}

void RecordFormat::append(const ConsumedRecord& record, std::string& out) const {
  for (const Piece& piece : pieces_) {
    out += piece.literal;
    if (piece.place != 0) append_place(piece.place, record, out);
  }
}

void append_json(const ConsumedRecord& record, std::string& out) {
  const auto text = [](const std::optional<Slice>& bytes) {
    return bytes ? nlohmann::ordered_json(std::string(bytes->text())) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json line = {{"topic", record.topic},
                                 {"partition", record.partition},
                                 {"offset", record.offset},
                                 {"timestamp", record.timestamp_ms},
                                 {"key", text(record.key)},
                                 {"value", text(record.value)},
                                 {"headers", nlohmann::ordered_json::array()}};
  for (const record::Header& header : record.headers) {
    line["headers"].push_back(
        {{"key", std::string(header.key.text())}, {"value", text(header.value)}});
  }
  out += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  out += '\n';
}

}  // namespace verdict::cli
