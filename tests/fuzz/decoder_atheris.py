"""`python tests/fuzz/decoder_atheris.py [libFuzzer's options] [CORPUS]`: any bytes into `instrument/`, guided by
coverage."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["wasmtrace"]):
    from fuzz_decoder import run_all

from hostile import HEADER, LYING, SCALED  # noqa: E402


def one_input(data: bytes) -> None:
    run_all(data)
    run_all(HEADER + data)


def main() -> None:
    """With the hostile modules as a corpus to begin with, unless one is given."""
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        if all(each.startswith("-") for each in arguments[1:]):
            for index, wasm in enumerate([*LYING.values(), *(make(3) for make in SCALED.values())]):
                (Path(folder) / f"{index}.wasm").write_bytes(wasm)
            arguments.append(folder)
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
