"""What a stream of ours may show."""

from __future__ import annotations

import os
from typing import TextIO


def terminal_of(stream: TextIO) -> tuple[bool, int | None]:
    """Whether it takes colours, and how many columns it has; None for what is no terminal."""
    if not stream.isatty():
        return False, None
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return colour, os.get_terminal_size(stream.fileno()).columns or None
