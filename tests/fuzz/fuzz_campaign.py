"""A campaign: workers over ranges of seeds until the time is up, and what is done with a failure."""

from __future__ import annotations

import base64
import json
import selectors
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_generate import wasm_tools
from fuzz_worker import GENERATORS

ROOT = Path(__file__).parents[2]
FOUND = Path(__file__).parent / "found"
BATCH = 300
SILENCE_SECONDS = 60
"""A worker that says nothing for so long hangs in what it said last."""
SHRINK_ATTEMPTS = 150
SHRINK_SECONDS = 300
MOST_SHRUNK = 3
"""In one campaign: a fault in the rewriter shows in every other module."""


@dataclass(slots=True)
class Totals:
    """What a campaign has done so far."""

    modules: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    calls: int = 0
    host_calls: int = 0
    fuel_compared: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    nan_only: int = 0
    engine_deaths: list[str] = field(default_factory=list)
    """Seeds at which the plain module ended the process: nothing to compare."""
    failures: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        rejected = sum(self.rejected.values())
        return [
            f"modules {self.modules}, rejected {rejected}, executions {self.runs}, calls {self.calls}",
            f"calls of host functions by the plain modules {self.host_calls}",
            f"calls whose fuel was compared {self.fuel_compared}",
            f"rejected: {dict(self.rejected.most_common(8))}",
            f"ends other than a return, by modules: {dict(self.ends.most_common())}",
            f"different only in NaN bits: {self.nan_only}; plain engine died: {self.engine_deaths}",
            f"failures {len(self.failures)}: {self.failures}",
        ]


def run_campaign(kind: str, *, first_seed: int, seconds: float, seeds: int | None = None) -> Totals:
    """Seeds from `first_seed` on, until the time is up or `seeds` have been tried; failures are saved."""
    totals = Totals()
    deadline = time.monotonic() + seconds
    seed = first_seed
    end = None if seeds is None else first_seed + seeds
    while time.monotonic() < deadline and (end is None or seed < end):
        count = BATCH if end is None else min(BATCH, end - seed)
        seed = _batch(kind, seed, count, deadline, totals)
    return totals


def _batch(kind: str, first: int, count: int, deadline: float, totals: Totals) -> int:
    """One worker. The seed to go on with."""
    command = [sys.executable, "-m", "tests.fuzz", "--worker", kind, str(first), str(count)]
    seed, phase = first, "plain"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as worker:
        for line in _lines(worker):
            said = json.loads(line)
            if "begin" in said:
                seed, phase = said["begin"], "plain"
            elif "phase" in said:
                phase = said["phase"]
            else:
                _account(kind, said, totals)
                seed = said["seed"] + 1
            if time.monotonic() > deadline:
                worker.kill()
                return seed
        code = worker.poll()
        if code is None:
            worker.kill()
    if code == 0:
        return first + count
    what = f"{kind}-{seed} {phase}: {'hangs' if code is None else f'process ended with {code}'}"
    if phase == "plain" or code is None:
        totals.engine_deaths.append(what)
    else:
        _save(kind, seed, GENERATORS[kind](seed) or b"", [what], totals)
    return seed + 1


def _lines(worker: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What the worker says, until it ends or says nothing for too long."""
    assert worker.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        buffered = b""
        while selector.select(SILENCE_SECONDS):
            data = worker.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not data:
                worker.wait(10)
                return
            *lines, buffered = (buffered + data).split(b"\n")
            yield from lines


def _account(kind: str, said: dict[str, Any], totals: Totals) -> None:
    if said["rejected"]:
        totals.rejected[said["rejected"].partition(" (at")[0][:60]] += 1
    else:
        totals.modules += 1
    totals.runs += said.get("runs", 0)
    totals.calls += said.get("calls", 0)
    totals.fuel_compared += said.get("fuel_compared", 0)
    totals.host_calls += said.get("host_calls", 0)
    totals.ends.update(said.get("ends", ()))
    totals.nan_only += said.get("nan_only", False)
    if said.get("problems"):
        _save(kind, said["seed"], base64.b64decode(said["wasm"]), said["problems"], totals)


def _save(kind: str, seed: int, wasm: bytes, problems: list[str], totals: Totals) -> None:
    """Keeps the module, as small as it still shows the problem; its name has the seed of its arguments."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{kind}-{seed}.wasm"
    print(f"FAILURE {path.name}: {problems[0][:600]}", flush=True)
    totals.failures.append(f"{path.name}: {problems[0][:200]}")
    path.write_bytes(shrink(wasm, seed) if len(totals.failures) <= MOST_SHRUNK else wasm)


def shrink(wasm: bytes, seed: int) -> bytes:
    """The smallest module found that `python -m tests.fuzz --check` still calls bad; `wasm` if none is."""
    with tempfile.TemporaryDirectory() as folder:
        given, shrunk, predicate = (Path(folder) / name for name in ("given.wasm", "shrunk.wasm", "bad.sh"))
        given.write_bytes(wasm)
        # The program says 0 for a module that is in order; the predicate must say 0 for one that is bad.
        predicate.write_text(
            f"#!/bin/sh\ncd '{ROOT}' || exit 1\n"
            f"timeout 60 '{sys.executable}' -m tests.fuzz --check \"$1\" --seed {seed} >/dev/null 2>&1\n"
            "code=$?\n[ $code -ne 0 ] && [ $code -ne 2 ] && [ $code -ne 124 ]\n"
        )
        predicate.chmod(predicate.stat().st_mode | stat.S_IXUSR)
        options = ("-a", str(SHRINK_ATTEMPTS), str(predicate), str(given), "-o", str(shrunk))
        command = (str(wasm_tools()), "shrink", *options)
        try:
            subprocess.run(command, check=False, capture_output=True, timeout=SHRINK_SECONDS)
        except subprocess.TimeoutExpired:
            return wasm
        return shrunk.read_bytes() if shrunk.exists() else wasm
