"""Anomalies in the report, the summary and the metrics: hand-made ones, with any name."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from hand_made import HOSTILE_NAMES, snapshot
from wasmtrace.exporters.prometheus import SnapshotCollector, encode_text
from wasmtrace.exporters.report import encode
from wasmtrace.exporters.summary import render
from wasmtrace.records import Anomaly, AnomalyKind, FunctionName, OpenCall

SCHEMA = json.loads(files("wasmtrace.exporters").joinpath("report.schema.json").read_bytes())


def anomaly(name: str, ended_us: int | None = None, kind: AnomalyKind = AnomalyKind.NO_PROGRESS) -> Anomaly:
    function = FunctionName(5, name, name)
    stack = (OpenCall(function, False, 10, 0.5),)
    return Anomaly(1, kind, function, False, (function,), stack, 4e4, 5e4, 3e3, 1000, ended_us, f"{name} loops")


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
@pytest.mark.parametrize("kind", AnomalyKind, ids=lambda kind: kind.value)
def test_any_name_is_shown_safely(name: str, kind: AnomalyKind) -> None:
    state = snapshot(anomalies=(anomaly(name, None, kind), anomaly(name, 9000, kind)))
    Draft202012Validator(SCHEMA).validate(json.loads(encode(state)))
    text = render(state, colour=False, width=100)
    assert all(char.isprintable() for line in text.splitlines() for char in line)
    assert f"anomaly ({kind.value})" in text
    encode_text(SnapshotCollector(lambda: [state])).decode()


def test_series_of_an_anomaly_that_ends() -> None:
    live = [snapshot(anomalies=(anomaly("loop"),))]
    collector = SnapshotCollector(lambda: live)

    def values() -> list[str]:
        lines = encode_text(collector).decode().splitlines()
        return [line.split()[-1] for line in lines if "wasmtrace_anom" in line and 'function="loop"' in line]

    assert values() == ["1.0", "1.0", "40000.0"]
    live[0] = snapshot(anomalies=(anomaly("loop", 9000),))
    assert values() == ["1.0", "0.0", "0.0"]
    collector.retire(live.pop())
    assert values() == ["1.0", "0.0", "0.0"]
