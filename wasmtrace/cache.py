"""Keeps rewritten modules on disk. A cache that cannot be read or written is no cache, never a failure.

One file for each key: magic, lengths, SHA-256 of what follows, the site table as JSON, the rewritten module.
Files are written aside and renamed, so that two processes at once each see a whole file. What is damaged, or
could have been written by somebody else, is not trusted: it is built again.

The directory comes from the caller: nothing here reads the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wasmtrace.layout import VERSION as LAYOUT_VERSION
from wasmtrace.sites import SiteTable

_MAGIC = b"WTCACHE\x01"
_HEADER = struct.Struct("<8sQQ32s")
"""Magic, bytes of the site table, bytes of the module, SHA-256 of both."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A link is not followed, a pipe not waited for."""
_FORBIDDEN = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What the cache keeps."""

    wasm: bytes
    sites: SiteTable


def cache_key(module_sha256: str, settings: Mapping[str, object], version: str) -> str:
    """What decides about the outcome of a rewriting, as a file name."""
    parts = {
        "module": module_sha256,
        "settings": dict(settings),
        "version": version,
        "layout": LAYOUT_VERSION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class RewriteCache:
    """The cache in one directory, which is made when it is first written to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}.wtc"

    def load(self, key: str) -> Rewritten | None:
        """What was stored, or None if there is nothing that can be trusted."""
        try:
            descriptor = os.open(self._path(key), _OPEN)
        except OSError:
            return None
        try:
            with open(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if not (stat.S_ISREG(status.st_mode) and _is_ours(status) and _is_ours(os.stat(self._directory))):
                    return None
                return _decode(file.read())
        except (OSError, MemoryError):
            return None

    def store(self, key: str, rewritten: Rewritten) -> bool:
        """Whether it could be stored."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(os.stat(self._directory)):
                return False
            return self._write(key, _encode(rewritten))
        except OSError:
            return False

    def _write(self, key: str, data: bytes) -> bool:
        import tempfile  # it costs 8 ms, and a warm start does not write

        descriptor, aside = tempfile.mkstemp(dir=self._directory, prefix=".new-")
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(aside, self._path(key))
        except OSError:
            os.unlink(aside)
            return False
        return True


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _FORBIDDEN


def _encode(rewritten: Rewritten) -> bytes:
    table = json.dumps(rewritten.sites.as_json(), separators=(",", ":")).encode()
    digest = hashlib.sha256(table)
    digest.update(rewritten.wasm)
    return _HEADER.pack(_MAGIC, len(table), len(rewritten.wasm), digest.digest()) + table + rewritten.wasm


def _decode(data: bytes) -> Rewritten | None:
    if len(data) < _HEADER.size:
        return None
    magic, table_bytes, wasm_bytes, digest = _HEADER.unpack_from(data)
    if magic != _MAGIC or len(data) != _HEADER.size + table_bytes + wasm_bytes:
        return None
    content = memoryview(data)[_HEADER.size :]
    if hashlib.sha256(content).digest() != digest:
        return None
    try:
        sites = SiteTable.from_json(json.loads(bytes(content[:table_bytes])))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return Rewritten(bytes(content[table_bytes:]), sites)
