"""A dashboard: its rows of panels, variables, links and annotations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from wasmtrace.grafana.panels import Row
from wasmtrace.grafana.sdk import APP_UID, PROMETHEUS, panel

__all__ = ["APP_UID", "FLEET_UID", "RUNTIME_UID", "Board"]

FLEET_UID, RUNTIME_UID = "wasmtrace-fleet", "wasmtrace-runtime"
_MANY = 'module=~"$module",instance=~"$instance"'
_ONE = 'module="$module",instance=~"$instance"'
"""Which series a dashboard shows: Grafana escapes a variable for a pattern only if it may have several values."""


def variables(*, one_module: bool) -> list[Any]:
    """Data sources, module (one, or any number) and instance."""
    module = (
        dashboard.QueryVariable("module")
        .label("Module")
        .query("label_values(wasmtrace_module_info, module)")
        .datasource(PROMETHEUS)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(not one_module)
        .include_all(not one_module)
    )
    instance = (
        dashboard.QueryVariable("instance")
        .label("Instance")
        .query('label_values(wasmtrace_module_info{module=~"$module"}, instance)')
        .datasource(PROMETHEUS)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )
    if not one_module:
        module.all_value(".*").current(models.VariableOption(text="All", value="$__all"))
    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        dashboard.DatasourceVariable("tempo").label("Traces").type("tempo"),
        module,
        instance,
    ]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    one_module: bool = False

    def encode(self) -> str:
        """The JSON that Grafana imports, byte for byte the same for the same board."""
        built = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags(["wasmtrace"])
            .time("now-1h", "now")
            .refresh("10s")
            .timezone("browser")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .variables(variables(one_module=self.one_module))
            .link(_navigation())
        )
        for row in self.rows:
            built.with_row(dashboard.Row(row.title))
            for each in row.panels:
                built.with_panel(panel(each))
        document = json.loads(json.dumps(built.build(), cls=JSONEncoder))
        # the SDK's annotation knows neither the title nor the text of a Prometheus annotation
        document["annotations"] = {"list": [_anomalies(), _restarts()]}
        for number, each in enumerate(document["panels"], start=1):
            each["id"] = number
        selection = json.dumps(_ONE if self.one_module else _MANY)[1:-1]
        return json.dumps(document, indent=1, ensure_ascii=False).replace("{self}", selection) + "\n"


def _navigation() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("wasmtrace")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["wasmtrace"])
        .keep_time(True)
        .include_vars(True)
    )


def _annotation(name: str, colour: str, query: str, title: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "expr": query,
        "step": "10s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "module,instance",
    }


def _anomalies() -> dict[str, Any]:
    return _annotation(
        "Anomalies", "red", "wasmtrace_anomaly_active{{self}} == 1", "{{kind}}: {{function}}", "in {{module}}"
    )


def _restarts() -> dict[str, Any]:
    return _annotation(
        "Starts",
        "blue",
        'changes(wasmtrace_startup_seconds_total{phase="instantiate",{self}}[$__rate_interval]) > 0',
        "started again",
        "{{module}}",
    )
