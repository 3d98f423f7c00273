"""Names and texts of a module that try to break out of where wasmtrace shows them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hostile_names import NAMES, custom_section, is_harmless, name_section, quoted
from hostile_process import COMMAND, DEADLINE_SECONDS, Done, environment, wasmtrace
from wasmtrace import Runtime, Sandbox
from wasmtrace.exporters import summary
from wasmtrace.exporters.prometheus import encode_snapshots
from wasmtrace.exporters.report import encode
from wasmtrace.exporters.text import printable
from wasmtrace.exporters.totals import label
from wasmtrace.records import Snapshot
from wasmtrace.runtime.engine import binary_of

LONGEST_LABEL = 220
LONGEST_LINE = 4100
SELECTED = ["clear screen", "c1 csi", "new line", "right to left", "long"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def _module(name: str) -> bytes:
    """Everything that can have a name has this one; `run` calls an import and then traps."""
    string = quoted(name)
    text = f"""(module
      (import {string} {string} (func (result i32)))
      (memory (export {quoted(name + "memory")}) 1)
      (func (drop (call 0)) (drop (memory.grow (i32.const 1))) unreachable)
      (func (export {string}) (call 1))
      (func (export "run") (call 1)))"""
    encoded = name.encode()
    names = name_section({0: encoded, 1: encoded, 2: encoded + b"2", 3: b"run"})
    producers = (
        b"\x01" + bytes([12]) + b"processed-by" + b"\x01" + _string(name[:20].encode()) + _string(name[:20].encode())
    )
    custom = custom_section(name[:250].encode(), b"content")
    return binary_of(text.encode()) + names + custom_section(b"producers", producers) + custom


def _string(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def _snapshot(name: str) -> Snapshot:
    """What a run of the module tells."""
    imports = {(name, name): lambda: 1}
    with Runtime() as runtime:
        return runtime.run(runtime.load(_module(name), name), Sandbox(imports=imports), invoke="run").snapshot


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_summary(name: str) -> None:
    snapshot = _snapshot(name)
    assert snapshot.trap is not None
    for text in (
        summary.render(snapshot, colour=False, width=100),
        summary.render_failure(snapshot, colour=False, width=40),
    ):
        assert is_harmless(text)
        assert len(text) < 20_000
        assert len(text.splitlines()) < 100
    coloured = summary.render(snapshot, colour=True, width=None)
    assert is_harmless(re.sub(r"\x1b\[[0-9;]*m", "", coloured))


def test_report(name: str) -> None:
    snapshot = _snapshot(name)
    data = encode(snapshot)
    assert is_harmless(data.decode())
    report = json.loads(data)
    assert report["module"]["name"] == name
    assert not name or {name, name + "2"} & {each["name"] for each in report["functions"]}
    assert [(each["module"], each["name"]) for each in report["host_calls"]] == [(name, name)]


def test_metrics(name: str) -> None:
    """The same families and as many samples as for a plain name: nothing was made up by a quote or a new line."""
    text, plain = (encode_snapshots((_snapshot(each),)).decode() for each in (name, "plain"))
    families, expected = (_samples(each) for each in (text, plain))
    assert families == expected
    assert is_harmless(text)
    labels = [sample.labels for each in text_string_to_metric_families(text) for sample in each.samples]
    assert {each["module"] for each in labels if "module" in each} == {label(name)}
    assert max(len(value) for each in labels for value in each.values()) <= LONGEST_LABEL
    if len(name) < 100:
        assert {printable(name), label(name)} & {each["function"] for each in labels if "function" in each}


def _samples(text: str) -> list[tuple[str, int]]:
    return [(each.name, len(each.samples)) for each in text_string_to_metric_families(text)]


BROKEN_UTF8 = [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf..", b"\x80\x9b2J", b"a\x00b"]


@pytest.mark.parametrize("raw", BROKEN_UTF8)
def test_function_names_that_are_not_utf8(raw: bytes) -> None:
    text = b'(module (func unreachable) (func (export "run") (call 0)))'
    module = binary_of(text) + name_section({0: raw, 1: b"run"})
    with Runtime() as runtime:
        snapshot = runtime.run(runtime.load(module, "broken"), invoke="run").snapshot
    metrics = encode_snapshots((snapshot,))
    assert is_harmless(metrics.decode())
    assert sum(each.calls for each in snapshot.functions) == 2
    assert is_harmless(encode(snapshot).decode())
    assert is_harmless(summary.render(snapshot, colour=False, width=80))


# The command line

ROWS = [NAMES[each] for each in SELECTED]


def _checked(done: Done) -> Done:
    assert is_harmless(done.err), done.err
    assert max(map(len, done.err.splitlines()), default=0) <= LONGEST_LINE
    return done


@pytest.mark.parametrize("name", ROWS, ids=SELECTED)
def test_command_line(home: Path, tmp_path: Path, name: str) -> None:
    """Traps, missing imports, lists of exports, and what `inspect` says."""
    path = tmp_path / "module.wasm"
    path.write_bytes(_module(name))
    missing = _checked(wasmtrace(home, "run", "--invoke", "run", path))
    assert (missing.code, missing.err.count("\n")) == (1, 1)
    assert "nobody provides the import" in missing.err
    trapped = _checked(wasmtrace(home, "run", "--unknown-imports", "trap", "--invoke", "run", path))
    assert trapped.code in (1, 134)
    absent = _checked(wasmtrace(home, "run", "--unknown-imports", "trap", "--invoke", "absent" + name[:50], path))
    assert (absent.code, absent.err.count("\n")) == (2, 1)
    inspected = _checked(wasmtrace(home, "inspect", path))
    assert inspected.code == 0
    assert is_harmless(inspected.out.decode())
    as_json = _checked(wasmtrace(home, "inspect", "--json", path)).out
    assert is_harmless(as_json.decode())
    assert json.loads(as_json)["imports"][0]["name"] == name


FILE_NAMES = ["title", "new line", "right to left"]


@pytest.mark.parametrize("name", [NAMES[each] for each in FILE_NAMES], ids=FILE_NAMES)
def test_file_names(home: Path, tmp_path: Path, name: str) -> None:
    """A module's file name is often another's choice too."""
    good, bad = tmp_path / (name + ".wat"), tmp_path / (name + ".wasm")
    good.write_bytes(b'(module (func (export "run") unreachable))')
    bad.write_bytes(b"\0asm\x01\0\0\0" + name.encode())
    assert _checked(wasmtrace(home, "run", "--invoke", "run", good)).code == 134
    assert _checked(wasmtrace(home, "instrument", good, "-o", f"{good}.out")).code == 0
    assert is_harmless(_checked(wasmtrace(home, "inspect", good)).out.decode())
    assert _checked(wasmtrace(home, "run", bad)).code == 1
    assert _checked(wasmtrace(home, "run", tmp_path / f"absent{name}")).code == 1
    assert _checked(wasmtrace(home, "run", "--report", tmp_path / f"absent{name}" / "x", good)).code == 1


def test_text_of_a_wrong_module_is_shown_harmlessly(home: Path) -> None:
    for name in ROWS:
        done = _checked(wasmtrace(home, "run", "-", stdin=f"(module (func $f {name} (i32.konst)))".encode()))
        assert done.code == 1
        assert done.err.count("\n") == 1


def test_terminal_gets_no_escape_but_our_colours(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "module.wasm"
    path.write_bytes(_module(NAMES["clear screen"] + NAMES["title"]))
    reader, writer = pty.openpty()
    command = [*COMMAND, "run", "--unknown-imports", "trap", "--invoke", "run", str(path)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=writer, env=environment(home, TERM="xterm-256color")
        )
        os.close(writer)
        shown = _all_of(reader)
        process.wait(DEADLINE_SECONDS)
    finally:
        os.close(reader)
    assert b"\x1b[" in shown
    assert b"owned" in shown
    assert is_harmless(re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n"))


def _all_of(descriptor: int) -> bytes:
    data = b""
    while select.select([descriptor], [], [], DEADLINE_SECONDS)[0]:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:
            return data
        if not piece:
            return data
        data += piece
    raise TimeoutError


def test_an_error_of_a_host_function_is_one_harmless_line() -> None:
    def fail() -> int:
        raise ValueError(NAMES["new line"] + NAMES["title"])

    module = b'(module (import "host" "fail" (func (result i32))) (func (export "run") (drop (call 0))))'
    with Runtime() as runtime:
        sandbox = Sandbox(imports={("host", "fail"): fail})
        snapshot = runtime.run(runtime.load(module, "host"), sandbox, invoke="run").snapshot
    text = summary.render(snapshot, colour=False, width=100)
    assert is_harmless(text)
    assert "\nwasmtrace: forged" not in text
