#pragma once

/// Before a loop of few, constant steps: compilers keep an array of vectors in registers only when the
/// loops over it vanish.
#define SLUICE_UNROLL _Pragma("GCC unroll 16")
