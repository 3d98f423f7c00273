"""A file of lines that several threads write while the guest runs. Opened before OpenTelemetry is imported."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable

from wasmtrace.errors import ExportError
from wasmtrace.exporters.files import open_special, own_descriptor
from wasmtrace.exporters.text import printable


class LineFile:
    """Takes whole lines of all signals, from any thread. The file is emptied if it is there.

    After a write that failed, nothing more is written: a line is whole or not there. Raises: `ExportError` from the
    constructor, that names the path and the reason.
    """

    def __init__(self, path: str | os.PathLike[str], *, write: Callable[[int, memoryview], int] = os.write) -> None:
        self.path = os.fspath(path)
        self.error: str | None = None
        self._write = write
        self._lock = threading.Lock()
        try:
            self._descriptor: int | None = self._open()
        except (OSError, ValueError) as error:
            raise ExportError(f"cannot write {self._shown()}: {_reason(error)}") from error

    def _open(self) -> int:
        if not self.path:
            raise ValueError("empty path")
        own = own_descriptor(self.path)
        if own is not None:
            return os.dup(own)
        target = os.path.realpath(self.path)
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            return open_special(target)
        return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def write(self, line: bytes) -> bool:
        """Whether the line was written."""
        with self._lock:
            if self._descriptor is None or self.error is not None:
                return False
            done = 0
            try:
                with memoryview(line) as view:
                    while done < len(line):
                        done += self._write(self._descriptor, view[done:])
            except OSError as error:
                self.error = f"cannot write {self._shown()}: {_reason(error)}"
                self._cut(self._descriptor, done)
                return False
            return True

    @staticmethod
    def _cut(descriptor: int, length: int) -> None:
        """Takes back the beginning of a line that did not fit."""
        if length and stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR) - length)

    def close(self) -> None:
        """Does not wait for a write that hangs. Nothing the second time."""
        if not self._lock.acquire(timeout=1.0):
            return
        try:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)
        finally:
            self._lock.release()

    def _shown(self) -> str:
        return printable(self.path) or "''"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
