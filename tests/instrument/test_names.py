"""Names of functions: where they come from, demangled, and what becomes of broken ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traced_guest import wasm_of
from wasmtrace.instrument import demangle, instrument, module_names
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.records import FunctionName

# raw name, name for people
DEMANGLED: list[tuple[str, str]] = [
    ("_ZN3foo3barE", "foo::bar"),
    ("_Z3addii", "add(int, int)"),
    ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int>>::push_back(int const&)"),
    ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
    ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
    ("_RNvNtC3std3mem3foo", "std::mem::foo"),
]
UNTOUCHED = [
    *("main", "_start", "_Zero", "_Results", "_Z", "_R", "__Z", "__R", "_ZN", "_RN", "_Zzz", "_R2", "?", "??", "?x"),
    *("_Rust", "_ZN3fooE3", "_Reset", "__Reverse", "_Z\x00", "_RNvé", "_Z\ud7ff", "_Z" + "N" * 200_000, "", "$f"),
    *("memory.grow", "<lambda>", "_ZL" * 3000, "_R" + "N" * 5000, "func[3]"),
]


@pytest.mark.parametrize(("raw", "name"), DEMANGLED, ids=[row[0] for row in DEMANGLED])
def test_demangled(raw: str, name: str) -> None:
    got = demangle(raw)
    assert got.replace("> >", ">>") == name


@pytest.mark.parametrize("raw", UNTOUCHED, ids=[repr(raw[:20]) for raw in UNTOUCHED])
def test_untouched(raw: str) -> None:
    assert demangle(raw) == raw


def doubling(steps: int) -> str:
    """A C++ name in which each argument's type holds the one before twice."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = "_Z1f1AIiiE1BIS0_S0_E"
    for step in range(steps):
        name += f"S1_IS{digits[step + 2]}_S{digits[step + 2]}_E"
    return name


HOSTILE: list[tuple[str, str]] = [
    ("doubled-30-times", doubling(30)),
    ("nested-templates", "_Z1f" + "1AI" * 30_000 + "i" + "E" * 30_000),
    ("nested-names", "_Z1f" + "Z1f" * 30_000),
    ("rust-tuples", "_RINvC1a1b" + "T" * 30_000 + "E" * 30_001),
    ("long-rust-path", "_R" + "Nv" * 30_000 + "C1a" + "1b" * 30_000),
]


