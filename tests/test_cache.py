from __future__ import annotations

import multiprocessing
import os
import resource
import stat
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


def _store_with_little_room(directory: Path) -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    stored = RewriteCache(directory).store(KEY, rewritten(size=100_000))
    os._exit(3 if stored else 0)


def test_a_full_disk_leaves_nothing_behind(directory: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_store_with_little_room, args=(directory,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert files(directory) == []
    assert RewriteCache(directory).load(KEY) is None


def _store_and_load(directory: Path, fill: int) -> None:
    cache = RewriteCache(directory)
    for _ in range(100):
        assert cache.store(KEY, rewritten(fill, 50_000))
        found = cache.load(KEY)
        assert found is not None
        assert found.wasm == bytes([found.wasm[0]]) * 50_000
    os._exit(0)


def test_two_processes_at_once_each_see_whole_files(directory: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_store_and_load, args=(directory, fill)) for fill in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert files(directory) == [f"{KEY}.wtc"]
