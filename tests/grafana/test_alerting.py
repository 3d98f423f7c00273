"""From a bad loop to a webhook, through a real Prometheus and Alertmanager; and each panel's query, asked of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from panels_of import PanelQuery, panel_queries
from servers import Inbox, Prometheus, alertmanager, files, program, prometheus, promtool, until, webhook

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "grafana" / "prometheus" / "rules.yml"
DEMO = ROOT / "deploy" / "shop.wat"
MODULE = DEMO.name
DELAY_SECONDS, LOOP_SECONDS = 12, 13
SCRAPE_SECONDS = 5
WEBHOOK_SECONDS = 15.0
LOOP = "WasmtraceLoop"


@dataclass(slots=True)
class Demo:
    """A running demo: where its metrics are, and when its loop began and ended."""

    address: str
    said: dict[str, float] = field(default_factory=dict)


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


@contextmanager
def _demo(home: Path) -> Iterator[Demo]:
    command = [sys.executable, "-m", "wasmtrace", "run", "--metrics", "127.0.0.1:0", "--max-memory", "2M"]
    command += ["--invoke", "serve", str(DEMO), str(DELAY_SECONDS), str(LOOP_SECONDS)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(home),
        text=True,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        found = re.search(r"http://(\S+)/metrics", process.stderr.readline())
        assert found is not None
        demo = Demo(found[1])
        threads = [
            threading.Thread(target=_note, args=(process.stdout, demo.said), daemon=True),
            threading.Thread(target=process.stderr.read, daemon=True),
        ]
        for each in threads:
            each.start()
        yield demo
    finally:
        process.kill()
        process.wait()
        for each in threads:
            each.join()
        process.stdout.close()
        process.stderr.close()


def _note(output: Any, said: dict[str, float]) -> None:
    for line in output:
        said[line.strip()] = time.time()


def _crash(home: Path, folder: Path) -> None:
    """A run that traps, and leaves its metrics as a file."""
    command = [sys.executable, "-m", "wasmtrace", "run", "--fuel", "1000000", "--max-memory", "1M"]
    command += ["--metrics-file", str(folder / "metrics"), "--invoke", "crash", str(DEMO)]
    done = subprocess.run(command, capture_output=True, env=_environment(home), check=False, timeout=60)
    assert done.returncode == 134, done.stderr.decode()


def _prometheus_config(targets: list[str], alertmanager_address: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "5s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "wasmtrace", "static_configs": [{"targets": targets}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager_address]}]}]},
    }


def _alertmanager_config(inbox: Inbox) -> dict[str, Any]:
    return {
        "route": {
            "receiver": "webhook",
            "group_by": ["alertname", "module", "function", "errno"],
            "group_wait": "0s",
            "group_interval": "1s",
        },
        "receivers": [{"name": "webhook", "webhook_configs": [{"url": inbox.url}]}],
    }


def _empty(server: Prometheus, query: PanelQuery, start: float, ended: float) -> bool:
    """Whether it gives no series: over the whole time, or at the loop's end for one that shows the present."""
    if query.instant:
        return not server.instant(query.expression, ended)
    return not server.over_time(query.expression, start, time.time(), 1)


def test_bad_loop_reaches_the_webhook_and_every_panel(tmp_path: Path) -> None:
    program("prometheus")
    program("prometheus-alertmanager", "alertmanager")
    home, crashes = tmp_path / "home", tmp_path / "crashes"
    home.mkdir()
    crashes.mkdir()
    _crash(home, crashes)
    start = time.time()
    with ExitStack() as stack:
        inbox = stack.enter_context(webhook())
        manager = stack.enter_context(alertmanager(tmp_path, _alertmanager_config(inbox)))
        crashed = stack.enter_context(files(crashes))
        demo = stack.enter_context(_demo(home))
        config = _prometheus_config([demo.address, crashed.address], manager.address)
        server = stack.enter_context(prometheus(tmp_path, config))

        began = until(lambda: demo.said.get("prices.csv is gone"), seconds=30, waiting_for="bad loop")
        _crash(home, crashes)
        told, alert = until(lambda: inbox.first(LOOP, "firing"), seconds=30, waiting_for="alert at the webhook")
        assert told > began
        ended = until(lambda: demo.said.get("prices.csv is back"), seconds=30, waiting_for="end of the loop")
        resolved, _ = until(lambda: inbox.first(LOOP, "resolved"), seconds=40, waiting_for="resolved alert")
        print(f"loop to webhook {told - began:.1f} s, end to resolved {resolved - ended:.1f} s")

        labels, annotations = alert["labels"], alert["annotations"]
        assert (labels["module"], labels["instance"], labels["severity"]) == (MODULE, demo.address, "critical")
        assert (labels["function"], labels["kind"]) == ("reload_prices", "no_progress")
        assert labels["function"] in annotations["summary"]
        assert (ROOT / annotations["runbook_url"]).is_file()
        assert told - began <= WEBHOOK_SECONDS

        variables = {
            "module": MODULE,
            "instance": ".*",
            "__rate_interval": f"{4 * SCRAPE_SECONDS}s",
            "__range": "60s",
            "__interval": "5s",
        }
        queries = [each for board in ("fleet", "app", "runtime") for each in panel_queries(board, variables)]
        assert [each.where for each in queries if _empty(server, each, start, ended)] == []


@pytest.mark.parametrize("export", ["serve", "crash"])
def test_promtool_likes_the_metrics(export: str, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    command = [sys.executable, "-m", "wasmtrace", "run", "--timeout", "1", "--metrics-file", str(metrics)]
    command += ["--invoke", export, str(DEMO)] + (["1", "0"] if export == "serve" else [])
    subprocess.run(command, capture_output=True, env=_environment(tmp_path), check=False, timeout=60)
    done = promtool("check", "metrics", stdin=metrics.read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_promtool_likes_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(_prometheus_config(["127.0.0.1:1"], "127.0.0.1:2")))
    done = promtool("check", "config", path)
    assert done.returncode == 0, done.stderr.decode()
