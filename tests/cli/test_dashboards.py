"""`wasmtrace dashboards export`, from the sources and from a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from command import wasmtrace

ROOT = Path(__file__).parent.parent.parent
SHIPPED = {
    "dashboards/app.json",
    "dashboards/fleet.json",
    "dashboards/runtime.json",
    "prometheus/rules.yml",
    "provisioning/alerting/rules.yaml",
    *(f"runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("*.md")),
}


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_export_writes_what_is_committed(tmp_path: Path) -> None:
    done = wasmtrace(tmp_path, "dashboards", "export", tmp_path / "new" / "out")
    assert (done.code, done.err) == (0, "")
    assert _files(tmp_path / "new" / "out") == SHIPPED
    assert set(done.out.decode().splitlines()) == {str(tmp_path / "new" / "out" / name) for name in SHIPPED}
    for name in SHIPPED:
        source = ROOT / "docs" / name if name.startswith("runbooks/") else ROOT / "grafana" / name
        assert (tmp_path / "new" / "out" / name).read_bytes() == source.read_bytes()


def test_export_again_overwrites(tmp_path: Path) -> None:
    for _ in range(2):
        assert wasmtrace(tmp_path, "dashboards", "export", tmp_path / "out").code == 0


def test_runbooks_and_data_source_are_where_the_user_has_them(tmp_path: Path) -> None:
    options = ("--runbooks", "https://wiki.example/wasm", "--datasource", "P1")
    assert wasmtrace(tmp_path, "dashboards", "export", tmp_path / "out", *options).code == 0
    rules = (tmp_path / "out" / "prometheus" / "rules.yml").read_text()
    managed = (tmp_path / "out" / "provisioning" / "alerting" / "rules.yaml").read_text()
    for text in (rules, managed):
        assert "runbook_url: https://wiki.example/wasm/loop.md\n" in text
        assert "docs/runbooks" not in text
    assert managed.count("datasourceUid: P1\n") == managed.count("datasourceUid: __expr__\n") > 0
    assert "datasourceUid: prometheus" not in managed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["dashboards"], 2, id="no action"),
        pytest.param(["dashboards", "export"], 2, id="no folder"),
        pytest.param(["dashboards", "export", "out", "--runbooks", "wiki"], 2, id="no URL"),
        pytest.param(["dashboards", "export", "out", "--runbooks", "http://a\nb: c"], 2, id="URL of two lines"),
        pytest.param(["dashboards", "export", "out", "--datasource", "a b"], 2, id="bad uid"),
        pytest.param(["dashboards", "export", "/dev/null/out"], 1, id="not a folder"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = wasmtrace(tmp_path, *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, b"", 1), done.err
    assert done.err.startswith("wasmtrace: ")


def test_export_works_from_a_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="setuptools 77 is not installed")
    source = tmp_path / "source"
    ignored = ".git,.venv,build,.mypy_cache,.ruff_cache,.pytest_cache,.cache,*.egg-info,__pycache__,tests"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*ignored.split(",")))
    build = "import setuptools.build_meta as b; print(b.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    assert {f"wasmtrace/grafana/{name}" for name in SHIPPED if not name.startswith("runbooks/")} <= _files(site)
    program = (
        "import sys; sys.meta_path = [each for each in sys.meta_path "
        "if 'editable' not in getattr(each, '__module__', '')]\n"
        f"sys.path.insert(0, {str(site)!r})\n"
        f"import wasmtrace; assert wasmtrace.__file__.startswith({str(site)!r})\n"
        f"from wasmtrace.cli import main; sys.exit(main(['dashboards', 'export', {str(tmp_path / 'out')!r}]))"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert _files(tmp_path / "out") == SHIPPED
