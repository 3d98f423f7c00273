"""The programs of tests/c as a table: what each must print, at its usual size and at a hundredth of it.

The checksums come from native builds of the same sources, so they do not depend on any engine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from compiled import compile_c
from programs import Program, Result

FULL = 100
"""The scale at which a program runs about 0.4 s."""
SMALL = 1

# name: (output at SMALL, output at FULL)
CHECKSUMS: dict[str, tuple[str, str]] = {
    "fib": ("61c894ddbda3f6c4", "5bcdcc2a61889c4c"),
    "tak": ("eeb30da28561467c", "8f910a5e1c29b558"),
    "dispatch": ("8c316cc90e441328", "bc4eb94843f9f9c7"),
    "helpers": ("7a0d0ba4fd951b75", "825d6fd378a492e7"),
    "sort": ("4961d8c706aa7520", "99ea2b2ac6837744"),
    "matmul": ("195e0df6cfd20b73", "8a5e3b31b85b0a2c"),
    "sieve": ("09bb2fe980a2a914", "96b502c870060113"),
    "nbody": ("00000000015dfd70", "00000000024f78e9"),
    "mandelbrot": ("332c0f133e5d06bd", "7612abd97929dc81"),
    "sha256": (
        "50a043f693f6d7fd5ca7435de1309597191add48d9470a91fc796cb5d0ba69de",
        "584d955f35c82c6896bbe520ef7917de025c499a74b447031d82aa9f9d72fa67",
    ),
    "crc32": ("97963296", "65b7dbdb"),
    "churn": ("3dd34afd86653666", "e22024bcb0114064"),
    "streams": ("f20d15f357ec3a36", "272802f89c04e9ae"),
    "hashtable": ("b0d60c74f2e9a754", "7f07f8288524f203"),
    "strings": ("67aea60e7fe7e8ef", "a06ae88aaf5422c8"),
    "nqueens": ("f2f9c7a6130d77ed", "bd35a70d3f864c2e"),
    "permutations": ("abcfa7a413ac6e6a", "4d2c5c53f8986036"),
}

CALL_HEAVY = ("fib", "tak", "dispatch", "helpers", "sort")
LOOP_HEAVY = ("matmul", "sieve", "nbody", "mandelbrot", "sha256", "crc32")
MEMORY_HEAVY = ("churn", "streams", "hashtable", "strings")
RECURSIVE = ("nqueens", "permutations")

_ERRNOS = """\
missing {0}, bad {0}
read of descriptor 55: Bad file descriptor
mkdir twice: File exists
rmdir: done
directory opened to write: Is a directory
exclusive: File exists
outside: No such file or directory
above: Operation not permitted
"""
_FILES = {SMALL: "listed 8\nfiles d8e916a35138ad48\n", FULL: "listed 8\nfiles 27303f9193f772d1\n"}
_CLOCKS = "backwards 0, slept enough, after 2020 yes\n"


def computing(name: str, scale: int) -> Program:
    """A program of `CHECKSUMS` at `SMALL` or `FULL` scale."""
    output = CHECKSUMS[name][scale == FULL]
    return _program(name, f"{name} {output}\n", args=(str(scale),))


def input_output(scale: int) -> tuple[Program, ...]:
    """The programs that mostly call the host, at `SMALL` or `FULL` scale."""
    args = (str(scale),)
    last_file = "".join(f"row {row} of file 0\n" for row in range(50)).encode()
    return (
        _program("files", _FILES[scale], args=args, outputs=("part0.txt",), files={"part0.txt": last_file}),
        _program("errnos", _ERRNOS.format(scale), args=args, outputs=("once",), files={"once": b""}),
        _program("clocks", _CLOCKS, args=args),
        _program(
            "echo",
            "ONE\nTWO\n",
            args=("a b", "--flag"),
            env={"GREETING": "hello"},
            stdin=b"one\ntwo\n",
            stderr="[a b]\n[--flag]\nGREETING=hello\n",
            exit_code=3,
        ),
    )


def every(scale: int) -> tuple[Program, ...]:
    return (*(computing(name, scale) for name in CHECKSUMS), *input_output(scale))


def _program(
    name: str,
    stdout: str,
    *,
    args: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    stdin: bytes = b"",
    outputs: tuple[str, ...] = (),
    files: dict[str, bytes] | None = None,
    stderr: str = "",
    exit_code: int = 0,
) -> Program:
    expected = Result(stdout.encode(), stderr.encode(), exit_code, files or {})
    return Program(
        name,
        partial(compile_c, name),
        _equals(expected),
        args=args,
        env=env or {},
        stdin=stdin,
        outputs=outputs,
    )


def _equals(expected: Result) -> Callable[[Result], None]:
    def check(result: Result) -> None:
        assert result == expected

    return check
