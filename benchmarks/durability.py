"""``python -m benchmarks.durability``: the cost of flushes to the disk, with and without them in turns.

Two servers, one with ``IMAGEMILL_FSYNC=false``, take turns; then two stores of files do.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.processes import Row, imagemill
from benchmarks.throughput import load
from imagemill.blobs.local import LocalBlobs

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
JOBS = 480
LONE_JOBS = 40
_PICTURE = 6_000
"""Bytes of a PNG of 64 x 64."""
_WRITERS = 8
_WRITES = 160


def measure(root: Path) -> list[Row]:
    taken: dict[str, list[dict[str, float]]] = {"true": [], "false": []}
    with (
        imagemill(root / "with", SIMULATOR__NODES="4", FSYNC="true") as flushing,
        imagemill(root / "without", SIMULATOR__NODES="4", FSYNC="false") as other,
    ):
        servers = {"true": flushing, "false": other}
        for server in servers.values():
            load(server.url, 160)
        for number in range(ROUNDS):
            for fsync in ("true", "false") if number % 2 else ("false", "true"):
                server = servers[fsync]
                before = _cpu_s(server.process)
                many = load(server.url, JOBS)
                cpu_ms = (_cpu_s(server.process) - before) / JOBS * 1000
                lone = load(server.url, LONE_JOBS, clients=1)
                taken[fsync].append(
                    {**many, "cpu_ms": cpu_ms, "lone_p50_ms": lone["p50_ms"], "lone_p99_ms": lone["p99_ms"]}
                )
    rows = [
        _row("jobs a second, 16 clients", taken, "per_second", ""),
        _row("  latency of a job then, p50", taken, "p50_ms", " ms"),
        _row("  latency of a job then, p99", taken, "p99_ms", " ms"),
        _row("  CPU of a job", taken, "cpu_ms", " ms"),
        _row("latency for a lone client, p50", taken, "lone_p50_ms", " ms"),
    ]
    return [*rows, *_files(root)]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _row(name: str, taken: dict[str, list[dict[str, float]]], figure: str, unit: str) -> Row:
    with_, without = (median(run[figure] for run in taken[fsync]) for fsync in ("true", "false"))
    ratio = median(
        one[figure] / other[figure] for one, other in zip(taken["true"], taken["false"], strict=True)
    )
    return name, f"{with_:.1f}{unit} with flushes, {without:.1f}{unit} without", f"ratio {ratio:.2f}"


def _files(root: Path) -> list[Row]:
    stores = {fsync: LocalBlobs(root / f"files-{fsync}", fsync=fsync) for fsync in (True, False)}
    data = os.urandom(_PICTURE)
    rows: list[Row] = []
    for writers in (1, _WRITERS):
        taken: dict[bool, list[float]] = {True: [], False: []}
        for number in range(ROUNDS):
            for fsync, blobs in stores.items():
                taken[fsync] += _written(blobs, data, writers, f"{writers}-{number}")
        with_, without = (median(taken[fsync]) * 1000 for fsync in (True, False))
        name = f"writing a picture, {writers} at once, p50"
        rows.append(
            (name, f"{with_:.2f} ms with flushes, {without:.2f} ms without", f"ratio {with_ / without:.1f}")
        )
    return rows


def _written(blobs: LocalBlobs, data: bytes, writers: int, name: str) -> list[float]:
    taken: list[float] = []

    def write(writer: int) -> None:
        for number in range(_WRITES // writers):
            begin = time.perf_counter()
            blobs.create(f"jobs/{name}-{writer}-{number:02x}/1/0.png", data, "image/png")
            taken.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, value, ratio in measure(Path(folder)):
            print(f"{name:<40}  {value:<48}  {ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
