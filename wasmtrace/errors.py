"""Every error that wasmtrace raises on purpose, and the codes that tests and callers match on.

Messages are one line: what was expected, what came, where. Lower case, no full stop.
"""

from __future__ import annotations

from enum import Enum


class WasmtraceError(Exception):
    """Base of all errors raised on purpose; the CLI prints it as one line and exits with `exit_code`."""

    exit_code = 1


class DecodeCode(Enum):
    """Why a module could not be decoded."""

    BAD_MAGIC = "bad-magic"
    BAD_VERSION = "bad-version"
    UNEXPECTED_END = "unexpected-end"
    LEB_TOO_LONG = "leb-too-long"
    LEB_TOO_LARGE = "leb-too-large"
    BAD_SECTION_ID = "bad-section-id"
    SECTION_ORDER = "section-order"
    SECTION_SIZE = "section-size"
    COUNT_TOO_LARGE = "count-too-large"
    COUNT_MISMATCH = "count-mismatch"
    BAD_TYPE = "bad-type"
    BAD_KIND = "bad-kind"
    BAD_FLAGS = "bad-flags"
    BAD_UTF8 = "bad-utf8"
    BAD_OPCODE = "bad-opcode"
    BAD_INDEX = "bad-index"
    BAD_BODY = "bad-body"


class DecodeError(WasmtraceError):
    """The bytes are not a well-formed module; `code` and `offset` (from module start) say why and where."""

    def __init__(
        self,
        code: DecodeCode,
        message: str,
        *,
        offset: int,
        section: str | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.section = section
        self.index = index

    def __str__(self) -> str:
        place = [] if self.section is None else [f"{self.section} section"]
        if self.index is not None:
            place.append(f"item {self.index}")
        place.append(f"at {self.offset:#x}")
        return f"{self.message} ({', '.join(place)})"


class UnsupportedError(WasmtraceError):
    """The module is well-formed, but needs something that wasmtrace or its engine does not support."""


class InstrumentError(WasmtraceError):
    """The module cannot be rewritten as asked."""


class GuestError(WasmtraceError):
    """The guest cannot be loaded, linked or called."""


class ExportError(WasmtraceError):
    """Telemetry could not be written or served; the guest's own result is not affected."""


class ReportError(WasmtraceError):
    """A file is not the report of a run, or not one that can be compared."""


class UsageError(WasmtraceError):
    """The command line or an argument of the API is wrong."""

    exit_code = 2
