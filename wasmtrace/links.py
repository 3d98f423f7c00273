"""Tells the metrics which spans show slow calls: the exemplars of one session's trace."""

from __future__ import annotations

from collections.abc import Sequence

from wasmtrace.exporters.exemplars import Exemplar, Exemplars, function_key, host_key
from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.spans import SpanData
from wasmtrace.exporters.series import Key
from wasmtrace.runtime.session import Session

_NOT_COUNTED = frozenset({names.STILL_OPEN, names.CALL_UNFINISHED, names.END_ESTIMATED})
"""What spans have that no slow call was counted for, or none of that length."""


class SpanLinks:
    """Notes the spans of one trace. Not for several threads at a time."""

    def __init__(self, session: Session, trace_id: int, exemplars: Exemplars) -> None:
        self._session = session
        self._trace_id = trace_id
        self._exemplars = exemplars
        self._keys: dict[int, Key] = {}

    def note(self, spans: Sequence[SpanData]) -> None:
        """Spans that go out now."""
        session = self._session
        threshold_us, origin_unix_ns = session.slow_threshold_us, session.started_unix_ns
        for span in spans:
            took_us = span.end_us - span.start_us
            index = span.attributes.get(names.FUNCTION_INDEX)
            if took_us < threshold_us or not isinstance(index, int) or not _NOT_COUNTED.isdisjoint(span.attributes):
                continue
            at_unix_ns = origin_unix_ns + span.end_us * 1000
            exemplar = Exemplar(self._trace_id, span.span_id, took_us / 1e6, at_unix_ns)
            self._exemplars.note(self._key(index), exemplar)

    def _key(self, funcidx: int) -> Key:
        found = self._keys.get(funcidx)
        if found is None:
            subject = self._session.subject
            hosts = subject.sites.host_functions
            module = subject.info.name
            if funcidx < len(hosts):
                found = host_key(module, hosts[funcidx].module, hosts[funcidx].name)
            else:
                found = function_key(module, subject.names()[funcidx].name)
            self._keys[funcidx] = found
        return found
