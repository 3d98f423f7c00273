"""Whether the engine may keep compiled code on disk: it trusts what it finds there, and runs it as machine code.

The engine checks neither owner nor mode of its cache's directory, so that is done here before it is switched
on. A directory of an engine's own `config.toml` is the business of whoever wrote that file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def engine_cache_directory() -> Path | None:
    """Where the engine keeps its code by default; None if there is no home directory."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "wasmtime")
    try:
        return Path.home() / ".cache" / "wasmtime"
    except RuntimeError:
        return None


def is_private(directory: Path) -> bool:
    """Whether nobody else can change what is in the directory, which is made if it is not there.

    Every directory above must be root's or ours, and not be writable by others, unless they can only add to it
    (the sticky bit, as `/tmp` has). The group of the same number as the user is the user's own.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = Path(os.path.realpath(directory))
        return _only_ours(os.stat(real)) and all(_cannot_replace(os.stat(each)) for each in real.parents)
    except OSError:
        return False


def _only_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not _others_write(status)


def _cannot_replace(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid()) and bool(not _others_write(status) or status.st_mode & stat.S_ISVTX)


def _others_write(status: os.stat_result) -> bool:
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid
    return bool(by_group or status.st_mode & stat.S_IWOTH)
