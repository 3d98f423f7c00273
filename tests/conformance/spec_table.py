"""The results as a table: as text, and as docs/conformance.md."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

from spec_outcomes import ScriptRun
from spec_refusals import REFUSALS
from spec_scripts import VARIABLE
from spec_variants import VARIANTS

KEPT_FROM = "## Fuzzing"

Runs = dict[str, list[ScriptRun]]

_INTRODUCTION = """\
# Conformance

The specification's own tests ([WebAssembly/testsuite](https://github.com/WebAssembly/testsuite), turned into JSON
by `wasm-tools json-from-wast`), each run as it came and with every module instrumented, in wasmtime {wasmtime}. What
passes plain must pass instrumented and end in the same way: the same results, the same trap code and message, the
same refusal to link, the same calls of host functions. There is no list of expected failures.

    make conformance                            # the table of all scripts, in about a minute
    python -m tests.conformance try_table       # one script
    python -m tests.conformance --write         # writes this page

`make test` runs the same scripts, one test each. The archive is looked for in `../shared/spectest/spectest.zip`, or
where `{variable}` says; without it these tests are skipped. Scripts run in processes of their own, so that one
that ended the engine's process would be reported as such.

- **plain**: the module as it came. All proposals that wasmtime {wasmtime} can be told to accept are on, but stack
  switching, which no script is about.
- **calls**, **trace**: rewritten at that level; the engine's stack is as much larger as the runtime makes it.
- **trace, all slow**: level `trace` with a threshold of 0, so that each exit takes the path of a slow call and writes
  a record.

After each command, in every instance of the script: no frame is left on the shadow stack, no counter has gone back,
the ring is whole and each record in it makes sense. Over a script, each level counts the same number of calls.
Each call that returns or throws, and each start function, takes the same fuel by the telemetry as by the engine that
runs the module as it came. Not compared: what ends by a trap, where the engine has not yet saved what it counted last;
and what calls functions of an instance that could not be made, which nobody can look into.
What must be refused (`assert_invalid`, `assert_malformed`) is given to the rewriter too, without validation before:
it must answer with an error of ours, or do its work.
"""

_ORACLE = """\
## Counts that are right

`tests/conformance/oracle_text.py` finds the truth by another technique. It shares nothing with the rewriter: it takes a
module's text (`wasm-tools print`), renames each function and puts one in its place that calls it between two imported
hooks, wraps imports and `memory.grow` likewise, and assembles the text again. Python writes down every event
(`oracle_events.py`). A module then runs twice, once with hooks and once rewritten, and these must be equal, exactly:

- calls of each function, and of each import by the wrapper's way;
- every record of the ring in order, with its depth: with a threshold of 0 each call of a function with a frame, and
  growth in between;
- with a clock that the host moves during the run and thresholds of 1 to 5000 µs: which calls are recorded, by the
  definition (a tick after the call began is a threshold ago);
- the shadow stack as a host function finds it, and what is open after a trap;
- pages by function and memory, and refused grows.

| What is compared | how much of it |
|---|---|
| Scripts: outcomes of commands, calls of each function of each module | 254, all but the 4 that exhaust the stack |
| Programs of `tests/c`, a hundredth of their usual work: all of the above | 20 programs, 10.6 million calls |
| MicroPython with a small script: the same | 1 |
| Modules for each way out of a function, tail calls, exceptions, traps, growth, a moving clock | 7 |
| Fuel of each function, levels `calls` and `trace`: the 20 programs and MicroPython | 21 |
| Fuel of each function: counts by hand, made-up control flow | 79 modules, 90 programs |

The truth about fuel is a counter before every single instruction (`tests/instrument/fuel_oracle.py`), whose total
must be the engine's, too, unless there was a trap. After a trap, or `proc_exit`, what open calls have used and no cell
has is added: the engine tells where the innermost 20 stand. That these tests can find faults is a test: 18 spoilt walks
are each caught.

Not compared: `clocks` of `tests/c`, which looks at the time, and so makes other calls in each run.

## What is not as in plain wasmtime

It cannot happen under `wasmtrace run` or `Runtime`, which link a module with WASI and functions in Python only. It is
about modules that were rewritten one by one and linked with each other by somebody else;
`tests/conformance/test_between_modules.py` holds it.

