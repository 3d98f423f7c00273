"""Runs one script in one variant, command by command."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import wasmtime

from spec_fuel import start_fuel
from spec_guests import RETURNED, End, Ended, Guests, Instance
from spec_host import define_spectest
from spec_outcomes import Outcome, ScriptRun
from spec_scripts import Command, Script
from spec_soundness import Telemetry, Unsound
from spec_values import matches, new_values, release, write
from spec_variants import Loaded, Variant, load
from wasmtrace.errors import DecodeError, UnsupportedError
from wasmtrace.instrument import instrument

_WORDS = (
    (re.compile(r"null (array|function|i31|structure|exception) reference"), "null reference"),
    (re.compile(r"uninitialized element \d+"), "uninitialized element"),
)
"""The scripts' words, and the engine's for the same."""


class Failed(Exception):
    """A command that did not do what it must."""


class ScriptRunner:
    """The state of one script: its store, its instances by name, the last of them."""

    def __init__(self, script: Script, variant: Variant) -> None:
        self._script = script
        self._variant = variant
        self._guests = Guests(variant.engine, fuel=variant.options is None)
        self._host_calls = define_spectest(self._guests)
        self._instances: dict[str, Instance] = {}
        self._definitions: dict[str, Loaded] = {}
        self._last_definition: Loaded | None = None
        self._last: Instance | None = None
        self._telemetry: list[Telemetry] = []
        self._uncounted = 0
        self._fuel: int | None = None
        """Of the command that runs: None before it has run anything, and if it is not known."""
        self._out_of_sight = False
        """Whether an instance may be called that nobody can look into."""
        self._commands: dict[str, Callable[[Command], str]] = {
            "module": self._module,
            "module_definition": self._module_definition,
            "module_instance": self._module_instance,
            "register": self._register,
            "action": self._action,
            "assert_return": self._assert_return,
            "assert_trap": self._assert_trap,
            "assert_exception": self._assert_exception,
            "assert_exhaustion": self._assert_exhaustion,
            "assert_invalid": self._assert_refused,
            "assert_malformed": self._assert_refused,
            "assert_unlinkable": self._assert_unlinkable,
            "assert_uninstantiable": self._assert_uninstantiable,
        }

    def run(self) -> ScriptRun:
        outcomes = [self._outcome(command) for command in self._script.commands]
        calls = self._calls() - self._uncounted
        slow = sum(each.slow_calls() for each in self._telemetry)
        self._telemetry.clear()
        self._guests.close()
        return ScriptRun(self._variant.name, outcomes, self._host_calls, calls, slow)

    def _calls(self) -> int:
        return sum(sum(each.calls()) for each in self._telemetry)

    def _outcome(self, command: Command) -> Outcome:
        kind, line = command["type"], command["line"]
        self._fuel = None
        try:
            detail = self._commands[kind](command)
            return Outcome(line, kind, True, detail, self._fuel)
        except (Failed, Unsound) as error:
            return Outcome(line, kind, False, str(error))
        except Exception as error:
            return Outcome(line, kind, False, f"{type(error).__name__}: {error}")

    # Modules

    def _load(self, command: Command) -> Loaded:
        return load(self._variant, self._script.file(command.get("binary_filename") or command["filename"]))

    def _instantiate(self, loaded: Loaded) -> tuple[Ended, Instance]:
        before = self._fuel_used()
        ended, instance = self._guests.instantiate(loaded.module)
        if ended is RETURNED and loaded.instrumented is not None:
            place = self._guests.memory(instance, loaded.instrumented.sites.telemetry_export)
            self._telemetry.append(Telemetry(*place, loaded.instrumented))
        self._note_fuel(before, ended)
        if self._variant.options is None and self._fuel is not None:
            self._fuel = start_fuel(self._variant.engine, loaded.wasm, self._fuel)
        # What failed has left its functions in a table, but no instance.
        self._out_of_sight |= ended is not RETURNED and loaded.imports_a_table
        self._after(ended)
        return ended, instance

    def _fuel_used(self) -> int:
        """So far, by all instances."""
        return self._guests.fuel() if self._variant.options is None else sum(each.fuel() for each in self._telemetry)

    def _note_fuel(self, before: int, ended: Ended) -> None:
        known = ended.end in (End.RETURNED, End.THREW) and not self._out_of_sight
        self._fuel = self._fuel_used() - before if known else None

    def _after(self, ended: Ended) -> None:
        """Between two calls: resets what did not end by itself, and looks for what is wrong."""
        for each in self._telemetry:
            if ended is not RETURNED:
                each.reset_stack()
            each.check_between_calls()

    def _module(self, command: Command) -> str:
        self._last = None
        return self._begin(self._load(command), command.get("name"))

    def _begin(self, loaded: Loaded, name: str | None) -> str:
        ended, instance = self._instantiate(loaded)
        if ended is not RETURNED:
            raise Failed(str(ended))
        self._last = instance
        if name is not None:
            self._instances[name] = instance
        return str(ended)

    def _module_definition(self, command: Command) -> str:
        loaded = self._last_definition = self._load(command)
        if "name" in command:
            self._definitions[command["name"]] = loaded
        return "defined"

    def _module_instance(self, command: Command) -> str:
        name = command.get("module")
        loaded = self._last_definition if name is None else self._definitions[name]
        if loaded is None:
            raise Failed("no module is defined")
        return self._begin(loaded, command.get("instance"))

    def _register(self, command: Command) -> str:
        self._guests.register(command["as"], self._instance(command.get("name")))
        return "registered"

    def _instance(self, name: str | None) -> Instance:
        found = self._last if name is None else self._instances.get(name)
        if found is None:
            raise Failed("there is no such instance")
        return found

    # Actions

    def _act(self, action: Command) -> tuple[Ended, Any, int]:
        """How it ended; an array of results, to be released; how many they are."""
        instance = self._instance(action.get("module"))
        if action["type"] == "get":
            return RETURNED, self._guests.global_value(instance, action["field"]), 1
        function = self._guests.function(instance, action["field"])
        wanted = action["args"]
        if len(wanted) != function.param_count:
            raise Failed(f"{len(wanted)} arguments for {function.param_count}")
        arguments = new_values(len(wanted))
        write(self._guests, wanted, arguments)
        before = self._fuel_used()
        ended, results = self._guests.call(function, arguments)
        self._note_fuel(before, ended)
        release(arguments, len(wanted))
        return ended, results, function.result_count if ended is RETURNED else 0

    def _action(self, command: Command) -> str:
        ended, results, count = self._act(command["action"])
        release(results, count)
        self._after(ended)
        if ended is not RETURNED:
            raise Failed(str(ended))
        return str(ended)

    def _assert_return(self, command: Command) -> str:
        ended, results, count = self._act(command["action"])
        expected = command["expected"]
        try:
            if ended is not RETURNED or count != len(expected):
                raise Failed(f"{ended} with {count} results")
            for place, each in enumerate(expected):
                if not matches(self._guests, results[place], each):
                    raise Failed(f"result {place}: expected {each}, got {bytes(results[place]).hex()}")
        finally:
            release(results, count)
            self._after(ended)
        return "returned"

    def _assert_end(self, command: Command, *ends: End, text: str | None = None) -> str:
        ended, results, count = self._act(command["action"])
        release(results, count)
        self._after(ended)
        return _expect(ended, ends, text)

    def _assert_trap(self, command: Command) -> str:
        return self._assert_end(command, End.TRAPPED, text=command["text"])

    def _assert_exception(self, command: Command) -> str:
        return self._assert_end(command, End.THREW)

    def _assert_exhaustion(self, command: Command) -> str:
        # How deep it gets, and so how many calls there are, is the engine's choice.
        before = self._calls()
        try:
            return self._assert_end(command, End.TRAPPED, text=command["text"])
        finally:
            self._uncounted += self._calls() - before

    def _assert_unlinkable(self, command: Command) -> str:
        ended, _ = self._instantiate(self._load(command))
        return _expect(ended, (End.REFUSED,), command["text"])

    def _assert_uninstantiable(self, command: Command) -> str:
        ended, _ = self._instantiate(self._load(command))
        return _expect(ended, (End.TRAPPED, End.THREW), command["text"])

    def _assert_refused(self, command: Command) -> str:
        """Not valid, or not a module at all. The rewriter, given it all the same, must say so or do its work."""
        if command["module_type"] == "text" and "binary_filename" not in command:
            wasm = _assembled(self._script.file(command["filename"]))
            if wasm is None:
                return "refused"
        else:
            wasm = self._script.file(command.get("binary_filename") or command["filename"])
        if self._variant.options is not None:
            with suppress(DecodeError, UnsupportedError):
                instrument(wasm, self._variant.options)
        try:
            load(self._variant, wasm)
        except wasmtime.WasmtimeError:
            return "refused"
        raise Failed("accepted")


def _assembled(text: bytes) -> bytes | None:
    """The module of a text, None if it is refused."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError:
        return None


def _expect(ended: Ended, ends: tuple[End, ...], text: str | None) -> str:
    if ended.end not in ends:
        raise Failed(f"ended otherwise: {ended}")
    for pattern, words in _WORDS:
        text = text and pattern.sub(words, text)
    if text is not None and text not in ended.cause:
        raise Failed(f"expected {text!r}, got {ended}")
    return str(ended)


def run_script(script: Script, variant: Variant) -> ScriptRun:
    """All commands of a script; none raises, each has its outcome."""
    return ScriptRunner(script, variant).run()
