"""Each alert on both sides of its threshold, judged by `promtool test rules`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers import promtool
from wasmtrace.grafana.alerts import ALERTS, RECORDED
from wasmtrace.grafana.rules import expanded

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "grafana" / "prometheus" / "rules.yml"
RUNBOOKS = ROOT / "docs" / "runbooks"
BY_NAME = {each.name: each for each in ALERTS}

_SHOP = {"job": "wasmtrace", "instance": "a:1", "module": "shop"}


@dataclass(frozen=True)
class Case:
    """Samples, one every 15 seconds; the labels besides job, instance and module with which the alert fires, if so."""

    alert: str
    at: str
    series: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    fires: bool = False
    value: str = ""
    """As the texts show it."""
    module: bool = True


def _anomaly(kind: str, active: str, rate: str) -> dict[str, str]:
    labels = f'{{{{shop}},kind="{kind}",function="f"}}'
    return {f"wasmtrace_anomaly_active{labels}": active, f"wasmtrace_anomaly_rate{labels}": rate}


def _function(kind: str) -> dict[str, str]:
    return {"kind": kind, "function": "f"}


def _runs(failed: str, returned: str = "0x60") -> dict[str, str]:
    return {
        'wasmtrace_runs_total{{shop},outcome="trapped"}': failed,
        'wasmtrace_runs_total{{shop},outcome="failed"}': "0x60",
        'wasmtrace_runs_total{{shop},outcome="timed_out"}': "0x60",
        'wasmtrace_runs_total{{shop},outcome="returned"}': returned,
        'wasmtrace_runs_total{{shop},outcome="exited"}': "0x60",
    }


def _starts(value: str, returned: str = "0x60") -> dict[str, str]:
    return {'wasmtrace_startup_seconds_total{{shop},phase="instantiate"}': value, **_runs("0x60", returned)}


def _memory(size: str, limit: str = "1000x60") -> dict[str, str]:
    labels = '{{shop},memory="0"}'
    return {f"wasmtrace_memory_bytes{labels}": size, f"wasmtrace_memory_limit_bytes{labels}": limit}


def _host(calls: str, errors: str, errno: str = "noent") -> dict[str, str]:
    labels = '{shop},namespace="wasi",function="path_open"'
    return {
        f"wasmtrace_host_calls_total{{{labels}}}": calls,
        f'wasmtrace_host_call_errors_total{{{labels},errno="{errno}"}}': errors,
    }


def _fuel(consumed: str, limit: str, ended: str, active: str = "0x60") -> dict[str, str]:
    return {
        "wasmtrace_fuel_consumed_total{{shop}}": consumed,
        "wasmtrace_fuel_limit{{shop}}": limit,
        "wasmtrace_runs_active{{shop}}": active,
        'wasmtrace_runs_total{{shop},outcome="returned"}': ended,
    }


_PATH_OPEN = {"namespace": "wasi", "function": "path_open", "errno": "noent"}
_FAILED_GROWS = 'wasmtrace_function_failed_grows_total{{shop},function="f"}'
_REPEATED = 'wasmtrace_anomalies_total{{shop},kind="call_rate",function="f"}'
_UP = 'up{job="wasmtrace",instance="a:1"}'
_INFO = 'wasmtrace_module_info{{shop},sha256="00",level="trace"}'

CASES = {
    "loop": Case("WasmtraceLoop", "1m", _anomaly("call_rate", "1x60", "4000x60"), _function("call_rate"), True, "4k"),
    "loop without progress": Case(
        "WasmtraceLoop", "1m", _anomaly("no_progress", "1x60", "50x60"), _function("no_progress"), True, "50"
    ),
    "loop over baseline": Case(
        "WasmtraceLoop", "1m", _anomaly("baseline", "1x60", "50x60"), _function("baseline"), True, "50"
    ),
    "loop that is over": Case("WasmtraceLoop", "1m", _anomaly("call_rate", "1 1 0x60", "4000 4000 0x60")),
    "a hang is no loop": Case("WasmtraceLoop", "1m", _anomaly("hang", "1x60", "0x60")),
    "hang": Case("WasmtraceHang", "1m", _anomaly("hang", "1x60", "0x60"), {"kind": "hang", "function": "f"}, True),
    "hang that is over": Case("WasmtraceHang", "1m", _anomaly("hang", "1 0x60", "0x60")),
    "growth": Case("WasmtraceMemoryGrowth", "1m", _anomaly("growth", "1x60", "3x60"), _function("growth"), True, "3"),
    "growth that is over": Case("WasmtraceMemoryGrowth", "1m", _anomaly("growth", "1 0x60", "3x60")),
    "down for a minute": Case("WasmtraceTargetDown", "3m", {_UP: "1x4 0x60", _INFO: "1x4"}, {}, True),
    "down, never seen": Case("WasmtraceTargetDown", "3m", {_UP: "0x60"}, {}, True, module=False),
    "down for half a minute": Case("WasmtraceTargetDown", "90s", {_UP: "1x4 0x60", _INFO: "1x4"}),
    "another job is down": Case("WasmtraceTargetDown", "3m", {'up{job="node",instance="a:1"}': "0x60"}),
    "looped three times": Case(
        "WasmtraceLoopsRepeat", "16m", {_REPEATED: "0x10 1x10 2x10 3x60"}, _function("call_rate"), True, "3"
    ),
    "looped twice": Case("WasmtraceLoopsRepeat", "16m", {_REPEATED: "0x10 1x10 2x60"}),
    "three traps": Case("WasmtraceCrashLoop", "11m", _runs("0x10 1x10 2x10 3x60"), {}, True, "3"),
    "two traps": Case("WasmtraceCrashLoop", "11m", _runs("0x10 1x10 2x60")),
    "three returns": Case("WasmtraceCrashLoop", "11m", _runs("0x60", "0x10 1x10 2x10 3x60")),
    "three starts": Case("WasmtraceRestartLoop", "9m", _starts("0.5x8 0.6x8 0.4x8 0.7x60"), {}, True, "3"),
    "two starts": Case("WasmtraceRestartLoop", "9m", _starts("0.5x8 0.6x8 0.7x60")),
    "three starts of what returns": Case(
        "WasmtraceRestartLoop", "9m", _starts("0.5x8 0.6x8 0.4x8 0.7x60", "0x20 1x60")
    ),
    "memory 91 %": Case("WasmtraceMemoryNearLimit", "2m", _memory("910x60"), {"memory": "0"}, True, "91%"),
    "memory 90 %": Case("WasmtraceMemoryNearLimit", "2m", _memory("900x60")),
    "memory 91 % for half a minute": Case("WasmtraceMemoryNearLimit", "2m", _memory("900x6 910x60")),
    "memory without limit": Case("WasmtraceMemoryNearLimit", "2m", _memory("910x60", "_x60")),
    "full in 55 minutes": Case("WasmtraceMemoryFullSoon", "13m", _memory("520+2x60", "1060x60"), {"memory": "0"}, True),
    "full in two hours": Case("WasmtraceMemoryFullSoon", "13m", _memory("520+1x60", "1060x60")),
    "full soon, but less than half": Case("WasmtraceMemoryFullSoon", "13m", _memory("300+3x60", "1000x60")),
    "refused": Case("WasmtraceMemoryRefused", "5m", {_FAILED_GROWS: "_x10 1x60"}, {"function": "f"}, True, "1"),
    "refused long ago": Case("WasmtraceMemoryRefused", "12m", {_FAILED_GROWS: "_x10 1x60"}),
    "one run used 91 %": Case("WasmtraceFuelNearLimit", "1m", _fuel("91x60", "100x60", "1x60"), {}, True, "91%"),
    "one run used 90 %": Case("WasmtraceFuelNearLimit", "1m", _fuel("90x60", "100x60", "1x60")),
    "many runs used 95 % each": Case(
        "WasmtraceFuelNearLimit", "16m", _fuel("0+190x70", "200x70", "0+2x70", "2x70"), {}, True, "95%"
    ),
    "many runs used 80 % each": Case("WasmtraceFuelNearLimit", "16m", _fuel("0+160x70", "200x70", "0+2x70", "2x70")),
    "half of the host calls fail": Case(
        "WasmtraceHostErrors", "10m", _host("0+300x60", "0+150x60"), _PATH_OPEN, True, "50%"
    ),
    "a quarter fails": Case("WasmtraceHostErrors", "10m", _host("0+300x60", "0+75x60")),
    "all fail, one a second": Case("WasmtraceHostErrors", "10m", _host("0+15x60", "0+15x60")),
    "half fail with again": Case("WasmtraceHostErrors", "10m", _host("0+300x60", "0+150x60", "again")),
    "half fail for a minute": Case("WasmtraceHostErrors", "2m", _host("0+300x60", "_x4 0+150x60")),
    "dropped": Case(
        "WasmtraceTelemetryDropped", "6m", {"wasmtrace_dropped_records_total{{shop}}": "0+10x60"}, {}, True, "200"
    ),
    "none dropped lately": Case(
        "WasmtraceTelemetryDropped", "12m", {"wasmtrace_dropped_records_total{{shop}}": "0 10 20x60"}
    ),
    "late by 260 ms": Case(
        "WasmtraceClockLate", "3m", {"wasmtrace_clock_late_max_seconds{{shop}}": "0.002x4 0.26x60"}, {}, True, "260ms"
    ),
    "late by 250 ms": Case("WasmtraceClockLate", "3m", {"wasmtrace_clock_late_max_seconds{{shop}}": "0.002x4 0.25x60"}),
    "late long ago": Case("WasmtraceClockLate", "14m", {"wasmtrace_clock_late_max_seconds{{shop}}": "0.002x4 0.26x60"}),
}
_PLACE = re.compile(r"\{\{ (?:\$labels\.(\w+)|\{value\} \| [^}]+) \}\}")


_CHOICE = re.compile(r'\{\{ if eq \$labels\.(\w+) "(\w+)" \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}')


def _expected(case: Case) -> list[dict[str, Any]]:
    alert = BY_NAME[case.alert]
    place = _SHOP if case.module else {name: value for name, value in _SHOP.items() if name != "module"}
    labels = {**place, **case.labels, "severity": alert.severity}

    def filled(text: str) -> str:
        text = _CHOICE.sub(lambda found: found[3] if labels.get(found[1]) == found[2] else found[4], text)
        return _PLACE.sub(lambda found: labels.get(found[1], "") if found[1] else case.value, text)

    annotations = {
        "summary": filled(alert.summary),
        "description": filled(alert.description),
        "runbook_url": f"docs/runbooks/{alert.runbook}.md",
    }
    return [{"exp_labels": labels, "exp_annotations": annotations}] if case.fires else []


@pytest.mark.parametrize("name", CASES)
def test_alert(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    shop = ",".join(f'{label}="{value}"' for label, value in _SHOP.items())
    series = {
        each.replace("{shop}", shop).replace("{{", "{").replace("}}", "}"): how for each, how in case.series.items()
    }
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": each, "values": values} for each, values in series.items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": _expected(case)}],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("fires", [True, False])
def test_every_alert_is_tried_on_both_sides(fires: bool) -> None:
    assert {case.alert for case in CASES.values() if case.fires is fires} == set(BY_NAME)


def test_rules_are_valid() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stderr.decode()
    assert f"{len(ALERTS) + len(RECORDED)} rules found" in done.stdout.decode()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_alert_says_who_what_and_where_to_read_on(alert: Any) -> None:
    assert alert.severity in ("critical", "warning")
    assert "$labels.module" in alert.summary or "$labels.function" in alert.summary
    for label in ("module", "instance"):
        assert f"$labels.{label}" in alert.description
    page = (RUNBOOKS / f"{alert.runbook}.md").read_text()
    assert alert.name in page.splitlines()[0]


def test_documentation_lists_every_alert() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \| (\w+) \|.*\(runbooks/([\w-]+)\.md\) \|$", page, re.MULTILINE))
    assert rows == {(each.name, each.severity, each.runbook) for each in ALERTS}


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.runbook for alert in ALERTS}


def test_grafana_has_the_same_alerts() -> None:
    document = yaml.safe_load((ROOT / "grafana" / "provisioning" / "alerting" / "rules.yaml").read_text())
    rules = {rule["title"]: rule for group in document["groups"] for rule in group["rules"]}
    assert set(rules) == set(BY_NAME)
    assert len({rule["uid"] for rule in rules.values()}) == len(rules)
    for name, rule in rules.items():
        query, condition = rule["data"]
        assert query["model"]["expr"] == expanded(BY_NAME[name].expression)
        assert (rule["condition"], condition["model"]["expression"]) == (condition["refId"], query["refId"])
        assert not any(recorded in query["model"]["expr"] for recorded in RECORDED)
        assert "{value}" not in str(rule["annotations"])


def test_grafana_judges_in_multiples_of_its_ten_seconds() -> None:
    document = yaml.safe_load((ROOT / "grafana" / "provisioning" / "alerting" / "rules.yaml").read_text())
    assert [int(group["interval"].removesuffix("s")) % 10 for group in document["groups"]] == [0, 0]