- An exception that is thrown in one module and caught in another leaves the frames of the functions that it passes in
  the first one on that module's shadow stack (level `trace`). After some 130,000 of them, with the usual stack, a call
  into it ends in a trap.
"""


def text_table(runs: Runs) -> str:
    width = max(map(len, runs), default=0)
    names = [each.name for each in VARIANTS]
    lines = [f"{'script':{width}}  commands  " + "  ".join(f"{name:>{max(len(name), 6)}}" for name in names)]
    for label, cells in [*((name, _passes(each)) for name, each in runs.items()), ("total", _total(runs))]:
        counts = "  ".join(f"{count:>{max(len(name), 6)}}" for name, count in zip(names, cells[1:], strict=True))
        lines.append(f"{label:{width}}  {cells[0]:>8}  {counts}")
    return "\n".join(lines)


def _passes(runs: list[ScriptRun]) -> list[int]:
    """Commands, then how many of them pass in each variant."""
    return [len(runs[0].outcomes), *(sum(each.passed for each in run.outcomes) for run in runs)]


def _total(runs: Runs) -> list[int]:
    return [sum(column) for column in zip(*map(_passes, runs.values()), strict=True)]


def document(runs: Runs, before: str) -> str:
    """The whole of docs/conformance.md. What others wrote into it `before`, from `KEPT_FROM` on, stays."""
    introduction = _INTRODUCTION.format(wasmtime=version("wasmtime"), variable=VARIABLE)
    parts = [introduction, _by_command(runs), _refused(), _ORACLE, _by_script(runs)]
    kept = before.find(KEPT_FROM)
    return "\n".join(parts + ([before[kept:]] if kept >= 0 else []))


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(each) for each in cells) + " |"


def _header(*cells: str) -> list[str]:
    return [_row(*cells), "|---|" + "---:|" * (len(cells) - 1)]


def _by_command(runs: Runs) -> str:
    commands: Counter[str] = Counter()
    passes: Counter[tuple[str, str]] = Counter()
    for script in runs.values():
        commands.update(each.command for each in script[0].outcomes)
        for run in script:
            passes.update((run.variant, each.command) for each in run.outcomes if each.passed)
    names = [each.name for each in VARIANTS]
    lines = ["## By command", "", *_header("Command", "in the scripts", *names)]
    for command, count in sorted(commands.items()):
        lines.append(_row(f"`{command}`", count, *(passes[name, command] for name in names)))
    lines.append(_row("all", *_total(runs)))
    calls = {run.variant: 0 for script in runs.values() for run in script}
    slow = dict(calls)
    for script in runs.values():
        for run in script:
            calls[run.variant] += run.calls
            slow[run.variant] += run.slow_calls
    lines.append(_row("calls counted", "", *(calls[name] for name in names)))
    lines.append(_row("calls recorded as slow", "", *(slow[name] for name in names)))
    compared, fuel = _fuel(runs)
    lines.append(_row(f"fuel of the {compared} of which it is known", "", *(fuel[name] for name in names)))
    return "\n".join(lines) + "\n"


def _fuel(runs: Runs) -> tuple[int, Counter[str]]:
    """How many commands there are whose fuel every variant knows, and what they took in each."""
    compared, fuel = 0, Counter[str]()
    for script in runs.values():
        for outcomes in zip(*(run.outcomes for run in script), strict=True):
            if None not in (each.fuel for each in outcomes):
                compared += 1
                fuel.update({run.variant: each.fuel or 0 for run, each in zip(script, outcomes, strict=True)})
    return compared, fuel


def _refused() -> str:
    lines = ["## What plain wasmtime does not pass", "", _row("Script", "line", "why"), "|---|---:|---|"]
    lines += [_row(script, line, why) for (script, line), why in REFUSALS.items()]
    return "\n".join(lines) + "\n"


def _by_script(runs: Runs) -> str:
    lines = ["## By script", "", *_header("Script", "commands", *(each.name for each in VARIANTS))]
    lines += [_row(name, *_passes(each)) for name, each in runs.items()]
    lines.append(_row("all", *_total(runs)))
    return "\n".join(lines) + "\n"
