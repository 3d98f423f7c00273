"""Which functions get frames: the user's globs on names."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate

from wasmtrace.instrument.module import Module
from wasmtrace.instrument.names import ModuleNames
from wasmtrace.instrument.options import Options


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
