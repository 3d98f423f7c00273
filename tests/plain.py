"""Runs a `Program` in wasmtime with nothing in between: what every result and every time is compared with."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wasmtime import (
    Config,
    Engine,
    ExitTrap,
    Func,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    WasiConfig,
)

from programs import Kind, Program, Result


class PlainGuest:
    """One instance of a program, ready for `run`; a `programs.Guest` for the drivers of libraries.

    `folder` is an empty directory of its own: the guest's /work and the captured streams are in it.
    """

    def __init__(self, program: Program, engine: Engine, module: Module, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.store = Store(engine)
        self.store.set_wasi(self._wasi())
        linker = Linker(engine)
        linker.define_wasi()
        if program.unknown_imports:
            linker.define_unknown_imports_as_traps(module)
        self.instance: Instance = linker.instantiate(self.store, module)
        self.exports = self.instance.exports(self.store)

    def _wasi(self) -> WasiConfig:
        program, work = self.program, self.folder / "work"
        work.mkdir()
        (self.folder / "stdin").write_bytes(program.stdin)
        wasi = WasiConfig()
        wasi.argv = [program.name, *program.args]
        wasi.env = list(program.env.items())
        wasi.stdin_file = str(self.folder / "stdin")
        wasi.stdout_file = str(self.folder / "stdout")
        wasi.stderr_file = str(self.folder / "stderr")
        for mount in program.dirs(work):
            wasi.preopen_dir(str(mount.host), mount.guest, not mount.read_only)
        return wasi

    def call(self, export: str, *args: int) -> int:
        function = self.exports[export]
        assert isinstance(function, Func)
        value = function(self.store, *args)
        return 0 if value is None else int(value)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._memory().read(self.store, offset, offset + length))

    def write(self, offset: int, data: bytes) -> None:
        self._memory().write(self.store, data, offset)

    def _memory(self) -> Memory:
        memory = self.exports["memory"]
        assert isinstance(memory, Memory)
        return memory

    def initialize(self) -> None:
        """What a host does once before it calls a library or a reactor."""
        if self.program.kind is not Kind.COMMAND and self.exports.get("_initialize") is not None:
            self.call("_initialize")

    def run(self) -> tuple[int, bytes]:
        """Does the program's work, and nothing else: exit code and the driver's value. To be timed."""
        try:
            if self.program.drive is not None:
                return 0, self.program.drive(self)
            return self.call(self.program.entry), b""
        except ExitTrap as end:
            return end.code, b""

    def finish(self, exit_code: int, value: bytes) -> Result:
        """Closes the instance, so that the streams are whole, and collects what it left."""
        del self.exports, self.instance
        self.store.close()
        return Result(
            stdout=(self.folder / "stdout").read_bytes(),
            stderr=(self.folder / "stderr").read_bytes(),
            exit_code=exit_code,
            files=self.program.left_in(self.folder / "work"),
            value=value,
        )


def cached_engine() -> Engine:
    """An engine that keeps compiled code on disk: a large program takes minutes the first time only."""
    config = Config()
    config.cache = True
    return Engine(config)


def run_plain(program: Program, engine: Engine | None = None) -> Result:
    """The result of one run in a fresh instance. Raises `Missing`, or the engine's own errors for a trap."""
    engine = engine or (cached_engine() if program.large else Engine())
    module = Module.from_file(engine, str(program.path))
    with tempfile.TemporaryDirectory(prefix="wasmtrace-") as folder:
        guest = PlainGuest(program, engine, module, Path(folder))
        guest.initialize()
        return guest.finish(*guest.run())
