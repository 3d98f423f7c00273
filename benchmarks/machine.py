"""What a benchmark ran on, asked of the machine when it ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine() -> dict[str, str | int | float]:
    """The load is that of the last minute: above the number of cores, others were at work, too."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory_bytes(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "wasmtime": importlib.metadata.version("wasmtime"),
        "wasmtrace": importlib.metadata.version("wasmtrace"),
        "load": os.getloadavg()[0],
    }


def sentence(found: dict[str, str | int | float]) -> str:
    """One line for people; of the kernel its version, without its builder's name for it."""
    kernel = str(found["kernel"]).partition("-")[0]
    return (
        f"{found['cpu']} ({found['architecture']}), {found['cores']} cores, "
        f"{float(found['memory_bytes']) / 2**30:.0f} GiB, Linux {kernel}, Python {found['python']}, "
        f"wasmtime {found['wasmtime']}; load at the start {float(found['load']):.1f}"
    )
