"""Runs the command line once and says when each of its steps began and ended, as JSON in the file FILE.

    STARTED=<time.perf_counter() of the caller> python startup_stages.py FILE run app.wasm

Steps are found by wrapping functions, so that the program itself measures nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from startup_steps import STEPS

spans: dict[str, float] = dict.fromkeys(STEPS, 0.0)
began = float(os.environ["STARTED"])
spans["python"] = time.perf_counter() - began
reached = time.perf_counter()

from wasmtrace import api, cache, cli, program  # noqa: E402
from wasmtrace.cli import parser, run_guest, run_outputs  # noqa: E402
from wasmtrace.runtime import engine, engine_call, session  # noqa: E402

spans["imports"] = time.perf_counter() - reached
reached = time.perf_counter()


def wrap(owner: Any, name: str, step: str, within: str | None = None) -> None:
    """Adds the time in a function to a step, and takes it off the step that it is `within`."""
    function: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            took = time.perf_counter() - start
            spans[step] += took
            if within is not None:
                spans[within] -= took

    setattr(owner, name, timed)


def end(code: int) -> NoReturn:
    with open(path, "w") as file:
        json.dump({"steps": spans, "sum": time.perf_counter() - began}, file)
    end_process(code)


path = sys.argv.pop(1)
end_process = cli.end_process
cli.end_process = end
wrap(parser, "parse", "arguments")
wrap(engine.Engine, "__init__", "engine")
wrap(run_guest, "read_module", "read")
wrap(program, "cache_key", "hash")
wrap(hashlib, "sha256", "hash")
wrap(cache.RewriteCache, "load", "cache")
wrap(cache.RewriteCache, "store", "store")
wrap(engine.Engine, "validate", "validate")
wrap(program, "_rewrite", "rewrite")
wrap(engine.Engine, "compile", "compile")
wrap(engine_call.GuestInstance, "link", "link")
wrap(engine_call.GuestInstance, "instantiate", "instantiate")
wrap(session.Session, "_attach", "threads")
wrap(engine_call.GuestInstance, "call", "guest")
wrap(program, "_names", "names", within="snapshot")
wrap(session.Session, "snapshot", "snapshot")
wrap(run_outputs.Outputs, "finish", "output")
wrap(api.Runtime, "close", "close")
cli.console_main()
