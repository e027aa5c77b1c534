#pragma once

#include <cstdio>
#include <cstdlib>

/// Ends the process when an invariant of our own does not hold (never for bad input).
#define SLUICE_CHECK(condition, what)                                                      \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      std::fprintf(stderr, "%s:%d: invariant broken: %s (%s). This is a bug in sluice.\n", \
                   __FILE__, __LINE__, what, #condition);                                  \
      std::abort();                                                                        \
    }                                                                                      \
  } while (false)
