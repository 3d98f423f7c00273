"""Runs a rewritten module and reads its telemetry memory from outside, while it runs.

Roles: `engine*.py` alone touch wasmtime; `telemetry.py` alone touches raw memory; `drain.py`, `snapshot.py`
and `values.py` are pure; `clock.py` and `reader.py` are the two threads; `session.py` joins them for one
instance.
"""
