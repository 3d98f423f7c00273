"""A guest that does whatever file operation the test asks for: each function of WASI, wrapped and exported."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from wasmtrace import Directory, Instance, Runtime, Sandbox

_SIGNATURES = {
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
    "path_create_directory": "i32 i32 i32",
    "path_unlink_file": "i32 i32 i32",
    "path_remove_directory": "i32 i32 i32",
    "path_rename": "i32 i32 i32 i32 i32 i32",
    "path_link": "i32 i32 i32 i32 i32 i32 i32",
    "path_symlink": "i32 i32 i32 i32 i32",
    "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_filestat_set_times": "i32 i32 i32 i32 i64 i64 i32",
    "fd_filestat_set_size": "i32 i64",
    "fd_filestat_set_times": "i32 i64 i64 i32",
    "fd_allocate": "i32 i64 i64",
    "fd_read": "i32 i32 i32 i32",
    "fd_write": "i32 i32 i32 i32",
    "fd_pwrite": "i32 i32 i32 i64 i32",
    "fd_prestat_get": "i32 i32",
    "environ_sizes_get": "i32 i32",
    "args_sizes_get": "i32 i32",
}
_FIRST, _SECOND, _VECTOR, _OUT, _DATA = 1024, 8192, 256, 512, 16384
OPEN_CREATE, OPEN_DIRECTORY, OPEN_EXCLUSIVE, OPEN_TRUNCATE = 1, 2, 4, 8
RIGHT_READ, RIGHT_WRITE = 1 << 1, 1 << 6
ALL_RIGHTS = (1 << 29) - 1
FOLLOW = 1
SET_BOTH_NOW = 2 | 8
PREOPENED = 3
"""The descriptor of the first directory that the guest is given."""


def _module() -> bytes:
    imports, functions = [], []
    for name, types in _SIGNATURES.items():
        arguments = " ".join(f"(local.get {each})" for each in range(len(types.split())))
        imports.append(f'(import "wasi_snapshot_preview1" "{name}" (func $wasi_{name} (param {types}) (result i32)))')
        functions.append(f'(func (export "{name}") (param {types}) (result i32) (call $wasi_{name} {arguments}))')
    return f'(module {" ".join(imports)} (memory (export "memory") 1) {" ".join(functions)})'.encode()


class WasiGuest:
    """The guest, with `folder` as its only directory. Each method gives WASI's error number, 0 if it worked."""

    def __init__(self, runtime: Runtime, folder: Path | None, *, read_only: bool = False) -> None:
        dirs = [] if folder is None else [Directory(folder, "/given", read_only)]
        self.instance: Instance = runtime.instantiate(runtime.load(_module(), "wasi"), Sandbox(dirs=dirs))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.instance.close()

    def call(self, name: str, *arguments: int) -> int:
        return int(self.instance.call(name, *arguments))

    def _put(self, offset: int, text: str) -> tuple[int, int]:
        data = text.encode()
        self.instance.write_memory(offset, data)
        return offset, len(data)

    def open(self, path: str, flags: int = 0, rights: int = RIGHT_READ, *, follow: int = FOLLOW) -> tuple[int, int]:
        """The error number, and the descriptor."""
        error = self.call("path_open", PREOPENED, follow, *self._put(_FIRST, path), flags, rights, rights, 0, _OUT)
        return error, self._number(_OUT)

    def _number(self, offset: int) -> int:
        return int.from_bytes(self.instance.read_memory(offset, 4), "little")

    def numbers(self, function: str) -> tuple[int, int]:
        """What a function that gives two numbers gives."""
        assert self.call(function, _OUT, _OUT + 4) == 0
        return self._number(_OUT), self._number(_OUT + 4)

    def read(self, descriptor: int) -> bytes | None:
        """The first bytes; None for an error."""
        self._vector(256)
        if self.call("fd_read", descriptor, _VECTOR, 1, _OUT):
            return None
        return self.instance.read_memory(_DATA, self._number(_OUT))

    def write(self, descriptor: int) -> int:
        self.instance.write_memory(_DATA, b"overwritten")
        self._vector(11)
        return self.call("fd_write", descriptor, _VECTOR, 1, _OUT)

    def _vector(self, length: int) -> None:
        self.instance.write_memory(_VECTOR, _DATA.to_bytes(4, "little") + length.to_bytes(4, "little"))

    def read_path(self, path: str) -> bytes | None:
        error, descriptor = self.open(path)
        return None if error else self.read(descriptor)

    def create(self, path: str) -> int:
        return self.open(path, OPEN_CREATE | OPEN_TRUNCATE, RIGHT_READ | RIGHT_WRITE)[0]

    def overwrite(self, path: str) -> int:
        """Opens for writing what is there and writes; the error of whatever fails first."""
        error, descriptor = self.open(path, 0, RIGHT_READ | RIGHT_WRITE)
        return error or self.write(descriptor)

    def truncate(self, path: str) -> int:
        return self.open(path, OPEN_TRUNCATE, RIGHT_READ | RIGHT_WRITE)[0]

    def resize(self, path: str) -> int:
        error, descriptor = self.open(path, 0, ALL_RIGHTS)
        return error or self.call("fd_filestat_set_size", descriptor, 1)

    def touch_descriptor(self, path: str) -> int:
        error, descriptor = self.open(path)
        return error or self.call("fd_filestat_set_times", descriptor, 0, 0, SET_BOTH_NOW)

    def touch(self, path: str) -> int:
        place = self._put(_FIRST, path)
        return self.call("path_filestat_set_times", PREOPENED, FOLLOW, *place, 0, 0, SET_BOTH_NOW)

    def stat(self, path: str) -> int:
        return self.call("path_filestat_get", PREOPENED, FOLLOW, *self._put(_FIRST, path), _OUT)

    def make_directory(self, path: str) -> int:
        return self.call("path_create_directory", PREOPENED, *self._put(_FIRST, path))

    def remove_directory(self, path: str) -> int:
        return self.call("path_remove_directory", PREOPENED, *self._put(_FIRST, path))

    def unlink(self, path: str) -> int:
        return self.call("path_unlink_file", PREOPENED, *self._put(_FIRST, path))

    def rename(self, old: str, new: str) -> int:
        return self.call("path_rename", PREOPENED, *self._put(_FIRST, old), PREOPENED, *self._put(_SECOND, new))

    def link(self, old: str, new: str) -> int:
        return self.call("path_link", PREOPENED, 0, *self._put(_FIRST, old), PREOPENED, *self._put(_SECOND, new))

    def symlink(self, target: str, name: str) -> int:
        return self.call("path_symlink", *self._put(_FIRST, target), PREOPENED, *self._put(_SECOND, name))
