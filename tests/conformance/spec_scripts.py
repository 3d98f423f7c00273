"""The specification's scripts, read in place from the archive."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VARIABLE = "WASMTRACE_SPECTEST"
DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "spectest" / "spectest.zip"

Command = dict[str, Any]
"""One command of `wasm-tools json-from-wast`."""


def archive_path() -> Path:
    """Where the archive is, or would be."""
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def missing_reason() -> str | None:
    """Why there are no scripts to run, None if there are."""
    path = archive_path()
    return None if path.is_file() else f"no specification tests: {path} is not there (see {VARIABLE})"


@cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(archive_path())


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its commands, and the files that they name."""

    name: str
    commands: tuple[Command, ...]

    def file(self, filename: str) -> bytes:
        return _archive().read(f"{self.name}/{filename}")


def script_names() -> list[str]:
    """All scripts of the archive, sorted; none if there is no archive."""
    if missing_reason() is not None:
        return []
    return sorted(name.split("/")[0] for name in _archive().namelist() if name.endswith(".json"))


def load_script(name: str) -> Script:
    loaded = json.loads(_archive().read(f"{name}/{name}.json"))
    return Script(name, tuple(loaded["commands"]))
