"""Examples in the documentation run, and print what the documentation says."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _examples() -> Iterator[object]:
    """Each Python block that is followed by a block `output`, with that output."""
    for page in PAGES:
        blocks = [(match[1], match[2]) for match in _BLOCK.finditer(page.read_text())]
        pairs = itertools.pairwise(blocks)
        for number, ((language, code), (following, output)) in enumerate(pairs):
            if (language, following) == ("python", "output"):
                yield pytest.param(code, output, id=f"{page.name}-{number}")


@pytest.mark.parametrize(("code", "output"), list(_examples()))
def test_python_example_prints_what_it_says(code: str, output: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (output, "", 0)


def test_there_are_examples() -> None:
    assert len(list(_examples())) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [each for each in _LINK.findall(page.read_text()) if "://" not in each]
    assert [each for each in targets if not (page.parent / each).exists()] == []


_FIGURES = re.compile(r"\d+(?:\.\d+)?(?: (?:ns|us|ms|s))?(?=[ ,%]|$)", re.MULTILINE)


def test_readme_shows_what_the_command_prints() -> None:
    """Every line as the command prints it, but for times."""
    page = (ROOT / "README.md").read_text()
    command, shown = re.findall(r"^\$ wasmtrace (run docs/\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-m", "wasmtrace", "run", "--no-cache", *command.split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said, documented = (re.split(r"^start ", text, flags=re.MULTILINE)[0].splitlines() for text in (done.stderr, shown))
    assert done.returncode == 134
    # A tick of the clock that falls into the half millisecond of the run adds a table of sampled times.
    sampled = next((at for at, line in enumerate(said) if line.startswith("most time")), None)
    if sampled is not None:
        del said[sampled : next(at for at, line in enumerate(said) if line.startswith("most fuel"))]
    assert [_FIGURES.sub("#", line) for line in said[:2] + said[3:]] == [
        _FIGURES.sub("#", line) for line in documented[:2] + documented[3:]
    ]
    assert said[0] == documented[0]
    assert said[4:] == documented[4:]


def test_diff_shows_what_the_commands_print(tmp_path: Path) -> None:
    """To the letter: fuel is the same everywhere."""
    (block,) = re.findall(r"^```console\n(.*?)^```$", (ROOT / "docs" / "diff.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    said = ""
    for command in re.findall(r"^\$ wasmtrace (.*)$", block, re.MULTILINE):
        done = subprocess.run(
            [sys.executable, "-m", "wasmtrace", *command.split()],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        said += f"$ wasmtrace {command}\n{done.stdout}"
    assert said == block
    assert done.returncode == 3


def _options(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "wasmtrace", command, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", done.stdout))


def test_every_option_of_run_is_documented() -> None:
    documented = set(re.findall(r"`(--[a-z][a-z-]*)", (ROOT / "docs" / "cli.md").read_text()))
    shown = _options("run") | _options("instrument") | _options("inspect") | _options("diff")
    assert shown - documented == set()
    assert documented - shown == set()
