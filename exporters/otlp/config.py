"""Where telemetry goes, from the standard variables of OpenTelemetry and the command line.

Pure: the environment is a mapping that is passed in, nothing is opened, and OpenTelemetry is not imported.
A value that cannot be understood is left out with a warning, as the specification asks; only an endpoint that is
none is an error, since there is no other place to send to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from wasmtrace.errors import UsageError
from wasmtrace.exporters.text import printable

DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_END_SECONDS = 5.0
DEFAULT_METRIC_INTERVAL_SECONDS = 60.0
_GRPC_PORT = 4317
_LONGEST_MS = 86_400_000.0
E = TypeVar("E", bound=Enum)


class Signal(Enum):
    """What is sent; the value is its name in variables and paths."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Protocol(Enum):
    GRPC = "grpc"
    HTTP = "http/protobuf"


class Compression(Enum):
    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"


class Temporality(Enum):
    """What a metric point counts from: the start, the point before, or whichever takes less memory."""

    CUMULATIVE = "cumulative"
    DELTA = "delta"
    LOWMEMORY = "lowmemory"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one signal goes. `endpoint` has a scheme; for HTTP also the path."""

    endpoint: str
    protocol: Protocol
    headers: tuple[tuple[str, str], ...] = ()
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    compression: Compression = Compression.NONE
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None

    @property
    def shown(self) -> str:
        """The endpoint for people: without what may be secret."""
        parts = urlsplit(self.endpoint)
        return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """All that the environment and the command line say. A signal without a target is not sent to a collector."""

    targets: Mapping[Signal, Target] = field(default_factory=dict)
    silent: frozenset[Signal] = frozenset()
    """Signals that `OTEL_*_EXPORTER=none` turns off, in files too."""
    service_name: str | None = None
    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    temporality: Temporality = Temporality.CUMULATIVE
    metric_interval_seconds: float = DEFAULT_METRIC_INTERVAL_SECONDS
    sampler: str | None = None
    sampler_argument: str | None = None
    end_seconds: float = DEFAULT_END_SECONDS
    """How long the end of a run waits for the collector."""
    disabled: bool = False
    warnings: tuple[str, ...] = ()


def otlp_settings(environ: Mapping[str, str], *, endpoint: str | None = None, send: bool = True) -> OtlpSettings:
    """The settings. `endpoint` is the command line's and goes before every variable; without `send` only what does
    not depend on a collector is read. Raises `UsageError` for an endpoint that is none."""
    reading = _Reading(environ)
    silent = frozenset(each for each in Signal if reading.word(f"OTEL_{each.name}_EXPORTER") == "none")
    targets = {each: _target(reading, each, endpoint) for each in Signal if each not in silent} if send else {}
    return OtlpSettings(
        targets,
        silent,
        reading.text("OTEL_SERVICE_NAME"),
        dict(reading.pairs("OTEL_RESOURCE_ATTRIBUTES", all_or_none=True)),
        reading.choice(
            Temporality, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", default=Temporality.CUMULATIVE
        ),
        reading.seconds("OTEL_METRIC_EXPORT_INTERVAL", default=DEFAULT_METRIC_INTERVAL_SECONDS),
        reading.text("OTEL_TRACES_SAMPLER"),
        reading.text("OTEL_TRACES_SAMPLER_ARG"),
        reading.seconds("OTEL_BSP_EXPORT_TIMEOUT", default=DEFAULT_END_SECONDS),
        reading.word("OTEL_SDK_DISABLED") == "true",
        tuple(reading.warnings),
    )


def _target(reading: _Reading, signal: Signal, endpoint: str | None) -> Target:
    def names(setting: str) -> tuple[str, str]:
        return f"OTEL_EXPORTER_OTLP_{signal.name}_{setting}", f"OTEL_EXPORTER_OTLP_{setting}"

    own, shared = names("ENDPOINT")
    given = endpoint or reading.text(own) or reading.text(shared)
    name = "--otlp" if endpoint else own if reading.text(own) else shared
    insecure = reading.word(*names("INSECURE")) != "false"
    url = None if given is None else _url(given, name, insecure=insecure)
    guess = Protocol.GRPC if url is not None and urlsplit(url).port == _GRPC_PORT else Protocol.HTTP
    protocol = reading.choice(Protocol, *names("PROTOCOL"), default=guess)
    if url is None:
        url = f"http://localhost:{4317 if protocol is Protocol.GRPC else 4318}"
    if protocol is Protocol.HTTP and name != own:
        url = f"{url.rstrip('/')}/v1/{signal.value}"
    return Target(
        url,
        protocol,
        reading.headers(*names("HEADERS")),
        reading.seconds(*names("TIMEOUT"), default=DEFAULT_TIMEOUT_SECONDS),
        reading.choice(Compression, *names("COMPRESSION"), default=Compression.NONE),
        reading.text(*names("CERTIFICATE")),
        reading.text(*names("CLIENT_KEY")),
        reading.text(*names("CLIENT_CERTIFICATE")),
    )


def _url(text: str, name: str, *, insecure: bool) -> str:
    """The endpoint with a scheme. Raises `UsageError`, which shows nothing of what may be a password."""
    url = text if "://" in text else f"{'http' if insecure else 'https'}://{text}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError(f"expected http://HOST:PORT or https://HOST:PORT in {name}, got {len(text)} other characters")
    return url


class _Reading:
    """Reads variables; of several names the first that is set counts. An empty variable is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.warnings: list[str] = []

    def _found(self, names: tuple[str, ...]) -> tuple[str, str] | None:
        return next(((name, value) for name in names if (value := self._environ.get(name, "").strip())), None)

    def text(self, *names: str) -> str | None:
        found = self._found(names)
        return None if found is None else found[1]

    def word(self, *names: str) -> str | None:
        text = self.text(*names)
        return None if text is None else text.lower()

    def seconds(self, *names: str, default: float) -> float:
        """From milliseconds, which is what the specification has in every variable about time."""
        found = self._found(names)
        if found is None:
            return default
        try:
            milliseconds = float(found[1])
        except ValueError:
            milliseconds = -1.0
        if not 0 < milliseconds <= _LONGEST_MS:
            self._ignore(found[0], "expected milliseconds above 0")
            return default
        return milliseconds / 1000

    def choice(self, kind: type[E], *names: str, default: E) -> E:
        found = self._found(names)
        if found is None:
            return default
        for each in kind:
            if each.value == found[1].lower():
                return each
        self._ignore(found[0], f"expected {', '.join(str(each.value) for each in kind)}")
        return default

    def headers(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Names in small letters, as gRPC wants them. What would break a header is left out."""
        found = self._found(names)
        if found is None:
            return ()
        pairs = self.pairs(*names)
        good = tuple((name.lower(), value) for name, value in pairs if _is_token(name) and _is_header_value(value))
        if len(good) < len(pairs):
            self._ignore(found[0], "expected names and values that a header can have", part=True)
        return good

    def pairs(self, *names: str, all_or_none: bool = False) -> tuple[tuple[str, str], ...]:
        """`name=value,name=value`, percent-encoded."""
        found = self._found(names)
        if found is None:
            return ()
        items = [each.strip() for each in found[1].split(",") if each.strip()]
        pairs = tuple(pair for item in items if (pair := _pair(item)) is not None)
        if len(pairs) < len(items):
            self._ignore(found[0], "expected NAME=VALUE,...", part=not all_or_none)
            return () if all_or_none else pairs
        return pairs

    def _ignore(self, name: str, expected: str, *, part: bool = False) -> None:
        """Values are not shown: they may be secret."""
        warning = f"{'part of ' if part else ''}{name} is ignored: {expected}"
        if warning not in self.warnings:
            self.warnings.append(warning)


def _pair(item: str) -> tuple[str, str] | None:
    name, equals, value = item.partition("=")
    try:
        name, value = (unquote(each.strip(), errors="strict") for each in (name, value))
        (name + value).encode()
    except UnicodeError:
        return None
    return (name, value) if equals and name else None


_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def _is_token(name: str) -> bool:
    return bool(name) and name.isascii() and _TOKEN.issuperset(name.lower())


def _is_header_value(value: str) -> bool:
    return value.isascii() and value.isprintable()
