"""Modules made to cost more than their size, or to be misread: each a function of a size.

Most are invalid, and an engine would refuse them; the rewriter must do no worse than raise its own errors.
"""

from __future__ import annotations

from collections.abc import Callable

HEADER = b"\0asm\x01\0\0\0"
NO_TYPE = b"\x01\x60\x00\x00"
"""The payload of a type section with one function type, without parameters or results."""
END = b"\x0b"


def leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def section(number: int, payload: bytes) -> bytes:
    return bytes([number]) + leb(len(payload)) + payload


def custom(name: bytes, payload: bytes) -> bytes:
    return section(0, leb(len(name)) + name + payload)


def sized(data: bytes) -> bytes:
    return leb(len(data)) + data


def module(*parts: bytes) -> bytes:
    return HEADER + b"".join(parts)


def one_body(code: bytes, *, locals: bytes = b"\x00", before: bytes = b"", types: bytes = NO_TYPE) -> bytes:
    """A module of one function of type 0; `before` are sections between function and code."""
    return module(section(1, types), section(3, b"\x01\x00"), before, section(10, b"\x01" + sized(locals + code + END)))


def bodies(count: int, body: bytes = b"\x00\x0b", types: bytes = NO_TYPE) -> bytes:
    code = leb(count) + sized(body) * count
    return module(section(1, types), section(3, leb(count) + b"\0" * count), section(10, code))


def imports(count: int, *, module_name: bytes = b"", types: bytes = NO_TYPE) -> bytes:
    one = sized(module_name) + b"\0\0\0"
    return module(section(1, types), section(2, leb(count) + one * count))


def names(payload: bytes) -> bytes:
    """A module of one function with a name section's subsection 1."""
    return one_body(b"") + custom(b"name", b"\x01" + sized(payload))


def recursive_types(n: int) -> bytes:
    """Groups whose types refer to themselves and to each other."""
    struct = b"\x50\x00\x5f\x02\x64\x00\x01\x63\x00\x01"
    return module(section(1, leb(n) + (b"\x4e\x01" + struct) * n))


def type_groups(n: int) -> bytes:
    """One group of all."""
    return module(section(1, b"\x01\x4e" + leb(n) + b"\x4f\x01\x00\x5e\x64\x00\x00" * n))


def branch_tables(n: int) -> bytes:
    """As many tables as fit, each with another number of entries."""
    code, count = bytearray(), 0
    while len(code) < n:
        code += b"\x0e" + leb(count) + b"\0" * (count + 1)
        count += 1
    return one_body(bytes(code))


def names_of_all(n: int) -> bytes:
    """Every function named, every name the same."""
    payload = leb(n) + b"".join(leb(each) + b"\x01f" for each in range(n))
    return bodies(n) + custom(b"name", b"\x01" + sized(payload))


_GROWING = b"_Z1fF100" + b"a" * 100 + b"vE" + b"".join(b"FvS%c_S%c_S%c_E" % ((each,) * 3) for each in b"012345678")
"""Each function type takes the one before three times: 218 characters that stand for three million."""


def growing_names(n: int) -> bytes:
    count = n // 100
    payload = leb(count) + b"".join(leb(each) + sized(_GROWING) for each in range(count))
    return bodies(count) + custom(b"name", b"\x01" + sized(payload))


def try_tables(n: int) -> bytes:
    """Landings everywhere, deeply nested."""
    return one_body(b"\x1f\x40\x01\x02\x00" * n + END * n)


