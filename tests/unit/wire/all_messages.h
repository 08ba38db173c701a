#pragma once
// Every message of every schema file. The table is written by the build.

#include <vector>

#include "tests/unit/wire/arbitrary.h"

namespace verdict::wire {

std::vector<MessageUnderTest> all_messages();

}  // namespace verdict::wire
