from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hand_made import HOSTILE_NAMES, empty_snapshot, hanging, hostile, snapshot, trapped
from wasmtrace.exporters.report import encode
from wasmtrace.records import FunctionStats, Snapshot

SCHEMA: dict[str, Any] = json.loads(files("wasmtrace.exporters").joinpath("report.schema.json").read_bytes())
DOCUMENT = (Path(__file__).parents[2] / "docs" / "report.md").read_text()

STATES = {
    "normal": snapshot(),
    "empty": empty_snapshot(),
    "trapped": trapped(),
    "hanging": hanging(),
    **{f"hostile-{name}": hostile(text) for name, text in HOSTILE_NAMES.items()},
}

EMPTY = """\
{
  "schema_version": 1,
  "module": {"name": "app.wasm", "sha256": "%s", "size": 5000000, "level": "trace", \
"instrumented_size": 5600000, "function_count": 10},
  "outcome": "running",
  "exit_code": null,
  "message": null,
  "trap": null,
  "started": "2026-01-02T03:04:05.123456Z",
  "wall_seconds": 0.0,
  "cpu_seconds": 0.0,
  "slow_threshold_seconds": 0.001,
  "fuel": null,
  "fuel_limit": null,
  "memories": [],
  "functions": [],
  "host_calls": [],
  "open_calls": [],
  "anomalies": [],
  "dropped": 0,
  "uninstrumented": [],
  "cost": {"instrument_seconds": 0.0, "instrument_cached": false, "compile_seconds": 0.0, \
"instantiate_seconds": 0.0, "startup_seconds": 0.0, "reader_cpu_seconds": 0.0, "telemetry_bytes": 0, \
"clock_ticks": 0, "clock_late_max_seconds": 0.0, "records_read": 0}
}
""" % ("ab" * 32)


def test_empty_report_exactly() -> None:
    assert encode(empty_snapshot()).decode() == EMPTY


FIELD_CASES: dict[str, tuple[Snapshot, str, object]] = {
    "memories": (
        snapshot(),
        "memories",
        [{"index": 0, "pages": 60, "peak_pages": 67, "page_bytes": 65536, "limit_pages": 1024}],
    ),
    "host_calls": (
        snapshot(),
        "host_calls",
        [
            {
                "index": 0,
                "module": "wasi_snapshot_preview1",
                "name": "fd_write",
                "calls": 120,
                "slow_calls": 4,
                "slow_seconds": 0.2,
                "slowest_seconds": 0.11,
                "self_seconds": 0.25,
                "errors": {"badf": 2, "io": 1},
            },
            {
                "index": 1,
                "module": "wasi_snapshot_preview1",
                "name": "clock_time_get",
                "calls": 3,
                "slow_calls": 0,
                "slow_seconds": 0.0,
                "slowest_seconds": 0.0,
                "self_seconds": 0.0,
                "errors": {},
            },
        ],
    ),
    "trap": (
        trapped(1),
        "trap",
        {
            "code": "unreachable",
            "message": "wasm `unreachable` instruction executed",
            "stack": [{"function": "level_0", "raw_name": "_Zlevel_0", "index": 0, "offset": 256}],
        },
    ),
    "uninstrumented": (
        snapshot(),
        "uninstrumented",
        [{"index": 9, "name": "huge", "reason": "body is larger than the engine takes"}],
    ),
    "message": (hanging(), "message", "timeout of 1 s reached"),
    "fuel": (snapshot(), "fuel", 1_230_000_000),
    "big-fuel": (snapshot(fuel=2**64 - 1), "fuel", 2**64 - 1),
    "rounded": (snapshot(wall_seconds=0.1 + 0.2), "wall_seconds", 0.3),
}


@pytest.mark.parametrize(("state", "field", "value"), FIELD_CASES.values(), ids=FIELD_CASES)
def test_field(state: Snapshot, field: str, value: object) -> None:
    assert json.loads(encode(state))[field] == value


def test_functions_come_by_index_one_a_line() -> None:
    text = encode(snapshot(functions=snapshot().functions[::-1])).decode()
    assert [each["index"] for each in json.loads(text)["functions"]] == [5, 6, 7]
    assert (
        '    {"index": 6, "name": "fib", "raw_name": "_Z3fibi", "calls": 1000000, "slow_calls": 3, '
        '"slow_seconds": 0.5, "slowest_seconds": 0.25, "self_seconds": 0.9, '
        '"grown_pages": 0, "failed_grows": 0, "fuel": 1000000000},'
    ) in text.splitlines()


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_report_is_as_the_schema_says(state: Snapshot) -> None:
    data = encode(state)
    assert data.isascii()
    assert json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8").decode()
    assert list(Draft202012Validator(SCHEMA).iter_errors(json.loads(data))) == []


@pytest.mark.parametrize("name", [each for each in HOSTILE_NAMES if each != "surrogate"])
def test_names_come_back_unchanged(name: str) -> None:
    report = json.loads(encode(hostile(HOSTILE_NAMES[name])))
    assert report["functions"][0]["name"] == HOSTILE_NAMES[name]


def test_surrogates_are_replaced() -> None:
    assert json.loads(encode(hostile("a\udc80b")))["functions"][0]["name"] in (
        "a\ufffdb",
        "a\ufffd\ufffd\ufffdb",
    )


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["additionalProperties"] is False


def test_fuel_that_nobody_counts_is_null() -> None:
    (function,) = json.loads(encode(snapshot(functions=(FunctionStats(0, "f", "f", 1),))))["functions"]
    assert function["fuel"] is None


def documented_fields() -> list[str]:
    objects = [SCHEMA, *SCHEMA["$defs"].values()]
    return sorted({name for each in objects for name in each.get("properties", {})})


@pytest.mark.parametrize("field", documented_fields())
def test_field_is_documented(field: str) -> None:
    assert f"`{field}`" in DOCUMENT


def test_example_in_the_document_is_a_report() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    assert list(Draft202012Validator(SCHEMA).iter_errors(json.loads(example))) == []
