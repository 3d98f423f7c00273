"""Imports are a line, not a web: which module may import what, as data, checked in every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "wasmtrace": ROOT / "wasmtrace",
    "wasmtrace.instrument": ROOT / "instrument",
    "wasmtrace.runtime": ROOT / "runtime",
    "wasmtrace.exporters": ROOT / "exporters",
    "wasmtrace.grafana": ROOT / "grafana",
}
LEAVES = frozenset(f"wasmtrace.{name}" for name in ("errors", "layout", "records", "sites", "version"))
BRANCHES = ("wasmtrace.instrument", "wasmtrace.runtime", "wasmtrace.exporters", "wasmtrace.grafana")

# Leaf: the leaves it may import.
LEAF_IMPORTS = {
    "wasmtrace.errors": frozenset[str](),
    "wasmtrace.version": frozenset[str](),
    "wasmtrace.layout": frozenset({"wasmtrace.errors"}),
    "wasmtrace.records": frozenset({"wasmtrace.errors"}),
    "wasmtrace.sites": frozenset({"wasmtrace.errors", "wasmtrace.layout", "wasmtrace.records"}),
}
# Branch: the leaves it may import.
BRANCH_LEAVES = {
    "wasmtrace.instrument": LEAVES,
    "wasmtrace.runtime": LEAVES,
    "wasmtrace.exporters": frozenset({"wasmtrace.errors", "wasmtrace.records"}),
    "wasmtrace.grafana": frozenset(),
}
# Third-party package: the only modules that may import it.
OWNERS = {
    "wasm_tob": {"wasmtrace.instrument.opcodes"},
    "pydemumble": {"wasmtrace.instrument.names"},
    "wasmtime": {
        *(f"wasmtrace.instrument.kernel.{name}" for name in ("host", "machine_code")),
        *(f"wasmtrace.runtime.{name}" for name in ("engine", "engine_call", "engine_link", "engine_values")),
    },
    "rich": {"wasmtrace.exporters.summary"},
    "prometheus_client": {"wasmtrace.exporters.prometheus"},
    "waitress": {"wasmtrace.exporters.http"},
    "opentelemetry": {
        f"wasmtrace.exporters.otlp.{name}"
        for name in ("context", "jsonfile", "logs", "metrics", "pipeline", "senders", "traces")
    },
    "google": {"wasmtrace.exporters.otlp.jsonfile"},
    "grpc": {"wasmtrace.exporters.otlp.senders"},
    "grafana_foundation_sdk": {"wasmtrace.grafana.board", "wasmtrace.grafana.sdk"},
    "yaml": {"wasmtrace.grafana.rules"},
}


def _sources() -> dict[str, Path]:
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            found[name] = path
    return found


SOURCES = _sources()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in SOURCES else node.module


def _branch(module: str) -> str | None:
    return next((each for each in BRANCHES if module == each or module.startswith(f"{each}.")), None)


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports_follow_the_table(module: str) -> None:
    imported = set(_imports(SOURCES[module]))
    third_party = {each.split(".")[0] for each in imported} - set(sys.stdlib_module_names) - {"wasmtrace", "_typeshed"}
    ours = {each for each in imported if each.split(".")[0] == "wasmtrace"}
    assert {each for each in third_party if module not in OWNERS.get(each, set())} == set()
    branch = _branch(module)
    if module in LEAF_IMPORTS:
        assert ours <= LEAF_IMPORTS[module]
        assert third_party == set()
    elif branch is not None:
        others = {each for each in ours if _branch(each) != branch}
        assert others <= BRANCH_LEAVES[branch] | {"wasmtrace"}


def test_every_leaf_is_there() -> None:
    assert set(LEAF_IMPORTS) == LEAVES
    assert set(SOURCES) >= LEAVES


def test_every_owner_still_imports_its_package() -> None:
    for package, modules in OWNERS.items():
        used = {
            module for module, path in SOURCES.items() if any(each.split(".")[0] == package for each in _imports(path))
        }
        assert used == modules, package


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        pytest.param("import wasmtrace", ["wasmtime", "rich", "prometheus_client", "opentelemetry"], id="package"),
        pytest.param("import wasmtrace.instrument.rewrite", ["wasmtime", "pydemumble", "wasm_tob"], id="instrument"),
        pytest.param("import wasmtrace.instrument.names", ["wasmtrace.instrument.kernel"], id="names"),
        pytest.param(
            "import wasmtrace.api", ["wasmtrace.instrument", "rich", "prometheus_client", "waitress"], id="api"
        ),
        pytest.param("import wasmtrace.cli.parser", ["wasmtime", "rich", "wasmtrace.instrument"], id="cli"),
        pytest.param("import wasmtrace.cli.otlp_output", ["opentelemetry", "grpc", "google"], id="otlp"),
    ],
)
def test_import_leaves_out(statement: str, absent: list[str]) -> None:
    program = f"import sys; {statement}; print([each for each in {absent!r} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", sorted(set(SOURCES) - {"wasmtrace.instrument.opcodes"}))
def test_no_module_is_longer_than_400_lines(module: str) -> None:
    assert len(SOURCES[module].read_text().splitlines()) <= 400
