"""How much address space the process may still take: with too little of it the engine ends the process wherever an
allocation happens to fail, so it is looked at before the engine is asked for anything."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from wasmtrace.errors import GuestError

MEMORY_RESERVATION_BYTES = (4 << 30) + (64 << 20)
"""What the engine reserves for each linear memory, with the guards around it; the smallest run has one."""
WORKING_BYTES = 256 << 20
"""For the engine's own tables and threads: to compile a small program."""
_STATM = Path("/proc/self/statm")


def check_address_space() -> None:
    """Raises `GuestError` if the limit of the process (`ulimit -v`, RLIMIT_AS) leaves no room for any guest."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or sys.maxsize < 1 << 32:
        return
    needed = _used_bytes() + MEMORY_RESERVATION_BYTES + WORKING_BYTES
    if limit < needed:
        raise GuestError(
            f"too little address space for the memory of a guest: at least {needed >> 20} MiB, "
            f"the limit of this process (ulimit -v) is {limit >> 20} MiB"
        )


def _used_bytes() -> int:
    """0 where the platform does not say."""
    try:
        pages = int(_STATM.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
