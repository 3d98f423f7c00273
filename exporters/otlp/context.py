"""The context that a run is in: W3C `traceparent`, `tracestate` and `baggage`, read from and written to variables.

A header that is broken is ignored, as the W3C text says; so is a `tracestate` without a valid `traceparent`.
Spec: https://www.w3.org/TR/trace-context/ and https://opentelemetry.io/docs/specs/otel/context/env-carriers/
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
_LONGEST = 8192


def context_from(variables: Mapping[str, str]) -> Context:
    """The caller's context; empty if there is none. Names of variables are upper case."""
    carrier = {name.lower(): variables[name] for name in VARIABLES if _usable(variables.get(name, ""))}
    context = TraceContextTextMapPropagator().extract(carrier, context=Context())
    return W3CBaggagePropagator().extract(carrier, context=context)


def caller_of(context: Context) -> SpanContext | None:
    """The span that the run is a child of."""
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def variables_for(span: SpanContext, context: Context) -> dict[str, str]:
    """What makes `span` the parent of whoever reads these variables; the baggage is handed on."""
    carrier: dict[str, str] = {}
    inside = trace.set_span_in_context(NonRecordingSpan(span), context)
    TraceContextTextMapPropagator().inject(carrier, context=inside)
    W3CBaggagePropagator().inject(carrier, context=inside)
    return {name.upper(): value for name, value in carrier.items()}


def _usable(value: str) -> bool:
    return 0 < len(value) <= _LONGEST and value.isascii() and value.isprintable()
