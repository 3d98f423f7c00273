"""`wasmtrace dashboards export`: writes the Grafana dashboards, the alerts and their runbooks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from wasmtrace.errors import ExportError, UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

RUNBOOKS = "docs/runbooks/"
DATASOURCE = "datasourceUid: prometheus"
_SHIPPED = (
    ("wasmtrace.grafana", "dashboards", ".json"),
    ("wasmtrace.grafana", "prometheus", ".yml"),
    ("wasmtrace.grafana", "provisioning/alerting", ".yaml"),
)
_UID = re.compile(r"[A-Za-z0-9_-]{1,40}")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "dashboards",
        help="write dashboards and alerts for Grafana and Prometheus",
        description="Dashboards, alerting rules and runbooks.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(required=True, metavar="export", parser_class=type(parser))
    export = actions.add_parser(
        "export",
        help="write all of them to a folder",
        description="Writes dashboards (JSON), rules for Prometheus, the same as Grafana-managed alerts, and "
        "runbooks to DIR. Files of these names are overwritten.",
        allow_abbrev=False,
    )
    export.add_argument("directory", metavar="DIR", help="made if it is not there")
    export.add_argument("--runbooks", metavar="URL", help="where you keep the runbooks: what alerts link to")
    export.add_argument(
        "--datasource",
        metavar="UID",
        help="uid of the Prometheus data source for Grafana-managed alerts (default prometheus)",
    )
    export.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    base = _base(arguments.runbooks)
    uid = _uid(arguments.datasource)
    folder = Path(arguments.directory)
    for name, text in shipped():
        if name.suffix in (".yml", ".yaml"):
            text = text.replace(f"runbook_url: {RUNBOOKS}", f"runbook_url: {base}")
            text = text.replace(f"{DATASOURCE}\n", f"datasourceUid: {uid}\n")
        _write(folder / name, text)
        print(folder / name)
    return 0


def shipped() -> Iterator[tuple[PurePosixPath, str]]:
    """Each file that is exported, by its path below DIR. Raises ExportError if they are not installed."""
    from importlib.resources import files

    for package, place, suffix in _SHIPPED:
        for file in _files(files(package).joinpath(*place.split("/")), suffix):
            yield PurePosixPath(place, file.name), file.read_text(encoding="utf-8")
    for file in _files(files("wasmtrace.runbooks"), ".md"):
        yield PurePosixPath("runbooks", file.name), file.read_text(encoding="utf-8")


def _files(folder: Traversable, suffix: str) -> list[Traversable]:
    found = [each for each in folder.iterdir() if each.name.endswith(suffix)] if folder.is_dir() else []
    if not found:
        raise ExportError(f"the {suffix} files of {folder} are not installed")
    return sorted(found, key=lambda each: each.name)


def _base(url: str | None) -> str:
    if url is None:
        return RUNBOOKS
    if re.fullmatch(r"https?://[!-~]+", url) is None or re.search("[\"'`{}\\\\<>#]", url):
        raise UsageError(f"expected --runbooks http://... or https://..., got {url!r}")
    return url.rstrip("/") + "/"


def _uid(uid: str | None) -> str:
    if uid is None:
        return "prometheus"
    if _UID.fullmatch(uid) is None:
        raise UsageError(f"expected --datasource with letters, digits, - and _, at most 40, got {uid!r}")
    return uid


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror or error}") from error
