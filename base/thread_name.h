#pragma once

#include <pthread.h>

namespace sluice {

/// Names the calling thread for ps, top and debuggers; at most 15 characters are kept.
inline void SetThreadName(const char* name) {
  char kept[16] = {};
  for (int i = 0; i < 15 && name[i] != '\0'; ++i) kept[i] = name[i];
  pthread_setname_np(pthread_self(), kept);
}

}  // namespace sluice
