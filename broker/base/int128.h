#pragma once
// 128-bit integers, for products of nanoseconds and rates that must not overflow.

namespace verdict::base {

__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;

}  // namespace verdict::base
