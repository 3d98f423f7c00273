"""`wasmtrace diff` on reports of real runs: two releases of a C program whose difference is known, and bad input."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from command import Done, wasmtrace
from compiled import Keep, compile_c

ITEMS = 200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def release(number: int, keep: Keep = Keep.NAMES) -> Path:
    return compile_c("releases", optimise="-O1", keep=keep, defines=(f"RELEASE={number}",))


def reported(home: Path, module: Path, name: str, *options: str, items: int = ITEMS) -> Path:
    """The report of a run, made once."""
    path = home / f"{name}.json"
    if not path.exists():
        done = wasmtrace(home, "run", "--no-summary", "--report", path, *options, module, str(items))
        assert done.code == 0, done.err
    return path


@pytest.fixture(scope="module")
def reports(home: Path) -> tuple[Path, Path]:
    return reported(home, release(1), "old"), reported(home, release(2), "new")


def _diff(home: Path, *arguments: str | Path) -> Done:
    return wasmtrace(home, "diff", *arguments)


def _compared(home: Path, *arguments: str | Path) -> dict[str, Any]:
    done = _diff(home, "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = json.loads(done.out)
    return found


def _engine_fuel(module: Path, folder: Path) -> int:
    """What plain wasmtime counts for the same run."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(1 << 60)
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["releases", str(ITEMS)]
    wasi.stdout_file = str(folder / "stdout")
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    start = linker.instantiate(store, wasmtime.Module.from_file(engine, str(module))).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    with contextlib.suppress(wasmtime.ExitTrap):
        start(store)
    assert (folder / "stdout").read_text().startswith("releases ")
    return (1 << 60) - store.get_fuel()


def test_what_changed_is_found_to_the_instruction(home: Path, reports: tuple[Path, Path], tmp_path: Path) -> None:
    found = _compared(home, *reports)
    by_name = {each["name"]: each for each in found["functions"]}
    price, search = by_name["price"], by_name["search"]
    assert (price["before"]["calls"], price["after"]["calls"]) == (ITEMS, 2 * ITEMS)
    assert price["after"]["fuel"] == 2 * price["before"]["fuel"] > 0
    assert search["calls_change"] == 0
    assert search["after"]["fuel"] > search["before"]["fuel"] > 0
    assert by_name["discount"]["after"] == {"fuel": 0, "calls": 0, "functions": 0}
    assert by_name["audit"]["before"] == {"fuel": 0, "calls": 0, "functions": 0}
    assert (by_name["discount"]["before"]["calls"], by_name["audit"]["after"]["calls"]) == (ITEMS, ITEMS)
    assert "tax" not in by_name
    assert found["total"]["fuel_change"] == sum(each["fuel_change"] for each in found["functions"])
    assert found["total"]["fuel_change"] == _engine_fuel(release(2), tmp_path) - _engine_fuel(release(1), tmp_path)
    changes = [abs(each["fuel_change"]) for each in found["functions"]]
    assert changes == sorted(changes, reverse=True)
    assert found["notes"] == []


def test_the_table_shows_it(home: Path, reports: tuple[Path, Path]) -> None:
    done = _diff(home, *reports)
    assert (done.code, done.err) == (0, "")
    lines = done.out.decode().splitlines()
    assert re.fullmatch(r"releases-\w+\.wasm: [\d.]+% more fuel", lines[0])
    words = {line.split()[0]: line.split() for line in lines if line.startswith("  ")}
    assert "+100.0%" in words["price"]
    assert words["price"][-2:] == ["400", "200"]
    assert "new" in words["audit"]
    assert "gone" in words["discount"]
    assert [line for line in lines if line.startswith("note")] == []


def test_top_cuts_the_list(home: Path, reports: tuple[Path, Path]) -> None:
    everything = _compared(home, *reports)["functions"]
    assert _compared(home, "--top", "2", *reports)["functions"] == everything[:2]
    assert f"  ... {len(everything) - 2} more\n" in _diff(home, "--top", "2", *reports).out.decode()


def test_two_runs_of_the_same_work_do_not_differ(home: Path, reports: tuple[Path, Path]) -> None:
    again = reported(home, release(1), "again")
    done = _diff(home, "--fail-above", "0", reports[0], again)
    assert (done.code, done.err) == (0, "")
    assert "fuel as before\n" in done.out.decode()
    assert _compared(home, reports[0], again)["functions"] == []


def test_levels_do_not_differ(home: Path, reports: tuple[Path, Path]) -> None:
    assert _compared(home, reports[0], reported(home, release(1), "calls", "--level", "calls"))["functions"] == []


@pytest.mark.parametrize(
    ("swapped", "limit", "code"),
    [(False, "1", 3), (False, "1%", 3), (False, "500", 0), (True, "0", 0)],
    ids=["dearer", "sign", "within", "cheaper"],
)
def test_fail_above(home: Path, reports: tuple[Path, Path], swapped: bool, limit: str, code: int) -> None:
    done = _diff(home, "--fail-above", limit, *(reports[::-1] if swapped else reports))
    assert done.code == code
    assert done.err == ("wasmtrace: fuel has grown by more than 1%\n" if code else "")
    assert done.out


