"""Caches: of wasmtrace, and of the engine. What another user could have put there is not used, what is damaged does
no harm, and no key leads out of the directory."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile_names import NAMES
from wasmtrace import Runtime, RuntimeConfig
from wasmtrace.cache import cache_key
from wasmtrace.runtime.engine_cache import is_private

ADD = b'(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
OTHER = 12345
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def _run(directory: Path) -> bool:
    """Runs a module with the cache in `directory`; whether it came from there. It must do what it does."""
    with Runtime(RuntimeConfig(cache_dir=directory, engine_cache=False)) as runtime:
        program = runtime.load(ADD, "add")
        with runtime.instantiate(program) as instance:
            assert instance.call("add", 40, 2) == 42
            snapshot = instance.snapshot()
    assert [each.calls for each in snapshot.functions] == [1]
    return snapshot.cost.instrument_cached


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """The one file of a cache that works."""
    directory = tmp_path / "cache"
    assert not _run(directory)
    assert _run(directory)
    (path,) = directory.iterdir()
    return path


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.rename(path.parent.parent / "original")
    make(path)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _forge(path: Path) -> None:
    """Another module, with a header that is right for it: only the owner of the directory can do that."""
    path.write_bytes(b"WTCACHE\x01" + bytes(16) + hashlib.sha256(b"").digest())


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "cut in header": lambda path: os.truncate(path, 20),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "sparse": lambda path: os.truncate(path, 1 << 26),
    "flipped first": lambda path: _flip(path, 0),
    "flipped length": lambda path: _flip(path, 15),
    "flipped hash": lambda path: _flip(path, 30),
    "flipped table": lambda path: _flip(path, 100),
    "flipped last": lambda path: _flip(path, -1),
    "forged empty": _forge,
    "symbolic link": lambda path: _replace(path, lambda path: path.symlink_to("../original")),
    "link to nothing": lambda path: _replace(path, lambda path: path.symlink_to("absent")),
    "link to itself": lambda path: _replace(path, lambda path: path.symlink_to(path.name)),
    "link to device": lambda path: _replace(path, lambda path: path.symlink_to("/dev/zero")),
    "pipe": lambda path: _replace(path, lambda path: os.mkfifo(path, 0o600)),
    "directory": lambda path: _replace(path, lambda path: path.mkdir(0o700)),
    "not readable": lambda path: _replace(path, lambda path: path.symlink_to("/proc/self/mem")),
    "group may write": lambda path: path.chmod(0o620),
    "others may write": lambda path: path.chmod(0o602),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_not_used_and_is_built_again(filled: Path, damage: Callable[[Path], object]) -> None:
    damage(filled)
    assert not _run(filled.parent)
    assert _run(filled.parent) == (not filled.is_dir())
    assert [each.name for each in filled.parent.iterdir()] == [filled.name]


def test_what_a_link_led_to_is_not_overwritten(filled: Path, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_bytes(b"treasure")
    filled.unlink()
    filled.symlink_to(treasure)
    assert not _run(filled.parent)
    assert treasure.read_bytes() == b"treasure"
    assert stat.S_ISREG(filled.lstat().st_mode)


def test_a_second_name_of_the_file_is_not_written_through(filled: Path, tmp_path: Path) -> None:
    """A file with two names is as good as its owner and mode; a new one takes its place, and leaves the other."""
    second = tmp_path / "second"
    os.link(filled, second)
    assert _run(filled.parent)
    _flip(second, -1)
    damaged = second.read_bytes()
    assert not _run(filled.parent)
    assert _run(filled.parent)
    assert second.read_bytes() == damaged


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_is_not_used(filled: Path, mode: int) -> None:
    filled.parent.chmod(mode)
    assert not _run(filled.parent)
    assert not _run(filled.parent)


@root_only
@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_another_user_owns_is_not_used(filled: Path, what: str) -> None:
    os.chown(filled if what == "file" else filled.parent, OTHER, OTHER)
    assert not _run(filled.parent)
    assert _run(filled.parent) == (what == "file")


def test_what_is_stored_is_for_its_owner_alone(filled: Path) -> None:
    assert stat.S_IMODE(filled.stat().st_mode) == 0o600
    assert stat.S_IMODE(filled.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    key = cache_key(name, {"include": (name,), name: "../.."}, f"../../{name}")
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    directory = tmp_path / "deep" / "cache"
    config = RuntimeConfig(cache_dir=directory, engine_cache=False, include=(name, "../../escaped", "/etc/passwd"))
    with Runtime(config) as runtime:
        runtime.load(ADD, f"../../{name}")
    assert [each.name for each in tmp_path.iterdir()] == ["deep"]
    assert [re.fullmatch(r"[0-9a-f]{64}\.wtc", each.name) is not None for each in directory.iterdir()] == [True]


# The engine's cache holds machine code

PLACES = {
    "ours": (".", 0o700, -1, -1, True),
    "readable": (".", 0o755, -1, -1, True),
    "others write": (".", 0o777, -1, -1, False),
    "others add": (".", 0o1777, -1, -1, False),
    "a group writes": (".", 0o770, -1, OTHER, False),
    "the own group writes": (".", 0o770, -1, -1, True),
    "another owns": (".", 0o700, OTHER, -1, False),
    "others write above": ("..", 0o777, -1, -1, False),
    "others add above": ("..", 0o1777, -1, -1, True),
    "a group writes above": ("..", 0o770, -1, OTHER, False),
    "another owns above": ("..", 0o755, OTHER, -1, False),
}


@root_only
@pytest.mark.parametrize(("where", "mode", "user", "group", "private"), PLACES.values(), ids=PLACES)
def test_the_engine_uses_a_cache_only_if_nobody_else_can_write_it(
    tmp_path: Path, where: str, mode: int, user: int, group: int, private: bool
) -> None:
    directory = tmp_path / "base" / "wasmtime"
    directory.mkdir(parents=True)
    os.chown(directory / where, user, group)
    (directory / where).chmod(mode)
    assert is_private(directory) == private
    assert _engine_stores(tmp_path) == private


def test_the_engine_makes_its_cache_private(tmp_path: Path) -> None:
    assert _engine_stores(tmp_path)
    assert stat.S_IMODE((tmp_path / "base" / "wasmtime").stat().st_mode) == 0o700


ODD_PLACES = {"link to ours": ("link", "..", True), "link to theirs": ("link", "/tmp", False), "file": ("", "", False)}


@pytest.mark.parametrize(("kind", "target", "private"), ODD_PLACES.values(), ids=ODD_PLACES)
def test_the_engine_looks_at_what_a_link_leads_to(tmp_path: Path, kind: str, target: str, private: bool) -> None:
    (tmp_path / "base").mkdir()
    place = tmp_path / "base" / "wasmtime"
    if kind == "link":
        place.symlink_to(target)
    else:
        place.write_bytes(b"")
    assert is_private(place) == private
    assert _engine_stores(tmp_path) == private


def _engine_stores(folder: Path) -> bool:
    """Whether a process that loads a module left compiled code in `folder`; it must do no harm if it does not."""
    before = sorted(folder.rglob("*"))
    program = f"from wasmtrace import Runtime; Runtime().load({ADD!r}, 'add')"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "base")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    return sorted(folder.rglob("*")) != before
