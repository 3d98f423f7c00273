"""Comparisons of hand-made reports: how functions are matched, added up, ordered and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from hand_made import HOSTILE_NAMES, hanging, hostile, module, snapshot
from wasmtrace.exporters.diff import Comparison, compare, stable
from wasmtrace.exporters.diff_shown import encode, headline, notes, tables
from wasmtrace.exporters.past_run import PastFunction, PastRun, decode
from wasmtrace.exporters.report import encode as encode_report
from wasmtrace.exporters.sections import Tone
from wasmtrace.exporters.summary import lay_out
from wasmtrace.records import FunctionStats, Outcome, Snapshot


def function(name: str, calls: int, fuel: int | None = 0, *, index: int = 1, shown: str | None = None) -> PastFunction:
    return PastFunction(index, name if shown is None else shown, name, calls, fuel)


def run(*functions: PastFunction, source: str = "old.json", sha256: str = "ab" * 32) -> PastRun:
    return PastRun(source, "app.wasm", sha256, "exited", 0, functions)


def after(*functions: PastFunction) -> PastRun:
    return run(*functions, source="new.json", sha256="cd" * 32)


def shown(comparison: Comparison, top: int = 20) -> str:
    head, found = headline(comparison), tuple(tables(comparison, top))
    return lay_out(head, found, notes(comparison), colour=False, width=None)


def of_snapshot(state: Snapshot, source: str = "old.json") -> PastRun:
    return decode(encode_report(state), source)


def test_whole_text() -> None:
    old = run(function("parse", 10_000, 1_000_000), function("lookup", 4, 60_000), function("main", 1, 40_000))
    new = after(function("parse", 10_000, 1_150_000), function("find", 5, 20_000), function("main", 1, 40_000))
    assert shown(compare(old, new)) == (
        "app.wasm: 10.0% more fuel\n"
        "  before: old.json, app.wasm (abababababab), exited\n"
        "  after: new.json, app.wasm (cdcdcdcdcdcd), exited\n"
        "in all               change       %     now     was\n"
        "  fuel               +110 k  +10.0%  1.21 M  1.10 M\n"
        "  calls                  +1  +<0.1%  10.0 k  10.0 k\n"
        "  functions called        0      0%       3       3\n"
        "by change of fuel     change       %    fuel  per call     was   calls     was\n"
        "  parse               +150 k  +15.0%  1.15 M       115     100  10.0 k  10.0 k\n"
        "  lookup             -60.0 k    gone       0         -  15.0 k       0       4\n"
        "  find               +20.0 k     new  20.0 k    4.00 k       -       5       0\n"
        "functions as before: 1\n"
    )


# before, after, (raw name, functions before and after, fuel change) of each change
MATCHES: dict[str, tuple[list[PastFunction], list[PastFunction], list[tuple[str, int, int, int]]]] = {
    "by raw name, whatever is shown": (
        [function("_Z3fooi", 1, 10, shown="foo(int)"), function("_Z3foof", 1, 20, shown="foo")],
        [function("_Z3fooi", 1, 11, shown="foo"), function("_Z3foof", 1, 20, shown="foo")],
        [("_Z3fooi", 1, 1, 1)],
    ),
    "several of one name are added up": (
        [function("drop", 2, 10, index=1), function("drop", 3, 20, index=2)],
        [function("drop", 5, 45, index=7)],
        [("drop", 2, 1, 15)],
    ),
    "moved to another index": ([function("f", 1, 5, index=3)], [function("f", 1, 5, index=4)], []),
    "a hash that each build makes anew": (
        [function("_ZN3app4load17h0123456789abcdefE", 1, 10)],
        [function("_ZN3app4load17hfedcba9876543210E", 1, 12)],
        [("_ZN3app4load17hfedcba9876543210E", 1, 1, 2)],
    ),
    "the same hash stays by itself": (
        [function("_ZN1f17h0000000000000001E", 1, 10), function("_ZN1f17h0000000000000002E", 1, 20)],
        [function("_ZN1f17h0000000000000001E", 1, 11), function("_ZN1f17h0000000000000003E", 1, 25)],
        [("_ZN1f17h0000000000000003E", 1, 1, 5), ("_ZN1f17h0000000000000001E", 1, 1, 1)],
    ),
    "greatest change first, cheaper or dearer": (
        [function("a", 1, 100), function("b", 1, 10), function("c", 9, 7)],
        [function("a", 1, 50), function("b", 1, 40), function("c", 8, 7)],
        [("a", 1, 1, -50), ("b", 1, 1, 30), ("c", 1, 1, 0)],
    ),
}


@pytest.mark.parametrize(("before", "later", "changes"), MATCHES.values(), ids=MATCHES)
def test_matching(
    before: list[PastFunction], later: list[PastFunction], changes: list[tuple[str, int, int, int]]
) -> None:
    found = compare(run(*before), after(*later))
    assert [
        (each.raw_name, each.before.functions, each.after.functions, each.fuel) for each in found.changes
    ] == changes
    assert found.total_after.fuel - found.total_before.fuel == sum(each.fuel for each in found.changes)


STABLE = {
    "_ZN4core3fmt5write17h8f7f0c0c2c8d4e1aE": "_ZN4core3fmt5writeE",
    "_ZN4core3fmt5write17h8f7f0c0c2c8d4e1aE.llvm.1234567": "_ZN4core3fmt5writeE",
    "_RNvCs1234_7mycrate3foo": "_RNvC7mycrate3foo",
    "_RNvCsabcDEF9_7mycrate3foo": "_RNvC7mycrate3foo",
    "fmt.format__anon_4711": "fmt.format__anon",
    "Cs_50_cents": "Cs_50_cents",
    "main": "main",
}


@pytest.mark.parametrize(("raw_name", "kept"), STABLE.items(), ids=STABLE)
def test_what_builds_make_anew_is_left_out(raw_name: str, kept: str) -> None:
    assert stable(raw_name) == kept


@pytest.mark.parametrize(
    ("old", "new", "percent", "exceeded"),
    [
        (1000, 1050, Fraction(5), False),
        (1000, 1051, Fraction(5), True),
        (3 * 10**18, 3 * 10**18 + 1, Fraction(0), True),
        (10**18, 10**18 + 10**15, Fraction("0.1"), False),
        (10**18, 10**18 + 10**15 + 1, Fraction("0.1"), True),
        (1000, 900, Fraction(0), False),
        (0, 0, Fraction(0), False),
        (0, 1, Fraction(1000), True),
    ],
)
def test_limit_is_exact(old: int, new: int, percent: Fraction, exceeded: bool) -> None:
    comparison = compare(run(function("f", 1, old)), after(function("f", 1, new)))
    assert comparison.grew_by_more_than(percent) is exceeded


def test_a_report_is_read_back() -> None:
    assert of_snapshot(snapshot()) == PastRun(
        "old.json",
        "app.wasm",
        "ab" * 32,
        "exited",
        0,
        (
            PastFunction(5, "main", "main", 1, 30_000),
            PastFunction(6, "fib", "_Z3fibi", 1_000_000, 1_000_000_000),
            PastFunction(7, "dlmalloc", "dlmalloc", 999, 199_970_000),
        ),
    )


NOTES = {
    "timeout": (of_snapshot(hanging()), "old.json timed out: what it did until then is compared"),
    "exit codes": (of_snapshot(snapshot(exit_code=3)), "the exit codes differ"),
    "no fuel": (run(function("f", 1, None)), "no fuel in old.json"),
    "no names": (
        run(function("func[7]", 1, 1, index=7), sha256="ef" * 32),
        "functions without a name: 1, matched by index",
    ),
}


@pytest.mark.parametrize(("old", "says"), NOTES.values(), ids=NOTES)
def test_note(old: PastRun, says: str) -> None:
    comparison = compare(old, of_snapshot(snapshot(), "new.json"))
    (note,) = (text for text, tone in notes(comparison) if tone is Tone.WARNING)
    assert says in note
    assert json.loads(encode(comparison, None))["notes"] == [note.removeprefix("note: ")]


def test_an_exit_with_0_and_a_return_are_the_same_end() -> None:
    returned = of_snapshot(snapshot(outcome=Outcome.RETURNED, exit_code=None))
    assert [tone for _, tone in notes(compare(of_snapshot(snapshot()), returned))] == [Tone.PLAIN]


def test_runs_that_called_nothing() -> None:
    comparison = compare(run(), after())
    assert shown(comparison).startswith("app.wasm: fuel as before\n")
    assert comparison.changes == ()


def test_json_exactly() -> None:
    found = json.loads(encode(compare(run(function("f", 1, 5)), after(function("f", 2, 9), function("g", 1, 1))), 1))
    assert found["total"] == {
        "fuel_change": 5,
        "calls_change": 2,
        "before": {"fuel": 5, "calls": 1, "functions": 1},
        "after": {"fuel": 10, "calls": 3, "functions": 2},
    }
    assert found["functions"] == [
        {
            "name": "f",
            "raw_name": "f",
            "fuel_change": 4,
            "calls_change": 1,
            "before": {"fuel": 5, "calls": 1, "functions": 1},
            "after": {"fuel": 9, "calls": 2, "functions": 1},
        }
    ]
    assert found["unchanged"] == 0


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_hostile_names_reach_no_terminal(name: str) -> None:
    old = of_snapshot(hostile(name), name)
    changed = tuple(FunctionStats(each.index, name, name, 99, fuel=7) for each in hostile(name).functions)
    comparison = compare(old, of_snapshot(replace(hostile(name), functions=changed, module=module(name)), name))
    text = shown(comparison)
    assert all(char == "\n" or char.isprintable() for char in text)
    assert encode(comparison, None).isascii()
