"""What plain wasmtime passes of the specification's tests passes instrumented, at every level."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spec_outcomes import differences
from spec_refusals import REFUSALS
from spec_scripts import missing_reason, script_names
from spec_worker import Worker


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.mark.skipif(missing_reason() is not None, reason=missing_reason() or "")
@pytest.mark.parametrize("name", script_names() or ["none"])
def test_script_does_what_it_does_in_plain_wasmtime(name: str, worker: Worker) -> None:
    plain, *instrumented = worker.run(name)
    refused = {(name, each.line) for each in plain.outcomes if not each.passed}
    assert refused == {each for each in REFUSALS if each[0] == name}
    assert [line for run in instrumented for line in differences(plain, run)] == []
    counted = {run.calls for run in instrumented}
    assert len(counted) == 1, "every level counts the same calls"
