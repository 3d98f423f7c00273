"""Two instrumented modules linked with each other, which the specification's scripts do, but not to excess."""

from __future__ import annotations

import pytest
import wasmtime

from spec_guests import RETURNED, Guests, Instance, call_values
from spec_soundness import Telemetry
from spec_variants import INSTRUMENTED, PLAIN, VARIANTS, Variant, load

THROWS = """(module
  (tag $t (export "t"))
  (func $nothing)
  (func (export "f") (call $nothing) (loop) (throw $t)))"""
CATCHES = """(module
  (import "other" "t" (tag $t))
  (import "other" "f" (func $f))
  (func (export "run") (param i32)
    (loop $again
      (block $caught (try_table (catch $t $caught) (call $f)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $again (local.get 0)))))"""
HOLDS_A_TABLE = """(module
  (table (export "table") 1 funcref)
  (type $f (func (param i32)))
  (func (export "f") (param i32)
    (if (i32.eqz (local.get 0)) (then (return)))
    (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))"""
CALLS_BACK = """(module
  (import "other" "table" (table 1 funcref))
  (import "other" "f" (func $f (param i32)))
  (elem (i32.const 0) $back)
  (func $back (export "run") (param i32) (return_call $f (local.get 0))))"""
FRAMES_LEFT = "functions that an exception passes on its way into another module leave their frames behind"


class Pair:
    """An instance of each module, the first registered as `other`."""

    def __init__(self, variant: Variant, other: str, main: str) -> None:
        self.guests = Guests(variant.engine, fuel=variant.options is None)
        self.telemetry: list[Telemetry] = []
        self.guests.register("other", self._instance(variant, other))
        self.main = self._instance(variant, main)

    def _instance(self, variant: Variant, text: str) -> Instance:
        loaded = load(variant, bytes(wasmtime.wat2wasm(text)))
        ended, instance = self.guests.instantiate(loaded.module)
        assert ended is RETURNED
        if loaded.instrumented is not None:
            place = self.guests.memory(instance, loaded.instrumented.sites.telemetry_export)
            self.telemetry.append(Telemetry(*place, loaded.instrumented))
        return instance

    def run(self, times: int) -> str:
        return str(call_values(self.guests, self.guests.function(self.main, "run"), (times,))[0])


def _rows(reason: str, *failing: Variant) -> list[object]:
    marks = {each.name: pytest.mark.xfail(reason=reason) for each in failing}
    return [
        pytest.param(each, id=each.name, marks=[marks[each.name]] if each.name in marks else []) for each in VARIANTS
    ]


@pytest.mark.parametrize("variant", _rows(FRAMES_LEFT, *INSTRUMENTED[1:]))
def test_exceptions_between_modules_may_be_thrown_without_end(variant: Variant) -> None:
    pair = Pair(variant, THROWS, CATCHES)
    assert pair.run(1_000_000) == str(RETURNED)
    for each in pair.telemetry:
        each.check_between_calls()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: each.name)
def test_tail_calls_between_modules_take_no_stack(variant: Variant) -> None:
    assert Pair(variant, HOLDS_A_TABLE, CALLS_BACK).run(1_000_000) == str(RETURNED)


@pytest.mark.parametrize("variant", INSTRUMENTED, ids=lambda each: each.name)
def test_a_few_do_as_plain_does(variant: Variant) -> None:
    for texts in ((THROWS, CATCHES), (HOLDS_A_TABLE, CALLS_BACK)):
        assert Pair(variant, *texts).run(1000) == Pair(PLAIN, *texts).run(1000) == str(RETURNED)
