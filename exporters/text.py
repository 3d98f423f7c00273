"""Makes the guest's text fit to be shown: names and messages are hostile, a terminal obeys what it is sent.

`printable` is the only way from a guest's text to a terminal, a label or a log line.
"""

from __future__ import annotations

import hashlib


def printable(text: str) -> str:
    r"""The text with every character that is not a visible one (or a space) written as `\x1b`, `\u202e`.

    Such are control characters, escape sequences, line ends of all kinds, bidirectional overrides, invisible
    format characters, lone surrogates, and what Unicode does not know. Letters of all scripts stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def valid_unicode(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD: what UTF-8 can hold."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if _has_surrogate(text) else text


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def shorten(text: str, length: int) -> str:
    """The text in at most `length` characters (at least 5): what is too much is cut out of the middle."""
    length = max(length, 5)
    if len(text) <= length:
        return text
    head = (length - 3 + 1) // 2
    tail = length - 3 - head
    return text[:head] + "..." + text[len(text) - tail :]


def capped(text: str, length: int) -> str:
    """The text in at most `length` characters; a longer one ends in a hash, so that two stay two."""
    if len(text) <= length:
        return text
    suffix = fingerprint(text)
    return text[: length - len(suffix)] + suffix


def fingerprint(text: str) -> str:
    """A short suffix, `#` and 12 hexadecimal digits, that differs where the texts differ."""
    return "#" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
