"""Starting the threads of the runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start_daemon(target: Callable[[], object], name: str) -> threading.Thread:
    """The thread, once it runs: who keeps it can join it. Raises RuntimeError if there is none to be had."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
