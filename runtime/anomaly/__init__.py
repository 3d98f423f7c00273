"""Finds loops, hangs and leaks while the guest runs, ten times a second, from its counters alone.

    telemetry ─▶ Reading ─▶ Detector: rules ─▶ findings ─▶ ledger ─▶ Anomaly records
    (watch.py)              (rates, host_calls, hang, growth)   (one a cause, with a begin and an end)

Everything but `watch.py` is pure: a reading holds the time and the counters, and what comes out depends on the
readings alone. A rule says what is wrong *now*; the ledger turns that into anomalies: it groups what has one cause,
and ends an anomaly when nothing has been wrong for a window. `docs/anomalies.md` explains the rules to users.
"""
