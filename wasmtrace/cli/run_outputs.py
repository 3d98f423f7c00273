"""Where the telemetry of one run goes: opened before the guest starts, written when it has ended."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from wasmtrace.cli import complain
from wasmtrace.cli.event_options import check_event_options, unmatched_warning
from wasmtrace.cli.otlp_options import otlp_wanted
from wasmtrace.cli.terminal import terminal_of
from wasmtrace.errors import ExportError
from wasmtrace.records import Outcome, Snapshot

if TYPE_CHECKING:
    from wasmtrace.cli.otlp_output import OtlpOutput
    from wasmtrace.exporters.events_file import EventsFile
    from wasmtrace.exporters.files import OutputFile
    from wasmtrace.exporters.http import MetricsServer
    from wasmtrace.program import Program
    from wasmtrace.run import Run
    from wasmtrace.runtime.sandbox import Sandbox


class Outputs:
    """Files, port and terminal of one run. Leaving `with` removes what was not written and frees the port.

    Raises `ExportError` from the constructor if a file or the port cannot be had, `UsageError` for a bad address.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._summary: bool = arguments.summary
        self._run: Run | None = None
        self._report: OutputFile | None = None
        self._metrics_file: OutputFile | None = None
        self._server: MetricsServer | None = None
        self.events: EventsFile | None = None
        self.otlp: OtlpOutput | None = None
        check_event_options(arguments)
        try:
            self._open(arguments)
        except BaseException:
            self.close()
            raise

    def _open(self, arguments: argparse.Namespace) -> None:
        if otlp_wanted(arguments):
            from wasmtrace.cli.otlp_output import OtlpOutput

            self.otlp = OtlpOutput(arguments)
        if arguments.metrics is not None:
            self._server = self._serve(arguments.metrics)
        if arguments.report is not None or arguments.metrics_file is not None:
            from wasmtrace.exporters.files import OutputFile

            self._report = arguments.report and OutputFile(arguments.report)
            self._metrics_file = arguments.metrics_file and OutputFile(arguments.metrics_file)
        if arguments.events_file is not None:
            from wasmtrace.exporters.events_file import EventsFile

            self.events = EventsFile(arguments.events_file)

    def _serve(self, address: str) -> MetricsServer:
        from wasmtrace.exporters.http import MetricsServer, parse_address
        from wasmtrace.exporters.prometheus import SnapshotCollector

        exemplars = None if self.otlp is None else self.otlp.exemplars
        collector = SnapshotCollector(self._live, lost=self._lost, exemplars=exemplars)
        server = MetricsServer(collector, *parse_address(address))
        server.start()
        host = f"[{server.host}]" if ":" in server.host else server.host
        complain(f"metrics at http://{host}:{server.port}/metrics")
        return server

    def _live(self) -> tuple[Snapshot, ...]:
        run = self._run
        return () if run is None else (run.snapshot(),)

    def _lost(self) -> Mapping[tuple[str, str], int]:
        return {} if self.otlp is None else self.otlp.lost()

    def config(self, notices: dict[str, Any]) -> dict[str, Any]:
        """For `RuntimeConfig`: who hears of anomalies."""
        return notices if self.otlp is None else self.otlp.config(notices)

    def ready(self, sandbox: Sandbox, program: Program) -> Sandbox:
        """What the guest gets, once everything is there to hear of it. Raises `ExportError` for what cannot work."""
        if self.otlp is None:
            return sandbox
        self.otlp.ready(program.subject.info)
        return self.otlp.sandbox(sandbox, program.subject.info)

    def watch(self, run: Run) -> None:
        """The run whose counters `/metrics` shows from now on."""
        self._run = run
        if self.otlp is not None:
            self.otlp.watch(run)
        sites = run.instance.program.sites
        for option, globs in (("--event", sites.unmatched_events), ("--trace-function", sites.unmatched_traced)):
            warning = unmatched_warning(option, globs)
            if warning is not None:
                complain(warning)

    def prepare(self) -> None:
        """Imports what `finish` will need."""
        if self._summary:
            import wasmtrace.exporters.summary
        if self._report is not None:
            import wasmtrace.exporters.report
        if self._metrics_file is not None:
            import wasmtrace.exporters.prometheus  # noqa: F401

    def passed_on(self, seconds: float) -> bool:
        """Whether all that the guest has written is out; waits for that, at most so long."""
        return self.otlp is None or self.otlp.passed_on(seconds)

    def hurry(self) -> None:
        """The process is about to end: waits for nobody any more."""
        if self.events is not None:
            self.events.hurry()

    def finish(self, snapshot: Snapshot) -> None:
        """Writes everything. What cannot be written is said in one line and changes nothing else."""
        if self.events is not None:
            self.events.close()
            if self.events.complaint is not None:
                complain(self.events.complaint)
        for write in (self._write_report, self._show, self._send, self._write_metrics):
            try:
                write(snapshot)
            except ExportError as error:
                complain(str(error))

    def _send(self, snapshot: Snapshot) -> None:
        if self.otlp is not None:
            self.otlp.finish(snapshot)

    def _write_report(self, snapshot: Snapshot) -> None:
        if self._report is not None:
            from wasmtrace.exporters.report import encode

            self._report.commit(encode(snapshot))

    def _write_metrics(self, snapshot: Snapshot) -> None:
        if self._metrics_file is not None:
            from wasmtrace.exporters.prometheus import encode_snapshots

            self._metrics_file.commit(encode_snapshots((snapshot,), lost=self._lost))

    def _show(self, snapshot: Snapshot) -> None:
        if not self._summary and snapshot.outcome in (Outcome.RETURNED, Outcome.EXITED):
            return
        if self._summary:
            from wasmtrace.exporters.summary import render

            render_function: Callable[..., str] = render
        else:
            from wasmtrace.exporters.summary import render_failure

            render_function = render_failure
        colour, width = terminal_of(sys.stderr)
        try:
            sys.stderr.write(render_function(snapshot, colour=colour, width=width))
            sys.stderr.flush()
        except OSError as error:
            raise ExportError(f"cannot write the summary: {error.strerror}") from error

    def close(self) -> None:
        for each in (self._report, self._metrics_file):
            if each is not None:
                each.discard()
        if self._server is not None:
            self._server.close()
        if self.events is not None:
            self.events.close()
        if self.otlp is not None:
            self.otlp.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
