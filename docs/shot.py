"""Makes `docs/summary.svg`: what a terminal shows of a command. Usage: python docs/shot.py OUT.svg TITLE COMMAND..."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from rich.console import Console
from rich.text import Text

WIDTH = 104


def terminal_output(command: list[str]) -> str:
    """What the command writes to a terminal of WIDTH columns."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL, env=environment)
    os.close(writer)
    pieces = []
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            break
        pieces.append(piece)
    process.wait()
    return b"".join(pieces).decode().replace("\r\n", "\n")


def main(path: str, title: str, command: list[str]) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {title}", style="bold"))
    console.print(Text.from_ansi(terminal_output(command)), soft_wrap=True)
    svg = console.export_svg(title="wasmtrace")
    # The page's own monospace font will do: nothing is fetched from anywhere.
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")
    with open(path, "w") as file:
        file.write(re.sub(r"<!-- Generated.*?-->\n?", "", svg))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
