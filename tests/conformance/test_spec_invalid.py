"""What the specification's invalid modules found in the rewriter: each must be an error of ours."""

from __future__ import annotations

import pytest

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument import Options, instrument
from wasmtrace.instrument.options import LEVELS

# fmt: off
GROW_WITHOUT_MEMORY = (
    b"\x00asm\x01\x00\x00\x00"
    b"\x01\x05\x01\x60\x00\x01\x7f"  # type 0: [] -> [i32]
    b"\x03\x02\x01\x00"              # function 0 of type 0
    b"\x0a\x08\x01\x06\x00"          # one body, no locals
    b"\x41\x00"                      # i32.const 0
    b"\x40\x00"                      # memory.grow 0
    b"\x0b"
)
# fmt: on


@pytest.mark.parametrize("level", LEVELS)
def test_a_grow_of_no_memory_is_a_decode_error(level: str) -> None:
    with pytest.raises(DecodeError) as caught:
        instrument(GROW_WITHOUT_MEMORY, Options(level=level))
    assert caught.value.code is DecodeCode.BAD_BODY
    assert caught.value.offset == GROW_WITHOUT_MEMORY.index(b"\x40\x00\x0b")
