"""Puts what was measured into docs/performance.md, between markers, and plots beside it.

    python benchmarks/publish.py [RUN.json] [--instructions FILE]

The text around the markers is written by hand; nothing between them is.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tables
from machine import sentence
from results import Results, read

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGE = DOCS / "performance.md"
RUN, INSTRUCTIONS = ROOT / "build" / "bench" / "run.json", ROOT / "build" / "bench" / "instructions.json"


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """The text with new content between `<!-- bench NAME -->` and `<!-- end -->`. Raises ValueError without them."""
    for name, content in parts.items():
        marked = re.compile(rf"(<!-- bench {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = marked.subn(lambda found, content=content: f"{found[1]}\n{content}\n\n{found[2]}", text)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"expected one marker for {name}, got {count}")
    return text


def parts_of_run(results: Results) -> dict[str, str]:
    tools = ", ".join(f"{name} {version or '(not here)'}" for name, version in results["tools"].items())
    programs = results["programs"]
    rounds = [each["rounds"] for each in programs]
    memory = sum("memory" in each["checked"] for each in programs)
    return {
        "machine": f"{sentence(results['machine'])}; {tools}. Commit {results['commit']}, {results['made'][:10]}.\n"
        f"{len(programs)} programs, {min(rounds)} to {max(rounds)} rounds each; output checked in every run, and the "
        f"memory that the guest leaves in {memory} of them.",
        "overview": tables.overview(results),
        "levels": tables.costs_of_levels(results),
        "programs": tables.by_program(results),
        "gaps": tables.gaps(results),
    }


def publish_run(results: Results) -> None:
    from plots import draw_levels, draw_variants

    publish_tables(parts_of_run(results))
    draw_variants(results, DOCS / "performance-variants.svg")
    draw_levels(results, DOCS / "performance-programs.svg")


def publish_instructions(found: Mapping[str, Any]) -> None:
    publish_tables({"instructions": tables.instructions(found)})


def publish_tables(parts: Mapping[str, str]) -> None:
    """By name of their markers."""
    PAGE.write_text(with_parts(PAGE.read_text(), parts))


def main() -> None:
    parser = argparse.ArgumentParser(description="put measured tables and plots into docs/performance.md")
    parser.add_argument("run", nargs="?", type=Path, default=RUN, help="results of bench_run.py")
    parser.add_argument("--instructions", type=Path, default=INSTRUCTIONS, help="results of bench_instructions.py")
    options = parser.parse_args()
    publish_run(read(options.run))
    if options.instructions.exists():
        publish_instructions(read(options.instructions))


if __name__ == "__main__":
    main()
