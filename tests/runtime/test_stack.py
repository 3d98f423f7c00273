"""A recursion that the plain program survives must be survived with probes and fuel."""

from __future__ import annotations

import threading

import pytest
import wasmtime

from wasmtrace import GuestStopped, Runtime, RuntimeConfig
from wasmtrace.records import Level
from wasmtrace.runtime import native_stack
from wasmtrace.runtime.engine import DEFAULT_STACK_BYTES, binary_of

COUNT = "(global.set $d (i32.add (global.get $d) (i32.const 1)))"
FUNCTIONS = {
    "void": f'(func $f (export "f") {COUNT} (call $f) (drop (memory.size)))',
    "param": f"""(func $f (export "f") (param i32) {COUNT}
        (call $f (i32.add (local.get 0) (i32.const 1))) (drop (global.get $d)))""",
    "fib": f"""(func $f (export "f") (param i32) (result i32) {COUNT}
        (i32.add (call $f (i32.add (local.get 0) (i32.const 1))) (call $f (local.get 0))))""",
    "many": f"""(func $f (export "f") (param i32 i64 i64 i64 i64) (result i64) {COUNT}
        (i64.add (i64.add (local.get 3) (local.get 4)) (i64.add (i64.add (local.get 2) (local.get 1))
          (call $f (local.get 0) (local.get 2) (local.get 3) (local.get 1) (local.get 4)))))""",
    "loop": f"""(func $f (export "f") (param i32) (loop $l {COUNT}
        (call $f (i32.add (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))""",
}


def module(function: str) -> bytes:
    depth = '(func (export "depth") (result i32) (global.get $d))'
    return binary_of(f"(module (memory 1) (global $d (mut i32) (i32.const 0)) {function} {depth})".encode())


def plain_depth(wasm: bytes) -> int:
    config = wasmtime.Config()
    config.max_wasm_stack = DEFAULT_STACK_BYTES
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, wasm), []).exports(store)
    function, depth = exports["f"], exports["depth"]
    assert isinstance(function, wasmtime.Func)
    assert isinstance(depth, wasmtime.Func)
    with pytest.raises(wasmtime.Trap):
        function(store, *[0] * len(function.type(store).params))
    return int(depth(store))


@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
@pytest.mark.parametrize("interruptible", [False, True], ids=["plain", "interruptible"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_plain_programs_depth_is_reached(name: str, level: Level, interruptible: bool) -> None:
    wasm = module(FUNCTIONS[name])
    config = RuntimeConfig(engine_cache=False, level=level, interruptible=interruptible)
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(wasm)) as instance:
        functype = instance.exports["f"].functype
        assert functype is not None
        with pytest.raises(GuestStopped) as caught:
            instance.call("f", *[0] * len(functype.params))
        assert caught.value.trap is not None
        assert caught.value.trap.code == "stack_overflow", "and not an overflow of the shadow stack"
        assert instance.call("depth") >= plain_depth(wasm)


def test_the_threads_own_stack_is_known() -> None:
    sizes: list[int] = []
    # Asking without a size would set it to 0.
    before = threading.stack_size(3 << 20)
    native_stack.start_thread(
        lambda: sizes.append(native_stack.stack_bytes()), name="test", engine_stack_bytes=16 << 20
    ).join(10)
    # The C library may hand out the larger stack of a thread that has ended.
    assert sizes[0] >= 17 << 20
    assert native_stack.has_room(1 << 16)
    assert not native_stack.has_room(1 << 40)
    assert threading.stack_size(before) == 3 << 20
