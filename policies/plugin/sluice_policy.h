/*
 * A compression policy of your own, as a shared object: a window's statistics in, one choice per layer out.
 *
 * Pure C, so that any compiler and any language with C bindings can build one:
 *
 *     cc -shared -fPIC -I policies/plugin -o my_policy.so my_policy.c
 *
 *     compression:
 *       policy: plugin
 *       plugin: my_policy.so
 *       plugin_config: "what create() is told"
 *
 * The plugin exports one function, sluice_policy_plugin. docs/policy_plugins.md walks through an example and
 * says what happens to plugins that fail.
 *
 * Process   The plugin lives in a process of its own, the policy host; one plugin, one state at a time. Its
 *           standard output goes to the job's standard error. After a crash or a timeout a new process loads
 *           and creates it again: what it had learnt is gone.
 * Threads   Every call comes from the host's main thread, one at a time. Threads of your own are yours.
 * Memory    What Sluice passes belongs to Sluice and is valid until the call returns: copy what you keep, change
 *           nothing but what is named *_out, error and reason. What create() allocates is freed by destroy().
 * Strings   End with 0. error and reason are one line of printable ASCII; anything else in them becomes "?".
 * Growth    Structs begin with their size and only ever get new fields at their end, behind pointers, so that
 *           plugins built earlier go on working. SLUICE_POLICY_HAS tells whether a newer field is there.
 *           SLUICE_POLICY_ABI_VERSION changes when that is not enough; a plugin of another version is refused.
 * Repeats   The same statistics should give the same choices: otherwise a rerun of the job has other bits.
 */
#ifndef SLUICE_POLICY_H_
#define SLUICE_POLICY_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_POLICY_ABI_VERSION 1

/* Whether the struct that `pointer` points to was made by a side that knows `field`. */
#define SLUICE_POLICY_HAS(pointer, type, field) \
  ((pointer)->struct_size >= offsetof(type, field) + sizeof((pointer)->field))

/* Ways to encode. Numbers never change; new ones may appear. */
enum {
  SLUICE_CODEC_RAW = 0,      /* fp32, exact */
  SLUICE_CODEC_FP16 = 1,     /* a cast */
  SLUICE_CODEC_BF16 = 2,     /* a cast */
  SLUICE_CODEC_MAXMIN = 3,   /* bits per value, minimum and step per bucket_size values */
  SLUICE_CODEC_L2NORM = 4,   /* bits per value, levels of a bucket's norm */
  SLUICE_CODEC_SIGN = 5,     /* one bit per value, one scale per bucket */
  SLUICE_CODEC_CLIPPED = 6,  /* bits per value, a clipped grid per bucket */
  SLUICE_CODEC_TERNARY = 7,  /* -1, 0 or 1 times one scale per bucket */
  SLUICE_CODEC_DROP = 8,     /* nothing is sent; error feedback keeps it */
  SLUICE_CODEC_TOP_K = 9,    /* the largest values alone */
  SLUICE_CODEC_LOW_RANK = 10 /* two factors of a matrix */
};

/* One way to encode a layer. Fields that its kind does not have are 0. */
typedef struct SluiceCodec {
  size_t struct_size;
  int32_t kind;        /* SLUICE_CODEC_... */
  int32_t bits;        /* of a code, a kept value (top-k) or a factor's value (low rank) */
  int32_t bucket_size; /* values that share one scale */
  int32_t stochastic;  /* 1: stochastic rounding */
  int32_t density_ppm; /* top-k: values kept of a million */
  int32_t exact;       /* top-k, 1: exactly the largest */
  int32_t rank;        /* low rank */
} SluiceCodec;

/* What one codec costs on one layer. */
typedef struct SluiceOption {
  size_t struct_size;
  const SluiceCodec* codec;
  double
      squared_error; /* sum of (x - decode(encode(x)))^2 over the window's tensor; NaN: not known */
  double wire_bytes; /* one rank sends per step for this layer, headers included; finite, from 0 */
  double codec_seconds; /* one rank encodes and decodes per step; 0: not known */
} SluiceOption;

typedef struct SluiceLayer {
  size_t struct_size;
  const char* name;
  int64_t elements;
  const int64_t* shape; /* `dimensions` extents; NULL with dimensions 0: not known */
  size_t dimensions;
  int32_t eligible;  /* 0: must be sent raw */
  int32_t bucket;    /* of the reducer; buckets are reduced in the order of their numbers, from 0 */
  int32_t reference; /* index of the uniform reference in `options`, of raw when not eligible */
  double squared_norm;                /* of the window's tensor; NaN when it has NaN or infinity */
  const SluiceOption* const* options; /* what may be chosen; never without raw */
  size_t option_count;
} SluiceLayer;

/* What was measured over one window of steps. */
typedef struct SluiceWindow {
  size_t struct_size;
  int64_t number;                   /* 0, 1, 2, ... */
  int64_t last_step;                /* the window's last step */
  int32_t world_size;               /* ranks; 0: not known */
  double fixed_wire_bytes;          /* one rank sends per step whatever the plan: frame headers */
  const SluiceLayer* const* layers; /* in the order in which backward finishes gradients */
  size_t layer_count;
  /* Times; 0 or NULL: not known. */
  const double*
      bucket_ready_seconds; /* by bucket: its last gradient is there, since the step began */
  size_t bucket_count;
  double backward_seconds; /* the last gradient of all is there, since the step began */
  double latency_seconds;  /* of the slowest link */
  double bytes_per_second; /* of the slowest link */
} SluiceWindow;

/* What the plugin is. */
typedef struct SluicePolicyPlugin {
  size_t struct_size;   /* sizeof(SluicePolicyPlugin) */
  uint32_t abi_version; /* SLUICE_POLICY_ABI_VERSION */
  const char* name;     /* shown in plans and messages */

  /*
   * Called once, before any plan. Has plugin_timeout_seconds and ten more, with the loading.
   *   config      compression.plugin_config of the job, "" when it has none
   *   state_out   whatever plan() and destroy() are to be given
   *   error       where to say in one line what is wrong with config, `error_size` bytes
   * Returns 0, or any other number when the job must not start.
   */
  int32_t (*create)(const char* config, void** state_out, char* error, size_t error_size);

  /*
   * Called after every window. Has compression.plugin_timeout_seconds; the coordinator waits meanwhile.
   *   choices_out  `window->layer_count` indices into the layers' options, -1 at first: set every one. A layer
   *                that is not eligible must be raw, as its `reference` is
   *   reason       where to say in one sentence what was decided, `reason_size` bytes; optional
   * Returns 0, or any other number when there is no plan: then `reason` says why, as a warning, and the plan
   * in force stays.
   */
  int32_t (*plan)(void* state, const SluiceWindow* window, int32_t* choices_out, char* reason,
                  size_t reason_size);

  /* Called once at the end, after a successful create() alone. Not called when the process is killed. */
  void (*destroy)(void* state);
} SluicePolicyPlugin;

/*
 * The one symbol that is looked up. The table is the plugin's and must stay valid until the process ends.
 * Called once, before create().
 */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const SluicePolicyPlugin*
sluice_policy_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* SLUICE_POLICY_H_ */
