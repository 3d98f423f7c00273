"""Makes a `Sandbox` true for one store: WASI with what was asked for, and host functions.

A host function that raises ends the guest; what it raised is kept for the caller (`Host.take_error`). The
binding keeps it in a global instead, where another thread's guest may find it, so the callback here is our
own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from wasmtrace.errors import GuestError, UsageError
from wasmtrace.runtime.engine import CompiledModule, Engine, Extern, some_of
from wasmtrace.runtime.engine_values import read_values, write_values
from wasmtrace.runtime.sandbox import HostCallable, Output, Sandbox, Stream, wants_instance
from wasmtrace.runtime.values import check_convertible, check_results

_TRAP_HINT = "with --unknown-imports trap (unknown_imports='trap') it runs until it calls one"
_HINTS = {
    "wasi_unstable": "the module was made for WASI preview 0; build it again for wasi_snapshot_preview1",
    "wasix_32v1": "the module needs WASIX, which is not provided",
    "wbg": "the module was made by wasm-bindgen for a JavaScript host",
    "__wbindgen_placeholder__": "the module was made by wasm-bindgen for a JavaScript host",
    "go": "the module was made for a JavaScript host; build it with GOOS=wasip1",
    "gojs": "the module was made for a JavaScript host; build it with GOOS=wasip1",
    "a": "the module was made by Emscripten for a JavaScript host",
}


class Host:
    """The host's side of one instance; lives as long as the store. `instance` goes to functions that want
    it."""

    def __init__(self, instance: object) -> None:
        self._instance = instance
        self._error: BaseException | None = None
        self._callbacks: list[Any] = []

    def take_error(self) -> BaseException | None:
        """What a callback raised since the last call of this, if anything."""
        error, self._error = self._error, None
        return error

    def wasi(self, sandbox: Sandbox) -> wasmtime.WasiConfig:
        """Raises `GuestError` for a directory or file that is not there, `UsageError` for text that WASI
        cannot take."""
        config = wasmtime.WasiConfig()
        config.argv = [_checked(each, "argument") for each in sandbox.args]
        config.env = [
            (_checked(name, "environment variable"), _checked(value, f"environment variable {name}"))
            for name, value in sandbox.env.items()
        ]
        self._set_stdin(config, sandbox)
        self._set_output(config, "stdout", sandbox.stdout)
        self._set_output(config, "stderr", sandbox.stderr)
        for each in sandbox.dirs:
            path = os.fspath(each.host)
            if not os.path.isdir(path):
                raise GuestError(f"{path!r} is not a directory")
            try:
                guest = _checked(each.guest, "directory")
                config.preopen_dir(_checked(path, "directory"), guest, fs_mutable=not each.read_only)
            except wasmtime.WasmtimeError:
                raise GuestError(f"directory {path!r} cannot be opened") from None
        return config

    def _set_stdin(self, config: wasmtime.WasiConfig, sandbox: Sandbox) -> None:
        source = sandbox.stdin
        if source is Stream.INHERIT:
            config.inherit_stdin()
        elif isinstance(source, bytes):
            ffi.wasi_config_set_stdin_bytes(config.ptr(), ctypes.byref(ffi.bytes_to_capi(source)))
        elif isinstance(source, Path):
            _set_file(config, "stdin_file", source)

    def _set_output(self, config: wasmtime.WasiConfig, name: str, target: Output) -> None:
        if target is Stream.INHERIT:
            getattr(config, f"inherit_{name}")()
        elif isinstance(target, Path):
            _set_file(config, f"{name}_file", target)

    def linker(
        self, engine: Engine, module: CompiledModule, sandbox: Sandbox, *, trap_unknown: bool
    ) -> wasmtime.Linker:
        """WASI and the host functions that the module imports."""
        linker = wasmtime.Linker(engine.raw)
        linker.define_wasi()
        if sandbox.imports:
            linker.allow_shadowing = True
            for raw, described in zip(module.raw.imports, module.imports, strict=True):
                function = sandbox.imports.get((described.module, described.name))
                if function is not None:
                    self._define(linker, raw, described, function)
        if trap_unknown:
            linker.define_unknown_imports_as_traps(module.raw)
        return linker

    def _define(
        self, linker: wasmtime.Linker, raw: wasmtime.ImportType, described: Extern, function: HostCallable
    ) -> None:
        if described.functype is None or not isinstance(functype := raw.type, wasmtime.FuncType):
            raise UsageError(f"import {described} is a {described.kind}, not a function")
        if not callable(function):
            raise UsageError(f"import {described}: expected a function, got {function!r}")
        check_convertible(str(described), described.functype)
        callback = ffi.wasmtime_func_callback_t(self._callback(described, function))
        self._callbacks.append(callback)
        module, name = described.module.encode(), described.name.encode()
        error = ffi.wasmtime_linker_define_func(
            linker.ptr(),
            ctypes.create_string_buffer(module),
            len(module),
            ctypes.create_string_buffer(name),
            len(name),
            functype.ptr(),
            callback,
            None,
            _NO_FINALIZER,
        )
        if error:
            raise GuestError(f"import {described}: {wasmtime.WasmtimeError._from_ptr(error)}")

    def _callback(self, described: Extern, function: HostCallable) -> Callable[..., int]:
        functype = described.functype
        assert functype is not None
        first = (self._instance,) if wants_instance(function) else ()

        def call(_: Any, caller: Any, params: Any, param_count: int, results: Any, result_count: int) -> int:
            context = wasmtime.Caller(caller)
            try:
                arguments = read_values(context, functype.params, params, owned=False)
                values = check_results(str(described), functype, function(*first, *arguments))
                write_values(context, functype.results, values, results)
            except BaseException as error:
                self._error = error
                return _trap_address(f"host function {described} raised {type(error).__name__}")
            finally:
                context._invalidate()
            return 0

        return call


_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def _trap_address(message: str) -> int:
    trap = wasmtime.Trap(message)._consume()
    return ctypes.cast(trap, ctypes.c_void_p).value or 0


def _checked(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} {text!r} is not UTF-8, and WASI takes nothing else") from None
    if "\0" in text:
        raise UsageError(f"{what} {text!r} holds a zero byte")
    return text


def _set_file(config: wasmtime.WasiConfig, attribute: str, path: Path) -> None:
    try:
        setattr(config, attribute, path)
    except wasmtime.WasmtimeError:
        raise UsageError(f"{path} cannot be opened for the guest's {attribute.removesuffix('_file')}") from None


def check_imports(linker: wasmtime.Linker, store: wasmtime.Store, module: CompiledModule) -> None:
    """Raises `GuestError` that names every import that nobody provides."""
    missing = [each for each in module.imports if not _provided(linker, store, each)]
    if not missing:
        return
    names = list(dict.fromkeys(f"{each} ({each.kind})" for each in missing))
    hints = dict.fromkeys(_HINTS[each.module] for each in missing if each.module in _HINTS)
    if all(each.functype is not None for each in missing):
        hints[_TRAP_HINT] = None
    raise GuestError("; ".join([f"nobody provides the import {some_of(names)}", *hints]))


def _provided(linker: wasmtime.Linker, store: wasmtime.Store, item: Extern) -> bool:
    try:
        linker.get(store, item.module, item.name)
    except wasmtime.WasmtimeError:
        return False
    return True
