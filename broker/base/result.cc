#include "broker/base/result.h"

namespace verdict::base {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::cancelled:
      return "cancelled";
    case Errc::timed_out:
      return "timed_out";
    case Errc::closed:
      return "closed";
    case Errc::reset:
      return "reset";
    case Errc::refused:
      return "refused";
    case Errc::unreachable:
      return "unreachable";
    case Errc::address_in_use:
      return "address_in_use";
    case Errc::exhausted:
      return "exhausted";
    case Errc::not_found:
      return "not_found";
    case Errc::already_exists:
      return "already_exists";
    case Errc::io:
      return "io";
    case Errc::no_space:
      return "no_space";
    case Errc::corrupt:
      return "corrupt";
    case Errc::invalid:
      return "invalid";
    case Errc::unsupported:
      return "unsupported";
    case Errc::too_large:
      return "too_large";
    case Errc::wrong_state:
      return "wrong_state";
  }
  return "unknown";
}

std::string Error::to_string() const {
  std::string text(base::to_string(code));
  if (!detail.empty()) text += ": " + detail;
  return text;
}

}  // namespace verdict::base
