"""The guest's standard output and error, passed on byte for byte, and told line by line.

Imports nothing: it is there before OpenTelemetry is.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wasmtrace.exporters.text import printable

LONGEST_LINE = 16 * 1024
"""In bytes; a longer line comes in pieces."""


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line that the guest wrote, without its end, or a piece of one that is too long."""

    stream: str
    """`stdout` or `stderr`."""
    text: bytes
    at_unix_ns: int
    part: int
    """Counts the pieces of a line, from 0."""


class LineSplitter:
    """Cuts a stream of bytes into lines, however they come. Holds less than one piece of a line."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = b""
        self._part = 0

    def feed(self, data: bytes) -> list[tuple[bytes, int]]:
        """The lines that ended, each with the number of its piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[tuple[bytes, int]] = []
        for line in lines:
            line = self._cut(line, found)
            found.append((line.removesuffix(b"\r"), self._part))
            self._part = 0
        self._rest = self._cut(self._rest, found)
        return found

    def end(self) -> list[tuple[bytes, int]]:
        """What came after the last line's end."""
        rest, self._rest = self._rest, b""
        return [(rest, self._part)] if rest else []

    def _cut(self, line: bytes, found: list[tuple[bytes, int]]) -> bytes:
        """Puts the pieces of a line that is too long, and gives the last; none ends within a character."""
        start = 0
        while len(line) - start > self._longest:
            end = start + self._longest
            back = next((back for back in range(4) if line[end - back] & 0xC0 != 0x80), 0)
            found.append((line[start : end - back], self._part))
            self._part += 1
            start = end - back
        return line[start:]


class OutputTap:
    """Takes what the guest writes to one stream, as `Sandbox` wants it: writes it, then tells its lines."""

    def __init__(
        self,
        stream: str,
        descriptor: int,
        tell: Callable[[Sequence[OutputLine]], None],
        *,
        write: Callable[[int, memoryview], int] = os.write,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._stream = stream
        self._descriptor = descriptor
        self._tell = tell
        self._write = write
        self._now_ns = now_ns
        self._splitter = LineSplitter()
        self._lock = threading.Lock()

    def __call__(self, data: bytes) -> int:
        """The number of bytes, all of which were written, or the error, negative, for the guest to see."""
        failure = 0
        done = 0
        with memoryview(data) as view:
            while done < len(data) and not failure:
                try:
                    done += self._write(self._descriptor, view[done:])
                except OSError as error:
                    failure = error.errno or errno.EIO
        with self._lock:
            self._told(self._splitter.feed(data[:done]))
        return -failure if failure else done

    def end(self) -> None:
        """Tells what came after the last line's end."""
        with self._lock:
            self._told(self._splitter.end())

    def _told(self, lines: list[tuple[bytes, int]]) -> None:
        if lines:
            now_ns = self._now_ns()
            self._tell([OutputLine(self._stream, text, now_ns, part) for text, part in lines])


def shown(text: bytes) -> str:
    """A line as text, tabs kept: what is no UTF-8 as U+FFFD, control characters as escapes."""
    return "\t".join(printable(piece) for piece in text.decode("utf-8", "replace").split("\t"))
