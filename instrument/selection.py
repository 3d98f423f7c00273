"""Which functions get frames, which are events, and which are traced call by call: the user's globs on names."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

from wasmtrace.instrument.module import Module
from wasmtrace.instrument.names import ModuleNames
from wasmtrace.instrument.options import Options
from wasmtrace.instrument.sections.types import F32, F64, I32, I64
from wasmtrace.layout import EVENT_ARGUMENT_FIELDS
from wasmtrace.sites import EventSite

_EVENT_KINDS = {I32: "i", I64: "l", F32: "f", F64: "d"}


def glob_matcher(globs: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a name matches one of the globs, case and all. No glob matches nothing."""
    if not globs:
        return lambda name: False
    pattern = re.compile("|".join(translate(each) for each in globs))
    return lambda name: pattern.match(name) is not None


def frame_filter(module: Module, options: Options) -> Callable[[int], bool]:
    """By funcidx: named by `include` (all, if it names none) and not by `exclude`, in either form of its
    name."""
    if not options.include and not options.exclude:
        return lambda funcidx: True
    names = ModuleNames(module)
    included = glob_matcher(options.include or ("*",))
    excluded = glob_matcher(options.exclude)

    def framed(funcidx: int) -> bool:
        name = names[funcidx]
        forms = (name.name, name.raw_name)
        return any(map(included, forms)) and not any(map(excluded, forms))

    return framed


def event_sites(module: Module, globs: tuple[str, ...]) -> tuple[dict[int, EventSite], tuple[str, ...]]:
    """The functions, imports too, that are events, by funcidx; and the globs that name none."""
    found, unmatched = _named(module, globs)
    return {funcidx: _event_site(module, funcidx) for funcidx in found}, unmatched


def traced_functions(module: Module, globs: tuple[str, ...]) -> tuple[frozenset[int], tuple[str, ...]]:
    """The functions, imports too, each of whose calls is recorded; and the globs that name none."""
    found, unmatched = _named(module, globs)
    return frozenset(found), unmatched


def _named(module: Module, globs: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
    """The functions that a glob names in either form, in order; and the globs that name none."""
    if not globs:
        return [], ()
    names = ModuleNames(module)
    anything = glob_matcher(globs)
    unmatched = {glob: glob_matcher((glob,)) for glob in globs}
    found: list[int] = []
    for funcidx in range(len(module.function_typeidxs)):
        name = names[funcidx]
        forms = (name.name, name.raw_name)
        if any(map(anything, forms)):
            found.append(funcidx)
            for glob in [each for each, matches in unmatched.items() if any(map(matches, forms))]:
                del unmatched[glob]
    return found, tuple(unmatched)


def _event_site(module: Module, funcidx: int) -> EventSite:
    params = module.function_type(funcidx).params
    kinds = "".join(_EVENT_KINDS.get(each, "") for each in params)[: len(EVENT_ARGUMENT_FIELDS)]
    return EventSite(funcidx, kinds, len(params) - len(kinds))
