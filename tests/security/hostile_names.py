"""Names that try to break out of where they are shown: of terminals, of label values, of lines, of paths."""

from __future__ import annotations

NAMES = {
    "clear screen": "a\x1b[2J\x1b[Hb",
    "title": "a\x1b]0;owned\x07b",
    "link": "a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\",
    "answerback": "a\x1b[c\x05b",
    "c1 csi": "a\x9b2Jb",
    "c1 osc": "a\x9d0;owned\x9cb",
    "bell and backspace": "a\x07\x08\x7fb",
    "new line": "a\nwasmtrace: forged\nb",
    "carriage return": "a\rforged",
    "line separators": "a\u2028b\u2029c\x0bd\x0ce\x85f",
    "right to left": "a\u202eevil\u202cb",
    "isolates": "a\u2066b\u2069\u200f\u061c",
    "invisible": "a\u200b\u200d\ufeff\u00ad\U000e0041b",
    "not assigned": "a\u0378\ue000\uffff\U0010fffeb",
    "quote": 'a"} 1\nforged_total{x="',
    "backslash": 'a\\"b\\\\n\\',
    "braces": "a{b}c,d=e",
    "markup": "[bold red]a[/] [link=http://x]b[/link] :smile:",
    "html": "</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "percent": "%s%n%(x)s{0}{x.__class__}$x`x`$(x)",
    "path": "../../../../etc/passwd",
    "combining": "a" + "\u0301" * 500,
    "long": "x" * 10_000,
    "long escapes": "\x1b[31m" * 2_000,
    "other": "(other)",
    "empty": "",
}


def is_harmless(text: str) -> bool:
    """Whether a terminal shows these lines and obeys nothing in them."""
    return all(line.isprintable() for line in text.split("\n"))


def quoted(name: str) -> str:
    """The name as a string of the text format."""
    return '"' + "".join(f"\\{byte:02x}" for byte in name.encode()) + '"'


def name_section(names: dict[int, bytes]) -> bytes:
    """A custom section that names functions; bytes need not be UTF-8."""
    entries = b"".join(_u32(index) + _u32(len(name)) + name for index, name in sorted(names.items()))
    functions = _u32(len(names)) + entries
    return custom_section(b"name", b"\x01" + _u32(len(functions)) + functions)


def custom_section(name: bytes, payload: bytes) -> bytes:
    content = _u32(len(name)) + name + payload
    return b"\x00" + _u32(len(content)) + content


def _u32(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
