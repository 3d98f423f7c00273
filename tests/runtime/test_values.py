from __future__ import annotations

import math
from typing import Any

import pytest

from wasmtrace.errors import UnsupportedError, UsageError
from wasmtrace.runtime.values import (
    FunctionType,
    check_arguments,
    check_convertible,
    check_results,
    check_value,
    parse_arguments,
)

TAKEN = [
    pytest.param("i32", 0, 0, id="zero"),
    pytest.param("i32", -(2**31), -(2**31), id="i32-least"),
    pytest.param("i32", 2**31 - 1, 2**31 - 1, id="i32-most-signed"),
    pytest.param("i32", 2**32 - 1, -1, id="i32-most-unsigned"),
    pytest.param("i32", True, 1, id="bool"),
    pytest.param("i64", 2**64 - 1, -1, id="i64-most-unsigned"),
    pytest.param("i64", -(2**63), -(2**63), id="i64-least"),
    pytest.param("f32", 1, 1.0, id="f32-int"),
    pytest.param("f64", -0.5, -0.5, id="f64"),
    pytest.param("f64", 10**400, math.inf, id="f64-overflow"),
    pytest.param("v128", bytes(range(16)), bytes(range(16)), id="v128"),
    pytest.param("externref", "anything", "anything", id="externref"),
    pytest.param("externref", None, None, id="externref-null"),
    pytest.param("funcref", None, None, id="funcref-null"),
]
REFUSED = [
    pytest.param("i32", 2**32, id="i32-too-large"),
    pytest.param("i32", -(2**31) - 1, id="i32-too-small"),
    pytest.param("i64", 2**64, id="i64-too-large"),
    pytest.param("i32", 1.0, id="i32-float"),
    pytest.param("i32", "1", id="i32-text"),
    pytest.param("i32", None, id="i32-none"),
    pytest.param("f64", "1.0", id="f64-text"),
    pytest.param("v128", bytes(15), id="v128-short"),
    pytest.param("v128", 1, id="v128-int"),
    pytest.param("funcref", 5, id="funcref-int"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), TAKEN)
def test_values_taken(kind: str, value: Any, expected: Any) -> None:
    assert check_value(kind, value, "argument 1") == expected


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_values_refused(kind: str, value: Any) -> None:
    with pytest.raises(UsageError, match="argument 1"):
        check_value(kind, value, "argument 1")


PARSED = [
    pytest.param("i32", "42", 42, id="decimal"),
    pytest.param("i32", "-1", -1, id="negative"),
    pytest.param("i32", "0xffffffff", -1, id="hex"),
    pytest.param("i64", "0x8000000000000000", -(2**63), id="i64-hex"),
    pytest.param("f64", "-3.5", -3.5, id="float"),
    pytest.param("f64", "0x1.8p1", 3.0, id="hex-float"),
    pytest.param("f32", "inf", math.inf, id="inf"),
    pytest.param("v128", "0x1", b"\x01" + bytes(15), id="v128"),
    pytest.param("externref", "null", None, id="null"),
]
UNPARSED = [
    ("i32", "4294967296"),
    ("i32", "1.5"),
    ("i32", ""),
    ("i32", "abc"),
    ("f64", "one"),
    ("v128", "-1"),
    ("v128", "0x1" + "0" * 32),
    ("funcref", "5"),
    ("anyref", "5"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), PARSED)
def test_words_parsed(kind: str, text: str, expected: Any) -> None:
    assert parse_arguments("f", FunctionType((kind,), ()), (text,)) == (expected,)


@pytest.mark.parametrize(("kind", "text"), UNPARSED)
def test_words_refused(kind: str, text: str) -> None:
    with pytest.raises(UsageError, match="argument 1 of 'f'"):
        parse_arguments("f", FunctionType((kind,), ()), (text,))


def test_nan_is_parsed() -> None:
    (value,) = parse_arguments("f", FunctionType(("f64",), ()), ("nan",))
    assert math.isnan(value)


@pytest.mark.parametrize("given", [(), (1, 2, 3)])
def test_the_number_of_arguments(given: tuple[int, ...]) -> None:
    functype = FunctionType(("i32", "i64"), ("f32",))
    with pytest.raises(UsageError, match=r"'f' takes 2 arguments \(i32, i64\) -> \(f32\), got"):
        check_arguments("f", functype, given)
    with pytest.raises(UsageError, match="takes 2 arguments"):
        parse_arguments("f", functype, tuple(str(each) for each in given))


RESULTS = [
    pytest.param((), None, [], id="none"),
    pytest.param(("i32",), 2**32 - 1, [-1], id="one"),
    pytest.param(("i32", "f64"), (1, 2), [1, 2.0], id="two"),
]
WRONG_RESULTS = [
    pytest.param((), 5, id="one-too-many"),
    pytest.param(("i32",), None, id="none-for-one"),
    pytest.param(("i32", "i32"), 1, id="one-for-two"),
    pytest.param(("i32", "i32"), (1, 2, 3), id="three-for-two"),
]


@pytest.mark.parametrize(("kinds", "returned", "expected"), RESULTS)
def test_results_of_host_functions(kinds: tuple[str, ...], returned: Any, expected: list[Any]) -> None:
    assert check_results("env.f", FunctionType((), kinds), returned) == expected


@pytest.mark.parametrize(("kinds", "returned"), WRONG_RESULTS)
def test_wrong_results_of_host_functions(kinds: tuple[str, ...], returned: Any) -> None:
    with pytest.raises(UsageError, match=r"host function env\.f"):
        check_results("env.f", FunctionType((), kinds), returned)


@pytest.mark.parametrize("kind", ["anyref", "(ref func)", "exnref", "structref"])
def test_types_without_a_python_value(kind: str) -> None:
    with pytest.raises(UnsupportedError, match="no Python value"):
        check_convertible("f", FunctionType((), (kind,)))
