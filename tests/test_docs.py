"""Examples in the documentation run, and print what the documentation says."""

from __future__ import annotations

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
        pairs = zip(blocks, blocks[1:], strict=False)
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


def _options(command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "wasmtrace", command, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", done.stdout))


def test_every_option_of_run_is_documented() -> None:
    documented = set(re.findall(r"`(--[a-z][a-z-]*)", (ROOT / "docs" / "cli.md").read_text()))
    shown = _options("run") | _options("instrument") | _options("inspect")
    assert shown - documented == set()
    assert documented - shown == set()
