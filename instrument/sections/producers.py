"""What made a module, and for which features: the custom sections `producers` and `target_features`.

Broken ones are never fatal: what was read before the fault counts.

Spec: tool-conventions, ProducersSection.md and Linking.md#target-features-section
"""

from __future__ import annotations

from wasmtrace.errors import DecodeError
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.vectors import read_count


def decode_producers(reader: Reader) -> dict[str, list[str]]:
    """By field (`language`, `processed-by`, `sdk`): each name with its version. Never raises."""
    fields: dict[str, list[str]] = {}
    try:
        for _ in range(read_count(reader)):
            values = fields.setdefault(reader.read_name(), [])
            for _ in range(read_count(reader)):
                values.append(f"{reader.read_name()} {reader.read_name()}".strip())
    except DecodeError:
        pass
    return fields


def decode_target_features(reader: Reader) -> list[str]:
    """Features that the toolchain says it used (`+`), by name. Never raises."""
    features: list[str] = []
    try:
        for _ in range(read_count(reader)):
            if chr(reader.read_byte()) == "+":
                features.append(reader.read_name())
            else:
                reader.read_name()
    except DecodeError:
        pass
    return features
