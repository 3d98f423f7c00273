"""Plain against instrumented: what was found before, and a short campaign over seeds that are always the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from compiled import Missing
from fuzz_campaign import FOUND, run_campaign
from fuzz_compare import VARIANTS, compare
from fuzz_generate import wasm_tools
from fuzz_worker import check_file, in_deep_thread, ticking_engines
from wasmtrace.instrument import Instrumented, Options, instrument

SECONDS = 25
SEEDS = {"smith": 250, "mutate": 40}
_SUBJECT = b"""(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 1)
  (global (export "global") (mut i32) (i32.const 5))
  (func $callee (param i32) (result i32) (loop) (call $host (local.get 0)))
  (func (export "run") (param i32) (result i32)
    (i32.store8 (i32.and (local.get 0) (i32.const 255)) (i32.const 7))
    (i32.xor (call $callee (local.get 0)) (memory.grow (i32.const 0)))))"""


def _found() -> list[Path]:
    return sorted(FOUND.glob("*.wasm"))


@pytest.mark.parametrize("path", _found(), ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path: Path) -> None:
    """The name is KIND-SEED: the seed makes the arguments."""
    assert check_file(path, int(path.stem.rpartition("-")[2])).problems == []


@pytest.mark.parametrize("kind", SEEDS)
def test_a_short_campaign(kind: str) -> None:
    try:
        wasm_tools()
    except Missing as missing:
        pytest.skip(str(missing))
    totals = run_campaign(kind, first_seed=1, seconds=SECONDS, seeds=SEEDS[kind])
    assert totals.failures == []
    assert totals.runs > len(VARIANTS)


# A fuzzer that finds nothing must be shown to be able to. Each row spoils the rewritten module: bytes that are
# there, and what is written over them.

SPOILT = {
    "another result": (b"\x73\x0b", b"\x72\x0b"),
    "another global": (b"\x7f\x01\x41\x05\x0b", b"\x7f\x01\x41\x06\x0b"),
    "another byte in memory": (b"\x41\x07\x3a\x00\x00", b"\x41\x08\x3a\x00\x00"),
    "another magic": (b"WMTRACE\0", b"WMTRACF\0"),
    "another stack pointer": (b"\x20\x01\x36\x42\x01\x08", b"\x41\x00\x36\x42\x01\x08"),
}


@pytest.mark.parametrize(("old", "new"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_module_is_found(old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(wasm: bytes, options: object) -> Instrumented:
        made = instrument(wasm, options)  # type: ignore[arg-type]
        spoilt = made.wasm.replace(old, new)
        return Instrumented(spoilt, made.sites)

    monkeypatch.setattr("fuzz_compare.instrument", spoil)
    problems: list[str] = []
    subject = bytes(wat2wasm(_SUBJECT))
    in_deep_thread(lambda: problems.extend(compare(ticking_engines(), subject, 3).problems))
    assert problems


@pytest.mark.parametrize("wrong", [-1, 1])
def test_wrong_fuel_is_found(wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(wasm: bytes, options: Options) -> Instrumented:
        made = instrument(wasm, options)
        per_call = tuple(each + wrong for each in made.sites.fuel_per_call)
        return Instrumented(made.wasm, replace(made.sites, fuel_per_call=per_call))

    monkeypatch.setattr("fuzz_compare.instrument", spoil)
    problems: list[str] = []
    subject = bytes(wat2wasm(_SUBJECT))
    in_deep_thread(lambda: problems.extend(compare(ticking_engines(), subject, 3).problems))
    assert {each.partition(":")[0] for each in problems} == set(VARIANTS)
    assert all("fuel of plain" in each for each in problems)


def test_the_subject_is_in_order() -> None:
    problems: list[str] = []
    subject = bytes(wat2wasm(_SUBJECT))
    in_deep_thread(lambda: problems.extend(compare(ticking_engines(), subject, 3).problems))
    assert problems == []
