"""OTLP JSON lines: what a line is, and a file that holds a whole run."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from command import wasmtrace
from otlp_guests import EXIT_3, TRAP, guest
from wasmtrace.errors import ExportError
from wasmtrace.exporters.otlp.jsonfile import encode_line
from wasmtrace.exporters.otlp.linefile import LineFile

REQUESTS: dict[str, Any] = {
    "resourceSpans": ExportTraceServiceRequest,
    "resourceMetrics": ExportMetricsServiceRequest,
    "resourceLogs": ExportLogsServiceRequest,
}


def test_a_line_byte_for_byte() -> None:
    span = Span(
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        parent_span_id=b"\xff" * 8,
        name="a\n\u202e",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=1_767_323_045_123_456_789,
        status=Status(code=Status.STATUS_CODE_ERROR),
        attributes=[
            KeyValue(key="spanId", value=AnyValue(string_value="AAAA")),
            KeyValue(key="n", value=AnyValue(int_value=-1)),
            KeyValue(key="d", value=AnyValue(double_value=float("nan"))),
        ],
        links=[Span.Link(trace_id=b"\1" * 16, span_id=b"\2" * 8)],
    )
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    assert encode_line(request) == (
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{'
        b'"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"0001020304050607",'
        b'"parentSpanId":"ffffffffffffffff","name":"a\\n\\u202e","kind":1,'
        b'"startTimeUnixNano":"1767323045123456789","attributes":['
        b'{"key":"spanId","value":{"stringValue":"AAAA"}},{"key":"n","value":{"intValue":"-1"}},'
        b'{"key":"d","value":{"doubleValue":"NaN"}}],'
        b'"links":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202"}],'
        b'"status":{"code":2}}]}]}]}\n'
    )


def test_an_empty_request() -> None:
    assert encode_line(ExportTraceServiceRequest()) == b"{}\n"


def _ids(value: Any) -> list[str]:
    if isinstance(value, list):
        return [each for item in value for each in _ids(item)]
    if not isinstance(value, dict):
        return []
    own = [value[name] for name in ("traceId", "spanId", "parentSpanId") if name in value]
    return own + [each for item in value.values() for each in _ids(item)]


@pytest.mark.parametrize(("text", "code"), [(EXIT_3, 3), (TRAP, 134)], ids=["exit", "trap"])
def test_a_run(tmp_path: Path, text: str, code: int) -> None:
    path = tmp_path / "otlp.jsonl"
    options = ["--no-summary", "--logs", "--slow", "0", "--otlp-file", str(path)]
    done = wasmtrace(tmp_path, "run", *options, guest(tmp_path, text))
    assert (done.code, done.out[:12]) == (code, b"hello\nworld\n"), done.err
    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert {name for line in lines for name in line} == set(REQUESTS)
    for line in lines:
        (name,) = line
        ParseDict(line, REQUESTS[name]())
        for each in _ids(line):
            assert len(each) in (16, 32)
            assert int(each, 16)
        resource = {each["key"]: each["value"] for each in line[name][0]["resource"]["attributes"]}
        assert resource["service.name"] == {"stringValue": "talk"}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = wasmtrace(tmp_path, "run", "--otlp-file", tmp_path / "none" / "x", guest(tmp_path, EXIT_3))
    assert (done.code, done.out) == (1, b"")
    assert done.err.count("\n") == 1
    assert "no such file" in done.err


def test_a_full_disk(tmp_path: Path) -> None:
    done = wasmtrace(tmp_path, "run", "--no-summary", "--otlp-file", "/dev/full", guest(tmp_path, EXIT_3))
    assert (done.code, done.out) == (3, b"hello\nworld\nhello\nworld\n")
    warnings = [line for line in done.err.splitlines() if line.startswith("wasmtrace:")]
    assert len(warnings) == 1
    assert "no space left" in warnings[0]


def test_a_line_is_whole_or_not_there(tmp_path: Path) -> None:
    room = 25

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(room, len(data), 4)
        room -= taken
        return os.write(descriptor, data[:taken])

    path = tmp_path / "lines"
    file = LineFile(path, write=write)
    assert [file.write(b"0123456789\n") for _ in range(4)] == [True, True, False, False]
    file.close()
    file.close()
    assert path.read_bytes() == b"0123456789\n" * 2
    assert file.error == f"cannot write {path}: no space left on device"
    assert not file.write(b"x\n")


@pytest.mark.parametrize("path", ["", "a\0b", "/"])
def test_no_such_path(path: str) -> None:
    with pytest.raises(ExportError):
        LineFile(path)
