"""Guest events as JSON lines, written while the guest runs.

One object a line: time (RFC 3339, UTC), function, raw_name, depth, arguments; `host` and `left_out` where they say
something. A name is JSON in ASCII, so a hostile one harms neither the file nor a terminal.

`encode_block` is fast: it asks for one template for each function and time, joins the templates, and formats the
whole block at once. `encode_event` is the plain one; tests compare them. Benchmark: `benchmarks/bench_events.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Self

from wasmtrace.errors import ExportError
from wasmtrace.exporters.files import open_special, own_descriptor
from wasmtrace.exporters.text import printable, valid_unicode
from wasmtrace.records import EventBlock, EventSource, GuestEvent

_CELLS = 4
_PIPE_BYTES = 4096
"""What a pipe that is ready to be written takes without waiting."""
_LOOK_SECONDS = 0.1
HURRY_SECONDS = 1.0


def rfc3339(unix_us: int) -> str:
    """Such as `2026-01-31T12:00:00.000001Z`."""
    seconds, us = divmod(unix_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us:06}Z"


class _Word(str):
    """A float that no number of JSON can be: shown as a string of JSON."""

    def __repr__(self) -> str:
        return f'"{self}"'


def _number(value: int | float) -> int | float | _Word:
    """What has the value's JSON as its `repr`."""
    if isinstance(value, int) or math.isfinite(value):
        return value
    return _Word("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")


def _head(source: EventSource, at_us: int, started_unix_ns: int) -> str:
    """The line up to its depth."""
    when = rfc3339(started_unix_ns // 1000 + at_us)
    name, raw_name = (json.dumps(valid_unicode(each)) for each in (source.function.name, source.function.raw_name))
    host = ',"host":true' if source.host else ""
    left_out = f',"left_out":{source.left_out}' if source.left_out else ""
    return f'{{"time":"{when}","function":{name},"raw_name":{raw_name}{host}{left_out},"depth":'


def encode_event(event: GuestEvent, source: EventSource, started_unix_ns: int) -> str:
    """One line, with its end."""
    arguments = ",".join(repr(_number(each)) for each in event.arguments)
    return f'{_head(source, event.at_us, started_unix_ns)}{event.depth},"arguments":[{arguments}]}}\n'


class _Templates(dict[int, str]):
    """By key of a row: what formats key, depth and four cells to a line; `%.0s` takes one without showing it."""

    def __init__(self, block: EventBlock) -> None:
        super().__init__()
        self._block = block

    def __missing__(self, key: int) -> str:
        source, at_us = self._block.describe(key)
        shown = ",".join("%d" if kind in "il" else "%r" for kind in source.kinds)
        head = _head(source, at_us, self._block.started_unix_ns).replace("%", "%%")
        template = f'%.0s{head}%d,"arguments":[{shown}]}}\n{"%.0s" * (_CELLS - len(source.kinds))}'
        self[key] = template
        return template


def encode_block(block: EventBlock) -> bytes:
    """The lines of a block."""
    templates = _Templates(block)
    text = "".join([templates[row[0]] for row in block.rows])
    values: tuple[int | float | str, ...] = tuple(chain.from_iterable(block.rows))
    if "%r" in text and not math.isfinite(sum(chain.from_iterable(block.rows))):
        values = tuple(map(_number, chain.from_iterable(block.rows)))
    return (text % values).encode("ascii")


class EventsFile:
    """Takes blocks of events, as `EventBlockSink`, and writes each at once. What cannot be written is counted.

    The file is emptied if it is there. `-` is standard output. A failed write is the last one: a full disk does not
    stop the guest. Raises: `ExportError` from the constructor, that names the path and the reason.
    """

    def __init__(self, path: str | os.PathLike[str], *, write: Callable[[int, memoryview], int] = os.write) -> None:
        self.path = os.fspath(path)
        self._write = write
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self.lost = 0
        """Events that were not written."""
        self.error: str | None = None
        """Why, in one line without the count."""
        try:
            self._descriptor: int | None = self._open()
        except (OSError, ValueError) as error:
            raise ExportError(f"cannot write {self._shown()}: {_reason(error)}") from error
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _open(self) -> int:
        if not self.path:
            raise ValueError("empty path")
        own = own_descriptor(self.path)
        if own is not None:
            return os.dup(own)
        target = os.path.realpath(self.path)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(target).st_mode):
                return open_special(target)
        return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def __call__(self, block: EventBlock) -> int:
        """Writes a block; how many of its events were lost."""
        count = len(block.rows)
        with self._lock:
            if self._descriptor is not None and self.error is None:
                data = encode_block(block)
                written = self._write_all(self._descriptor, data)
                count -= data.count(b"\n", 0, written)
            self.lost += count
        return count

    def _write_all(self, descriptor: int, data: bytes) -> int:
        """How many bytes of whole lines were written."""
        done = 0
        try:
            with memoryview(data) as view:
                while done < len(data):
                    done += self._write_some(descriptor, view[done:])
            return done
        except OSError as error:
            self.error = f"cannot write events to {self._shown()}: {_reason(error)}"
            whole = data.rfind(b"\n", 0, done) + 1
            if self._regular:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR) - (done - whole))
            return whole

    def _write_some(self, descriptor: int, view: memoryview) -> int:
        """To a pipe or a terminal not more than fits, so that `hurry` is heard while nobody reads."""
        if self._regular:
            return self._write(descriptor, view)
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        while not poll.poll(_LOOK_SECONDS * 1000):
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise TimeoutError(None, "nobody reads")
        return self._write(descriptor, view[:_PIPE_BYTES])

    def hurry(self) -> None:
        """From now on waits at most a second for whoever reads the pipe."""
        self._deadline = time.monotonic() + HURRY_SECONDS

    @property
    def complaint(self) -> str | None:
        """What to say of events that were lost, in one line."""
        if not self.lost:
            return None
        return (
            f"{self.error or f'cannot write events to {self._shown()}: already closed'}; {self.lost:,} events are lost"
        )

    def close(self) -> None:
        """Later blocks are lost. Does nothing the second time."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _shown(self) -> str:
        return printable(self.path) or "''"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
