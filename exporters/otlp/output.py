"""The guest's standard output and error, passed on byte for byte, and told line by line.

Imports nothing: it is there before OpenTelemetry is.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wasmtrace.exporters.text import printable

LONGEST_LINE = 16 * 1024
"""In bytes; a longer line comes in pieces."""
_READ_BYTES = 1 << 16


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


class OutputRelay:
    """Pipes that the guest writes to instead of our own streams; a thread passes on what comes, then tells its lines.

    What one stream gets, it gets whole and in order. Of two streams, what came at the same moment may change places.
    A stream of ours that takes no more ends its pipe, and the guest's writes fail then, as they would have without.
    """

    def __init__(
        self,
        targets: Mapping[str, int],
        tell: Callable[[Sequence[OutputLine]], None],
        *,
        write: Callable[[int, memoryview], int] = os.write,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tell = tell
        self._write = write
        self._now_ns = now_ns
        self._streams = {name: _Stream(name, target) for name, target in targets.items()}
        self._ending = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._work, name="wasmtrace-output", daemon=True)
        self._thread.start()

    def path(self, name: str) -> Path:
        """What the guest opens as that stream."""
        return Path(f"/proc/self/fd/{self._streams[name].write_end}")

    def end(self, seconds: float) -> bool:
        """The guest writes no more: whether all that it has written is passed on; waits for that at most so long."""
        if not self._ending:
            self._ending = True
            os.write(self._wake_write, b"x")
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        by_end = {each.read_end: each for each in self._streams.values()}
        for end in by_end:
            poll.register(end, select.POLLIN)
        ending = False
        while True:
            ready = [descriptor for descriptor, _ in poll.poll(0 if ending else None)]
            for descriptor in ready:
                stream = by_end.get(descriptor)
                if stream is None:
                    ending = True
                    poll.unregister(descriptor)
                elif not self._pass_on(stream):
                    poll.unregister(descriptor)
                    os.close(descriptor)
            if ending and not ready:
                break
        for stream in by_end.values():
            self._told(stream, stream.splitter.end())

    def _pass_on(self, stream: _Stream) -> bool:
        """Whether our stream takes more."""
        data = os.read(stream.read_end, _READ_BYTES)
        done = 0
        alive = bool(data)
        with memoryview(data) as view:
            while done < len(data) and alive:
                try:
                    done += self._write(stream.target, view[done:])
                except OSError:
                    alive = False
        self._told(stream, stream.splitter.feed(data[:done]))
        return alive

    def _told(self, stream: _Stream, lines: list[tuple[bytes, int]]) -> None:
        if lines:
            now_ns = self._now_ns()
            self._tell([OutputLine(stream.name, text, now_ns, part) for text, part in lines])


class _Stream:
    """One of the guest's streams."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.target = target
        self.splitter = LineSplitter()
        self.read_end, self.write_end = os.pipe()


def shown(text: bytes) -> str:
    """A line as text, tabs kept: what is no UTF-8 as U+FFFD, control characters as escapes."""
    return "\t".join(printable(piece) for piece in text.decode("utf-8", "replace").split("\t"))
