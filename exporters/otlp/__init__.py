"""OTLP: traces, metrics and logs to a collector or a file. The only folder that may import opentelemetry.

`config` and `losses` import nothing but the standard library; everything else is imported when it is asked for.
"""
