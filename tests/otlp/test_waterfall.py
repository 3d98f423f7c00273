"""The picture in the documentation is drawn from a trace: each span a bar at its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from command import wasmtrace
from otlp_guests import guest
from test_traces import NAPS, length_ms, named, saved

SCRIPT = Path(__file__).parents[2] / "docs" / "waterfall.py"
SVG = "{http://www.w3.org/2000/svg}"


def test_a_trace_is_drawn(tmp_path: Path) -> None:
    trace, picture = tmp_path / "trace", tmp_path / "trace.svg"
    path = guest(tmp_path, NAPS.replace("(i64.const 20)", "(i64.const 300)").replace("$work", '$"a<b"'), "naps.wat")
    wasmtrace(tmp_path, "run", "--no-summary", f"--otlp-file={trace}", "--invoke", "crash", path)
    subprocess.run([sys.executable, SCRIPT, picture, trace], check=True)
    root = ElementTree.parse(picture).getroot()
    texts = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    names = [each for each in texts if each in ("naps.wat", "crash", "a<b", "poll +1")]
    assert names[:4] == ["naps.wat", "crash", "a<b", "poll +1"]
    # The background comes first, then a bar for each name.
    _, *bars = [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect")]
    spans = saved(trace)
    for name, bar in zip(names[:3], bars[:3], strict=True):
        share = length_ms(named(spans, name)) / length_ms(named(spans, "naps.wat"))
        assert abs(bar / bars[0] - share) < 0.01
