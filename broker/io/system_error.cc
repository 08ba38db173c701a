#include "broker/io/system_error.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace verdict::io {
namespace {

using base::Errc;

base::Error describe(Errc code, int error_number, std::string_view call, std::string_view object) {
  std::string detail(call);
  if (!object.empty()) detail.append(" ").append(object);
  detail.append(": ").append(std::generic_category().message(error_number));
  return {code, std::move(detail)};
}

}  // namespace

Errc errc_of_file(int error_number) {
  switch (error_number) {
    case ENOENT:
      return Errc::not_found;
    case EEXIST:
      return Errc::already_exists;
    case ENOSPC:
    case EDQUOT:
      return Errc::no_space;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Errc::exhausted;
    case EFBIG:
      return Errc::too_large;
    case ENOTEMPTY:
    case EBUSY:
      return Errc::wrong_state;
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case ENAMETOOLONG:
      return Errc::invalid;
    default:
      return Errc::io;  // EIO, and whatever else makes a disk unusable: EACCES, EROFS, ...
  }
}

Errc errc_of_socket(int error_number) {
  switch (error_number) {
    case ECONNREFUSED:
      return Errc::refused;
    case ETIMEDOUT:
      return Errc::timed_out;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM:
      return Errc::unreachable;
    case EADDRINUSE:
      return Errc::address_in_use;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EAGAIN:
      return Errc::exhausted;  // of connect: no local port is free
    case EAFNOSUPPORT:
    case EINVAL:
      return Errc::invalid;
    default:
      return Errc::reset;  // ECONNRESET, EPIPE, and everything that ends a connection
  }
}

base::Error file_error(int error_number, std::string_view call, std::string_view name) {
  return describe(errc_of_file(error_number), error_number, call, name);
}

base::Error socket_error(int error_number, std::string_view call, std::string_view peer) {
  return describe(errc_of_socket(error_number), error_number, call, peer);
}

}  // namespace verdict::io
