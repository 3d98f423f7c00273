"""The steps of a start, in their order: what `startup_stages.py` measures and `bench_startup.py` shows."""

STEPS = (
    "python",
    "imports",
    "arguments",
    "engine",
    "read",
    "hash",
    "cache",
    "validate",
    "rewrite",
    "store",
    "compile",
    "link",
    "instantiate",
    "threads",
    "guest",
    "names",
    "snapshot",
    "output",
    "close",
)
