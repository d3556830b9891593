"""The command line: servers, and client commands that speak HTTP."""

import time

STARTED_AT = time.perf_counter()
"""The time at which this process was started, without the start of the interpreter."""
