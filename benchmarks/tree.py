"""A version of wasmtrace as a folder that Python can import from, without installing it."""

from __future__ import annotations

import subprocess
from pathlib import Path

BRANCHES = ("instrument", "runtime", "exporters", "grafana")
"""Top-level folders that are packages inside wasmtrace."""


def import_folder(source: Path, target: Path) -> Path:
    """Makes `target` a folder to put first on PYTHONPATH: links to the wasmtrace whose repository is `source`."""
    package = target / "wasmtrace"
    package.mkdir(parents=True, exist_ok=True)
    entries = [*(source / "wasmtrace").iterdir(), *(source / branch for branch in BRANCHES)]
    for entry in entries:
        if entry.name != "__pycache__" and entry.exists():
            link = package / entry.name
            link.unlink(missing_ok=True)
            link.symlink_to(entry.resolve())
    return target


def checked_out(root: Path, commit: str, folder: Path) -> Path:
    """A git worktree of a commit in `folder`, made anew. Raises CalledProcessError for an unknown commit."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    full = git("rev-parse", "--verify", f"{commit}^{{commit}}")
    target = folder / full[:12]
    if target.exists():
        git("worktree", "remove", "--force", str(target))
    git("worktree", "prune")
    git("worktree", "add", "--force", "--detach", str(target), full)
    return target
