"""A file that is either written whole or not at all.

`OutputFile` opens when it is made, so that a path that cannot be written is known before the guest starts. A
regular file is written beside its target and renamed over it. What is not a regular file (a terminal, a pipe,
`/dev/null`) is written directly. `-`, `/dev/stdout` and the like are the descriptor that this process has, at
its present offset: opening them by name would start at offset 0 and spoil what the guest wrote there.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from types import TracebackType

from wasmtrace.errors import ExportError
from wasmtrace.exporters.text import printable

_OWN_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_NAMED_DESCRIPTORS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_WRITE = os.O_WRONLY | os.O_CLOEXEC


class OutputFile:
    """One file to be written; ends with `commit` or `discard`. As a context manager it discards at its end.

    Raises: `ExportError`, from the constructor and from `commit`, that names the path and the reason.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._temporary: str | None = None
        self._target: str | None = None
        self._mode: int | None = None
        try:
            self._descriptor: int | None = self._open()
        except (OSError, ValueError) as error:
            raise self._failed(error) from error

    def commit(self, data: bytes) -> None:
        """Write the data and give it the target's name. When this fails, an old file is as it was."""
        if self._descriptor is None:
            raise ExportError(f"cannot write {self._shown()}: already closed")
        try:
            self._write(self._descriptor, data)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Close, and leave nothing behind. Does nothing the second time, or after `commit`."""
        descriptor, self._descriptor = self._descriptor, None
        temporary, self._temporary = self._temporary, None
        with contextlib.suppress(OSError):
            if descriptor is not None:
                os.close(descriptor)
        with contextlib.suppress(OSError):
            if temporary is not None:
                os.unlink(temporary)

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _open(self) -> int:
        if not self.path:
            raise ValueError("empty path")
        own = own_descriptor(self.path)
        if own is not None:
            return os.dup(own)
        target = os.path.realpath(self.path)
        try:
            mode = os.stat(target).st_mode
        except FileNotFoundError:
            return self._open_beside(target)
        if not stat.S_ISREG(mode):
            return open_special(target)
        os.close(os.open(target, _WRITE))  # a file that must not be written is not replaced either
        self._mode = stat.S_IMODE(mode)
        return self._open_beside(target)

    def _open_beside(self, target: str) -> int:
        folder, name = os.path.split(target)
        temporary = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, _WRITE | os.O_CREAT | os.O_EXCL, 0o666)
        self._temporary, self._target = temporary, target
        return descriptor

    def _write(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if self._temporary is None or self._target is None:
            return
        if self._mode is not None:
            os.fchmod(descriptor, self._mode)
        os.fsync(descriptor)
        os.replace(self._temporary, self._target)
        self._temporary = None
        _sync_folder(os.path.dirname(self._target))

    def _failed(self, error: Exception) -> ExportError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return ExportError(f"cannot write {self._shown()}: {reason.lower()}")

    def _shown(self) -> str:
        return printable(self.path) or "''"


def own_descriptor(path: str) -> int | None:
    if path in _NAMED_DESCRIPTORS:
        return _NAMED_DESCRIPTORS[path]
    match = _OWN_DESCRIPTOR.fullmatch(path)
    return None if match is None else int(match[1] or match[2])


def open_special(target: str) -> int:
    """Open a device or a fifo; a fifo that nobody reads is an error at once, not a wait without end."""
    descriptor = os.open(target, _WRITE | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _sync_folder(folder: str) -> None:
    """Make the rename last over a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
