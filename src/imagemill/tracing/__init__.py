"""The spans of a job's life, from the request that brought it to its last callback.

A span's own id follows from what it is a span of, so that each process knows the ids of its spans' parents
without being told, and a span is made when it is over. Only `exporting` knows OpenTelemetry.
"""
