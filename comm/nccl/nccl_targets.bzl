"""Targets that include nccl.h: declared where the headers are, absent elsewhere."""

load("@nccl//:headers.bzl", "HAVE_NCCL")

def nccl_library(**kwargs):
    """A cc_library that exists only where nccl.h was found."""
    if HAVE_NCCL:
        native.cc_library(**kwargs)

def nccl_test(**kwargs):
    """A cc_test that exists only where nccl.h was found."""
    if HAVE_NCCL:
        native.cc_test(**kwargs)
