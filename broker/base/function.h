#pragma once
// UniqueFunction: a callable that owns what it captured and can be moved, not copied.

#include <functional>

namespace verdict::base {

template <class Signature>
using UniqueFunction = std::move_only_function<Signature>;

}  // namespace verdict::base
