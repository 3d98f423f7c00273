"""Coverage-guided: `atheris` looks for bytes that take new paths through `instrument/`, if it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 20_000


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="package atheris is not installed")
def test_nothing_else_escapes(tmp_path: Path) -> None:
    script = Path(__file__).with_name("decoder_atheris.py")
    command = [sys.executable, str(script), f"-runs={RUNS}", "-seed=1", "-max_len=4096", "-max_total_time=20"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr
