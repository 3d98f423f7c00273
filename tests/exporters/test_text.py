from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_made import HOSTILE_NAMES
from wasmtrace.exporters.text import capped, printable, shorten, valid_unicode

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))

PRINTABLE_CASES = {
    "plain": ("main", "main"),
    "empty": ("", ""),
    "space": ("operator new(unsigned long)", "operator new(unsigned long)"),
    "letters": ("größe_漢字_λ", "größe_漢字_λ"),
    "escape": ("\x1b[31mred", "\\x1b[31mred"),
    "c1-csi": ("\x9b2J", "\\x9b2J"),
    "newline": ("a\nb\rc", "a\\x0ab\\x0dc"),
    "line-separator": ("a\u2028b", "a\\u2028b"),
    "tab-nul-del": ("\t\0\x7f", "\\x09\\x00\\x7f"),
    "bidi-override": ("a\u202eb", "a\\u202eb"),
    "surrogate": ("a\udc80", "a\\udc80"),
    "zero-width": ("a\u200bb", "a\\u200bb"),
    "tag": ("a\U000e0041", "a\\U000e0041"),
    "unassigned": ("\U0010ffff", "\\U0010ffff"),
}


@pytest.mark.parametrize(("text", "shown"), PRINTABLE_CASES.values(), ids=PRINTABLE_CASES)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_printable_of_anything_is_visible_utf8(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


SHORTEN_CASES = {
    "fits": ("abcdef", 6, "abcdef"),
    "one-too-much": ("abcdefg", 6, "ab...g"),
    "odd": ("abcdefghij", 7, "ab...ij"),
    "least": ("abcdefghij", 0, "a...j"),
}


@pytest.mark.parametrize(("text", "length", "short"), SHORTEN_CASES.values(), ids=SHORTEN_CASES)
def test_shorten(text: str, length: int, short: str) -> None:
    assert shorten(text, length) == short


@given(ANY_TEXT, st.integers(5, 60))
def test_shorten_keeps_the_length(text: str, length: int) -> None:
    assert len(shorten(text, length)) == min(len(text), length)


def test_capped_keeps_long_names_apart() -> None:
    first, second = capped("x" * 300 + "a", 200), capped("x" * 300 + "b", 200)
    assert (len(first), len(second), first[:187]) == (200, 200, "x" * 187)
    assert first != second
    assert capped("x" * 200, 200) == "x" * 200


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_valid_unicode_changes_surrogates_only(name: str) -> None:
    valid = valid_unicode(name)
    assert [char for char in valid if char != "\ufffd"] == [c for c in name if not "\ud800" <= c <= "\udfff"]
    assert valid.encode().decode() == valid
