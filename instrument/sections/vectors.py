"""A section's "count, then items": read once here, and added to once here.

Spec: binary/conventions.html#lists
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.reader import Reader

T = TypeVar("T")
_MOST_COUNT_BYTES = 5


def read_count(reader: Reader, *, least_item_bytes: int = 1) -> int:
    """The count of a list, checked against the bytes that are left.

    Raises: DecodeError COUNT_TOO_LARGE: nothing is ever sized by a count that the bytes cannot hold.
    """
    offset = reader.position
    count = reader.read_u32()
    if count * least_item_bytes > reader.end - reader.position:
        raise DecodeError(
            DecodeCode.COUNT_TOO_LARGE,
            f"expected at most {(reader.end - reader.position) // least_item_bytes} items, got {count}",
            offset=offset,
        )
    return count


def read_list(reader: Reader, read_item: Callable[[Reader], T], *, least_item_bytes: int = 1) -> list[T]:
    """The items of a section; an error inside of one says which."""
    items: list[T] = []
    for index in range(read_count(reader, least_item_bytes=least_item_bytes)):
        try:
            items.append(read_item(reader))
        except DecodeError as error:
            if error.index is None:
                error.index = index
            raise
    return items


def expect_end(reader: Reader) -> None:
    """Raises DecodeError SECTION_SIZE if bytes are left over after the last item."""
    if reader.position != reader.end:
        raise DecodeError(
            DecodeCode.SECTION_SIZE,
            f"expected the end of the section, got {reader.end - reader.position} more bytes",
            offset=reader.position,
        )


def with_items_added(payload: memoryview, items: Sequence[bytes]) -> list[bytes | memoryview]:
    """A section's payload, in pieces, with `items` after its own; the old items keep their bytes and their indices."""
    if not items:
        return [payload]
    if not payload:
        return [encode_u32(len(items)), *items]
    reader = Reader(bytes(payload[:_MOST_COUNT_BYTES]))
    count = reader.read_u32()
    return [encode_u32(count + len(items)), payload[reader.position :], *items]
