"""A disk that is full, a process that may have little memory: an error in words, and files that are whole or absent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from faulty_process import GREETING, run_shell

FILES = ["--report report.json", "--metrics-file metrics.prom"]


def _listed(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.is_file())


def _talkative() -> str:
    """Like the greeting, with so many functions that all that is written about them is larger than the limit."""
    names = [f"${'long_name_' * 15}{index}" for index in range(1000)]
    functions = "".join(f"(func {name} nop)" for name in names)
    calls = "".join(f"(call {name})" for name in names)
    return GREETING.replace('(func (export "_start")', f'{functions} (func (export "_start") {calls}')


@pytest.mark.parametrize("option", FILES)
def test_a_file_that_may_not_grow(tmp_path: Path, option: str) -> None:
    """`ulimit -f`: the guest's exit code stays, one line says why, nothing half is left, an old file stays."""
    path = tmp_path / option.split()[1]
    path.write_bytes(b"as it was")
    words = f"run --no-summary {option} large.wat"
    ended = run_shell(tmp_path, words, "", before="ulimit -f 64", large=_talkative())
    assert (ended.code, ended.out) == (0, b"to stdout\n")
    assert ended.err == b"to stderr\n" + f"wasmtrace: cannot write {path.name}: file too large\n".encode()
    assert path.read_bytes() == b"as it was"
    assert _listed(tmp_path) == sorted(["large.wat", path.name])
    assert list((tmp_path / "home" / "cache" / "wasmtrace").iterdir()) == []
    again = run_shell(tmp_path, words, "")
    assert (again.code, again.out, again.err) == (0, b"to stdout\n", b"to stderr\n")
    assert path.stat().st_size > 32 * 1024


@pytest.mark.parametrize("option", FILES)
def test_a_device_that_is_full(tmp_path: Path, option: str) -> None:
    ended = run_shell(tmp_path, f"run --no-summary {option.split()[0]} /dev/full greeting.wat", "", greeting=GREETING)
    assert (ended.code, ended.out) == (0, b"to stdout\n")
    assert ended.err == b"to stderr\nwasmtrace: cannot write /dev/full: no space left on device\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount: {error}")
    if done.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_small_disk_for_everything(small_disk: Path) -> None:
    """Caches and outputs on a disk that is full."""
    (small_disk / "filler").write_bytes(bytes(48 * 1024))
    ended = run_shell(small_disk, "run --no-summary --report report.json greeting.wat", "", greeting=GREETING)
    assert (ended.code, ended.out) == (0, b"to stdout\n")
    assert b"Traceback" not in ended.err
    for path in small_disk.rglob("*.json"):
        json.loads(path.read_bytes())


@pytest.mark.parametrize("megabytes", [20, 40, 70, 100, 150, 250, 500, 1000, 4400, 4600, 5000])
def test_little_address_space_is_an_error_in_words(tmp_path: Path, megabytes: int) -> None:
    """Whichever part runs out of it: the loader, the engine, the guest's memory."""
    before = f"ulimit -v {megabytes * 1024}"
    ended = run_shell(
        tmp_path, "run --no-cache --report report.json greeting.wat", "", before=before, greeting=GREETING
    )
    assert b"Traceback" not in ended.err
    assert ended.code == 1, ended.err
    assert b"memory" in ended.err or b"address space" in ended.err or b"failed to map" in ended.err
    assert ended.out == b""
    for path in tmp_path.glob("*.json"):
        assert json.loads(path.read_bytes())["outcome"] == "failed"
