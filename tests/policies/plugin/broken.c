/* Shared objects that are no plugins, each with one of these defined. */
#include <stdlib.h>

#include "sluice_policy.h"

#ifdef CRASHES_AT_LOAD
__attribute__((constructor)) static void Crash(void) { abort(); }
#endif

#ifdef NO_SYMBOL
int a_function_of_another_library(void) { return 1; }
#else
static int32_t Create(const char* config, void** state_out, char* error, size_t error_size) {
  *state_out = NULL;
  return 0;
}

static int32_t Plan(void* state, const SluiceWindow* window, int32_t* choices_out, char* reason,
                    size_t reason_size) {
  return 0;
}

static void Destroy(void* state) {}

const SluicePolicyPlugin* sluice_policy_plugin(void) {
  static SluicePolicyPlugin plugin = {
      sizeof(SluicePolicyPlugin), SLUICE_POLICY_ABI_VERSION, "broken", Create, Plan, Destroy,
  };
#ifdef OTHER_VERSION
  plugin.abi_version = SLUICE_POLICY_ABI_VERSION + 1;
#endif
#ifdef LACKS_A_FUNCTION
  plugin.plan = NULL;
#endif
#ifdef RETURNS_NULL
  return plugin.struct_size == 0 ? &plugin : NULL;
#else
  return &plugin;
#endif
}
#endif
