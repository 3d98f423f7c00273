"""Where readings come from in a run: a session, its telemetry memory, its clock's face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wasmtrace.layout import CELL_BYTES, ERRNO_COUNT
from wasmtrace.runtime.anomaly.reading import Reading
from wasmtrace.runtime.anomaly.settings import AnomalyCallback, AnomalySettings
from wasmtrace.runtime.anomaly.watch import Watcher
from wasmtrace.runtime.clock import Face
from wasmtrace.runtime.telemetry import TelemetryMemory


@dataclass(frozen=True, slots=True)
class Watching:
    """What a session needs to be watched for anomalies; shared by those of one runtime."""

    watcher: Watcher
    settings: AnomalySettings
    callback: AnomalyCallback | None


class Observed(Protocol):
    """What is asked of a session. From any thread."""

    def now_us(self) -> int: ...

    def cpu_us(self) -> int: ...

    def host_calls_by_index(self) -> Mapping[int, int]: ...

    @property
    def running(self) -> bool: ...


class SessionReadings:
    """What the detector sees of a session, at the moment of asking. Any thread."""

    def __init__(self, session: Observed, memory: TelemetryMemory, face: Face) -> None:
        self._session = session
        self._memory = memory
        self._face = face
        layout = memory.layout
        self._calls = (layout.calls_offset, layout.function_count * CELL_BYTES)
        self._errnos = (layout.errno_offset, layout.errno_import_count * ERRNO_COUNT * CELL_BYTES)

    def reading(self) -> Reading:
        """Frames are read first: what was open then had not been counted out."""
        session, memory = self._session, self._memory
        running = session.running
        frames = memory.frames() if running else []
        return Reading(
            session.now_us(),
            memory.read_exact(*self._calls),
            memory.read_exact(*self._errnos),
            memory.grows(),
            memory.memory_pages(),
            frames,
            running,
            self._face.self_ns,
            session.host_calls_by_index(),
            session.cpu_us(),
        )
