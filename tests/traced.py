"""Runs a `Program` under wasmtrace, from Python: what `plain.py` does without."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from programs import Kind, Program, Result
from wasmtrace import Directory, Instance, Level, Outcome, Runtime, RuntimeConfig, Sandbox, Snapshot


class TracedGuest:
    """One instance of a program under wasmtrace; a `programs.Guest` for the drivers of libraries."""

    def __init__(self, runtime: Runtime, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        (folder / "stdin").write_bytes(program.stdin)
        self.sandbox = Sandbox(
            args=(program.name, *program.args),
            env=program.env,
            dirs=[Directory(each.host, each.guest, each.read_only) for each in program.dirs(self.work)],
            stdin=folder / "stdin",
            stdout=folder / "stdout",
            stderr=folder / "stderr",
        )
        self.runtime = runtime
        self.loaded = runtime.load(program.path, program.name)
        self.instance: Instance | None = None

    def call(self, export: str, *args: int) -> int:
        assert self.instance is not None
        value = self.instance.call(export, *args)
        return 0 if value is None else int(value)

    def read(self, offset: int, length: int) -> bytes:
        assert self.instance is not None
        return self.instance.read_memory(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        assert self.instance is not None
        self.instance.write_memory(offset, data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.instance is not None:
            self.instance.close()


def run_traced(program: Program, level: Level, **settings: Any) -> tuple[Result, Snapshot]:
    """What the program gave, and what wasmtrace saw. Compiled code is kept, as it is for a user."""
    unknown_imports: Literal["error", "trap"] = "trap" if program.unknown_imports else "error"
    config = RuntimeConfig(level=level, fuel=False, unknown_imports=unknown_imports, **settings)
    with tempfile.TemporaryDirectory(prefix="wasmtrace-") as name, Runtime(config) as runtime:
        folder = Path(name)
        with TracedGuest(runtime, program, folder) as guest:
            exit_code, value, snapshot = _run(guest)
        result = Result(
            stdout=(folder / "stdout").read_bytes(),
            stderr=(folder / "stderr").read_bytes(),
            exit_code=exit_code,
            files=program.left_in(guest.work),
            value=value,
        )
        return result, snapshot


def _run(guest: TracedGuest) -> tuple[int, bytes, Snapshot]:
    program = guest.program
    if program.drive is None:
        invoke = None if program.kind is Kind.COMMAND else program.entry
        result = guest.runtime.run(guest.loaded, guest.sandbox, invoke=invoke)
        assert result.outcome in (Outcome.RETURNED, Outcome.EXITED), (result.error, result.snapshot.trap)
        code = result.exit_code if result.exit_code is not None else 0
        return int(result.values[0]) if result.values else code, b"", result.snapshot
    guest.instance = guest.runtime.instantiate(guest.loaded, guest.sandbox)
    value = program.drive(guest)
    return 0, value, guest.instance.snapshot()
