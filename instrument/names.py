"""Function names for people: name section, else export, else import, else `func[123]`; demangled where
mangled.

Looked up when first asked for: a module may have 600,000 functions, and an operator sees fifty. Names are
stable when the module has none: `func[INDEX]` of a module known by its SHA-256.
"""

from __future__ import annotations

import math
import re
from functools import cached_property

from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.sections.imports import FUNC_KIND
from wasmtrace.instrument.sections.names import decode_function_names
from wasmtrace.records import FunctionName

_MANGLED = ("_Z", "__Z", "_R", "__R")
MAX_MANGLED_CHARACTERS = 4000
"""A longer name stays as it is: the demangler recurses, and deep nesting would exhaust the process's own
stack."""
MAX_DEMANGLED_CHARACTERS = 1 << 28
MAX_SHOWN_CHARACTERS = 16_384
"""A name that comes out longer stays as it is: nobody reads it, and a module of a megabyte can have thousands of
such."""
_BACK_REFERENCE = re.compile("[STB][0-9A-Za-z]{0,6}_")
_LONGEST_ABBREVIATION = 40
"""`Ss` stands for some seventy characters."""


def _may_explode(name: str) -> bool:
    """Whether the name could come out longer than `MAX_DEMANGLED_CHARACTERS`.

    A back reference repeats what was said before, so k of them in each of n / k steps make k^(n / k) of one
    part, which is most for k = 3. A name of 300 characters can stand for more than any memory holds.
    """
    references = len(_BACK_REFERENCE.findall(name))
    room = MAX_DEMANGLED_CHARACTERS / (len(name) * _LONGEST_ABBREVIATION)
    return references * math.log(3) / 3 > math.log(room)


def demangle(name: str) -> str:
    """The name in its language's form (Rust v0 and legacy, C++), or as it is."""
    if not name.startswith(_MANGLED) or len(name) > MAX_MANGLED_CHARACTERS or _may_explode(name):
        return name
    import pydemumble

    try:
        shown: str = pydemumble.demangle(name)
    except (ValueError, UnicodeError):
        return name
    return shown if 0 < len(shown) <= MAX_SHOWN_CHARACTERS else name


class ModuleNames:
    """The names of one module's functions by funcidx, imports first."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._known: dict[int, FunctionName] = {}

    def __len__(self) -> int:
        return len(self._module.function_typeidxs)

    def __getitem__(self, funcidx: int) -> FunctionName:
        """Never raises: an index out of range is called `func[INDEX]` like any without a name."""
        found = self._known.get(funcidx)
        if found is None:
            raw = self._raw_name(funcidx)
            found = self._known[funcidx] = FunctionName(funcidx, demangle(raw), raw)
        return found

    @property
    def own_count(self) -> int:
        """How many functions the name section names."""
        return len(self._own)

    @cached_property
    def _own(self) -> dict[int, str]:
        section = self._module.custom("name")
        if section is None:
            return {}
        return decode_function_names(self._module.data, section.start, section.end, len(self))

    @cached_property
    def _exported(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for each in self._module.exports:
            if each.kind == FUNC_KIND:
                names.setdefault(each.index, each.name)
        return names

    def _raw_name(self, funcidx: int) -> str:
        own = self._own.get(funcidx) or self._exported.get(funcidx)
        if own:
            return own
        hosts = self._module.host_functions
        if 0 <= funcidx < len(hosts):
            return f"{hosts[funcidx].module}.{hosts[funcidx].name}"
        return f"func[{funcidx}]"


def module_names(wasm: bytes) -> ModuleNames:
    """The names of a module as it came. Raises DecodeError, UnsupportedError."""
    return ModuleNames(decode(wasm))
