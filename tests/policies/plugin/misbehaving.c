/*
 * A policy plugin that does in one way or another what it should not. plugin_config is "FAULT" or "FAULT:N":
 * the latter only in windows before the N-th. Otherwise it chooses the first option, raw.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sluice_policy.h"

static char fault[32];
static long until = -1;

static void Crash(void) { abort(); }

static int32_t Create(const char* config, void** state_out, char* error, size_t error_size) {
  const char* colon = strchr(config, ':');
  const size_t length = colon == NULL ? strlen(config) : (size_t)(colon - config);
  if (length >= sizeof(fault)) return 1;
  memcpy(fault, config, length);
  if (colon != NULL) until = strtol(colon + 1, NULL, 10);
  *state_out = fault;
  if (strcmp(fault, "refuse") == 0) {
    snprintf(error, error_size, "no such thing\nas this");
    return 7;
  }
  if (strcmp(fault, "crash_in_create") == 0) Crash();
  if (strcmp(fault, "hang_in_create") == 0) pause();
  return 0;
}

static int32_t Plan(void* state, const SluiceWindow* window, int32_t* choices_out, char* reason,
                    size_t reason_size) {
  const char* now = until >= 0 && window->number >= until ? "" : fault;
  size_t l;
  for (l = 0; l < window->layer_count; ++l) {
    const SluiceLayer* layer = window->layers[l];
    choices_out[l] = 0;
    if (strcmp(now, "out_of_range") == 0) choices_out[l] = (int32_t)layer->option_count;
    if (strcmp(now, "negative") == 0) choices_out[l] = -2;
    if (strcmp(now, "missing") == 0 && l + 1 == window->layer_count) choices_out[l] = -1;
    if (strcmp(now, "compress_all") == 0) choices_out[l] = (int32_t)layer->option_count - 1;
  }
  snprintf(reason, reason_size, "as told");
  if (strcmp(now, "crash") == 0) Crash();
  if (strcmp(now, "exit") == 0) exit(3);
  if (strcmp(now, "hang") == 0) pause();
  if (strcmp(now, "decline") == 0) {
    snprintf(reason, reason_size, "nothing to say");
    return 5;
  }
  if (strcmp(now, "endless_reason") == 0) memset(reason, '\xff', reason_size);
  if (strcmp(now, "chatter") == 0) puts("on standard output");
  return state == fault ? 0 : 1;
}

static void Destroy(void* state) {
  const char* path = getenv("SLUICE_TEST_DESTROYED");
  FILE* file = path == NULL ? NULL : fopen(path, "w");
  if (file != NULL) fclose(file);
}

const SluicePolicyPlugin* sluice_policy_plugin(void) {
  static const SluicePolicyPlugin plugin = {
      sizeof(SluicePolicyPlugin), SLUICE_POLICY_ABI_VERSION, "misbehaving", Create, Plan, Destroy,
  };
  return &plugin;
}
