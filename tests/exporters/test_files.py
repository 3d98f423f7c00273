from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wasmtrace.errors import ExportError
from wasmtrace.exporters.files import OutputFile


def test_commit_writes_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = OutputFile(tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()
    file.commit(b"data\n")
    assert (tmp_path / "report.json").read_bytes() == b"data\n"
    assert os.listdir(tmp_path) == ["report.json"]


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "report.json") as file:
        file.discard()
    assert os.listdir(tmp_path) == []


def test_commit_after_discard_is_an_error(tmp_path: Path) -> None:
    file = OutputFile(tmp_path / "x")
    file.discard()
    with pytest.raises(ExportError, match="already closed"):
        file.commit(b"")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_file_respects_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        OutputFile(tmp_path / "new").commit(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


def test_old_file_keeps_its_mode_and_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    OutputFile(tmp_path / "link").commit(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


ERRORS = {
    "no-folder": ("missing/x", "no such file or directory"),
    "folder": ("folder", "is a directory"),
    "file-as-folder": ("file/x", "not a directory"),
    "nul": ("a\0b", "embedded null byte"),
    "fifo-unread": ("fifo", "no such device or address"),
}


@pytest.mark.parametrize(("name", "reason"), ERRORS.values(), ids=ERRORS)
def test_unwritable_path_fails_at_once(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ExportError) as caught:
        OutputFile(f"{tmp_path}/{name}")
    assert str(caught.value).startswith(f"cannot write {tmp_path}/{name[0]}")
    assert str(caught.value).endswith(reason)
    assert "\0" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "file", "folder"]


def test_empty_path_fails() -> None:
    with pytest.raises(ExportError, match=r"cannot write '': empty path"):
        OutputFile("")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing more than `size` bytes to a file fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_leaves_the_old_file_alone(tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(b"old")
    file = OutputFile(tmp_path / "report")
    with file_size_limit(4096), pytest.raises(ExportError, match="file too large"):
        file.commit(b"x" * 8192)
    assert (tmp_path / "report").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report"]


def test_full_device_is_an_error() -> None:
    with pytest.raises(ExportError, match="cannot write /dev/full: no space left on device"):
        OutputFile("/dev/full").commit(b"x")


def test_device_is_written_and_stays() -> None:
    OutputFile("/dev/null").commit(b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_fifo_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    OutputFile(tmp_path / "fifo").commit(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


@pytest.mark.parametrize("pattern", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_own_descriptor_is_written_where_it_stands(tmp_path: Path, pattern: str) -> None:
    with (tmp_path / "log").open("wb", buffering=0) as log:
        log.write(b"first ")
        OutputFile(pattern.format(log.fileno())).commit(b"second ")
        log.write(b"third")
    assert (tmp_path / "log").read_bytes() == b"first second third"


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
def test_standard_output(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    OutputFile(path).commit(b"report\n")
    assert capfd.readouterr().out == "report\n"
