"""How much native stack the calling thread has: the guest runs on it, and overflowing it ends the process.

The engine stops the guest at its own limit, but trusts the caller that the thread's stack is larger than
that.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from wasmtrace.runtime.threads import start_daemon

HOST_MARGIN_BYTES = 1 << 20
"""For the engine itself, and for Python in host functions."""
_ATTRIBUTES_BYTES = 256
"""More than any `pthread_attr_t`."""

_known = threading.local()
_creating = threading.Lock()


def stack_bytes() -> int:
    """The size of this thread's whole stack, 0 if the platform does not say."""
    size: int | None = getattr(_known, "size", None)
    if size is None:
        size = _known.size = _ask_platform()
    return size


def _ask_platform() -> int:
    try:
        library = ctypes.CDLL(None)
        this_thread = library.pthread_self
        this_thread.restype = ctypes.c_void_p
        attributes = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
        if library.pthread_getattr_np(ctypes.c_void_p(this_thread()), attributes):
            return 0
        address, size = ctypes.c_void_p(), ctypes.c_size_t()
        found = library.pthread_attr_getstack(attributes, ctypes.byref(address), ctypes.byref(size))
        library.pthread_attr_destroy(attributes)
    except (OSError, AttributeError):
        return 0
    return 0 if found else size.value


def has_room(engine_stack_bytes: int) -> bool:
    """Whether this thread's stack is large enough for a guest with that limit."""
    return stack_bytes() >= engine_stack_bytes + HOST_MARGIN_BYTES


def start_thread(target: Callable[[], Any], *, name: str, engine_stack_bytes: int) -> threading.Thread:
    """Starts a daemon thread whose stack is large enough for a guest with that limit."""
    with _creating:
        # The size holds for the whole process: set it for the moment of creation only.
        previous = threading.stack_size(_rounded(engine_stack_bytes + 2 * HOST_MARGIN_BYTES))
        try:
            return start_daemon(target, name)
        finally:
            threading.stack_size(previous)


def _rounded(size: int) -> int:
    return -(-size // 65536) * 65536