@pytest.mark.parametrize("name", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_what_would_take_all_memory_or_stack_stays(name: str) -> None:
    """In the demangler's hands these end the process: they must not come there."""
    assert demangle(name) == name


def test_doubling_is_demangled_while_it_is_small() -> None:
    assert len(demangle(doubling(5))) > 500


@given(st.sampled_from(["_Z", "_R", "__Z", "?", "_ZN", "_RN", ""]), st.text(max_size=40))
def test_any_name_is_survived(start: str, rest: str) -> None:
    assert isinstance(demangle(start + rest), str)


BARE = wasm_of("""(module (import "host" "log" (func)) (import "_ZN3foo3barE" "g" (global i32))
  (import "wasi" "_Z3addii" (func))
  (func) (func (export "second") (export "zweite")) (func (export "_Z3addii")) (func))""")
"""Without a name section: wat2wasm writes none if nothing has an identifier."""


def with_names(payload: bytes, wasm: bytes = BARE) -> bytes:
    body = b"\x04name" + payload
    return wasm + b"\x00" + encode_u32(len(body)) + body


def functions(*names: tuple[int, bytes], count: int | None = None) -> bytes:
    """The part of a name section that names functions."""
    content = encode_u32(len(names) if count is None else count)
    for index, name in names:
        content += encode_u32(index) + encode_u32(len(name)) + name
    return b"\x01" + encode_u32(len(content)) + content


DEFAULTS = ["host.log", "wasi._Z3addii", "func[2]", "second", "_Z3addii", "func[5]"]
ONE = functions((2, b"two"))

# id, payload of the name section, raw names by funcidx
SECTIONS: list[tuple[str, bytes, dict[int, str]]] = [
    ("empty", b"", {}),
    ("one", ONE, {2: "two"}),
    ("names-before-exports-and-imports", functions((0, b"a"), (3, b"b")), {0: "a", 3: "b"}),
    ("module-name-first", b"\x00\x02\x01m" + ONE, {2: "two"}),
    ("locals-before", b"\x02\x01\x00" + ONE, {2: "two"}),
    ("unknown-part", b"\x63\x03abc" + ONE, {2: "two"}),
    ("out-of-range", functions((2, b"two"), (6, b"x"), (2**32 - 1, b"y")), {2: "two"}),
    ("twice", functions((2, b"two"), (2, b"again")), {2: "two"}),
    ("empty-name", functions((3, b"")), {}),
    ("broken-utf8", functions((2, b"a\xffb")), {2: "a\ufffdb"}),
    ("nul-and-newline", functions((2, b"a\x00\n")), {2: "a\x00\n"}),
    ("count-too-large", functions((2, b"two"), count=2**32 - 1), {2: "two"}),
    ("count-too-small", functions((2, b"two"), (3, b"x"), count=1), {2: "two"}),
    ("part-too-long", b"\x01\xff\x01\x01\x02\x01a", {}),
    ("name-too-long", b"\x01\x07\x02\x02\x01a\x03\x7fb", {2: "a"}),
    ("cut-in-a-number", b"\x01\x05\x02\x02\x01a\x80", {2: "a"}),
    ("leb-too-long", b"\x01" + b"\x80" * 9, {}),
    ("fault-after", ONE + b"\xff\xff", {2: "two"}),
    ("two-parts", ONE + functions((3, b"three")), {2: "two", 3: "three"}),
    ("huge", functions((2, b"x" * 200_000)), {2: "x" * 200_000}),
]
EACH_SECTION = pytest.mark.parametrize(
    ("payload", "own"), [row[1:] for row in SECTIONS], ids=[row[0] for row in SECTIONS]
)


@EACH_SECTION
def test_name_section(payload: bytes, own: dict[int, str]) -> None:
    names = module_names(with_names(payload))
    expected = [own.get(funcidx, default) for funcidx, default in enumerate(DEFAULTS)]
    assert [names[funcidx].raw_name for funcidx in range(len(names))] == expected


@EACH_SECTION
def test_name_section_is_kept(payload: bytes, own: dict[int, str]) -> None:
    section = with_names(payload, b"")
    assert section in instrument(with_names(payload)).wasm


@pytest.mark.parametrize("size", range(len(functions((2, b"two"), (3, b"drei"), (4, b"x")))))
def test_cut_at_each_length(size: int) -> None:
    payload = functions((2, b"two"), (3, b"drei"), (4, b"x"))[:size]
    names = module_names(with_names(payload))
    raw = [names[funcidx].raw_name for funcidx in range(len(names))]
    assert raw[2] in ("two", "func[2]")
    assert raw[3] in ("drei", "second")


def test_the_last_name_section_counts() -> None:
    names = module_names(with_names(functions((2, b"late")), with_names(functions((2, b"early"), (3, b"x")))))
    assert (names[2].name, names[3].name) == ("late", "second")


@pytest.mark.parametrize(("funcidx", "name"), [(6, "func[6]"), (-1, "func[-1]"), (10**9, "func[1000000000]")])
def test_out_of_range(funcidx: int, name: str) -> None:
    assert module_names(BARE)[funcidx] == FunctionName(funcidx, name, name)


def test_raw_names_are_kept() -> None:
    assert module_names(BARE)[4] == FunctionName(4, "add(int, int)", "_Z3addii")


@given(st.binary(max_size=60))
def test_any_payload_is_survived(payload: bytes) -> None:
    names = module_names(with_names(b"\x01" + encode_u32(len(payload)) + payload))
    assert all(isinstance(names[funcidx].name, str) for funcidx in range(len(names)))
