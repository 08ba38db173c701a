#pragma once
// Result<T>: the value of an operation, or the Error that the world gave instead.
//
// Three kinds of trouble, three tools: the world fails (Result), a peer lies (Result with
// invalid or corrupt, judged at the edge), we are wrong (CHECK).

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace verdict::base {

enum class Errc : uint8_t {
  cancelled = 1,   // the fiber was asked to stop
  timed_out,       // the deadline passed
  closed,          // the object or the peer's end is closed
  reset,           // the connection was torn down
  refused,         // nobody listens there
  unreachable,     // no way to the address
  address_in_use,  // somebody listens there already
  exhausted,       // a named limit is reached
  not_found,       // no such file, topic, key
  already_exists,  // the name is taken
  io,              // the device failed
  no_space,        // the device is full
  corrupt,         // stored bytes fail their check
  invalid,         // a peer or a person sent what makes no sense
  unsupported,     // known and refused: version, codec, feature
  too_large,       // over a named size limit
  wrong_state,     // not possible now: not the leader, offline, stopping
};

std::string_view to_string(Errc code);

// What went wrong. `detail` names the place (file, offset, peer) and, for people, the remedy.
struct [[nodiscard]] Error {
  Errc code;
  std::string detail;

  // "timed_out: connect to 10.0.0.1:9092".
  std::string to_string() const;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Errc code, std::string detail = {}) {
  return std::unexpected(Error{code, std::move(detail)});
}

}  // namespace verdict::base

// The value of a Result, or return its error from this function. Only as a whole statement or a
// whole initialiser: inside braces g++ 12 leaks.
#define TRY(...)                                              \
  __extension__({                                             \
    auto try_result_ = (__VA_ARGS__);                         \
    if (!try_result_) [[unlikely]]                            \
      return std::unexpected(std::move(try_result_).error()); \
    *std::move(try_result_);                                  \
  })
