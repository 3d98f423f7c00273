"""deploy/compose as far as it can be tried without containers: every file it names, every name within."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers import program, promtool
from wasmtrace.cli.parser import parse

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
MOUNTS = [
    pytest.param(service, *volume.split(":"), id=f"{service}-{volume.split(':')[1]}")
    for service, each in SERVICES.items()
    for volume in each.get("volumes", [])
]


def _document(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def _mounted(service: str) -> dict[str, Path]:
    """Path in the container: path here."""
    volumes = [each.split(":") for each in SERVICES[service].get("volumes", [])]
    return {inside: (FOLDER / outside).resolve() for outside, inside, _ in volumes}


@pytest.mark.parametrize(("service", "outside", "inside", "mode"), MOUNTS)
def test_every_mounted_path_is_there(service: str, outside: str, inside: str, mode: str) -> None:
    assert (FOLDER / outside).exists()
    assert inside.startswith("/")
    assert mode == "ro"


def test_every_file_is_yaml_and_used() -> None:
    used = {path for service in SERVICES for path in _mounted(service).values()}
    for path in FOLDER.rglob("*.y*ml"):
        assert yaml.safe_load(path.read_text()), path
        assert path.resolve() in used | {FOLDER / "compose.yaml"}


@pytest.mark.parametrize("service", SERVICES)
def test_service(service: str) -> None:
    each = SERVICES[service]
    assert "build" in each or ":" in each["image"], "pin the version"
    assert set(each.get("depends_on", [])) <= set(SERVICES)
    for port in each.get("ports", []):
        assert port.startswith("127.0.0.1:")
    for option in each.get("command", []):
        _, equals, path = option.partition("=/")
        assert not equals or f"/{path}" in _mounted(service)


def test_image_is_built_from_here() -> None:
    build = SERVICES["shop"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_demo_is_a_command_that_wasmtrace_understands() -> None:
    arguments = parse(SERVICES["shop"]["command"])
    assert arguments.module in _mounted("shop")
    assert arguments.metrics.endswith(":9464")
    assert arguments.arguments == ["60", "60"]


def test_prometheus_configuration(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text()
    for inside, outside in _mounted("prometheus").items():
        text = text.replace(inside, str(outside))
    config = yaml.safe_load(text)
    assert all(Path(each).is_file() for each in config["rule_files"])
    targets = [
        target
        for place in (*config["scrape_configs"], *config["alerting"]["alertmanagers"])
        for group in place["static_configs"]
        for target in group["targets"]
    ]
    assert {target.split(":")[0] for target in targets} <= set(SERVICES)
    assert all(each["job_name"].startswith("wasmtrace") for each in config["scrape_configs"])
    path = tmp_path / "prometheus.yml"
    path.write_text(text)
    done = promtool("check", "config", path)
    assert done.returncode == 0, done.stderr.decode()


def test_alertmanager_configuration() -> None:
    command = [program("amtool"), "check-config", str(FOLDER / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_grafana_finds_what_alerts_and_dashboards_name() -> None:
    sources = {each["uid"]: each for each in _document("grafana/datasources.yaml")["datasources"]}
    rules = yaml.safe_load((ROOT / "grafana" / "provisioning" / "alerting" / "rules.yaml").read_text())
    named = {query["datasourceUid"] for group in rules["groups"] for rule in group["rules"] for query in rule["data"]}
    assert named - {"__expr__"} <= set(sources)
    exemplars = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {each["datasourceUid"] for each in exemplars} <= set(sources)
    assert {each["url"].split("/")[2].split(":")[0] for each in sources.values()} <= set(SERVICES)
    for provider in _document("grafana/dashboards.yaml")["providers"]:
        folder = _mounted("grafana")[provider["options"]["path"]]
        assert len(list(folder.glob("*.json"))) == 3
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (_mounted("grafana")["/var/lib/grafana/dashboards"] / Path(home).name).is_file()


def test_collector_pipelines_are_made_of_what_is_defined() -> None:
    config = _document("collector.yaml")
    for pipeline in config["service"]["pipelines"].values():
        for part, names in pipeline.items():
            assert set(names) <= set(config[part])
    assert config["exporters"]["otlp/tempo"]["endpoint"].split(":")[0] in SERVICES
    grpc = _document("tempo.yaml")["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]
    assert grpc["endpoint"].split(":")[1] == config["exporters"]["otlp/tempo"]["endpoint"].split(":")[1]
