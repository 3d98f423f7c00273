"""The alerts as files: rules for Prometheus, provisioning for Grafana's own alerting."""

from __future__ import annotations

from typing import Any

import yaml

from wasmtrace.grafana.alerts import ALERTS, RECORDED, Alert

RUNBOOKS = "docs/runbooks/"
DATASOURCE = "prometheus"
_FAST, _SLOW = "wasmtrace-now", "wasmtrace-trends"


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, whole on their lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _encode(document: dict[str, Any]) -> str:
    return "# Written by `make dashboards` from grafana/alerts.py.\n" + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True
    )


def prometheus_rules() -> str:
    """`rules.yml` for Prometheus 2.42 and later."""
    records = [{"record": name, "expr": expression} for name, expression in RECORDED.items()]
    groups = [
        {"name": "wasmtrace-records", "interval": "15s", "rules": records},
        {"name": _FAST, "interval": "5s", "rules": [_prometheus_rule(each) for each in ALERTS if each.fast]},
        {"name": _SLOW, "interval": "15s", "rules": [_prometheus_rule(each) for each in ALERTS if not each.fast]},
    ]
    return _encode({"groups": groups})


def _prometheus_rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": f"{alert.for_seconds}s",
        "labels": {"severity": alert.severity},
        "annotations": _annotations(alert, "$value"),
    }


def _annotations(alert: Alert, value: str) -> dict[str, str]:
    return {
        "summary": alert.summary.replace("{value}", value),
        "description": alert.description.replace("{value}", value),
        "runbook_url": f"{RUNBOOKS}{alert.runbook}.md",
    }


def grafana_rules() -> str:
    """Provisioning for Grafana-managed alerts. Its scheduler judges every ten seconds at most."""
    groups = [
        {"orgId": 1, "name": name, "folder": "wasmtrace", "interval": interval, "rules": rules}
        for name, interval, rules in (
            (_FAST, "10s", [_grafana_rule(each) for each in ALERTS if each.fast]),
            (_SLOW, "30s", [_grafana_rule(each) for each in ALERTS if not each.fast]),
        )
    ]
    return _encode({"apiVersion": 1, "groups": groups})


def _grafana_rule(alert: Alert) -> dict[str, Any]:
    query = {"expr": expanded(alert.expression), "instant": True, "range": False, "refId": "A"}
    # the expression itself has the threshold: any value is an alert
    any_value = {"evaluator": {"type": "gt", "params": [-1]}}
    condition = {"type": "threshold", "expression": "A", "conditions": [any_value], "refId": "B"}
    return {
        "uid": f"wasmtrace-{alert.name.removeprefix('Wasmtrace').lower()}",
        "title": alert.name,
        "condition": "B",
        "for": f"{alert.for_seconds}s",
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": alert.severity},
        "annotations": _annotations(alert, "$values.A.Value"),
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
                "datasourceUid": DATASOURCE,
                "model": query,
            },
            {
                "refId": "B",
                "relativeTimeRange": {"from": 0, "to": 0},
                "datasourceUid": "__expr__",
                "model": condition,
            },
        ],
    }


def expanded(expression: str) -> str:
    """The expression with recording rules written out."""
    for name, recorded in RECORDED.items():
        expression = expression.replace(name, f"({recorded})")
    return expression
