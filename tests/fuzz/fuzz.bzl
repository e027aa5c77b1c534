"""One fuzz target, two ways to run it."""

def sluice_fuzz_test(name, srcs, deps, corpus = [], runs = 20000, size = "small", tags = []):
    """A test around LLVMFuzzerTestOneInput.

    Normally it is linked with replay_main.cc: it runs every seed, then `runs` deterministic
    mutations and random inputs. With --config=fuzz it is a libFuzzer binary (tools/fuzz.sh), and
    `bazel test` with that config runs each seed once.

    Args:
      name: by habit ends in _fuzz_test
      srcs: define extern "C" int LLVMFuzzerTestOneInput(const uint8_t*, size_t)
      deps: of srcs
      corpus: seed files; each a file, not a folder
      runs: inputs after the seeds
      size: as of cc_test
      tags: as of cc_test; "fuzz" is added
    """
    seeds = ["$(location %s)" % seed for seed in corpus]
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        args = select({
            "//tests/fuzz:libfuzzer": seeds if seeds else ["-runs=1000"],
            "//conditions:default": ["--runs=%d" % runs] + seeds,
        }),
        data = corpus,
        linkopts = select({
            # Bazel links C++ with clang, not clang++: half of ubsan's runtime has to be asked for.
            "//tests/fuzz:libfuzzer": ["-fsanitize=fuzzer", "-fsanitize-link-c++-runtime"],
            "//conditions:default": [],
        }),
        linkstatic = True,
        tags = tags + ["fuzz"],
        deps = deps + select({
            "//tests/fuzz:libfuzzer": [],
            "//conditions:default": ["//tests/fuzz:replay_main"],
        }),
    )
