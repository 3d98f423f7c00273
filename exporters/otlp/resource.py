"""Who sends: the attributes of the resource, by OpenTelemetry's semantic conventions.

`resource_attributes` is pure; `read_facts` asks the system.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wasmtrace.exporters.otlp.config import OtlpSettings
from wasmtrace.exporters.text import capped, printable

LONGEST_VALUE = 1000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "i686": "x86", "ppc64le": "ppc64"}
_CONTAINER_ID = re.compile(r"(?:^|[/:.-])([0-9a-f]{64})(?=[/.\s]|$)", re.MULTILINE)
# Where the downward API of Kubernetes is asked for a value, these are the names by which it is usually given.
_KUBERNETES = {
    "k8s.pod.name": ("K8S_POD_NAME", "POD_NAME"),
    "k8s.pod.uid": ("K8S_POD_UID", "POD_UID"),
    "k8s.namespace.name": ("K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "POD_NAMESPACE"),
    "k8s.node.name": ("K8S_NODE_NAME", "NODE_NAME"),
    "k8s.container.name": ("K8S_CONTAINER_NAME", "CONTAINER_NAME"),
    "k8s.deployment.name": ("K8S_DEPLOYMENT_NAME",),
    "k8s.cluster.name": ("K8S_CLUSTER_NAME",),
}
_CONTAINER = {
    "container.id": ("CONTAINER_ID",),
    "container.name": ("CONTAINER_NAME",),
    "container.image.name": ("CONTAINER_IMAGE_NAME",),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the system says of this process."""

    host_name: str
    machine: str
    system: str
    pid: int
    executable: str
    python_implementation: str
    python_version: str
    control_groups: str
    """`/proc/self/cgroup` and `/proc/self/mountinfo`: where a container's id is found."""
    sdk_version: str
    version: str


def read_facts(*, sdk_version: str, version: str) -> Facts:
    """Of this process; what cannot be read is empty."""
    groups = []
    for path in ("/proc/self/cgroup", "/proc/self/mountinfo"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            groups.append(file.read(1 << 16))
    return Facts(
        socket.gethostname(),
        platform.machine(),
        platform.system(),
        os.getpid(),
        os.path.basename(sys.executable or ""),
        platform.python_implementation().lower(),
        platform.python_version(),
        "\n".join(groups),
        sdk_version,
        version,
    )


def service_name(module_name: str) -> str:
    """A module's name without the end of a file name."""
    short = module_name.rpartition("/")[2]
    for suffix in (".wasm", ".wat"):
        short = short.removesuffix(suffix)
    return clean(short) or "wasmtrace"


def clean(text: str) -> str:
    """A value of an attribute: visible characters only, of bounded length."""
    return capped(printable(text), LONGEST_VALUE)


def resource_attributes(
    settings: OtlpSettings, environ: Mapping[str, str], facts: Facts, *, module_name: str, instance: str
) -> dict[str, str | int]:
    """What the user says goes before what is found out; `OTEL_SERVICE_NAME` before both."""
    found: dict[str, str | int] = dict(_found(environ, facts))
    found |= {"service.name": service_name(module_name), "service.instance.id": instance}
    found |= {clean(name): clean(value) for name, value in settings.resource_attributes.items()}
    if settings.service_name is not None:
        found["service.name"] = clean(settings.service_name)
    return found


def _found(environ: Mapping[str, str], facts: Facts) -> Iterator[tuple[str, str | int]]:
    yield "telemetry.sdk.language", "python"
    yield "telemetry.sdk.name", "opentelemetry"
    yield "telemetry.sdk.version", facts.sdk_version
    yield "telemetry.distro.name", "wasmtrace"
    yield "telemetry.distro.version", facts.version
    yield "host.name", clean(facts.host_name)
    yield "host.arch", _ARCHITECTURES.get(facts.machine, facts.machine)
    yield "os.type", facts.system.lower()
    yield "process.pid", facts.pid
    if facts.executable:
        yield "process.executable.name", clean(facts.executable)
    yield "process.runtime.name", facts.python_implementation
    yield "process.runtime.version", facts.python_version
    container = _CONTAINER_ID.search(facts.control_groups)
    if container is not None:
        yield "container.id", container[1]
    yield from _given(environ, _CONTAINER)
    if "KUBERNETES_SERVICE_HOST" in environ:
        if environ.get("HOSTNAME"):
            yield "k8s.pod.name", clean(environ["HOSTNAME"])
        yield from _given(environ, _KUBERNETES)


def _given(environ: Mapping[str, str], table: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str]]:
    for attribute, names in table.items():
        value = next((environ[name] for name in names if environ.get(name)), None)
        if value is not None:
            yield attribute, clean(value)
