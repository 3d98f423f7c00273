"""Hand-made slow calls in, exact trees of spans out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from hand_made import HOSTILE_NAMES, snapshot
from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.root import Tally, failure_of, root_span, stack_text
from wasmtrace.exporters.otlp.spans import OPEN_SPANS, SETTLED_US, Failure, SpanData, SpanTree
from wasmtrace.records import FunctionName, OpenCall, Outcome, SlowCall, StackEntry, Trap

FUNCTIONS = {name: FunctionName(index, name, name) for index, name in enumerate("abcdefghr")}
LATE_US = 10_000_000
FAILURE = Failure("unreachable", "it trapped", "    at a")
Step = Callable[[SpanTree], None]


def ended(name: str, depth: int, start_us: int, end_us: int, errno: int = 0) -> Step:
    """A slow call has returned."""
    call = SlowCall(FUNCTIONS[name], errno != 0, start_us, end_us, depth, errno)
    return lambda tree: tree.add(call)


def opened(*frames: tuple[str, int], at_us: int) -> tuple[OpenCall, ...]:
    return tuple(OpenCall(FUNCTIONS[name], False, start, (at_us - start) / 1e6) for name, start in frames)


def looked(*frames: tuple[str, int], at_us: int = LATE_US) -> Step:
    """Somebody looked: these were open, outermost first."""
    return lambda tree: tree.flush(opened(*frames, at_us=at_us), at_us)


def over(*frames: tuple[str, int], at_us: int = LATE_US, failure: Failure | None = None) -> Step:
    """The run has ended, with these open."""
    return lambda tree: tree.end(opened(*frames, at_us=at_us), at_us, failure)


def drawn(spans: list[SpanData], parent_id: int, indent: str = "") -> list[str]:
    """The tree as text: a line for each span, children by start below their parent."""
    lines = []
    for span in sorted((each for each in spans if each.parent_id == parent_id), key=lambda each: each.start_us):
        notes = [
            f" {short}={span.attributes[name]}"
            for short, name in (
                ("elided", names.ELIDED_DEPTH),
                ("unfinished", names.CALL_UNFINISHED),
                ("estimated", names.END_ESTIMATED),
                ("errno", names.ERRNO),
            )
            if name in span.attributes
        ]
        error = "" if span.error is None else f" !{span.error}"
        lines.append(f"{indent}{span.name} {span.start_us}-{span.end_us}{''.join(notes)}{error}")
        lines += drawn(spans, span.span_id, indent + " ")
    return lines


TREES = [
    pytest.param([over()], [], id="empty"),
    pytest.param([ended("a", 0, 10, 20), over()], ["a 10-20"], id="one"),
    pytest.param([ended("b", 1, 11, 19), ended("a", 0, 10, 20), over()], ["a 10-20", " b 11-19"], id="parent-last"),
    pytest.param(
        [ended("b", 1, 11, 13), ended("c", 1, 14, 19), ended("a", 0, 10, 20), ended("d", 0, 21, 29), over()],
        ["a 10-20", " b 11-13", " c 14-19", "d 21-29"],
        id="siblings",
    ),
    pytest.param(
        [ended("a", 3, 3, 9), ended("a", 2, 2, 9), ended("a", 1, 1, 9), ended("a", 0, 0, 9), over()],
        ["a 0-9", " a 1-9", "  a 2-9", "   a 3-9"],
        id="recursion",
    ),
    pytest.param(
        [ended("a", 2, 5, 5), ended("a", 1, 5, 5), ended("a", 1, 5, 5), ended("a", 0, 5, 5), over()],
        ["a 5-5", " a 5-5", "  a 5-5", " a 5-5"],
        id="within-a-tick",
    ),
    pytest.param(
        [ended("d", 3, 13, 15), ended("a", 0, 10, 20), over()],
        ["a 10-20", " d 13-15 elided=2"],
        id="elided-under-the-nearest",
    ),
    pytest.param([ended("d", 3, 13, 15), over()], ["d 13-15 elided=3"], id="elided-under-the-root"),
    pytest.param(
        [ended("d", 3, 13, 15), ended("b", 1, 20, 25), ended("a", 0, 10, 30), over()],
        ["a 10-30", " d 13-15 elided=2", " b 20-25"],
        id="not-under-one-that-began-later",
    ),
    pytest.param(
        [ended("d", 4, 13, 15), ended("e", 3, 13, 16), ended("b", 1, 12, 25), over()],
        ["b 12-25 elided=1", " e 13-16 elided=1", "  d 13-15"],
        id="gaps-of-two-kinds",
    ),
    pytest.param(
        [ended("b", 1, 11, 19), looked(("a", 10)), ended("a", 0, 10, LATE_US + 5), over()],
        [f"a 10-{LATE_US + 5}", " b 11-19"],
        id="sent-before-its-parent",
    ),
    pytest.param(
        [ended("c", 2, 11, 19), looked(("a", 10), ("b", 10)), looked(("a", 10)), over()],
        [f"b 10-{LATE_US} elided=1 estimated=True", " c 11-19"],
        id="announced-and-never-recorded",
    ),
    pytest.param(
        [ended("b", 1, 11, 19), looked(("a", 10)), ended("a", 0, 30, 40), over()],
        ["a 10-30 estimated=True", " b 11-19", "a 30-40"],
        id="announced-and-another-in-its-place",
    ),
    pytest.param(
        [ended("c", 2, 11, 19), looked(("a", 10), ("b", 10)), ended("a", 0, 10, 40), over()],
        ["a 10-40", " b 10-40 estimated=True", "  c 11-19"],
        id="announced-inner-is-lost-when-outer-ends",
    ),
    pytest.param(
        [ended("b", 1, 11, LATE_US - 5), looked(("a", 10)), ended("a", 0, 10, LATE_US), over()],
        [f"a 10-{LATE_US}", f" b 11-{LATE_US - 5}"],
        id="too-young-to-be-settled",
    ),
    pytest.param(
        [looked(("a", 10), ("h", 11), at_us=100), ended("b", 1, 5_000, 9_000), over(("a", 10))],
        [f"a 10-{LATE_US} unfinished=True", " b 5000-9000"],
        id="exit-is-no-error",
    ),
    pytest.param(
        [ended("c", 2, 12, 14), over(("a", 10), ("b", 11), failure=FAILURE)],
        [f"a 10-{LATE_US} unfinished=True !it trapped", f" b 11-{LATE_US} unfinished=True !it trapped", "  c 12-14"],
        id="trap",
    ),
    pytest.param(
        [ended("c", 1, 12, 14), looked(), over(("a", 10), ("b", 15), failure=FAILURE)],
        [f"a 10-{LATE_US} unfinished=True !it trapped", " c 12-14", f" b 15-{LATE_US} unfinished=True !it trapped"],
        id="a-look-between-trap-and-end",
    ),
    pytest.param(
        [ended("h", 1, 11, 12, errno=44), ended("a", 0, 10, 20), over()],
        ["a 10-20", " h 11-12 errno=44 !44"],
        id="failed-host-call",
    ),
    pytest.param(
        [ended("b", 1, 11, 12), over(("a", LATE_US + 50))],
        ["b 11-12 elided=1", f"a {LATE_US + 50}-{LATE_US + 50} unfinished=True"],
        id="never-ends-before-it-began",
    ),
]


@pytest.mark.parametrize(("steps", "lines"), TREES)
def test_tree(steps: list[Step], lines: list[str]) -> None:
    counter = itertools.count(2)
    tree = SpanTree(1, lambda: next(counter), flush_after_us=1 << 40)
    for step in steps:
        step(tree)
    assert drawn(tree.ready, 1) == lines
    ids = [each.span_id for each in tree.ready]
    assert len(set(ids)) == len(ids)
    assert {each.parent_id for each in tree.ready} <= {1, *ids}


def test_what_has_ended_is_sent_at_the_next_look_though_its_parents_are_open() -> None:
    tree = SpanTree(1, itertools.count(2).__next__, flush_after_us=1 << 40)
    ended("c", 2, 10, 20)(tree)
    assert tree.ready == []
    looked(("a", 1), ("b", 2), at_us=20 + SETTLED_US)(tree)
    assert [(each.name, each.parent_id) for each in tree.ready] == [("c", 3)]


def test_a_call_that_ended_after_the_look_is_not_announced_again() -> None:
    tree = SpanTree(1, itertools.count(2).__next__, flush_after_us=100)
    ended("a", 0, 10, 5000)(tree)
    looked(("a", 10), ("b", 20), at_us=4990)(tree)
    assert [each.name for each in tree.ready] == ["a"]


def test_open_for_long_is_marked_and_marked_again_at_twice_the_age() -> None:
    tree = SpanTree(1, itertools.count(2).__next__, flush_after_us=1000)
    for at_us in range(0, 8100, 500):
        looked(("a", 0), ("b", 5000), at_us=at_us)(tree) if at_us >= 5000 else looked(("a", 0), at_us=at_us)(tree)
    marks = [(each.name, each.end_us) for each in tree.ready]
    assert marks == [
        ("a (still open)", 1000),
        ("a (still open)", 2000),
        ("a (still open)", 4000),
        ("b (still open)", 6000),
        ("b (still open)", 7000),
        ("a (still open)", 8000),
    ]
    over(("a", 0), at_us=9000)(tree)
    a = next(each for each in tree.ready if each.name == "a")
    assert {each.link_id for each in tree.ready if each.name.startswith("a (")} == {a.span_id}
    inner = [each for each in tree.ready if each.name.startswith("b (")]
    assert {each.parent_id for each in inner} == {a.span_id}


def test_of_a_very_deep_stack_the_outermost_become_spans() -> None:
    tree = SpanTree(1, itertools.count(2).__next__, flush_after_us=1 << 40)
    over(*[("a", 5)] * 1000, failure=FAILURE)(tree)
    assert len(tree.ready) == OPEN_SPANS
    last = tree.ready[-1]
    assert last.attributes[names.OPEN_OMITTED] == 1000 - OPEN_SPANS
    assert [each.name for each in last.events] == [names.EXCEPTION]
    assert all(each.events == () for each in tree.ready[:-1])


@pytest.mark.parametrize("hostile", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES.keys())
def test_names_are_fit_for_every_viewer(hostile: str) -> None:
    tree = SpanTree(1, itertools.count(2).__next__)
    tree.add(SlowCall(FunctionName(7, hostile, hostile + "raw"), False, 0, 10, 0, 0))
    span = tree.ready[0]
    for text in (span.name, *(value for value in span.attributes.values() if isinstance(value, str))):
        assert text.isprintable()
        assert 0 < len(text) <= 256
        text.encode()
    if not hostile:
        assert span.name == "func[7]"


TRAP = Trap("out_of_bounds", "out of bounds memory access", (StackEntry(FUNCTIONS["b"], 0x1F),))
FAILURES = [
    pytest.param({"outcome": Outcome.RETURNED}, None, id="returned"),
    pytest.param({"outcome": Outcome.RUNNING}, None, id="running"),
    pytest.param({"outcome": Outcome.EXITED, "exit_code": 0}, None, id="exit-0"),
    pytest.param(
        {"outcome": Outcome.EXITED, "exit_code": 3, "open_calls": opened(("a", 0), ("b", 1), at_us=9)},
        Failure("exited", "exited with code 3", "    at b\n    at a"),
        id="exit-3",
    ),
    pytest.param(
        {"outcome": Outcome.TRAPPED, "trap": TRAP},
        Failure("out_of_bounds", "out of bounds memory access", "    at b (0x1f)"),
        id="trap",
    ),
    pytest.param(
        {"outcome": Outcome.TIMED_OUT, "message": "time limit of 1 s reached"},
        Failure("timed_out", "time limit of 1 s reached", ""),
        id="timeout",
    ),
    pytest.param({"outcome": Outcome.FAILED}, Failure("failed", "failed", ""), id="failed-without-a-word"),
    pytest.param(
        {"outcome": Outcome.INTERRUPTED, "message": "a\x1b[31m\ud800"},
        Failure("interrupted", "a\\x1b[31m\\ud800", ""),
        id="hostile-message",
    ),
]


@pytest.mark.parametrize(("changes", "failure"), FAILURES)
def test_why_a_run_failed(changes: dict[str, object], failure: Failure | None) -> None:
    last = snapshot(**changes)
    assert failure_of(last) == failure
    root = root_span(last, 5, start_us=0, end_us=90, tally=Tally())
    assert root.error == (failure and failure.message)
    assert [each.name for each in root.events] == ([] if failure is None else [names.EXCEPTION])
    assert set(root.attributes) <= set(names.ROOT_ATTRIBUTES)
    assert None not in root.attributes.values()


def test_a_long_stack_is_cut_in_the_middle() -> None:
    lines = stack_text([StackEntry(FUNCTIONS["a"], number) for number in range(1000)]).split("\n")
    assert len(lines) == 65
    assert lines[0] == "    at a (0x0)"
    assert lines[32] == "    ... 936 frames ..."
    assert lines[-1] == "    at a (0x3e7)"


DOCUMENT = Path(__file__).parents[2] / "docs" / "semantic-conventions.md"


@pytest.mark.parametrize("table", [names.ROOT_ATTRIBUTES, names.CALL_ATTRIBUTES, names.EVENTS, names.EVENT_ATTRIBUTES])
def test_the_document_lists_every_name(table: dict[str, str]) -> None:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in table.items())
    assert f"|---|---|\n{rows}\n\n" in DOCUMENT.read_text()
