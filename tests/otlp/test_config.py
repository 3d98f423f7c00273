"""Settings from the standard variables, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from wasmtrace.cli.parser import parse
from wasmtrace.errors import UsageError
from wasmtrace.exporters.otlp.config import (
    Compression,
    OtlpSettings,
    Protocol,
    Signal,
    Target,
    Temporality,
    otlp_settings,
)
from wasmtrace.exporters.otlp.resource import Facts, resource_attributes, service_name

BASE = "OTEL_EXPORTER_OTLP_"

# id, variables, --otlp, endpoint of traces, of metrics, protocol of metrics
PLACES = [
    ("nothing", {}, None, "http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics", Protocol.HTTP),
    (
        "grpc",
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        None,
        "http://localhost:4317",
        "http://localhost:4317",
        Protocol.GRPC,
    ),
    (
        "base",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"},
        None,
        "http://c:4318/v1/traces",
        "http://c:4318/v1/metrics",
        Protocol.HTTP,
    ),
    (
        "base-path",
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/in"},
        None,
        "https://c/in/v1/traces",
        "https://c/in/v1/metrics",
        Protocol.HTTP,
    ),
    (
        "own-as-it-is",
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:1/x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
        None,
        "http://c:4318/v1/traces",
        "http://m:1/x",
        Protocol.HTTP,
    ),
    (
        "own-protocol",
        {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"},
        None,
        "http://localhost:4318/v1/traces",
        "http://localhost:4317",
        Protocol.GRPC,
    ),
    ("guessed-grpc", {}, "http://c:4317", "http://c:4317", "http://c:4317", Protocol.GRPC),
    ("no-scheme", {}, "c:4317", "http://c:4317", "http://c:4317", Protocol.GRPC),
    (
        "secure",
        {"OTEL_EXPORTER_OTLP_INSECURE": "false"},
        "c:4317",
        "https://c:4317",
        "https://c:4317",
        Protocol.GRPC,
    ),
    (
        "command-line-first",
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:1/x"},
        "http://c:4318",
        "http://c:4318/v1/traces",
        "http://c:4318/v1/metrics",
        Protocol.HTTP,
    ),
    (
        "protocol-first",
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        "http://c:4317",
        "http://c:4317/v1/traces",
        "http://c:4317/v1/metrics",
        Protocol.HTTP,
    ),
]


@pytest.mark.parametrize(
    ("variables", "endpoint", "traces", "metrics", "protocol"), [row[1:] for row in PLACES], ids=[r[0] for r in PLACES]
)
def test_where_to(
    variables: dict[str, str], endpoint: str | None, traces: str, metrics: str, protocol: Protocol
) -> None:
    targets = otlp_settings(variables, endpoint=endpoint).targets
    assert targets[Signal.TRACES].endpoint == traces
    assert (targets[Signal.METRICS].endpoint, targets[Signal.METRICS].protocol) == (metrics, protocol)


# id, variable without its beginning, value, field of the target, expected value, is there a warning
VALUES: list[tuple[str, str, str, str, Any, bool]] = [
    ("headers", "HEADERS", "api-key=a%20b, X=1", "headers", (("api-key", "a b"), ("x", "1")), False),
    ("headers-part", "HEADERS", "a=1,nonsense", "headers", (("a", "1"),), True),
    ("headers-line-end", "HEADERS", "a=1%0d%0ab:2,c=3", "headers", (("c", "3"),), True),
    ("headers-not-ascii", "HEADERS", "a=%C3%A9", "headers", (), True),
    ("headers-bad-name", "HEADERS", "a b=1", "headers", (), True),
    ("headers-bad-utf8", "HEADERS", "a=%ff", "headers", (), True),
    ("timeout", "TIMEOUT", "2500", "timeout_seconds", 2.5, False),
    ("timeout-word", "TIMEOUT", "soon", "timeout_seconds", 10.0, True),
    ("timeout-zero", "TIMEOUT", "0", "timeout_seconds", 10.0, True),
    ("timeout-nan", "TIMEOUT", "nan", "timeout_seconds", 10.0, True),
    ("timeout-endless", "TIMEOUT", "inf", "timeout_seconds", 10.0, True),
    ("gzip", "COMPRESSION", "GZIP", "compression", Compression.GZIP, False),
    ("no-compression", "COMPRESSION", "none", "compression", Compression.NONE, False),
    ("zstd", "COMPRESSION", "zstd", "compression", Compression.NONE, True),
    ("http-json", "PROTOCOL", "http/json", "protocol", Protocol.HTTP, True),
    ("certificate", "CERTIFICATE", "/ca.pem", "certificate", "/ca.pem", False),
    ("key", "CLIENT_KEY", "/key.pem", "client_key", "/key.pem", False),
    ("client-certificate", "CLIENT_CERTIFICATE", "/c.pem", "client_certificate", "/c.pem", False),
    ("empty", "TIMEOUT", "  ", "timeout_seconds", 10.0, False),
]


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize(
    ("name", "value", "field", "expected", "warned"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES]
)
def test_value(name: str, value: str, field: str, expected: object, warned: bool, own: bool) -> None:
    variable = f"{BASE}{'LOGS_' if own else ''}{name}"
    settings = otlp_settings({variable: value})
    assert getattr(settings.targets[Signal.LOGS], field) == expected
    assert [variable in each for each in settings.warnings] == [True] * warned
    assert all(value not in each for each in settings.warnings if len(value) > 2)
    if own:
        assert settings.targets[Signal.TRACES] == otlp_settings({}).targets[Signal.TRACES]


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://c", "http://", "http://c:99999", "http://c:0", "http://[::1", "http://c\n:1", "http://c d", "unix:///x"],
)
def test_endpoint_that_is_none(endpoint: str) -> None:
    for given in (endpoint, None):
        with pytest.raises(UsageError) as raised:
            otlp_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, endpoint=given)
        assert endpoint == "http://" or endpoint not in str(raised.value)


def test_passwords_are_not_shown() -> None:
    target = otlp_settings({}, endpoint="http://me:secret@c:4318/x?key=secret").targets[Signal.TRACES]
    assert target.shown == "http://c:4318/x"


# id, variables, expected fields
GENERAL: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("disabled", {"OTEL_SDK_DISABLED": "TRUE"}, {"disabled": True}),
    ("not-disabled", {"OTEL_SDK_DISABLED": "1"}, {"disabled": False}),
    ("service", {"OTEL_SERVICE_NAME": "shop"}, {"service_name": "shop"}),
    ("attributes", {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b=x%2Cy"}, {"resource_attributes": {"a": "1", "b": "x,y"}}),
    ("attributes-none-if-one-is-bad", {"OTEL_RESOURCE_ATTRIBUTES": "a=1,b"}, {"resource_attributes": {}}),
    (
        "delta",
        {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "DELTA"},
        {"temporality": Temporality.DELTA},
    ),
    ("interval", {"OTEL_METRIC_EXPORT_INTERVAL": "500"}, {"metric_interval_seconds": 0.5}),
    ("end", {"OTEL_BSP_EXPORT_TIMEOUT": "1500"}, {"end_seconds": 1.5}),
    ("end-default", {}, {"end_seconds": 5.0}),
    (
        "sampler",
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
        {"sampler": "traceidratio", "sampler_argument": "0.1"},
    ),
]


@pytest.mark.parametrize(("variables", "expected"), [row[1:] for row in GENERAL], ids=[row[0] for row in GENERAL])
def test_general(variables: dict[str, str], expected: dict[str, Any]) -> None:
    settings = otlp_settings(variables)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_a_signal_can_be_silent() -> None:
    settings = otlp_settings({"OTEL_LOGS_EXPORTER": "none"})
    assert set(settings.targets) == {Signal.TRACES, Signal.METRICS}
    assert settings.silent == {Signal.LOGS}
    assert otlp_settings({}, send=False).targets == {}


FACTS = Facts("box", "x86_64", "Linux", 42, "python3", "cpython", "3.11.2", "", "1.45", "0.1.0")
CONTAINER = "0::/system.slice/docker-" + "0f" * 32 + ".scope\n"


# id, settings, variables, control groups, expected attributes (None: not there)
RESOURCES: list[tuple[str, OtlpSettings, dict[str, str], str, dict[str, object]]] = [
    (
        "plain",
        OtlpSettings(),
        {},
        "",
        {
            "service.name": "app",
            "service.instance.id": "i",
            "host.name": "box",
            "host.arch": "amd64",
            "os.type": "linux",
            "process.pid": 42,
            "process.executable.name": "python3",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.language": "python",
            "telemetry.distro.name": "wasmtrace",
            "container.id": None,
            "k8s.pod.name": None,
        },
    ),
    ("service", OtlpSettings(service_name="shop"), {}, "", {"service.name": "shop"}),
    (
        "attributes",
        OtlpSettings(resource_attributes={"service.name": "a", "host.name": "b", "team": "c\x1b[31m"}),
        {},
        "",
        {"service.name": "a", "host.name": "b", "team": "c\\x1b[31m"},
    ),
    (
        "service-before-attributes",
        OtlpSettings(service_name="shop", resource_attributes={"service.name": "a"}),
        {},
        "",
        {"service.name": "shop"},
    ),
    ("container", OtlpSettings(), {}, CONTAINER, {"container.id": "0f" * 32}),
    (
        "kubernetes",
        OtlpSettings(),
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "pod-1", "POD_NAMESPACE": "shop", "NODE_NAME": "n1"},
        "",
        {"k8s.pod.name": "pod-1", "k8s.namespace.name": "shop", "k8s.node.name": "n1"},
    ),
    ("no-kubernetes", OtlpSettings(), {"HOSTNAME": "box", "POD_NAMESPACE": "shop"}, "", {"k8s.namespace.name": None}),
]


@pytest.mark.parametrize(
    ("settings", "variables", "groups", "expected"), [row[1:] for row in RESOURCES], ids=[row[0] for row in RESOURCES]
)
def test_resource(settings: OtlpSettings, variables: dict[str, str], groups: str, expected: dict[str, object]) -> None:
    facts = Facts(**{name: getattr(FACTS, name) for name in Facts.__slots__} | {"control_groups": groups})
    found = resource_attributes(settings, variables, facts, module_name="/srv/app.wasm", instance="i")
    assert {name: found.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [("app.wasm", "app"), ("dir/app.wat", "app"), ("-", "-"), (".wasm", "wasmtrace"), ("a\nb.wasm", "a\\x0ab")],
)
def test_service_name(module: str, expected: str) -> None:
    assert service_name(module) == expected


# id, words, --otlp, MODULE, arguments of the guest
WORDS: list[tuple[str, list[str], str | None, list[str]]] = [
    ("none", ["run", "m"], None, []),
    ("alone", ["run", "--otlp", "m"], "", []),
    ("endpoint", ["run", "--otlp=http://c:1", "m"], "http://c:1", []),
    ("guest", ["run", "m", "--otlp", "x"], None, ["--otlp", "x"]),
    ("both", ["run", "--otlp", "m", "--otlp"], "", ["--otlp"]),
    ("before-others", ["run", "--otlp", "--logs", "m"], "", []),
]


@pytest.mark.parametrize(("words", "otlp", "guest"), [row[1:] for row in WORDS], ids=[row[0] for row in WORDS])
def test_otlp_takes_no_module_for_its_endpoint(words: list[str], otlp: str | None, guest: list[str]) -> None:
    arguments = parse(words)
    assert (arguments.otlp, arguments.module, arguments.arguments) == (otlp, "m", guest)


def test_target_defaults() -> None:
    assert Target("http://c:4317", Protocol.GRPC).headers == ()
