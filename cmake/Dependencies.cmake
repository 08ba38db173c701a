# External libraries, all from Debian 12. docs/dependencies.md says what each is for. A layer names
# the targets that it needs in LIBS.

find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS context)   # Boost::context
find_package(fmt REQUIRED)                             # fmt::fmt
find_package(spdlog REQUIRED)                          # spdlog::spdlog, the compiled library
find_package(Protobuf REQUIRED)                        # protobuf::libprotobuf, protobuf::protoc
find_package(ZLIB REQUIRED)                            # ZLIB::ZLIB
find_package(zstd REQUIRED)
find_package(Snappy REQUIRED)                          # Snappy::snappy
find_package(CLI11 REQUIRED)                           # CLI11::CLI11
find_package(nlohmann_json REQUIRED)                   # nlohmann_json::nlohmann_json
find_package(GTest REQUIRED)                           # GTest::gtest, GTest::gtest_main
find_package(benchmark REQUIRED)                       # benchmark::benchmark
find_package(rapidcheck REQUIRED)                      # rapidcheck, rapidcheck_gtest

if(EXISTS ${CMAKE_SOURCE_DIR}/broker/security/CMakeLists.txt)
  find_package(OpenSSL REQUIRED)                       # OpenSSL::SSL, OpenSSL::Crypto
endif()
if(EXISTS ${CMAKE_SOURCE_DIR}/bindings/CMakeLists.txt)
  set(PYBIND11_FINDPYTHON ON)
  set(Python_EXECUTABLE /usr/bin/python3)              # Debian's own, whatever else is in PATH
  find_package(pybind11 REQUIRED)
endif()

# Debian's lz4 has no CMake package, and zstd names its targets by linkage.
if(NOT TARGET lz4::lz4)
  find_library(LZ4_LIBRARY lz4 REQUIRED)
  add_library(lz4::lz4 UNKNOWN IMPORTED)
  set_target_properties(lz4::lz4 PROPERTIES IMPORTED_LOCATION ${LZ4_LIBRARY})
endif()
if(NOT TARGET zstd::zstd)
  add_library(zstd::zstd INTERFACE IMPORTED)
  target_link_libraries(zstd::zstd INTERFACE zstd::libzstd_shared)
endif()
