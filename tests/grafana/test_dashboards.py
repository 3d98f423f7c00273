"""The dashboards are what is built, and speak of nothing that wasmtrace does not export."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS
from wasmtrace.grafana.alerts import ALERTS, RECORDED

pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not installed")
from wasmtrace.grafana.build import built

FOLDER = Path(__file__).parent.parent.parent / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "dashboards").glob("*.json"))}
EXPORTED = (
    {family.name for table in (COUNTERS, GAUGES) for family in table.values()}
    | {f"{family.name}_info" for family in INFOS.values()}
    | {"wasmtrace_build_info"}
)
FROM_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
# bytes and cores and pages say so in their units; "none" is a plain count
UNITS = {"none", "short", "s", "bytes", "cps", "percentunit", "bool_yes_no"}
_METRIC = re.compile(r"(?<![\w:$\"])(wasmtrace_\w+|scrape_\w+|up)(?=[\[{\s)]|$)")


def _panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in board["panels"] if each["type"] != "row"]


def _every_panel() -> list[Any]:
    return [
        pytest.param(panel, id=f"{name}-{panel['id']}-{panel['title']}")
        for name, board in BOARDS.items()
        for panel in _panels(board)
    ]


def _queries() -> dict[str, str]:
    """Every query of dashboards and alerts, by where it is."""
    found = {f"alert {each.name}": each.expression for each in ALERTS} | RECORDED
    for name, board in BOARDS.items():
        for panel in _panels(board):
            found |= {f"{name} {panel['title']} {each['refId']}": each["expr"] for each in panel["targets"]}
        found |= {f"{name} annotation {each['name']}": each["expr"] for each in board["annotations"]["list"]}
    return found


@pytest.mark.parametrize("name", list(built()))
def test_what_is_committed_is_what_is_built(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == built()[name], "run `make dashboards`"


def test_there_are_three() -> None:
    assert set(BOARDS) == {"app", "fleet", "runtime"}
    assert {board["uid"] for board in BOARDS.values()} == {"wasmtrace-app", "wasmtrace-fleet", "wasmtrace-runtime"}


@pytest.mark.parametrize("where", list(_queries()))
def test_every_metric_is_exported(where: str) -> None:
    metrics = set(_METRIC.findall(_queries()[where]))
    assert metrics or "module:" in _queries()[where] or "function:" in _queries()[where]
    assert metrics - EXPORTED - FROM_PROMETHEUS == set()


def test_every_metric_is_shown_somewhere() -> None:
    shown = {metric for query in _queries().values() for metric in _METRIC.findall(query)}
    assert EXPORTED - shown == set()


@pytest.mark.parametrize("panel", _every_panel())
def test_panel_is_whole(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    units = {panel["fieldConfig"]["defaults"]["unit"]} | {
        each["value"]
        for override in panel["fieldConfig"].get("overrides", [])
        for each in override["properties"]
        if each["id"] == "unit"
    }
    assert units <= UNITS
    for target in panel["targets"]:
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert "$instance" in target["expr"]
        if panel["type"] in ("timeseries", "bargauge"):
            assert target["legendFormat"]


@pytest.mark.parametrize("name", list(BOARDS))
def test_dashboard_has_variables_links_and_annotations(name: str) -> None:
    board = BOARDS[name]
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert list(variables) == ["datasource", "tempo", "module", "instance"]
    assert [variables[each]["query"] for each in ("datasource", "tempo")] == ["prometheus", "tempo"]
    assert variables["instance"]["allValue"] == ".*"
    assert bool(variables["module"].get("includeAll")) is (name != "app")
    assert [link["tags"] for link in board["links"]] == [["wasmtrace"]]
    assert [each["name"] for each in board["annotations"]["list"]] == ["Anomalies", "Starts"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in _panels(board):
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def _links(panel: dict[str, Any]) -> list[str]:
    fields = [panel["fieldConfig"]["defaults"].get("links", [])] + [
        each["value"]
        for override in panel["fieldConfig"].get("overrides", [])
        for each in override["properties"]
        if each["id"] == "links"
    ]
    return [link["url"] for links in fields for link in links]


def test_fleet_leads_to_the_app() -> None:
    for panel in _panels(BOARDS["fleet"]):
        if panel["type"] != "stat":
            assert [url.split("=")[0] for url in _links(panel)] == ["/d/wasmtrace-app?var-module"]


def test_app_leads_to_traces() -> None:
    links = [url for panel in _panels(BOARDS["app"]) for url in _links(panel)]
    traces = [url for url in links if url.startswith("/explore?")]
    assert len(traces) >= 5
    assert all("${tempo}" in url and "traceql" in url for url in traces)
    assert any(target.get("exemplar") for panel in _panels(BOARDS["app"]) for target in panel["targets"])
