"""System libraries as external repositories, one target each: @ucx//:ucx, @caf//:caf, ...

A library is looked for in the folder that its *_HOME variable names, else in the default
places. A missing mandatory one stops the build and names the Debian package; a missing optional
one turns its feature off (SLUICE_HAVE_<NAME>=0) and says so.
"""

def _first_root(rctx):
    home = rctx.os.environ.get(rctx.attr.env, "") if rctx.attr.env else ""
    roots = [home] if home else rctx.attr.roots
    for root in roots:
        found = True
        for probe in rctx.attr.probes:
            if not rctx.path(root + "/" + probe).exists:
                found = False
        if found:
            return root, roots
    return None, roots

def _system_library_impl(rctx):
    name = rctx.attr.library
    root, tried = _first_root(rctx)
    if root == None:
        why = "%s: no %s under %s" % (name, " or no ".join(rctx.attr.probes), " or ".join(tried))
        hint = ("; set %s to the folder above include/ and lib/" % rctx.attr.env) if rctx.attr.env else ""
        if not rctx.attr.optional:
            fail("%s%s, or install it with: apt-get install %s" % (why, hint, rctx.attr.debian))
        print("feature off: " + why + hint)  # buildifier: disable=print
        rctx.file("BUILD.bazel", """package(default_visibility = ["//visibility:public"])
cc_library(name = "{name}", defines = ["SLUICE_HAVE_{upper}=0"])
""".format(name = name, upper = name.upper()))
        return

    # /usr/include is built in; only an overridden home needs its headers declared. The folder
    # label keeps thousands of headers from being linked one by one into every sandbox.
    hdrs, includes, copts, linkopts = [], [], [], []
    if root != "/usr":
        rctx.symlink(root + "/include", "inc/include")
        hdrs = ["inc/include"]
        includes = ["inc/include"] + ["inc/" + d for d in rctx.attr.extra_includes]
        for lib in ["lib", "lib64", "lib/x86_64-linux-gnu"]:
            path = rctx.path(root + "/" + lib)
            if path.exists:
                linkopts += ["-L%s" % path.realpath, "-Wl,-rpath,%s" % path.realpath]
    linkopts += ["-l" + lib for lib in rctx.attr.link]
    rctx.file("BUILD.bazel", """package(default_visibility = ["//visibility:public"])
cc_library(
    name = "{name}",
    hdrs = {hdrs},
    defines = ["SLUICE_HAVE_{upper}=1"],
    includes = {includes},
    linkopts = {linkopts},
)
""".format(name = name, upper = name.upper(), hdrs = hdrs, includes = includes, linkopts = linkopts))
    rctx.file("flags.bzl", "USR_ISYSTEM = %r\n" % (
        ["-isystem/usr/" + d for d in rctx.attr.extra_includes] if root == "/usr" else []
    ))

_system_library = repository_rule(
    implementation = _system_library_impl,
    local = True,
    configure = True,
    environ = ["CAF_HOME", "LIBTORCH_HOME", "UCX_HOME"],
    attrs = {
        "library": attr.string(mandatory = True),
        "env": attr.string(),
        "probes": attr.string_list(mandatory = True),
        "roots": attr.string_list(default = ["/usr"]),
        "extra_includes": attr.string_list(),
        "link": attr.string_list(),
        "optional": attr.bool(),
        "debian": attr.string(),
    },
)

def _first_with(rctx, headers, roots):
    for root in roots:
        if all([rctx.path("%s/include/%s" % (root, header)).exists for header in headers]):
            return root
    return None

# Two sets of headers that may lie in different folders, and nothing to link: the libraries are
# loaded at run time (comm/nccl/library.h). An NCCL_HOME that is set is the only place for nccl.h, so
# a folder without it turns the feature off.
def _nccl_headers_impl(rctx):
    homes = [rctx.os.environ.get(env, "") for env in ["NCCL_HOME", "CUDA_HOME"]]
    defaults = ["/usr/local/cuda", "/usr"]
    cuda_roots = [home for home in homes if home] + defaults
    nccl_roots = [homes[0]] if homes[0] else cuda_roots
    nccl = _first_with(rctx, ["nccl.h"], nccl_roots)
    cuda = _first_with(rctx, ["cuda.h", "cuda_runtime.h"], cuda_roots)
    have = nccl != None and cuda != None

    includes = []
    if have:
        for name, root in {"nccl": nccl, "cuda": cuda}.items():
            if root != "/usr" and (name == "nccl" or cuda != nccl):
                rctx.symlink(root + "/include", "inc/" + name)
                includes.append("inc/" + name)
    else:
        missing = ("nccl.h", nccl_roots) if nccl == None else ("cuda.h and cuda_runtime.h", cuda_roots)
        print("feature off: nccl: no include/%s under %s; set %s to the folder above include/" % (  # buildifier: disable=print
            missing[0],
            " or ".join(missing[1]),
            "NCCL_HOME" if nccl == None else "CUDA_HOME",
        ))

    rctx.file("BUILD.bazel", """package(default_visibility = ["//visibility:public"])
cc_library(
    name = "nccl",
    hdrs = {includes},
    defines = ["SLUICE_HAVE_NCCL={have}"],
    includes = {includes},
)
""".format(includes = includes, have = 1 if have else 0))
    rctx.file("headers.bzl", "HAVE_NCCL = %s\n" % have)

