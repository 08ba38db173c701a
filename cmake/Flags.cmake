# Flags that every file of the project is compiled with, with g++ 12 and with clang 19.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or Asan" FORCE)
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)          # TRY is a GNU statement expression
set(CMAKE_C_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # the Python module links the same archives
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)  # where tests/lint/symbols.py looks

# CHECK is always on, so no tree has NDEBUG. -g1 keeps file and line at a third of the size of -g.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g -D_GLIBCXX_ASSERTIONS")
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
set(CMAKE_CXX_FLAGS_ASAN "-O1 -g1 -D_GLIBCXX_ASSERTIONS")
set(CMAKE_C_FLAGS_ASAN "-O1 -g1")

add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  -Wno-missing-field-initializers      # {.name = value} leaves the rest at its defaults on purpose
  -fno-omit-frame-pointer
  -ffp-contract=off                    # the same floating point with every compiler
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)

if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(
    -Wno-gnu-statement-expression-from-macro-expansion  # TRY; g++ is content with __extension__
    -Wno-deprecated-declarations       # std::stable_sort of g++ 12's library uses one
    -Wno-sign-conversion)              # part of -Wconversion here, but not with g++ in C++
else()
  # -fPIC alone would forbid g++ to inline functions that a shared library might replace.
  add_compile_options(-fno-semantic-interposition)
  # g++ 12 reports these in correct code once it has inlined std::string and std::vector, and more
  # so under the sanitizers: they stay visible but do not stop a build. -Wrestrict is wrong more
  # often than right (GCC bug 105651).
  add_compile_options(-Wno-restrict -Wno-error=maybe-uninitialized -Wno-error=array-bounds
    -Wno-error=stringop-overflow -Wno-error=stringop-overread -Wno-error=free-nonheap-object
    -Wno-error=dangling-pointer -Wno-error=use-after-free -Wno-error=null-dereference)
endif()

if(VERDICT_SANITIZE)
  add_compile_options(-fsanitize=${VERDICT_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VERDICT_SANITIZE})
endif()

if(VERDICT_EXHIBITS)
  add_compile_definitions(VERDICT_EXHIBITS=1)
else()
  add_compile_definitions(VERDICT_EXHIBITS=0)
endif()

# A buffer that is written after it was frozen is found where it is released.
if(CMAKE_BUILD_TYPE MATCHES "^(Debug|Asan)$")
  add_compile_definitions(VERDICT_SLICE_GUARD)
endif()

# A sweep forks for every trial: what the parent has bound no child binds again.
add_link_options(-Wl,-z,now)

# Helpers that are used when present and never required.
find_program(VERDICT_CCACHE ccache)
if(VERDICT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VERDICT_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${VERDICT_CCACHE})
endif()

find_program(VERDICT_LLD ld.lld PATHS /usr/lib/llvm-19/bin)
if(VERDICT_LLD)
  # g++ knows the linker only by its short name, and Debian installs it outside PATH.
  get_filename_component(lld_folder ${VERDICT_LLD} DIRECTORY)
  add_link_options(-fuse-ld=lld -B${lld_folder})
endif()
