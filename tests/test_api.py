"""The public API on small modules, with the real engine, rewriter and threads. Waits are for conditions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from wasmtrace import (
    Directory,
    GuestError,
    GuestStopped,
    Instance,
    Outcome,
    Program,
    Runtime,
    RuntimeConfig,
    Sandbox,
    UnsupportedError,
    UsageError,
    with_instance,
)
from wasmtrace.records import (
    CallEnded,
    CallStarted,
    Event,
    FunctionStats,
    Level,
    MemoryGrew,
    SlowCall,
    Snapshot,
)

DEADLINE = 30.0
WASI = "wasi_snapshot_preview1"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited for too long"
        pause.wait(0.002)


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(engine_cache=False)) as made:
        yield made


@pytest.fixture(scope="module")
def killable() -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(engine_cache=False, interruptible=True)) as made:
        yield made


def functions(snapshot: Snapshot) -> dict[str, FunctionStats]:
    return {each.name: each for each in snapshot.functions}


SHAPES = b"""(module
  (memory (export "memory") 1 4)
  (data (i32.const 16) "hello")
  (global (export "g") i32 (i32.const 1))
  (func $none (export "none"))
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $swap (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
  (func $v (export "v") (param v128) (result v128) (local.get 0))
  (func $extern (export "extern") (param externref) (result externref) (local.get 0))
  (func $null (export "null") (result funcref) (ref.null func))
  (func $any (export "any") (param anyref))
  (func $trap (export "trap") (call $inner))
  (func $inner (loop $l (unreachable)))
  (func $deep (export "deep") (call $deep) (call $none))
  (func $grow (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func $div (export "div") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func $far (export "far") (drop (i32.load (i32.const 0x7fffffff))))
)"""


@pytest.fixture(scope="module")
def shapes(runtime: Runtime) -> Program:
    return runtime.load(SHAPES, "shapes")


@pytest.fixture
def instance(runtime: Runtime, shapes: Program) -> Iterator[Instance]:
    with runtime.instantiate(shapes) as made:
        yield made


CALLS = [
    pytest.param("none", (), None, id="nothing"),
    pytest.param("add", (1, 2), 3, id="i32"),
    pytest.param("add", (2**32 - 1, 0), -1, id="i32-unsigned"),
    pytest.param("swap", (7, 2.5), (2.5, 7), id="two-results"),
    pytest.param("v", (bytes(range(16)),), bytes(range(16)), id="v128"),
    pytest.param("extern", (["python"],), ["python"], id="externref"),
    pytest.param("extern", (None,), None, id="externref-null"),
    pytest.param("null", (), None, id="funcref-null"),
]
WRONG_CALLS = [
    pytest.param("nobody", (), UsageError, "no function is exported as 'nobody'.*add", id="not-there"),
    pytest.param("memory", (), UsageError, "is a memory, not a function", id="memory"),
    pytest.param("g", (), UsageError, "is a global, not a function", id="global"),
    pytest.param("add", (1,), UsageError, "takes 2 arguments", id="too-few"),
    pytest.param("add", (1, 2.0), UsageError, "argument 2 of 'add': expected i32", id="float"),
    pytest.param("any", (None,), UnsupportedError, "anyref", id="gc-reference"),
    pytest.param("wasmtrace:telemetry", (), UsageError, "no function|not a function", id="telemetry"),
]
TRAPS = [
    pytest.param("trap", (), "unreachable", ["inner", "trap"], id="unreachable"),
    pytest.param("div", (0,), "integer_division_by_zero", ["div"], id="division"),
    pytest.param("far", (), "memory_out_of_bounds", ["far"], id="out-of-bounds"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CALLS)
def test_calls(instance: Instance, name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    assert instance.call(name, *arguments) == expected
    assert functions(instance.snapshot())[name].calls == 1


@pytest.mark.parametrize(("name", "arguments", "kind", "message"), WRONG_CALLS)
def test_wrong_calls_never_reach_the_guest(
    instance: Instance, name: str, arguments: tuple[Any, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        instance.call(name, *arguments)
    assert instance.snapshot().functions == ()


@pytest.mark.parametrize(("name", "arguments", "code", "stack"), TRAPS)
def test_traps(instance: Instance, name: str, arguments: tuple[Any, ...], code: str, stack: list[str]) -> None:
    with pytest.raises(GuestStopped) as caught:
        instance.call(name, *arguments)
    assert caught.value.outcome is Outcome.TRAPPED
    trap = caught.value.trap
    assert trap is not None
    assert trap.code == code
    assert [entry.function.name for entry in trap.stack] == stack


def test_the_offsets_of_a_trap_are_in_the_module_as_it_came(instance: Instance, shapes: Program) -> None:
    with pytest.raises(GuestStopped):
        instance.call("trap")
    trap = instance.snapshot().trap
    assert trap is not None
    opcodes = [shapes.source[entry.offset] for entry in trap.stack if entry.offset is not None]
    assert opcodes == [0x00, 0x10], "unreachable, call"


def test_after_a_trap_the_open_calls_are_told_and_the_next_call_begins_anew(instance: Instance) -> None:
    with pytest.raises(GuestStopped):
        instance.call("trap")
    stopped = instance.snapshot()
    assert [each.function.name for each in stopped.open_calls] == ["trap", "inner"]
    assert stopped.outcome is Outcome.TRAPPED
    assert instance.call("add", 1, 1) == 2
    after = instance.snapshot()
    assert (after.outcome, after.trap, after.open_calls) == (Outcome.RETURNED, None, ())
    with pytest.raises(GuestStopped):
        instance.call("trap")
    assert len(instance.snapshot().open_calls) == 2


def test_stack_exhaustion_twice(instance: Instance) -> None:
    for _ in range(2):
        with pytest.raises(GuestStopped) as caught:
            instance.call("deep")
        assert caught.value.trap is not None
        assert caught.value.trap.code == "stack_overflow"
        assert {entry.function.name for entry in caught.value.trap.stack} == {"deep"}
        assert all(entry.offset is not None for entry in caught.value.trap.stack[:20])
        assert len(caught.value.trap.stack) > 20, "the engine tells of 20 calls, the shadow stack of the others"
    snapshot = instance.snapshot()
    assert snapshot.message == "the stack limit of 524288 bytes is reached"
    assert functions(snapshot)["deep"].calls > 2 * 16_000
    assert {each.function.name for each in snapshot.open_calls} == {"deep"}


def test_memory_is_read_and_written_within_its_bounds(instance: Instance) -> None:
    assert instance.read_memory(16, 5) == b"hello"
    instance.write_memory(65530, b"abcdef")
    assert instance.read_memory(65530, 6) == b"abcdef"
    assert instance.read_memory(65536, 0) == b""
    for offset, length in ((65530, 7), (-1, 1), (-65536, 4), (0, -1), (2**40, 1)):
        with pytest.raises(UsageError, match="not within"):
            instance.read_memory(offset, length)
    with pytest.raises(UsageError, match="not within"):
        instance.write_memory(65535, b"ab")
    with pytest.raises(UsageError, match="nothing is exported"):
        instance.read_memory(0, 1, "nobody")
    with pytest.raises(UsageError, match="not a memory"):
        instance.read_memory(0, 1, "g")


def test_growth_is_counted_and_memory_told(instance: Instance) -> None:
    assert [instance.call("grow", pages) for pages in (1, 2, 1)] == [1, 2, -1]
    snapshot = instance.snapshot()
    grow = functions(snapshot)["grow"]
    assert (grow.grown_pages, grow.failed_grows) == (3, 1)
    assert [(each.pages, each.peak_pages, each.page_bytes) for each in snapshot.memories] == [(4, 4, 65536)]
    assert instance.read_memory(4 * 65536 - 1, 1) == b"\0"


def test_exports_are_those_of_the_module_as_it_came(instance: Instance) -> None:
    assert "wasmtrace:telemetry" not in instance.exports
    assert str(instance.exports["swap"].functype) == "(i32, f64) -> (f64, i32)"


def test_two_instances_share_nothing(runtime: Runtime, shapes: Program) -> None:
    with runtime.instantiate(shapes) as first, runtime.instantiate(shapes) as second:
        first.write_memory(0, b"1")
        for _ in range(5):
            first.call("none")
        second.call("add", 1, 2)
        assert second.read_memory(0, 1) == b"\0"
        assert {name: each.calls for name, each in functions(first.snapshot()).items()} == {"none": 5}
        assert {name: each.calls for name, each in functions(second.snapshot()).items()} == {"add": 1}


def test_top_keeps_what_was_called_most(instance: Instance) -> None:
    for name, times in (("none", 3), ("null", 1), ("add", 2)):
        for _ in range(times):
            instance.call(name, *((1, 2) if name == "add" else ()))
    assert set(functions(instance.snapshot(top=2))) == {"none", "add"}


def test_a_closed_instance_keeps_its_last_snapshot(runtime: Runtime, shapes: Program) -> None:
    instance = runtime.instantiate(shapes)
    instance.call("none")
    instance.close()
    instance.close()
    assert functions(instance.snapshot())["none"].calls == 1
    with pytest.raises(GuestError, match="closed"):
        instance.call("none")
    with pytest.raises(GuestError, match="closed"):
        instance.read_memory(0, 1)


HOSTED = b"""(module
  (import "env" "double" (func $double (param i32) (result i32)))
  (import "env" "pair" (func $pair (result i64 f32)))
  (import "env" "print" (func $print (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 8) "text")
  (func (export "double") (param i32) (result i32) (call $double (local.get 0)))
  (func (export "pair") (result i64 f32) (call $pair))
  (func (export "print") (call $print (i32.const 8) (i32.const 4)))
  (func (export "again") (param i32) (result i32) (i32.add (call $double (local.get 0)) (i32.const 1)))
)"""


class Host:
    """Host functions that remember, and do what the test says."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.double: Callable[[int], Any] = lambda value: value * 2

    def sandbox(self) -> Sandbox:
        def show(instance: Instance, offset: int, length: int) -> None:
            self.texts.append(instance.read_memory(offset, length))

        imports: dict[tuple[str, str], Callable[..., Any]] = {
            ("env", "double"): lambda value: self.double(value),
            ("env", "pair"): lambda: (2**63, 0.5),
            ("env", "print"): with_instance(show),
        }
        return Sandbox(imports=imports)


@pytest.fixture(scope="module")
def hosted(runtime: Runtime) -> Program:
    return runtime.load(HOSTED, "hosted")


def test_host_functions(runtime: Runtime, hosted: Program) -> None:
    host = Host()
    with runtime.instantiate(hosted, host.sandbox()) as instance:
        assert instance.call("double", 21) == 42
        assert instance.call("pair") == (-(2**63), 0.5)
        instance.call("print")
        calls = {each.name: each.calls for each in instance.snapshot().host_calls}
    assert host.texts == [b"text"]
    assert calls == {"double": 1, "pair": 1, "print": 1}


@pytest.mark.parametrize("raised", [ValueError("no"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_what_a_host_function_raises_reaches_the_caller(
    runtime: Runtime, hosted: Program, raised: BaseException
) -> None:
    host = Host()

    def fail(value: int) -> int:
        raise raised

    with runtime.instantiate(hosted, host.sandbox()) as instance:
        host.double = fail
        with pytest.raises(type(raised)) as caught:
            instance.call("double", 1)
        assert caught.value is raised
        stopped = instance.snapshot()
        assert stopped.outcome is Outcome.FAILED
        host.double = lambda value: value
        assert instance.call("double", 1) == 1


@pytest.mark.parametrize("returned", [None, "text", 2**32, (1, 2)])
def test_a_wrong_result_of_a_host_function_is_an_error(runtime: Runtime, hosted: Program, returned: Any) -> None:
    host = Host()
    host.double = lambda value: returned
    with runtime.instantiate(hosted, host.sandbox()) as instance, pytest.raises(UsageError, match=r"env\.double"):
        instance.call("double", 1)


def test_a_host_function_may_call_back_in_and_catch_what_happens_there(runtime: Runtime) -> None:
    program = runtime.load(
        b"""(module (import "env" "host" (func $host))
        (func $outer (export "outer") (call $host) (loop $l))
        (func $trap (export "trap") (loop $l (unreachable))))"""
    )
    depths: list[list[str]] = []

    def host(instance: Instance) -> None:
        with pytest.raises(GuestStopped):
            instance.call("trap")
        depths.append([each.function.name for each in instance.snapshot().open_calls])

    with runtime.instantiate(program, Sandbox(imports={("env", "host"): with_instance(host)})) as instance:
        instance.call("outer")
        assert depths == [["outer", "host"]]
        assert instance.snapshot().outcome is Outcome.RETURNED


def test_two_threads_do_not_get_each_others_errors(runtime: Runtime, hosted: Program) -> None:
    together = threading.Barrier(2)
    caught: dict[int, BaseException] = {}

    def work(number: int) -> None:
        host = Host()

        def fail(value: int) -> int:
            together.wait(DEADLINE)
            raise ValueError(number)

        host.double = fail
        with runtime.instantiate(hosted, host.sandbox()) as instance:
            try:
                instance.call("double", number)
            except ValueError as error:
                caught[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert {number: str(error) for number, error in caught.items()} == {1: "1", 2: "2"}


MISSING = [
    pytest.param('(import "env" "f" (func))', r"env\.f \(func\)", id="function"),
    pytest.param('(import "env" "m" (memory 1))', r"env\.m \(memory\)", id="memory"),
    pytest.param('(import "env" "g" (global i32)) (import "a" "t" (table 1 funcref))', r"env\.g .*a\.t", id="two"),
    pytest.param(f'(import "{WASI}" "no_such" (func))', "no_such", id="wasi-has-no-such"),
    pytest.param('(import "wasi_unstable" "fd_write" (func))', "preview 0", id="wasi-unstable"),
]


@pytest.mark.parametrize(("imports", "message"), MISSING)
def test_imports_that_nobody_provides_are_named(runtime: Runtime, imports: str, message: str) -> None:
    program = runtime.load(f'(module {imports} (func (export "_start")))'.encode())
    with pytest.raises(GuestError, match=f"nobody provides.*{message}"):
        runtime.instantiate(program)
    with pytest.raises(GuestError, match=f"nobody provides.*{message}"):
        runtime.start(program)


def test_unknown_imports_can_trap() -> None:
    with Runtime(RuntimeConfig(engine_cache=False, unknown_imports="trap")) as runtime:
        program = runtime.load(
            b'(module (import "env" "f" (func $f)) (func (export "a")) (func (export "b") (call $f)))'
        )
        with runtime.instantiate(program) as instance:
            instance.call("a")
            with pytest.raises((GuestStopped, GuestError), match="env"):
                instance.call("b")


def test_a_host_function_of_another_type_is_refused_at_once(runtime: Runtime, hosted: Program) -> None:
    imports: Any = {("env", "double"): 5}
    with pytest.raises(UsageError, match="expected a function"):
        runtime.instantiate(hosted, Sandbox(imports=imports))


ECHO = f"""(module
  (import "{WASI}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "{WASI}" "proc_exit" (func $exit (param i32)))
  (import "{WASI}" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "{WASI}" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $main (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $write (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $args (i32.const 16) (i32.const 20)))
    (drop (call $env (i32.const 24) (i32.const 28)))
    (call $exit (i32.add (i32.mul (i32.const 10) (i32.load (i32.const 16))) (i32.load (i32.const 24)))))
)""".encode()


def test_wasi_streams_arguments_environment_and_exit_code(runtime: Runtime, tmp_path: Path) -> None:
    program = runtime.load(ECHO, "echo")
    sandbox = Sandbox(
        args=("echo", "a", "b"), env={"K": "V"}, stdin=b"input\0", stdout=tmp_path / "out", stderr=tmp_path / "err"
    )
    result = runtime.run(program, sandbox)
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 31)
    assert (tmp_path / "out").read_bytes() == b"input\0"
    assert (tmp_path / "err").read_bytes() == b"input\0"
    hosts = {each.name: each for each in result.snapshot.host_calls}
    assert (hosts["fd_write"].calls, dict(hosts["fd_write"].errors)) == (3, {"badf": 1})
    assert [each.function.name for each in result.snapshot.open_calls] == ["main", "exit"]


def test_nothing_is_given_by_default(runtime: Runtime) -> None:
    result = runtime.run(runtime.load(ECHO))
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 0)


def test_output_to_a_pipe(runtime: Runtime) -> None:
    reading, writing = os.pipe()
    try:
        runtime.run(runtime.load(ECHO), Sandbox(stdin=b"x", stdout=Path(f"/dev/fd/{writing}")))
        assert os.read(reading, 100) == b"x"
    finally:
        os.close(reading)
        os.close(writing)


BAD_SANDBOXES = [
    pytest.param(Sandbox(dirs=(Directory("/no/such/place", "/"),)), "is not a directory", id="no-directory"),
    pytest.param(Sandbox(dirs=(Directory("/etc/passwd", "/"),)), "is not a directory", id="file"),
    pytest.param(Sandbox(args=("a\0b",)), "zero byte", id="zero-in-argument"),
    pytest.param(Sandbox(env={"K": "\udc80"}), "not UTF-8", id="not-utf-8"),
    pytest.param(Sandbox(stdin=Path("/no/such/file")), "cannot be opened", id="stdin"),
    pytest.param(Sandbox(stdout=Path("/no/such/file")), "cannot be opened", id="stdout"),
]


@pytest.mark.parametrize(("sandbox", "message"), BAD_SANDBOXES)
def test_a_sandbox_that_cannot_be(runtime: Runtime, sandbox: Sandbox, message: str) -> None:
    with pytest.raises((UsageError, GuestError), match=message):
        runtime.run(runtime.load(ECHO), sandbox)


OPEN = f"""(module
  (import "{WASI}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "new")
  (func (export "create") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1)
      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)))
)""".encode()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_directory_may_be_read_only(runtime: Runtime, tmp_path: Path, read_only: bool) -> None:
    sandbox = Sandbox(dirs=(Directory(tmp_path, "/", read_only),))
    result = runtime.run(runtime.load(OPEN), sandbox, invoke="create")
    assert (result.values == (0,)) is not read_only
    assert (tmp_path / "new").exists() is not read_only


INVOKES = [
    pytest.param((), UsageError, "takes 2 arguments", id="none"),
    pytest.param(("1", "x"), UsageError, "argument 2 of 'add': expected i32, got 'x'", id="word"),
    pytest.param((1, 2, 3), UsageError, "takes 2 arguments", id="too-many"),
]


@pytest.mark.parametrize("arguments", [("1", "0xff"), (1, 255)])
def test_invoke(runtime: Runtime, shapes: Program, arguments: tuple[Any, ...]) -> None:
    result = runtime.run(shapes, invoke="add", invoke_args=arguments)
    assert (result.outcome, result.values, result.exit_code) == (Outcome.RETURNED, (256,), 0)


@pytest.mark.parametrize(("arguments", "kind", "message"), INVOKES)
def test_invoke_with_wrong_arguments_starts_nothing(
    runtime: Runtime, shapes: Program, arguments: tuple[Any, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        runtime.start(shapes, invoke="add", invoke_args=arguments)
    with pytest.raises(UsageError, match="no function is exported as 'nobody'"):
        runtime.start(shapes, invoke="nobody")


def test_a_module_that_is_no_command_says_what_it_has(runtime: Runtime, shapes: Program) -> None:
    with pytest.raises(UsageError, match=r"exports no _start.*none, add"):
        runtime.run(shapes)


REACTOR = b"""(module (global $g (mut i32) (i32.const 0))
  (func $init (export "_initialize") (global.set $g (i32.const 5)))
  (func $get (export "get") (result i32) (global.get $g)))"""


def test_a_reactor_is_initialized_first(runtime: Runtime) -> None:
    program = runtime.load(REACTOR)
    with runtime.instantiate(program) as instance:
        assert instance.call("get") == 5
        assert {name: each.calls for name, each in functions(instance.snapshot()).items()} == {"init": 1, "get": 1}
    assert runtime.run(program, invoke="get").values == (5,)


def test_a_start_function_is_counted_and_its_trap_told(runtime: Runtime) -> None:
    program = runtime.load(b'(module (start $s) (func $s (call $t)) (func $t) (func (export "f")))')
    with runtime.instantiate(program) as instance:
        assert {name: each.calls for name, each in functions(instance.snapshot()).items()} == {"s": 1, "t": 1}
    trapping = runtime.load(b'(module (start $s) (func $s (unreachable)) (func (export "_start")))')
    with pytest.raises(GuestStopped, match="the start function trapped"):
        runtime.instantiate(trapping)
    result = runtime.run(trapping)
    assert (result.outcome, result.exit_code) == (Outcome.TRAPPED, 134)
    assert result.snapshot.trap is not None
    assert [entry.function.name for entry in result.snapshot.trap.stack] == ["s"]


SPIN = b"""(module (memory (export "memory") 1)
  (func $main (export "_start") (loop $l (call $step) (br $l)))
  (func $step (call $leaf) (loop $l))
  (func $leaf)
  (func $busy (export "busy") (param i32) (loop $l
    (call $step) (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
)"""


def test_a_guest_that_loops_for_ever_is_read_live_and_killed(killable: Runtime) -> None:
    with killable.start(killable.load(SPIN, "spin")) as run:
        wait_until(lambda: bool(run.snapshot().functions))
        first = run.snapshot()
        before = functions(first)["step"].calls
        wait_until(lambda: functions(run.snapshot())["step"].calls > before + 1000)
        wait_until(lambda: run.snapshot().open_calls[0].open_seconds > 0.005)
        live = run.snapshot()
        assert live.outcome is Outcome.RUNNING
        assert live.open_calls[0].function.name == "main"
        assert live.fuel is not None
        assert live.fuel > 0
        assert live.wall_seconds > first.wall_seconds
        assert live.cpu_seconds > 0
        assert run.running
        run.kill()
        assert run.wait(DEADLINE)
        result = run.result()
    assert result.outcome is Outcome.INTERRUPTED
    assert result.snapshot.message == "stopped by the host"
    assert result.snapshot.fuel is not None
    assert functions(result.snapshot)["main"].self_seconds >= 0


def test_killing_one_guest_leaves_the_other_running(killable: Runtime) -> None:
    program = killable.load(SPIN)
    with killable.start(program) as first, killable.start(program) as second:
        wait_until(lambda: bool(first.snapshot().functions and second.snapshot().functions))
        first.kill()
        assert first.wait(DEADLINE)
        before = functions(second.snapshot())["step"].calls
        wait_until(lambda: functions(second.snapshot())["step"].calls > before)
        assert second.running


def test_an_abandoned_guest_gives_its_last_snapshot_and_one_end() -> None:
    events: list[Event] = []
    config = RuntimeConfig(engine_cache=False, interruptible=True, sinks=(events.append,))
    with Runtime(config) as runtime, runtime.start(runtime.load(SPIN)) as run:
        wait_until(lambda: bool(run.snapshot().functions))
        last = run.abandon(Outcome.TIMED_OUT, "time limit of 1 s reached")
        assert (last.outcome, last.message) == (Outcome.TIMED_OUT, "time limit of 1 s reached")
        assert last.open_calls[0].function.name == "main"
        assert run.running
        run.kill()
        assert run.wait(DEADLINE)
        assert run.snapshot().outcome is Outcome.TIMED_OUT
    started = [each for each in events if isinstance(each, CallStarted)]
    ended = [each for each in events if isinstance(each, CallEnded)]
    assert (len(started), [each.outcome for each in ended]) == (1, [Outcome.TIMED_OUT])


def test_kill_needs_an_interruptible_runtime(runtime: Runtime, instance: Instance) -> None:
    with pytest.raises(UsageError, match="interruptible"):
        instance.kill()


def test_events_of_a_run() -> None:
    events: list[Event] = []
    wat = b"""(module (memory 1) (func $main (export "_start") (drop (memory.grow (i32.const 2))) (call $inner))
      (func $inner (loop $l)))"""
    with Runtime(RuntimeConfig(engine_cache=False, slow_threshold_us=0, sinks=(events.append,))) as runtime:
        result = runtime.run(runtime.load(wat))
    kinds = [type(each) for each in events]
    assert kinds == [CallStarted, MemoryGrew, SlowCall, SlowCall, CallEnded]
    inner, main = (each for each in events if isinstance(each, SlowCall))
    assert [(each.function.name, each.depth, each.host) for each in (inner, main)] == [
        ("inner", 1, False),
        ("main", 0, False),
    ]
    ended = events[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.export, ended.outcome, ended.open_calls) == ("_start", Outcome.RETURNED, ())
    assert ended.fuel is not None
    assert ended.fuel <= (result.snapshot.fuel or 0) <= ended.fuel + 1, "the instantiation takes 1"
    assert functions(result.snapshot)["inner"].slow_calls == 1
    assert result.snapshot.cost.records_read == 3


def test_a_slow_call_is_found(runtime: Runtime) -> None:
    program = runtime.load(SPIN)
    with runtime.instantiate(program) as instance:
        rounds = 1_000_000
        while not functions(instance.snapshot()).get("busy") or not functions(instance.snapshot())["busy"].slow_calls:
            assert rounds < 10**9
            instance.call("busy", rounds)
            rounds *= 2
        busy = functions(instance.snapshot())["busy"]
        assert busy.slow_seconds >= busy.slowest_seconds >= 0.001
        assert busy.self_seconds + functions(instance.snapshot())["step"].self_seconds > 0


def test_fuel_is_counted_by_call_and_limited() -> None:
    events: list[Event] = []
    config = RuntimeConfig(engine_cache=False, fuel_limit=100_000, sinks=(events.append,))
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(SPIN)) as instance:
        instance.call("busy", 10)
        instance.call("busy", 20)
        first, second = (each.fuel for each in events if isinstance(each, CallEnded))
        assert first is not None
        assert second is not None
        assert 0 < first < second
        assert instance.snapshot().fuel == first + second + 1, "the instantiation takes 1"
        with pytest.raises(GuestStopped) as caught:
            instance.call("_start")
        snapshot = instance.snapshot()
    assert caught.value.trap is not None
    assert caught.value.trap.code == "out_of_fuel"
    assert (snapshot.fuel, snapshot.fuel_limit) == (100_000, 100_000)
    assert snapshot.message == "the fuel limit of 100000 is used up"


def test_without_fuel_none_is_told() -> None:
    with Runtime(RuntimeConfig(engine_cache=False, fuel=False)) as runtime:
        assert runtime.run(runtime.load(SHAPES), invoke="none").snapshot.fuel is None


WRONG_CONFIGS: list[dict[str, Any]] = [
    {"fuel": False, "fuel_limit": 5},
    {"fuel_limit": -1},
    {"max_memory_bytes": -1},
    {"max_stack_bytes": 100},
    {"max_stack_bytes": 1 << 40},
    {"ring_capacity": 1000},
]


@pytest.mark.parametrize("settings", WRONG_CONFIGS, ids=str)
def test_wrong_configurations(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Runtime(RuntimeConfig(**settings))


def test_a_memory_limit_refuses_growth_and_too_large_a_start() -> None:
    with Runtime(RuntimeConfig(engine_cache=False, max_memory_bytes=3 * 65536)) as runtime:
        with runtime.instantiate(runtime.load(SHAPES)) as instance:
            assert [instance.call("grow", pages) for pages in (2, 1)] == [1, -1]
            assert [(each.pages, each.limit_pages) for each in instance.snapshot().memories] == [(3, 3)]
        with pytest.raises(GuestError, match="over the limit of 196608 bytes"):
            runtime.instantiate(runtime.load(b"(module (memory 4))"))


def test_level_calls_counts_without_frames() -> None:
    with Runtime(RuntimeConfig(engine_cache=False, level=Level.CALLS)) as runtime:
        result = runtime.run(runtime.load(SPIN), invoke="busy", invoke_args=(10,))
    assert {name: each.calls for name, each in functions(result.snapshot).items()} == {
        "busy": 1,
        "step": 10,
        "leaf": 10,
    }


def test_the_second_load_comes_from_the_cache(tmp_path: Path) -> None:
    config = RuntimeConfig(engine_cache=False, cache_dir=tmp_path / "cache")
    for cached in (False, True):
        with Runtime(config) as runtime:
            program = runtime.load(SHAPES, "shapes")
            assert program.subject.instrument_cached is cached
            assert runtime.run(program, invoke="add", invoke_args=(1, 2)).values == (3,)
    with Runtime(RuntimeConfig(engine_cache=False, cache_dir=tmp_path / "cache", exclude=("add",))) as runtime:
        assert not runtime.load(SHAPES).subject.instrument_cached


def test_a_program_from_a_file(runtime: Runtime, tmp_path: Path) -> None:
    path = tmp_path / "program.wat"
    path.write_bytes(SHAPES)
    program = runtime.load(path)
    assert (program.info.name, program.info.level) == ("program.wat", Level.TRACE)
    assert runtime.run(program, invoke="none").outcome is Outcome.RETURNED
    for wrong in (tmp_path / "missing.wasm", tmp_path, "nul\0"):
        with pytest.raises(GuestError, match="cannot read"):
            runtime.load(wrong)


def test_a_program_as_the_engines_own_tool_makes_it(runtime: Runtime) -> None:
    """`wasmtime.wat2wasm` gives a bytearray, which its owner may change later."""
    made = wasmtime.wat2wasm(SHAPES)
    program = runtime.load(made, "shapes")
    made[:] = b""
    assert runtime.run(program, invoke="add", invoke_args=(1, 2)).values == (3,)


def test_a_deep_guest_runs_from_a_thread_with_a_small_stack() -> None:
    results: list[str] = []
    config = RuntimeConfig(engine_cache=False, max_stack_bytes=4 << 20)
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(SHAPES)) as instance:
        restored = threading.Event()

        def work() -> None:
            assert restored.wait(DEADLINE)
            with pytest.raises(GuestStopped) as caught:
                instance.call("deep")
            assert caught.value.trap is not None
            results.append(caught.value.trap.code)

        previous = threading.stack_size(1 << 20)
        try:
            thread = threading.Thread(target=work)
            thread.start()
        finally:
            threading.stack_size(previous)
        restored.set()
        thread.join(DEADLINE)
        assert results == ["stack_overflow"]
        assert functions(instance.snapshot())["deep"].calls > 8 * 16_000
    assert threading.stack_size(previous) == previous


IMPORTS = [
    pytest.param("import wasmtrace, wasmtrace.instrument", ("wasmtime",), id="rewriter-without-engine"),
    pytest.param("from wasmtrace import Runtime; Runtime", ("wasm_tob", "wasmtrace.instrument"), id="engine-alone"),
    pytest.param("import wasmtrace", ("wasmtime", "wasmtrace.api"), id="nothing"),
]


@pytest.mark.parametrize(("statement", "absent"), IMPORTS)
def test_what_an_import_leaves_out(statement: str, absent: tuple[str, ...]) -> None:
    code = f"{statement}\nimport sys\nprint([each for each in {absent!r} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import wasmtrace

    assert [getattr(wasmtrace, name).__name__ for name in wasmtrace.__all__] == wasmtrace.__all__
    assert set(wasmtrace.__all__) <= set(dir(wasmtrace))
    with pytest.raises(AttributeError, match="nonsense"):
        wasmtrace.nonsense  # noqa: B018


def test_streams_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "echo.wat").write_bytes(ECHO)
    code = f"""
from wasmtrace import Runtime, RuntimeConfig, Sandbox, Stream
with Runtime(RuntimeConfig(engine_cache=False)) as runtime:
    sandbox = Sandbox(stdin=Stream.INHERIT, stdout=Stream.INHERIT, stderr=Stream.INHERIT)
    print(runtime.run(runtime.load({str(tmp_path / "echo.wat")!r}), sandbox).exit_code)
"""
    done = subprocess.run([sys.executable, "-c", code], input=b"piped\n", capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"piped\n0\n", b"piped\n")
