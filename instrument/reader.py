"""A position in the bytes of a module, and the values that the binary format is made of.

- Offsets are absolute (from module start), in a window too; nothing is read past the window's end.
- Each `read_*` moves only if it succeeds, and raises nothing but DecodeError.
- An end of bytes is reported at the first byte that is missing, a bad number or text at where it stands.

Spec: `binary/values.html`.
"""

from __future__ import annotations

from wasmtrace.errors import DecodeCode, DecodeError


class Reader:
    """Reads `data[start:end]`; `position` is the offset of the next byte."""

    __slots__ = ("data", "end", "position", "start")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self.data = data
        self.start = start
        self.end = len(data) if end is None else end
        self.position = start
        assert 0 <= start <= self.end <= len(data), f"window {start}..{end} of {len(data)} bytes"

    def at_end(self) -> bool:
        """Whether the window has no more bytes."""
        return self.position == self.end

    def window(self, size: int) -> Reader:
        """A reader of the next `size` bytes, over which this one moves.

        Raises: DecodeError UNEXPECTED_END if fewer are left.
        """
        start = self.position
        self._move(size)
        return Reader(self.data, start, start + size)

    def read_byte(self) -> int:
        """Raises: DecodeError UNEXPECTED_END."""
        position = self.position
        if position >= self.end:
            raise self._unexpected_end("a byte")
        self.position = position + 1
        return self.data[position]

    def read_bytes(self, size: int) -> bytes:
        """Raises: DecodeError UNEXPECTED_END."""
        start = self.position
        self._move(size)
        return self.data[start : start + size]

    def skip(self, size: int) -> None:
        """Raises: DecodeError UNEXPECTED_END."""
        self._move(size)

    def read_name(self) -> str:
        """A length and that many bytes of UTF-8.

        Raises: DecodeError, BAD_UTF8 at the first byte that is wrong.
        Spec: `binary/values.html#names`.
        """
        before = self.position
        size = self.read_u32()
        start = self.position
        try:
            return self.read_bytes(size).decode()
        except UnicodeDecodeError as error:
            self.position = before
            raise DecodeError(
                DecodeCode.BAD_UTF8, f"expected UTF-8, got {error.reason}", offset=start + error.start
            ) from None
        except DecodeError:
            self.position = before
            raise

    def read_u32(self) -> int:
        """Raises: DecodeError UNEXPECTED_END, LEB_TOO_LONG, LEB_TOO_LARGE, as all LEB128 reads."""
        position, end, data = self.position, self.end, self.data
        if position < end and (byte := data[position]) < 0x80:
            self.position = position + 1
            return byte
        if position + 1 < end and (second := data[position + 1]) < 0x80:
            self.position = position + 2
            return byte & 0x7F | second << 7
        return self._read_long_unsigned(32)

    def read_u64(self) -> int:
        """One to ten bytes."""
        position = self.position
        if position < self.end and (byte := self.data[position]) < 0x80:
            self.position = position + 1
            return byte
        return self._read_long_unsigned(64)

    def read_s32(self) -> int:
        """One to five bytes."""
        return self._read_signed(32)

    def read_s33(self) -> int:
        """One to five bytes: a type index, or a negative number that stands for an abstract type."""
        return self._read_signed(33)

    def read_s64(self) -> int:
        """One to ten bytes."""
        return self._read_signed(64)

    def _read_signed(self, bits: int) -> int:
        position = self.position
        if position < self.end and (byte := self.data[position]) < 0x80:
            self.position = position + 1
            return byte - 0x80 if byte & 0x40 else byte
        return self._read_long_signed(bits)

    def _read_long_unsigned(self, bits: int) -> int:
        start = self.position
        value, _ = self._read_groups(bits)
        if value >> bits:
            raise self._too_large(start, f"u{bits}")
        return value

    def _read_long_signed(self, bits: int) -> int:
        start = self.position
        value, width = self._read_groups(bits)
        if value >> (width - 1):
            value -= 1 << width
        # The unused bits of the last byte repeat the sign exactly if the value is in range.
        if not -1 << (bits - 1) <= value < 1 << (bits - 1):
            raise self._too_large(start, f"s{bits}")
        return value

    def _read_groups(self, bits: int) -> tuple[int, int]:
        """The 7-bit groups of a number as one integer, and how many bits they are.

        As many bytes as `bits` can need are legal even if fewer would do: linkers pad to five.
        """
        start = self.position
        value = width = 0
        for position in range(start, start + -(-bits // 7)):
            if position >= self.end:
                raise self._unexpected_end("the rest of a LEB128 integer")
            byte = self.data[position]
            value |= (byte & 0x7F) << width
            width += 7
            if byte < 0x80:
                self.position = position + 1
                return value, width
        raise DecodeError(
            DecodeCode.LEB_TOO_LONG,
            f"expected at most {-(-bits // 7)} bytes of LEB128, got more",
            offset=start,
        )

    def _move(self, size: int) -> None:
        assert size >= 0, f"cannot read {size} bytes"
        if size > self.end - self.position:
            raise self._unexpected_end(f"{size} bytes")
        self.position += size

    def _too_large(self, start: int, kind: str) -> DecodeError:
        self.position = start
        return DecodeError(DecodeCode.LEB_TOO_LARGE, f"expected a {kind}, got unused bits that are set", offset=start)

    def _unexpected_end(self, expected: str) -> DecodeError:
        return DecodeError(
            DecodeCode.UNEXPECTED_END,
            f"expected {expected}, got {self.end - self.position} more bytes",
            offset=self.end,
        )
