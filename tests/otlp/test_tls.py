"""Over TLS, to the real receiver behind a proxy: a certificate of one's own authority, and a client's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from certificates import Signed, authority, signed
from command import wasmtrace
from otlp_guests import EXIT_3, guest
from receiver import Receiver, until
from test_traces import PROTOCOLS
from tls_proxy import behind_tls


@dataclass(frozen=True, slots=True)
class Papers:
    """Who trusts whom."""

    ours: Signed
    """The authority of everything here but `stranger`."""
    server: Signed
    client: Signed
    stranger: Signed
    """An authority that has signed nothing here."""

    def named(self, name: str | None) -> Signed | None:
        return {"ours": self.ours, "stranger": self.stranger, None: None}[name]

    def variables(self, authority: Signed | None, client: Signed | None) -> dict[str, str]:
        found = {}
        if authority is not None:
            found["CERTIFICATE"] = authority.certificate
        if client is not None:
            found["CLIENT_CERTIFICATE"], found["CLIENT_KEY"] = client.certificate, client.key
        return {f"OTEL_EXPORTER_OTLP_{name}": str(path) for name, path in found.items()}


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    ours = authority(folder, "ours")
    return Papers(ours, signed(folder, ours, "server"), signed(folder, ours, "client"), authority(folder, "stranger"))


def port_of(collector: Receiver, protocol: str) -> int:
    return collector.grpc_port if protocol == "grpc" else collector.http_port


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("asks_client", [False, True], ids=["server", "both"])
def test_sent_and_received(
    collector: Receiver, papers: Papers, tmp_path: Path, protocol: str, asks_client: bool
) -> None:
    clients = papers.ours.certificate if asks_client else None
    with behind_tls(papers.server, port_of(collector, protocol), clients) as port:
        more = papers.variables(papers.ours, papers.client if asks_client else None)
        options = ["--no-summary", f"--otlp=https://127.0.0.1:{port}", "--logs", str(guest(tmp_path, EXIT_3))]
        done = wasmtrace(tmp_path, "run", *options, stdin=b"", OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **more)
        assert (done.code, done.out, done.err) == (3, b"hello\nworld\nhello\nworld\n", "oops\n")
    assert "talk.wat" in until(lambda: [each["name"] for each in collector.spans()], waiting_for="spans")
    assert len(until(collector.log_records, waiting_for="log records")) == 5
    assert "wasmtrace.function.calls" in until(collector.metric_points, waiting_for="metrics")


# id, the authority that we trust, our own certificate, whether the server asks for one
REFUSED = [
    ("not-known", None, None, False),
    ("another-authority", "stranger", None, False),
    ("no-client-certificate", "ours", None, True),
    ("strange-client-certificate", "ours", "stranger", True),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("trusted", "own", "asks_client"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_who_is_not_trusted_gets_nothing(
    collector: Receiver,
    papers: Papers,
    tmp_path: Path,
    protocol: str,
    trusted: str | None,
    own: str | None,
    asks_client: bool,
) -> None:
    clients = papers.ours.certificate if asks_client else None
    with behind_tls(papers.server, port_of(collector, protocol), clients) as port:
        more = papers.variables(papers.named(trusted), papers.named(own))
        options = ["--no-summary", f"--otlp=https://127.0.0.1:{port}", str(guest(tmp_path, EXIT_3))]
        done = wasmtrace(
            tmp_path,
            "run",
            *options,
            stdin=b"",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="2000",
            OTEL_BSP_EXPORT_TIMEOUT="3000",
            **more,
        )
    assert (done.code, done.out) == (3, b"hello\nworld\nhello\nworld\n")
    assert re.fullmatch(r"oops\nwasmtrace: telemetry was lost \(.* spans?\): https://127\.0\.0\.1:.*\n", done.err), (
        done.err
    )
    assert (collector.spans(), collector.metrics(), collector.logs()) == ([], [], [])
