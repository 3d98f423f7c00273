"""Runs scripts in a process of its own: what ends the process ends one script, and is reported.

Protocol: a script's name on each line of standard input, its runs as one line of JSON on standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

from spec_outcomes import Outcome, ScriptRun

_HERE = Path(__file__).resolve().parent
_TIMEOUT_S = 300.0
_MAIN = "from spec_worker import serve; serve()"


class Died(Exception):
    """The process that ran the script ended, or did not answer in time."""


class Worker:
    """A process that runs scripts, one after the other; a new one after each death."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def run(self, name: str) -> list[ScriptRun]:
        """The script in every variant, plain first. Raises `Died`."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(_TIMEOUT_S, process.kill)
        timer.start()
        try:
            process.stdin.write(name + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            self._process = None
            errors = process.communicate()[1].strip().splitlines()
            raise Died(f"{name}: the process ended with {process.returncode}: {errors[-1:]}")
        return [
            ScriptRun(variant, [Outcome(*each) for each in outcomes], *rest)
            for variant, outcomes, *rest in json.loads(answer)
        ]

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _MAIN],
            cwd=_HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def serve() -> None:
    """The process's side."""
    from spec_runner import run_script
    from spec_scripts import load_script
    from spec_variants import VARIANTS

    for line in sys.stdin:
        script = load_script(line.strip())
        print(json.dumps([run_script(script, variant) for variant in VARIANTS]), flush=True)
