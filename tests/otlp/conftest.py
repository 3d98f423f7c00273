"""One receiver for the tests of a worker; each test finds it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from receiver import Receiver, receiver


@pytest.fixture(scope="session")
def shared_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiver(tmp_path_factory.mktemp("receiver")) as found:
        yield found


@pytest.fixture
def collector(shared_receiver: Receiver) -> Receiver:
    """The receiver, empty."""
    shared_receiver.clear()
    return shared_receiver
