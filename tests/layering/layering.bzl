"""reaches_test: which of LibTorch and CAF do targets depend on, directly or not?"""

def reaches_test(name, roots, expect):
    """Fails unless the dependencies of `roots` hold exactly `expect` of LibTorch and CAF.

    Args:
      name: of the test
      roots: labels, absolute
      expect: a label of the two, or "nothing"
    """
    native.genquery(
        name = name + "_query",
        testonly = True,
        expression = "filter('^@(torch|caf)//:', deps(set(%s)))" % " ".join(roots),
        opts = ["--noimplicit_deps"],
        scope = roots,
    )
    native.sh_test(
        name = name,
        size = "small",
        srcs = ["reaches_test.sh"],
        args = ["$(location :%s_query)" % name, expect],
        data = [":%s_query" % name],
    )