def test_two_inputs(home: Path, reports: tuple[Path, Path]) -> None:
    more = reported(home, release(1), "more", items=ITEMS + 1)
    found = _compared(home, reports[0], more)
    tax = next(each for each in found["functions"] if each["name"] == "tax")
    assert tax["calls_change"] == 1
    assert tax["fuel_change"] * ITEMS == tax["before"]["fuel"]
    assert "the same module" in _diff(home, reports[0], more).out.decode()


def test_functions_without_names_are_matched_by_index(home: Path, reports: tuple[Path, Path]) -> None:
    stripped = [reported(home, release(number, Keep.NOTHING), f"stripped{number}") for number in (1, 2)]
    found = _compared(home, *stripped)
    assert any(each["name"].startswith("func[") for each in found["functions"])
    (note,) = found["notes"]
    assert "matched by index" in note
    assert found["total"]["fuel_change"] == _compared(home, *reports)["total"]["fuel_change"]


def test_without_fuel_calls_are_compared(home: Path, reports: tuple[Path, Path]) -> None:
    bare = reported(home, release(2), "bare", "--no-fuel")
    found = _compared(home, reports[0], bare)
    assert found["total"]["fuel_change"] is None
    assert found["functions"][0]["calls_change"] == ITEMS
    (note,) = found["notes"]
    assert "no fuel in" in note
    assert "compared by calls" in note
    assert "more calls\n" in _diff(home, reports[0], bare).out.decode().splitlines(keepends=True)[0]
    done = _diff(home, "--fail-above", "5", reports[0], bare)
    assert (done.code, done.out) == (1, b"")
    assert re.fullmatch(r"wasmtrace: --fail-above needs fuel, which \S+bare\.json does not have\n", done.err)


def test_a_report_from_before_fuel_was_counted_by_function(home: Path, reports: tuple[Path, Path]) -> None:
    report = json.loads(reports[0].read_bytes())
    for each in report["functions"]:
        del each["fuel"]
    (home / "older.json").write_text(json.dumps(report))
    assert "compared by calls" in _diff(home, home / "older.json", reports[1]).out.decode()


USAGE, OTHER = 2, 1
BAD_INPUT = {
    "no report": ([], USAGE, "OLD"),
    "one report": (["{good}"], USAGE, "NEW"),
    "bad percent": (["--fail-above", "-1", "{good}", "{good}"], USAGE, "--fail-above"),
    "no percent": (["--fail-above", "nan", "{good}", "{good}"], USAGE, "percentage"),
    "bad top": (["--top", "all", "{good}", "{good}"], USAGE, "whole number"),
    "no such file": (["{good}", "{tmp}/absent.json"], OTHER, "absent.json"),
    "a directory": (["{tmp}", "{good}"], OTHER, "irectory"),
    "not JSON": (["{tmp}/text.json", "{good}"], OTHER, "is not JSON"),
    "bytes": (["{good}", "{tmp}/bytes.json"], OTHER, "is not JSON"),
    "deep": (["{good}", "{tmp}/deep.json"], OTHER, "is not JSON"),
    "empty": (["{good}", "{tmp}/empty.json"], OTHER, "is not JSON"),
    "a list": (["{tmp}/list.json", "{good}"], OTHER, "not a report of a run"),
    "something else": (["{tmp}/else.json", "{good}"], OTHER, "not a report of a run"),
    "another version": (["{good}", "{tmp}/version.json"], OTHER, "schema version 1, got 2"),
    "no functions": (["{tmp}/none.json", "{good}"], OTHER, "not a report of a run"),
    "calls below zero": (["{tmp}/below.json", "{good}"], OTHER, "not a report of a run"),
    "fuel as text": (["{tmp}/fuel.json", "{good}"], OTHER, "not a report of a run"),
    "a function as text": (["{tmp}/function.json", "{good}"], OTHER, "not a report of a run"),
}


@pytest.fixture
def bad_folder(tmp_path: Path, reports: tuple[Path, Path]) -> Path:
    report = json.loads(reports[0].read_bytes())
    first = report["functions"][0]
    bad: dict[str, Any] = {
        "list": [report],
        "else": {"name": "x"},
        "version": report | {"schema_version": 2},
        "none": {key: value for key, value in report.items() if key != "functions"},
        "below": report | {"functions": [first | {"calls": -1}]},
        "fuel": report | {"functions": [first | {"fuel": "12"}]},
        "function": report | {"functions": ["main"]},
    }
    for name, value in bad.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "bytes.json").write_bytes(b"\xff\x00\xfe")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "empty.json").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(("words", "code", "says"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line(
    home: Path, reports: tuple[Path, Path], bad_folder: Path, words: list[str], code: int, says: str
) -> None:
    done = _diff(home, *[word.replace("{tmp}", str(bad_folder)).replace("{good}", str(reports[0])) for word in words])
    assert (done.code, done.out) == (code, b""), done.err
    assert re.fullmatch(r"wasmtrace: [^\n]+\n", done.err), done.err
    assert says in done.err
