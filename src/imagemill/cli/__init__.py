"""The command line: servers, and client commands that speak HTTP."""

import time

BEGAN = time.perf_counter()
"""When this process began, but for the interpreter's own start."""