_nccl_headers = repository_rule(
    implementation = _nccl_headers_impl,
    local = True,
    configure = True,
    environ = ["CUDA_HOME", "NCCL_HOME"],
)

def _library(name, **kwargs):
    _system_library(name = name, library = name, **kwargs)

def system_libraries():
    """Declares every system library that Sluice uses."""
    _library(
        "absl",
        probes = ["include/absl/status/statusor.h"],
        link = ["absl_" + part for part in [
            "flags_parse",
            "flags_usage",
            "flags_usage_internal",
            "flags_internal",
            "flags_marshalling",
            "flags_reflection",
            "flags_config",
            "flags_program_name",
            "flags_private_handle_accessor",
            "flags_commandlineflag",
            "flags_commandlineflag_internal",
            "statusor",
            "status",
            "cord",
            "cordz_info",
            "cord_internal",
            "cordz_functions",
            "cordz_handle",
            "hash",
            "city",
            "low_level_hash",
            "raw_hash_set",
            "hashtablez_sampler",
            "exponential_biased",
            "bad_optional_access",
            "bad_variant_access",
            "str_format_internal",
            "strerror",
            "synchronization",
            "graphcycles_internal",
            "stacktrace",
            "symbolize",
            "debugging_internal",
            "demangle_internal",
            "malloc_internal",
            "time",
            "civil_time",
            "time_zone",
            "strings",
            "strings_internal",
            "int128",
            "throw_delegate",
            "base",
            "spinlock_wait",
            "raw_logging_internal",
            "log_severity",
        ]],
        debian = "libabsl-dev",
    )
    _library("ucx", env = "UCX_HOME", probes = ["include/ucp/api/ucp.h"], link = ["ucp", "ucs"], debian = "libucx-dev")
    _library("caf", env = "CAF_HOME", probes = ["include/caf/all.hpp"], link = ["caf_io", "caf_core"], debian = "libcaf-dev")
    _library(
        "torch",
        env = "LIBTORCH_HOME",
        probes = ["include/torch/csrc/api/include/torch/torch.h"],
        extra_includes = ["include/torch/csrc/api/include"],
        link = ["torch", "torch_cpu", "c10"],
        debian = "libtorch-dev libopenblas0-pthread",
    )
    _nccl_headers(name = "nccl")
    _library("protobuf", probes = ["include/google/protobuf/message.h", "bin/protoc"], link = ["protobuf", "pthread"], debian = "libprotobuf-dev protobuf-compiler")
    _library("openssl", probes = ["include/openssl/ssl.h"], link = ["ssl", "crypto"], debian = "libssl-dev")
    _library("highway", probes = ["include/hwy/highway.h"], link = ["hwy"], debian = "libhwy-dev")
    _library("eigen", probes = ["include/eigen3/Eigen/Dense"], debian = "libeigen3-dev")
    _library("yaml_cpp", probes = ["include/yaml-cpp/yaml.h"], link = ["yaml-cpp"], debian = "libyaml-cpp-dev")
    _library("json", probes = ["include/nlohmann/json.hpp"], debian = "nlohmann-json3-dev")
    _library("spdlog", probes = ["include/spdlog/spdlog.h"], link = ["spdlog", "fmt"], debian = "libspdlog-dev")
    _library("httplib", probes = ["include/httplib.h"], link = ["cpp-httplib", "ssl", "crypto"], debian = "libcpp-httplib-dev libssl-dev")
    _library("prometheus", probes = ["include/prometheus/text_serializer.h"], link = ["prometheus-cpp-core"], debian = "prometheus-cpp-dev")
    _library("xxhash", probes = ["include/xxhash.h"], link = ["xxhash"], debian = "libxxhash-dev")
    _library("zlib", probes = ["include/zlib.h"], link = ["z"], debian = "zlib1g-dev")
    _library("turbojpeg", probes = ["include/turbojpeg.h"], link = ["turbojpeg"], debian = "libturbojpeg0-dev")
    _library("png", probes = ["include/png.h"], link = ["png"], debian = "libpng-dev")
    _library("gtest", probes = ["include/gtest/gtest.h", "include/gmock/gmock.h"], link = ["gmock", "gtest", "pthread"], debian = "libgtest-dev libgmock-dev")
    _library("gtest_main", probes = ["include/gtest/gtest.h"], link = ["gmock_main", "gmock", "gtest", "pthread"], debian = "libgtest-dev libgmock-dev")
    _library("benchmark", probes = ["include/benchmark/benchmark.h"], link = ["benchmark", "pthread"], debian = "libbenchmark-dev")