SCALED: dict[str, Callable[[int], bytes]] = {
    "functions": bodies,
    "functions that loop": lambda n: bodies(n, b"\x00\x03\x40\x0b\x0b"),
    "types": lambda n: module(section(1, leb(n) + b"\x60\0\0" * n)),
    "types that refer to themselves": recursive_types,
    "types in one group": type_groups,
    "imports": imports,
    "imports that return errno": lambda n: imports(
        n, module_name=b"wasi_snapshot_preview1", types=b"\x01\x60\x00\x01\x7f"
    ),
    "imported memories": lambda n: module(section(2, leb(n) + b"\0\0\x02\0\0" * n)),
    "exports": lambda n: one_body(b"", before=section(7, leb(n) + b"\0\0\0" * n)),
    "exports of telemetry": lambda n: one_body(
        b"", before=section(7, leb(n) + b"".join(sized(b"wasmtrace:telemetry.%d" % i) + b"\0\0" for i in range(n)))
    ),
    "elements": lambda n: one_body(b"", before=section(9, b"\x01\x00\x41\x00\x0b" + leb(n) + b"\0" * n)),
    "element segments": lambda n: module(
        section(1, NO_TYPE), section(2, b"\x01\0\0\0\0"), section(9, leb(n) + b"\x01\x00\x01\x00" * n)
    ),
    "custom sections": lambda n: module(custom(b"", b"") * n),
    "custom sections that are dropped": lambda n: module(custom(b".debug_x", b"") * n),
    "name sections": lambda n: module(custom(b"name", b"\x01\x01\x00") * n),
    "blocks": lambda n: one_body(b"\x02\x40" * n + END * n),
    "loops": lambda n: one_body(b"\x03\x40" * n + END * n),
    "exception handlers": try_tables,
    "returns": lambda n: one_body(b"\x03\x40\x0b" + b"\x0f" * n),
    "grows": lambda n: one_body(b"\x40\x00" * n, before=section(5, b"\x01\x00\x00")),
    "calls of imports": lambda n: module(
        section(1, NO_TYPE),
        section(2, b"\x01\0\0\0\0"),
        section(3, b"\x01\x00"),
        section(10, b"\x01" + sized(b"\0" + b"\x10\x00" * n + END)),
    ),
    "branch tables of all lengths": branch_tables,
    "one branch table": lambda n: one_body(b"\x0e" + leb(n) + b"\0" * (n + 1)),
    "locals": lambda n: one_body(b"", locals=leb(n) + b"\x01\x7f" * n),
    "parameters": lambda n: module(
        section(1, leb(n // 900 + 1) + (b"\x60" + leb(900) + b"\x7f" * 900 + b"\x00") * (n // 900 + 1))
    ),
    "results": lambda n: one_body(b"\x03\x40\x0b", types=b"\x01\x60\x00" + leb(n) + b"\x7f" * n),
    "constants of floats": lambda n: one_body(b"\x44\x0b\x0f\x10\x03\x40\x0b\x0f\x10" * n),
    "padding": lambda n: one_body(b"\x20\x80\x80\x80\x80\x00" * n),
    "continuation bytes": lambda n: one_body(b"\x80" * n),
    "constants that do not end": lambda n: one_body(b"\x41" + b"\x80" * n),
    "many that do not end": lambda n: one_body(b"\x41\x80\x80\x80\x80\x80\x80\x80\x80\x80" * n),
    "accesses that do not end": lambda n: one_body(b"\x28\x40\x80\x80\x80\x80\x80\x80\x80\x80\x80" * n),
    "block types that do not end": lambda n: one_body(b"\x02\x63\x80\x80\x80\x80\x80\x80\x80\x80\x80" * n),
    "vectors cut short": lambda n: one_body(b"\x1a" * n + b"\xfd\x0c\x00"),
    "prefixes": lambda n: one_body(b"\xfc\x80\x80\x80\x80" * n),
    "names": names_of_all,
    "mangled names that grow": growing_names,
    "one long name": lambda n: names(b"\x01\x00" + sized(b"x" * n)),
    "one mangled name": lambda n: names(b"\x01\x00" + sized(b"_Z1f" + b"P" * n + b"i")),
    "names of one function": lambda n: names(leb(n) + b"\x00\x01f" * n),
    "names out of range": lambda n: names(leb(n) + b"\xff\xff\xff\xff\x0f\x01f" * n),
    "producers": lambda n: module(custom(b"producers", leb(n) + b"\x01x\x01\x01y\x01z" * n)),
    "target features": lambda n: module(custom(b"target_features", leb(n) + b"+\x01x" * n)),
}
"""Each takes about as many bytes, or a fixed multiple of as many, as it is given."""

MANY = 0xFFFF_FFFF
_MOST = leb(MANY)

LYING: dict[str, bytes] = {
    "count of types": module(section(1, _MOST)),
    "count of a group": module(section(1, b"\x01\x4e" + _MOST)),
    "count of supertypes": module(section(1, b"\x01\x50" + _MOST)),
    "count of parameters": module(section(1, b"\x01\x60" + _MOST)),
    "count of fields": module(section(1, b"\x01\x5f" + _MOST)),
    "count of imports": module(section(2, _MOST)),
    "size of an import's name": module(section(2, b"\x01" + _MOST)),
    "count of functions": module(section(3, _MOST)),
    "count of memories": module(section(5, _MOST)),
    "count of exports": module(section(7, _MOST)),
    "count of elements": one_body(b"", before=section(9, _MOST)),
    "count of bodies": module(section(10, _MOST)),
    "size of a body": module(section(1, NO_TYPE), section(3, b"\x01\0"), section(10, b"\x01" + _MOST + b"\0\x0b")),
    "size of a section": HEADER + b"\x01" + _MOST,
    "size of a custom section's name": module(section(0, _MOST)),
    "count of data": one_body(b"") + section(11, _MOST),
    "count of data segments": one_body(b"", before=section(12, _MOST)) + section(11, b"\x00"),
    "empty data": one_body(b"") + section(11, b""),
    "data that does not end": one_body(b"") + section(11, b"\x80"),
    "groups of locals": one_body(b"", locals=_MOST),
    "groups of locals to the end": module(section(1, NO_TYPE), section(3, b"\x01\0"), section(10, b"\x01\x02\x01\x0b")),
    "a group of locals to the end": module(
        section(1, NO_TYPE), section(3, b"\x01\0"), section(10, b"\x01\x03\x01\x01\x0b")
    ),
    "2^32 - 1 locals": one_body(b"\x03\x40\x0b", locals=b"\x01" + _MOST + b"\x7f"),
    "2^33 locals": one_body(b"\x03\x40\x0b", locals=b"\x03" + (_MOST + b"\x7f") * 3),
    "a type of locals to the end": module(
        section(1, NO_TYPE), section(3, b"\x01\0"), section(10, b"\x01\x04\x01\x01\x63\x0b")
    ),
    "entries of a branch table": one_body(b"\x0e" + _MOST),
    "clauses of a handler": one_body(b"\x1f\x40" + _MOST),
    "types of a select": one_body(b"\x1c" + _MOST),
    "a function's type": module(section(3, b"\x01\x05"), section(10, b"\x01\x02\x00\x0b")),
    "an import's type": module(section(2, b"\x01\0\0\0\x05")),
    "a struct for a function": one_body(b"", types=b"\x01\x5f\x00"),
    "a memory that grows": one_body(b"\x40\x05"),
    "2^64 pages": module(section(5, b"\x01\x05" + b"\xff" * 9 + b"\x01" + b"\xff" * 9 + b"\x01")),
    "an exported function": one_body(b"", before=section(7, b"\x01\x01x\0" + _MOST)),
    "an exported import": imports(1) + section(7, b"\x01\0\0\x05"),
    "the start": one_body(b"", before=section(8, _MOST)),
    "nothing after the locals": one_body(b"", locals=b""),
    "sections twice": module(section(1, NO_TYPE), section(1, NO_TYPE)),
    "sections out of order": module(section(3, b"\x00"), section(1, NO_TYPE)),
    "code without functions": module(section(10, b"\x01\x02\x00\x0b")),
    "a name that is no text": module(section(7, b"\x01\x02\xc3\x28\0\0")),
    "a surrogate": module(section(7, b"\x01\x03\xed\xa0\x80\0\0")),
    "a name past the end": names(b"\x01\x00" + _MOST),
    "a name section past the end": one_body(b"") + custom(b"name", b"\x01" + _MOST),
    "a name section of zeros": one_body(b"") + custom(b"name", b"\0" * 1000),
    "producers past the end": module(custom(b"producers", _MOST)),
    "LEB128 of 6 bytes": HEADER + b"\x01\x80\x80\x80\x80\x80\x00",
    "LEB128 of 36 bits": HEADER + b"\x01\xff\xff\xff\xff\x7f",
    "a component": b"\0asm\x0d\0\x01\0",
}
"""What is named says something that is not so."""
