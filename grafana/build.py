"""Rebuilds what ships in this folder: `python -m wasmtrace.grafana.build [FOLDER]`, or `make dashboards`."""

from __future__ import annotations

import sys
from pathlib import Path

from wasmtrace.grafana.app import APP
from wasmtrace.grafana.fleet import FLEET
from wasmtrace.grafana.rules import grafana_rules, prometheus_rules
from wasmtrace.grafana.runtime import RUNTIME


def built() -> dict[str, str]:
    """Every file, by its path below this folder."""
    return {
        "dashboards/fleet.json": FLEET.encode(),
        "dashboards/app.json": APP.encode(),
        "dashboards/runtime.json": RUNTIME.encode(),
        "prometheus/rules.yml": prometheus_rules(),
        "provisioning/alerting/rules.yaml": grafana_rules(),
    }


def write(folder: Path) -> None:
    for name, text in built().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
