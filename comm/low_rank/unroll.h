#pragma once

/// Before a loop of few, constant steps: compilers keep an array of vectors in registers only when the
/// loops over it vanish.
#if defined(__clang__)
#define SLUICE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SLUICE_UNROLL _Pragma("GCC unroll 16")
#endif
