"""Options about events: which calls are told of, how many the guest has room for, and where they go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from wasmtrace.errors import UsageError
from wasmtrace.layout import DEFAULT_EVENT_CAPACITY, MAX_EVENT_CAPACITY

if TYPE_CHECKING:
    from wasmtrace.exporters.events_file import EventsFile


class EventProbes(TypedDict):
    """What of `Options` and of `RuntimeConfig` is about events."""

    events: tuple[str, ...]
    event_capacity: int


def add_event_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="GLOB",
        help="record each call of the functions and imports of this name, with its arguments",
    )
    parser.add_argument(
        "--event-buffer",
        type=_capacity,
        default=DEFAULT_EVENT_CAPACITY,
        metavar="N",
        help=f"events that the guest has room for, rounded up to a power of two (default {DEFAULT_EVENT_CAPACITY})",
    )


def add_event_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--events-file", metavar="PATH", help="write the events as JSON lines while it runs")
    group.add_argument("--events-lossless", action="store_true", help="let the guest wait where it would drop events")


def _capacity(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= MAX_EVENT_CAPACITY):
        raise argparse.ArgumentTypeError(f"expected a number of events from 1 to {MAX_EVENT_CAPACITY}, got {text!r}")
    return 1 << (int(text) - 1).bit_length()


def event_probes(arguments: argparse.Namespace) -> EventProbes:
    return {"events": tuple(arguments.event), "event_capacity": arguments.event_buffer}


def event_config(arguments: argparse.Namespace, file: EventsFile | None) -> dict[str, Any]:
    """For `RuntimeConfig`. The file takes blocks of events."""
    sinks = () if file is None else (file,)
    return {**event_probes(arguments), "lossless": arguments.events_lossless, "event_sinks": sinks}


def check_event_options(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that have no meaning together."""
    if arguments.event and arguments.events_file is None:
        raise UsageError("--event needs --events-file: say where the events go, - for standard output")
    for option, given in (
        ("--events-file", arguments.events_file is not None),
        ("--events-lossless", arguments.events_lossless),
    ):
        if given and not arguments.event:
            raise UsageError(f"{option} needs --event: say which functions are events")


def unmatched_warning(option: str, globs: Sequence[str]) -> str | None:
    """What to say of globs that name no function."""
    if not globs:
        return None
    return f"no function of this module is named by {option} {', '.join(globs)}"
