/*
 * A policy plugin: 2 bits for the largest layers, 4 bits for the others.
 *
 *     cc -shared -fPIC -I policies/plugin -o largest_layers.so examples/plugin/largest_layers.c
 *
 * plugin_config is the share of all eligible elements that the largest layers hold together at the least, "0.5"
 * when it is empty. docs/policy_plugins.md walks through this file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sluice_policy.h"

typedef struct State {
  double share;
} State;

static int32_t Create(const char* config, void** state_out, char* error, size_t error_size) {
  State* state = malloc(sizeof(State));
  char* end = NULL;
  if (state == NULL) return 1;
  state->share = *config == '\0' ? 0.5 : strtod(config, &end);
  if ((end != NULL && (end == config || *end != '\0')) ||
      !(state->share >= 0 && state->share <= 1)) {
    snprintf(error, error_size, "expected a share from 0 to 1, got \"%s\"", config);
    free(state);
    return 1;
  }
  *state_out = state;
  return 0;
}

/* The option with so many bits and the fewest bytes, or the uniform reference where there is none. */
static int32_t WithBits(const SluiceLayer* layer, int32_t bits) {
  int32_t best = -1;
  size_t i;
  for (i = 0; i < layer->option_count; ++i) {
    const SluiceOption* option = layer->options[i];
    if (option->codec->kind != SLUICE_CODEC_MAXMIN || option->codec->bits != bits) continue;
    if (best < 0 || option->wire_bytes < layer->options[best]->wire_bytes) best = (int32_t)i;
  }
  return best < 0 ? layer->reference : best;
}

/* Elements that the eligible layers of `least` elements or more have together. */
static int64_t ElementsFrom(const SluiceWindow* window, int64_t least) {
  int64_t sum = 0;
  size_t l;
  for (l = 0; l < window->layer_count; ++l) {
    const SluiceLayer* layer = window->layers[l];
    if (layer->eligible && layer->elements >= least) sum += layer->elements;
  }
  return sum;
}

static int32_t Plan(void* opaque, const SluiceWindow* window, int32_t* choices_out, char* reason,
                    size_t reason_size) {
  const State* state = opaque;
  const double wanted = state->share * (double)ElementsFrom(window, 0);
  int64_t least = INT64_MAX; /* elements of the smallest of the largest layers */
  size_t l, large = 0, eligible = 0;
  for (l = 0; l < window->layer_count; ++l) {
    const SluiceLayer* layer = window->layers[l];
    /* The largest size from which on the layers hold the share. */
    if (layer->eligible && (double)ElementsFrom(window, layer->elements) >= wanted &&
        (least == INT64_MAX || layer->elements > least)) {
      least = layer->elements;
    }
  }
  for (l = 0; l < window->layer_count; ++l) {
    const SluiceLayer* layer = window->layers[l];
    choices_out[l] = layer->reference; /* raw where the layer is not eligible */
    if (!layer->eligible) continue;
    ++eligible;
    if (layer->elements >= least) ++large;
    choices_out[l] = WithBits(layer, layer->elements >= least ? 2 : 4);
  }
  snprintf(reason, reason_size, "2 bits on the largest %d of %d layers, 4 bits on the others",
           (int)large, (int)eligible);
  return 0;
}

static void Destroy(void* state) { free(state); }

const SluicePolicyPlugin* sluice_policy_plugin(void) {
  static const SluicePolicyPlugin plugin = {
      sizeof(SluicePolicyPlugin),
      SLUICE_POLICY_ABI_VERSION,
      "largest_layers",
      Create,
      Plan,
      Destroy,
  };
  return &plugin;
}
