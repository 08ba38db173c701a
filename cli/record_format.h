#pragma once
// How `verdict consume` prints a record: a text with places in it, in kcat's letters.
//
//   %t topic   %p partition   %o offset   %T timestamp in ms   %k key   %s value   %h headers
//   %K %S length of key and value in bytes, -1 when there is none   %% a percent sign
//   \n \t \r \0 \\ \xHH
//
// A key or value that is absent prints as nothing.

#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"
#include "broker/client/consumer.h"

namespace verdict::cli {

// The text with its backslashes resolved. invalid with a sentence for people.
base::Result<std::string> unescape(std::string_view text);

class RecordFormat {
 public:
  // invalid: a place that does not exist, with its column and those that do.
  static base::Result<RecordFormat> parse(std::string_view text);

  void append(const client::ConsumedRecord& record, std::string& out) const;

 private:
  struct Piece {
    char place = 0;       // 0: only text
    std::string literal;  // what comes before the place
  };
  std::vector<Piece> pieces_;
};

// One record as one line of JSON: topic, partition, offset, timestamp, key, value (text or null)
// and headers. Bytes that are not UTF-8 become U+FFFD.
void append_json(const client::ConsumedRecord& record, std::string& out);

}  // namespace verdict::cli
