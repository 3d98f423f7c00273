"""Growth of every kind of memory: by function, refused ones apart, within the host's limit, noted in the ring."""

from __future__ import annotations

import pytest

from traced_guest import Guest, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.instrument import Options
from wasmtrace.layout import GrowSite

# id, memories, memidx of the one that grows, its address type, pages it begins with, most pages it may have
MEMORIES: list[tuple[str, str, int, str, int, int]] = [
    ("memory-0", "(memory 1 4)", 0, "i32", 1, 4),
    ("memory-1", "(memory 3) (memory 1 4)", 1, "i32", 1, 4),
    ("memory64", "(memory i64 1 4)", 0, "i64", 1, 4),
    ("memory64-1", "(memory 1) (memory i64 1 4)", 1, "i64", 1, 4),
    ("imported", '(import "host" "memory" (memory 1))', 0, "i32", 1, 4),
    ("page-size-1", "(memory 1 4 (pagesize 1))", 0, "i32", 1, 4),
    ("empty", "(memory 0 4)", 0, "i32", 0, 4),
    ("shared", "(memory 1 4 shared)", 0, "i32", 1, 4),
]
EACH_MEMORY = pytest.mark.parametrize("row", MEMORIES, ids=[row[0] for row in MEMORIES])
EACH_LEVEL = pytest.mark.parametrize("level", ["calls", "trace"])

_PROGRAM = """
(module MEMORIES
  (func $grow (export "grow") (param TYPE) (result TYPE) local.get 0 memory.grow INDEX)
  (func $twice (export "twice") (result TYPE) (TYPE.const 1) (drop (memory.grow INDEX)) (TYPE.const 1)
    (memory.grow INDEX))
  (func (export "size") (result TYPE) memory.size INDEX))
"""
GROW, TWICE = 0, 1


def guests(row: tuple[str, str, int, str, int, int], level: str) -> tuple[Guest, Traced]:
    _, memories, index, address, *_ = row
    wat = _PROGRAM.replace("MEMORIES", memories).replace("TYPE", address).replace("INDEX", str(index))
    memory = "host.memory" if "import" in memories else None
    wasm = wasm_of(wat)
    return Guest(wasm, memory=memory), Traced(wasm, options=Options(level=level), memory=memory)


def grown(traced: Traced) -> dict[tuple[str, int], tuple[int, int]]:
    """Pages and refused grows, by function and memory."""
    return {
        (traced.names[site.funcidx], site.memidx): (
            traced.cell(traced.layout.grow_cell(number) + cells.GROW_PAGES_FIELD),
            traced.cell(traced.layout.grow_cell(number) + cells.GROW_FAILED_FIELD),
        )
        for number, site in enumerate(traced.sites.grow_sites)
    }


def pages(traced: Traced, memidx: int) -> int:
    return traced.cell(traced.layout.memory_cell(memidx) + cells.MEMORY_PAGES_FIELD)


@EACH_MEMORY
@EACH_LEVEL
def test_growth(row: tuple[str, str, int, str, int, int], level: str) -> None:
    _, _, index, _, least, most = row
    plain, traced = guests(row, level)
    deltas = [0, 1, most, 1, -1, 0]
    got = [traced.call("grow", delta) for delta in deltas]
    assert got == [plain.call("grow", delta) for delta in deltas]
    assert got == [least, least, -1, least + 1, -1, least + 2]
    assert traced.call("size") == plain.call("size") == least + 2
    assert pages(traced, index) == least + 2
    assert grown(traced) == {("grow", index): (2, 2), ("twice", index): (0, 0)}
    assert traced.calls["grow"] == len(deltas)
    unsigned = (1 << 64 if row[3] == "i64" else 1 << 32) - 1
    assert [(each.kind, each.depth, each.name, each.payloads) for each in traced.ring()] == [
        (cells.KIND_GROW, int(level == "trace"), "grow", (index << 1, 1)),
        (cells.KIND_GROW, int(level == "trace"), "grow", (index << 1 | 1, most)),
        (cells.KIND_GROW, int(level == "trace"), "grow", (index << 1, 1)),
        (cells.KIND_GROW, int(level == "trace"), "grow", (index << 1 | 1, unsigned)),
    ]


@EACH_MEMORY
def test_two_grows_in_one_function_are_one_site(row: tuple[str, str, int, str, int, int]) -> None:
    plain, traced = guests(row, "trace")
    assert traced.call("twice") == plain.call("twice")
    assert traced.sites.grow_sites == (GrowSite(GROW, row[2]), GrowSite(TWICE, row[2]))
    assert grown(traced) == {("grow", row[2]): (0, 0), ("twice", row[2]): (2, 0)}


@EACH_MEMORY
@pytest.mark.parametrize(
    ("extra", "results"),
    [(0, [-1, -1, 0]), (1, [0, -1, 1]), (2, [0, 1, 2]), (-1, [-1, -1, 0])],
    ids=["at-the-limit", "one-left", "two-left", "above-the-limit"],
)
def test_the_hosts_limit(row: tuple[str, str, int, str, int, int], extra: int, results: list[int]) -> None:
    """Results are of two grows by 1 and one by 0, from the pages at the beginning; -1 is refused."""
    _, _, index, _, least, _ = row
    _, traced = guests(row, "trace")
    limit = max(0, least + extra)
    traced.put(traced.layout.memory_cell(index) + cells.MEMORY_LIMIT_FIELD, limit)
    if least + extra < 0:
        results = [-1, -1, 0]
    expected = [each if each < 0 else each + least for each in results]
    assert [traced.call("grow", delta) for delta in (1, 1, 0)] == expected


def test_memories_apart() -> None:
    traced = Traced(
        wasm_of("""(module (memory 1) (memory i64 2) (memory 0)
          (func $a (export "a") (drop (memory.grow 2 (i32.const 3))) (drop (memory.grow 1 (i64.const 5))))
          (func $b (export "b") (drop (memory.grow 1 (i64.const 7)))))""")
    )
    traced.call("a")
    traced.call("b")
    assert [pages(traced, memidx) for memidx in range(3)] == [1, 14, 3]
    assert grown(traced) == {("a", 2): (3, 0), ("a", 1): (5, 0), ("b", 1): (7, 0)}
    assert [(each.min_pages, each.max_pages, each.imported) for each in traced.sites.memories] == [
        (1, None, False),
        (2, None, False),
        (0, None, False),
    ]
