#pragma once
// Properties: the text of a server.properties file as entries with their place, in Java's
// notation: comments, '=' or ':' or blanks as separator, continued lines, escapes.

#include <string>
#include <string_view>
#include <vector>

#include "broker/base/result.h"

namespace verdict::server {

// Where a setting was written, for people.
struct Place {
  std::string file;
  int line = 0;  // from 1; 0: no file, the command line
  int key_column = 0;
  int value_column = 0;
};

struct Property {
  std::string key;
  std::string value;
  Place place;
};

inline constexpr size_t kPropertiesBytesMax = 1U << 20;

// invalid names file, line and column, what is wrong and what to write instead.
base::Result<std::vector<Property>> parse_properties(const std::string& file,
                                                     std::string_view text);
// One "key=value" of the command line.
base::Result<Property> parse_override(std::string_view text);

// "server.properties:12:5: detail" as an error of kind invalid.
std::unexpected<base::Error> fail_at(const Place& place, int column, const std::string& detail);

}  // namespace verdict::server
