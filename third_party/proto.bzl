"""cc_proto: C++ from .proto files with Debian's protoc."""

_ProtoSources = provider(fields = ["sources"])

def _proto_gen_impl(ctx):
    sources = depset(ctx.files.srcs, transitive = [d[_ProtoSources].sources for d in ctx.attr.deps])
    headers, bodies = [], []
    for src in ctx.files.srcs:
        stem = src.basename[:-len(".proto")]
        header = ctx.actions.declare_file(stem + ".pb.h")
        body = ctx.actions.declare_file(stem + ".pb.cc")
        headers.append(header)
        bodies.append(body)
        ctx.actions.run(
            executable = "/usr/bin/protoc",
            arguments = ["-I.", "-I/usr/include", "--cpp_out=" + ctx.bin_dir.path, src.path],
            inputs = sources,
            outputs = [header, body],
            mnemonic = "Protoc",
            progress_message = "Generating C++ from " + src.short_path,
        )
    return [
        DefaultInfo(files = depset(headers + bodies)),
        OutputGroupInfo(headers = depset(headers), bodies = depset(bodies)),
        _ProtoSources(sources = sources),
    ]

_proto_gen = rule(
    implementation = _proto_gen_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"]),
        "deps": attr.label_list(providers = [_ProtoSources]),
    },
)

def cc_proto(name, srcs, deps = [], **kwargs):
    """A cc_library with the messages of `srcs`; `deps` are other cc_proto targets they import."""
    _proto_gen(name = name + "_gen", srcs = srcs, deps = [d + "_gen" for d in deps])
    native.filegroup(name = name + "_headers", srcs = [":%s_gen" % name], output_group = "headers")
    native.filegroup(name = name + "_bodies", srcs = [":%s_gen" % name], output_group = "bodies")
    native.cc_library(
        name = name,
        srcs = [":%s_bodies" % name],
        hdrs = [":%s_headers" % name],
        copts = ["-w"],  # generated code
        deps = deps + ["@protobuf"],
        **kwargs
    )
