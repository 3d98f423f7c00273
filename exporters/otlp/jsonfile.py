"""OTLP as JSON lines, one request a line: what the Collector's file exporter writes and its file receiver reads.

The protobuf encoders of the SDK make the messages. OTLP's JSON differs from protobuf's in two points: ids are
hexadecimal, not base64, and enumerations are numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def encode_line(request: Message) -> bytes:
    """A request as one line of JSON, in ASCII."""
    fields = MessageToDict(request, use_integers_for_enums=True)
    _spell_ids(fields)
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _spell_ids(fields: Any) -> None:
    """Hexadecimal where protobuf's JSON has base64. No attribute is touched: its key is a value here."""
    if isinstance(fields, list):
        for each in fields:
            _spell_ids(each)
    elif isinstance(fields, dict):
        for name, value in fields.items():
            if name in _IDS and isinstance(value, str):
                fields[name] = base64.b64decode(value).hex()
            elif not isinstance(value, str):
                _spell_ids(value)


def encode_span_line(spans: Sequence[ReadableSpan]) -> bytes:
    return encode_line(encode_spans(spans))


def encode_metric_line(metrics: MetricsData) -> bytes:
    return encode_line(encode_metrics(metrics))


def encode_log_line(records: Sequence[ReadableLogRecord]) -> bytes:
    return encode_line(encode_logs(records))
