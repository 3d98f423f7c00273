"""The queries of a dashboard as Grafana would send them, its variables substituted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "grafana" / "dashboards"


@dataclass(frozen=True, slots=True)
class PanelQuery:
    board: str
    panel: str
    kind: str
    unit: str
    expression: str
    legend: str
    instant: bool

    @property
    def where(self) -> str:
        return f"{self.board}: {self.panel}"


def panel_queries(board: str, variables: Mapping[str, str]) -> Iterator[PanelQuery]:
    """Each query of each panel, then those of the annotations."""
    document = json.loads((FOLDER / f"{board}.json").read_text())
    for panel in document["panels"]:
        for target in panel.get("targets", []):
            yield PanelQuery(
                board,
                panel["title"],
                panel["type"],
                panel["fieldConfig"]["defaults"]["unit"],
                substituted(target["expr"], variables),
                target.get("legendFormat", ""),
                bool(target.get("instant")),
            )
    for each in document["annotations"]["list"]:
        name = f"annotation {each['name']}"
        text = substituted(each["expr"], variables)
        yield PanelQuery(board, name, "annotation", "", text, each["titleFormat"], instant=False)


def substituted(expression: str, variables: Mapping[str, str]) -> str:
    """Longest names first: `$__range_s` begins with `$__range`."""
    for name in sorted(variables, key=len, reverse=True):
        expression = expression.replace(f"${name}", variables[name])
    assert "$" not in expression, expression
    return expression
