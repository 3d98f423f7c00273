"""The process that runs modules: an engine that ends its process takes only this one along.

It says on standard output what it is about to do and what came of it, one line of JSON each.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_compare import Engines, Verdict, compare
from fuzz_generate import mutant, smith

GENERATORS: dict[str, Callable[[int], bytes | None]] = {"smith": smith, "mutate": mutant}
TICK_SECONDS = 0.1
THREAD_STACK_BYTES = 64 << 20


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def in_deep_thread(work: Callable[[], None]) -> None:
    """Runs `work` where the guest's stack fits."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    before = threading.stack_size(THREAD_STACK_BYTES)
    try:
        thread = threading.Thread(target=run)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if failures:
        raise failures[0]


def ticking_engines() -> Engines:
    """Engines whose epoch a thread moves on, so that endless guests end."""
    engines = Engines()

    def tick() -> None:
        while True:
            time.sleep(TICK_SECONDS)
            engines.tick()

    threading.Thread(target=tick, daemon=True).start()
    return engines


def work(kind: str, first: int, count: int) -> None:
    """Seeds `first` to `first + count - 1`."""

    def run() -> None:
        engines = ticking_engines()
        for seed in range(first, first + count):
            say(begin=seed)
            wasm = GENERATORS[kind](seed)
            if wasm is None:
                say(seed=seed, rejected="no module")
                continue
            try:
                verdict = compare(engines, wasm, seed, lambda name: say(phase=name))
            except Exception as error:
                # Whatever escapes from the rewriter is a finding of its own.
                verdict = Verdict(problems=[f"raised {type(error).__name__}: {error}"])
            report(seed, wasm, verdict)

    in_deep_thread(run)


def report(seed: int, wasm: bytes, verdict: Verdict) -> None:
    say(
        seed=seed,
        rejected=verdict.rejected,
        calls=verdict.calls,
        runs=verdict.runs,
        host_calls=verdict.host_calls,
        fuel_compared=verdict.fuel_compared,
        ends=sorted(verdict.ends),
        problems=verdict.problems,
        nan_only=verdict.nan_only,
        **({"wasm": base64.b64encode(wasm).decode()} if verdict.problems else {}),
    )


def check_file(path: Path, seed: int) -> Verdict:
    """The verdict on one saved module."""
    verdicts: list[Verdict] = []
    wasm = path.read_bytes()
    in_deep_thread(lambda: verdicts.append(compare(ticking_engines(), wasm, seed)))
    return verdicts[0]
