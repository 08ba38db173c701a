# layer(), program() and verdict_test(): the only ways in which a target of ours is made.

# Links the rooms named in ARGN to `target` and says in one line what is wrong if one is missing.
function(verdict_link_rooms target)
  foreach(room IN LISTS ARGN)
    string(REPLACE "/" "_" name ${room})
    if(NOT TARGET verdict_${name})
      message(FATAL_ERROR "${target}: DEPS names '${room}', which has no library yet or "
        "comes later in VERDICT_ROOMS (CMakeLists.txt)")
    endif()
    target_link_libraries(${target} PUBLIC verdict_${name})
  endforeach()
endfunction()

# layer(<room> SOURCES a.cc ... [HEADERS a.h ...] [DEPS <room> ...] [LIBS <external target> ...])
#
# Makes the static library verdict_<room> (alias verdict::<room>) with slashes as underscores.
# Includes are relative to the project's root, generated headers to <build>/generated. Without
# HEADERS, every header in the room's folder is taken. DEPS are public; LIBS are private, because
# headers of ours show no external library.
function(layer room)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS;DEPS;LIBS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "layer(${room}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT CMAKE_CURRENT_SOURCE_DIR STREQUAL "${CMAKE_SOURCE_DIR}/${room}")
    message(FATAL_ERROR "layer(${room}) stands in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  if(NOT arg_HEADERS)
    file(GLOB arg_HEADERS CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
  endif()
  string(REPLACE "/" "_" name ${room})
  set(target verdict_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(verdict::${name} ALIAS ${target})
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR}
    FILES ${arg_HEADERS})
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  verdict_link_rooms(${target} ${arg_DEPS})
  target_link_libraries(${target} PRIVATE ${arg_LIBS})
endfunction()

# program(<name> SOURCES main.cc ... [DEPS <room> ...] [LIBS <external target> ...])
#
# Makes the executable <build>/<name>.
function(program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;LIBS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  verdict_link_rooms(${name} ${arg_DEPS})
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
endfunction()

# verdict_test(<name> SOURCES a_test.cc ... [DEPS <room> ...] [LIBS <external target> ...]
#              [ARGS <argument> ...] [TIMEOUT <seconds>])
#
# Makes one GoogleTest binary, <build>/tests/<name>, and one CTest entry of the same name that runs
# it in the project's root. Its label is the folder below tests/ (unit, property, ...). The run
# leaves its case counts in <build>/results/<name>.json, which ./dev test adds up. One binary per
# layer, not per file: each link costs more than it saves.
function(verdict_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPS;LIBS;ARGS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "verdict_test(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
  target_precompile_headers(${name} REUSE_FROM verdict_test_pch)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  verdict_link_rooms(${name} ${arg_DEPS})
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gtest GTest::gtest_main Threads::Threads)

  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "/.*" "" label "${folder}")
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  # Fibers and ASan's fake stacks do not mix; g++ and clang differ in their default.
  set(environment
    ASAN_OPTIONS=detect_stack_use_after_return=0
    UBSAN_OPTIONS=print_stacktrace=1
    GTEST_OUTPUT=json:${CMAKE_BINARY_DIR}/results/${name}.json)
  set_tests_properties(${name} PROPERTIES
    LABELS "${label}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${environment}")
endfunction()
