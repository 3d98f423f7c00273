from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from wasmtrace.cache import RewriteCache, Rewritten, cache_key
from wasmtrace.layout import EXPORT_NAME, GrowSite, Layout
from wasmtrace.sites import GuestMemory, HostFunction, SiteTable, Skipped

KEY = "k" * 64
SITES = SiteTable(
    level="trace",
    layout=Layout(3, 1, 1, 1, 4, 1024),
    telemetry_export=EXPORT_NAME,
    host_functions=(HostFunction("env", "é\n", 0),),
    memories=(GuestMemory(False, 1, None, 65536),),
    grow_sites=(GrowSite(2, 0),),
    framed_functions=2,
    skipped=(Skipped(None, "why"),),
)


def rewritten(fill: int = 7, size: int = 64) -> Rewritten:
    return Rewritten(bytes([fill]) * size, SITES)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def files(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_what_was_stored_is_loaded(directory: Path) -> None:
    cache = RewriteCache(directory)
    assert cache.load(KEY) is None
    assert cache.store(KEY, rewritten())
    assert cache.load(KEY) == rewritten()
    assert RewriteCache(directory).load(KEY) == rewritten()
    assert cache.load("other") is None
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert files(directory) == [f"{KEY}.wtc"]


def test_each_part_of_the_key_counts() -> None:
    keys = {
        cache_key(sha256, settings, version)
        for sha256 in ("a", "b")
        for settings in ({"level": "calls"}, {"level": "trace"}, {"level": "trace", "include": ("f*",)})
        for version in ("1", "2")
    }
    assert len(keys) == 12


@pytest.mark.parametrize("place", [*range(60), *range(-80, 0, 3)])
@pytest.mark.parametrize("damage", ["flip", "cut", "insert"])
def test_a_file_damaged_at_any_byte_is_not_loaded(directory: Path, place: int, damage: str) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    path = directory / f"{KEY}.wtc"
    data = path.read_bytes()
    at = place % len(data)
    changed = {
        "flip": data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :],
        "cut": data[:at],
        "insert": data[:at] + b"\x00" + data[at:],
    }[damage]
    path.write_bytes(changed)
    assert cache.load(KEY) is None
    assert cache.store(KEY, rewritten())
    assert cache.load(KEY) == rewritten()


def test_another_layout_version_is_not_loaded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    monkeypatch.setattr("wasmtrace.sites.VERSION", 99)
    assert cache.load(KEY) is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_trusted(directory: Path, mode: int) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    (directory / f"{KEY}.wtc").chmod(mode)
    assert cache.load(KEY) is None
    assert cache.store(KEY, rewritten())
    assert cache.load(KEY) == rewritten()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_can_write_is_not_used(directory: Path, mode: int) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    directory.chmod(mode)
    assert cache.load(KEY) is None
    assert not cache.store(KEY, rewritten())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_not_trusted(directory: Path) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    os.chown(directory / f"{KEY}.wtc", 12345, -1)
    assert cache.load(KEY) is None
    cache.store(KEY, rewritten())
    os.chown(directory, 12345, -1)
    assert cache.load(KEY) is None


def test_a_link_is_not_followed(directory: Path, tmp_path: Path) -> None:
    cache = RewriteCache(directory)
    cache.store(KEY, rewritten())
    elsewhere = tmp_path / "elsewhere"
    (directory / f"{KEY}.wtc").rename(elsewhere)
    (directory / f"{KEY}.wtc").symlink_to(elsewhere)
    assert cache.load(KEY) is None


def test_a_directory_that_cannot_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = RewriteCache(tmp_path / "file" / "cache")
    assert not cache.store(KEY, rewritten())
    assert cache.load(KEY) is None


def test_a_directory_in_the_place_of_the_file_is_no_failure(directory: Path) -> None:
    cache = RewriteCache(directory)
    directory.mkdir(mode=0o700, parents=True)
    (directory / f"{KEY}.wtc").mkdir()
    assert not cache.store(KEY, rewritten())
    assert cache.load(KEY) is None
    assert files(directory) == [f"{KEY}.wtc"]


PREAMBLE = f"""
import os, resource, signal, sys
from pathlib import Path
from wasmtrace.cache import RewriteCache, Rewritten
from wasmtrace.sites import SiteTable
import json
sites = SiteTable.from_json(json.loads({json.dumps(SITES.as_json())!r}))
cache = RewriteCache(Path(sys.argv[1]))
"""
LITTLE_ROOM = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(cache.store("KEY", Rewritten(bytes(100_000), sites)))
"""
STORE_AND_LOAD = """
fill = int(sys.argv[2])
for _ in range(100):
    assert cache.store("KEY", Rewritten(bytes([fill]) * 50_000, sites))
    found = cache.load("KEY")
    assert found is not None and found.wasm in (bytes([1]) * 50_000, bytes([2]) * 50_000)
print("done")
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREAMBLE + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_full_disk_leaves_nothing_behind(directory: Path) -> None:
    assert started(LITTLE_ROOM, str(directory)).communicate(timeout=60)[0] == "False\n"
    assert files(directory) == []
    assert RewriteCache(directory).load("KEY") is None


def test_two_processes_at_once_each_see_whole_files(directory: Path) -> None:
    processes = [started(STORE_AND_LOAD, str(directory), fill) for fill in ("1", "2")]
    assert [each.communicate(timeout=120)[0] for each in processes] == ["done\n", "done\n"]
    assert files(directory) == ["KEY.wtc"]
