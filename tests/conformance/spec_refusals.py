"""What plain wasmtime does not pass, each with its reason. No other command may fail, in any variant."""

from __future__ import annotations

_ONE_TABLE = (
    "reference-types: the script comes from the threads proposal, whose text still wants a second table to be refused"
)
_ONE_MEMORY = (
    "multi-memory: the script comes from the threads proposal, whose text still wants a second memory to be refused"
)

REFUSALS: dict[tuple[str, int], str] = {
    ("imports", 310): _ONE_TABLE,
    ("imports", 314): _ONE_TABLE,
    ("imports", 318): _ONE_TABLE,
    ("imports", 405): _ONE_MEMORY,
    ("imports", 409): _ONE_MEMORY,
    ("imports", 413): _ONE_MEMORY,
    ("memory", 14): _ONE_MEMORY,
    ("memory", 15): _ONE_MEMORY,
}
"""By script and line."""
