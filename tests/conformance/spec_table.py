"""The results as a table: as text, and as docs/conformance.md."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

from spec_outcomes import ScriptRun
from spec_refusals import REFUSALS
from spec_scripts import VARIABLE
from spec_variants import VARIANTS

Runs = dict[str, list[ScriptRun]]

_INTRODUCTION = """\
# Conformance

The specification's own tests ([WebAssembly/testsuite](https://github.com/WebAssembly/testsuite), turned into JSON
by `wasm-tools json-from-wast`), each run as it came and with every module instrumented, in wasmtime {wasmtime}. What
passes plain must pass instrumented and end in the same way: the same results, the same trap code and message, the
same refusal to link, the same calls of host functions. There is no list of expected failures.

    make conformance                            # the table of all scripts, in about half a minute
    python -m tests.conformance try_table       # one script
    python -m tests.conformance --write         # writes this page

`make test` runs the same scripts, one test each. The archive is looked for in `../shared/spectest/spectest.zip`, or
where `{variable}` says; without it these tests are skipped. Scripts run in processes of their own, so that one that
ended the engine's process would be reported as such.

- **plain**: the module as it came. All proposals that wasmtime {wasmtime} can be told to accept are on, but stack
  switching, which no script is about.
- **calls**, **trace**: rewritten at that level; the engine's stack is as much larger as the runtime makes it.
- **trace, all slow**: level `trace` with a threshold of 0, so that each exit takes the path of a slow call and writes
  a record.

After each command, in every instance of the script: no frame is left on the shadow stack, no counter has gone back,
the ring is whole and each record in it makes sense. Over a script, each level counts the
same number of calls. What must be refused (`assert_invalid`, `assert_malformed`) is given to the rewriter too, without
validation before: it must answer with an error of ours, or do its work.
"""

_ORACLE = """\
## Counts that are right

`tests/conformance/oracle.py` finds the truth by another technique: it takes a module's text (`wasm-tools print`), puts
calls of imported functions at the entry of each function, at each exit and after each `memory.grow`, and lets Python
write down every event. A program then runs twice, once with these hooks and once rewritten, and these must be equal,
exactly:

- calls of each function, and of each import;
- with a threshold of 0, where each call of a function with a frame is recorded: the records of the ring, in order,
  with their depth, and the call tree of the hooks, restricted to functions with a frame;
- the shadow stack as a host function finds it, and the hooks' own stack at that moment;
- pages by function and memory, and refused grows.

It is compared on the modules of the specification's scripts (calls of each function over the whole script), the C
programs of `tests/c` at a hundredth of their usual work, and modules written for it, one for each way to leave a
function.
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


def document(runs: Runs) -> str:
    """The whole of docs/conformance.md."""
    introduction = _INTRODUCTION.format(wasmtime=version("wasmtime"), variable=VARIABLE)
    parts = (introduction, _by_command(runs), _refused(), _ORACLE, _by_script(runs))
    return "\n".join(parts)


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
    return "\n".join(lines) + "\n"


def _refused() -> str:
    lines = ["## What plain wasmtime does not pass", "", *_header("Script", "line", "why")]
    lines += [_row(script, line, why) for (script, line), why in REFUSALS.items()]
    return "\n".join(lines) + "\n"


def _by_script(runs: Runs) -> str:
    lines = ["## By script", "", *_header("Script", "commands", *(each.name for each in VARIANTS))]
    lines += [_row(name, *_passes(each)) for name, each in runs.items()]
    lines.append(_row("all", *_total(runs)))
    return "\n".join(lines) + "\n"
