"""Memory and processor time at rest, time to readiness, time of ``imagemill --help``."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.processes import Row, imagemill
from benchmarks.throughput import load

IDLE_S = 15.0
"""Long enough for what happens every five seconds."""


def measure(root: Path) -> list[Row]:
    with imagemill(root / "footprint") as first:
        fresh_s = first.ready_s
    with imagemill(root / "footprint") as server:
        time.sleep(2)
        memory_mb, ready_s = server.memory_mb(), server.ready_s
        began, spent_s = time.monotonic(), _cpu_s(server.process)
        time.sleep(IDLE_S)
        idle_ms = (_cpu_s(server.process) - spent_s) * 1000 / (time.monotonic() - began)
        load(server.url, 200, clients=8)
        worked_mb = server.memory_mb()
    return [
        ("idle resident memory", f"{memory_mb:.0f} MB", "below 120 MB"),
        ("idle CPU a second", f"{idle_ms:.1f} ms", "below 5 ms"),
        ("resident memory after 200 jobs", f"{worked_mb:.0f} MB", ""),
        ("ready, fresh data folder", f"{fresh_s:.2f} s", "below 2 s"),
        ("ready, existing data folder", f"{ready_s:.2f} s", "below 0.8 s"),
        ("imagemill --help, best of 5", f"{min(_help() for _ in range(5)):.2f} s", "below 0.12 s"),
    ]


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return spent.user + spent.system


def _help() -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "imagemill", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
