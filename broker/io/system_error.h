#pragma once
// The kernel's error numbers as Errors of the seam.

#include <string_view>

#include "broker/base/result.h"

namespace verdict::io {

base::Errc errc_of_file(int error_number);
base::Errc errc_of_socket(int error_number);

// "fdatasync 00000000000000000000.log: Input/output error".
base::Error file_error(int error_number, std::string_view call, std::string_view name);
base::Error socket_error(int error_number, std::string_view call, std::string_view peer);

}  // namespace verdict::io
