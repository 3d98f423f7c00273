"""A guest gets the directories it is given and nothing beside them; what it may only read stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from wasi_guest import PREOPENED, WasiGuest
from wasmtrace import Runtime

SECRET = b"the secret"


@dataclass(frozen=True, slots=True)
class Place:
    """A directory that is given, and one beside it that is not."""

    given: Path
    outside: Path

    def state(self) -> list[tuple[str, int, int, bytes]]:
        """Every name with mode, time and content; links are not followed."""
        return [
            (str(each), each.lstat().st_mode, each.lstat().st_mtime_ns, _content(each))
            for folder in (self.given, self.outside)
            for each in [folder, *sorted(folder.rglob("*"))]
        ]


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.readlink(path).encode()
    return path.read_bytes() if path.is_file() else b""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    given, outside = tmp_path / "given", tmp_path / "outside"
    (given / "inner").mkdir(parents=True)
    outside.mkdir()
    (given / "file").write_bytes(b"inside")
    (outside / "secret").write_bytes(SECRET)
    links = {
        "link to file": "../outside/secret",
        "link to folder": "../outside",
        "absolute link": str(outside / "secret"),
        "absolute folder": str(outside),
        "link to parent": "..",
        "inner/link upward": "../../outside/secret",
        "dangling": "../outside/created",
        "link to root": "/",
        "link to self": "link to self",
    }
    for name, target in links.items():
        (given / name).symlink_to(target)
    (given / "link to link").symlink_to("link to folder")
    return Place(given, outside)


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with Runtime() as runtime:
        yield runtime


def _outside_paths(place: Place) -> list[str]:
    return [
        "../outside/secret",
        "./../outside/secret",
        "inner/../../outside/secret",
        "inner/../inner/../../outside/secret",
        "..//outside/secret",
        str(place.outside / "secret"),
        "/" + str(place.outside / "secret"),
        "/given/../outside/secret",
        "link to file",
        "link to folder/secret",
        "absolute link",
        "absolute folder/secret",
        "link to parent/outside/secret",
        "inner/link upward",
        "link to link/secret",
        "link to root" + str(place.outside / "secret"),
        "dangling",
        "link to self",
        "file/../../outside/secret",
        "file\0/../../outside/secret",
    ]


OUTSIDE = [
    *("dots", "dot dots", "down and up", "down and up twice", "two slashes", "absolute", "two roots", "named"),
    *("link to file", "link to folder", "absolute link", "absolute folder", "link to parent", "upward", "chain"),
    *("root", "dangling", "loop", "through a file", "zero byte"),
]
ATTEMPTS: dict[str, Callable[[WasiGuest, str], int]] = {
    "read": lambda guest, path: int(guest.read_path(path) is None),
    "stat": WasiGuest.stat,
    "create": WasiGuest.create,
    "overwrite": WasiGuest.overwrite,
    "truncate": WasiGuest.truncate,
    "resize": WasiGuest.resize,
    "touch": WasiGuest.touch,
    "make directory": WasiGuest.make_directory,
    "link from": lambda guest, path: int(guest.link(path, "linked") != 0 or guest.read_path("linked") != SECRET),
    "link to": lambda guest, path: guest.link("file", path),
    "rename to": lambda guest, path: guest.rename("file", path),
}


@pytest.mark.parametrize("number", range(len(OUTSIDE)), ids=OUTSIDE)
def test_nothing_outside_is_reached(runtime: Runtime, place: Place, number: int) -> None:
    path = _outside_paths(place)[number]
    with WasiGuest(runtime, place.given) as guest:
        for name, attempt in ATTEMPTS.items():
            worked = attempt(guest, path) == 0
            # A rename may replace a link that is inside.
            assert not worked or (name == "rename to" and _is_inside(place, path)), name
        unlinked = guest.unlink(path) == 0
    assert not unlinked or not os.path.lexists(place.given / path)
    assert [each.name for each in place.outside.iterdir()] == ["secret"]
    assert (place.outside / "secret").read_bytes() == SECRET


def _is_inside(place: Place, path: str) -> bool:
    return (place.given / path).parent.resolve().is_relative_to(place.given)


MADE_LINKS = {"relative": "../outside/secret", "absolute": "{outside}/secret", "root": "/", "folder": "../outside"}


@pytest.mark.parametrize("target", MADE_LINKS.values(), ids=MADE_LINKS)
def test_a_link_that_the_guest_makes_leads_nowhere(runtime: Runtime, place: Place, target: str) -> None:
    with WasiGuest(runtime, place.given) as guest:
        if guest.symlink(target.format(outside=place.outside), "made") != 0:
            assert not os.path.lexists(place.given / "made")
            return
        for path in ("made", "made/secret", f"made{place.outside}/secret"):
            assert guest.read_path(path) is None
            assert guest.create(path) != 0
    assert [each.name for each in place.outside.iterdir()] == ["secret"]
    assert (place.outside / "secret").read_bytes() == SECRET


def test_a_directory_moved_below_leaves_no_way_up(runtime: Runtime, place: Place) -> None:
    """`..` is followed in the path as it is, not remembered from when a descriptor was opened."""
    with WasiGuest(runtime, place.given) as guest:
        assert guest.make_directory("inner/deep") == 0
        assert guest.rename("inner/deep", "moved") == 0
        assert guest.read_path("moved/../../outside/secret") is None
        assert guest.read_path("moved/../file") == b"inside"


READ_ONLY: dict[str, Callable[[WasiGuest], int]] = {
    "create": lambda guest: guest.create("new"),
    "create below": lambda guest: guest.create("inner/new"),
    "overwrite": lambda guest: guest.overwrite("file"),
    "truncate": lambda guest: guest.truncate("file"),
    "resize": lambda guest: guest.resize("file"),
    "unlink": lambda guest: guest.unlink("file"),
    "unlink link": lambda guest: guest.unlink("link to file"),
    "make directory": lambda guest: guest.make_directory("new"),
    "remove directory": lambda guest: guest.remove_directory("inner"),
    "rename": lambda guest: guest.rename("file", "renamed"),
    "link": lambda guest: guest.link("file", "linked"),
    "symlink": lambda guest: guest.symlink("file", "linked"),
    "touch": lambda guest: guest.touch("file"),
    "touch directory": lambda guest: guest.touch("inner"),
    "touch descriptor": lambda guest: guest.touch_descriptor("file"),
    "write to directory": lambda guest: guest.write(PREOPENED),
    "write to reader": lambda guest: guest.write(guest.open("file")[1]),
    "resize directory": lambda guest: guest.call("fd_filestat_set_size", PREOPENED, 0),
    "allocate": lambda guest: guest.call("fd_allocate", guest.open("file")[1], 0, 100_000),
    "write at": lambda guest: guest.call("fd_pwrite", guest.open("file")[1], 256, 1, 0, 512),
}


@pytest.mark.parametrize("attempt", READ_ONLY.values(), ids=READ_ONLY)
def test_a_read_only_directory_stays_as_it_is(
    runtime: Runtime, place: Place, attempt: Callable[[WasiGuest], int]
) -> None:
    before = place.state()
    with WasiGuest(runtime, place.given, read_only=True) as guest:
        assert guest.read_path("file") == b"inside"
        assert attempt(guest) != 0
        assert guest.read_path("file") == b"inside"
    assert place.state() == before


def test_a_directory_to_write_is_written(runtime: Runtime, place: Place) -> None:
    """The same operations work where they may: the guest of these tests is not merely broken."""
    with WasiGuest(runtime, place.given) as guest:
        assert [guest.create("new"), guest.overwrite("new"), guest.touch("new"), guest.resize("file")] == [0] * 4
        assert [guest.link("new", "linked"), guest.rename("linked", "renamed"), guest.symlink("new", "soft")] == [0] * 3
        assert [guest.make_directory("folder"), guest.remove_directory("folder"), guest.unlink("new")] == [0] * 3
    assert (place.given / "renamed").read_bytes() == b"overwritten"
    assert (place.given / "file").read_bytes() == b"i"


def test_nothing_is_given_by_default(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASMTRACE_TEST_SECRET", "x")
    with WasiGuest(runtime, None) as guest:
        assert guest.numbers("environ_sizes_get") == (0, 0)
        assert guest.numbers("args_sizes_get") == (0, 0)
        for descriptor in range(PREOPENED, 64):
            assert guest.call("fd_prestat_get", descriptor, 512) != 0
            assert guest.write(descriptor) != 0
            assert guest.read(descriptor) is None
        assert guest.read(0) in (b"", None)
        for path in ("/etc/passwd", "etc/passwd", ".", "/", ""):
            assert guest.read_path(path) is None
            assert guest.stat(path) != 0
