"""Through a collector of somebody else's: what the receiver gets is what was sent, all three signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command import wasmtrace
from hop import hop
from otlp_guests import EXIT_3, guest
from receiver import Receiver, attributes, until
from test_traces import CALLER, NAPS, PROTOCOLS, drawn, is_error, named


def _root(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """The root, or nothing yet."""
    return next((each for each in spans if each["name"] == "talk.wat"), {})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("onward", PROTOCOLS)
def test_all_signals_pass(collector: Receiver, tmp_path: Path, protocol: str, onward: str) -> None:
    with hop(tmp_path, collector.endpoint(onward), onward) as between:
        more = {"OTEL_SERVICE_NAME": "shop", **between.environment(protocol)}
        done = wasmtrace(
            tmp_path, "run", "--no-summary", "--otlp", "--logs", guest(tmp_path, EXIT_3), stdin=b"", **more
        )
        assert (done.code, done.out, done.err) == (3, b"hello\nworld\nhello\nworld\n", "oops\n")
        root = until(lambda: _root(collector.spans()), waiting_for="the root")
        records = until(lambda: found if len(found := collector.log_records()) >= 5 else [], waiting_for="log records")
        points = until(collector.metric_points, waiting_for="metrics")
    assert attributes(root)["wasm.outcome"] == "exited"
    assert sorted(each["body"] for each in records) == ["hello", "hello", "oops", "world", "world"]
    assert {(each["trace_id"], each["span_id"]) for each in records} == {(root["trace_id"], root["span_id"])}
    calls = {each["attributes"]["function"]: int(each["as_int"]) for each in points["wasmtrace.function.calls"]}
    assert calls == {"_start": 1, "say": 2, "cry": 1, "(other)": 0}
    for request, name in (
        (collector.traces()[0], "resource_spans"),
        (collector.metrics()[0], "resource_metrics"),
        (collector.logs()[0], "resource_logs"),
    ):
        assert attributes(request[name][0]["resource"])["service.name"] == "shop"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_tree_of_a_crash_passes(collector: Receiver, tmp_path: Path, protocol: str) -> None:
    path = guest(tmp_path, NAPS, "naps.wat")
    with hop(tmp_path, collector.endpoint(protocol), protocol) as between:
        more = {"TRACEPARENT": CALLER, **between.environment(protocol)}
        done = wasmtrace(tmp_path, "run", "--no-summary", "--otlp", "--invoke", "crash", path, stdin=b"", **more)
        assert done.code == 134
        spans = until(lambda: found if len(found := collector.spans()) >= 8 else [], waiting_for="spans")
    assert drawn(spans) == [
        "naps.wat",
        *("  crash", "    work", "      nap", "        poll"),
        *("    boom", "      nap", "        poll"),
    ]
    assert {each["name"] for each in spans if is_error(each)} == {"naps.wat", "crash", "boom"}
    event = named(spans, "boom")["events"][0]
    assert event["name"] == "exception"
    assert attributes(event)["exception.type"] == "unreachable"
