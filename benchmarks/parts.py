"""API, worker and scheduler as processes on one SQLite file, beside one process with all three.

python -m benchmarks.parts
"""

import sys
import tempfile
from pathlib import Path

import httpx2

from benchmarks.latency import one
from benchmarks.processes import Row, imagemill, imagemill_parts
from benchmarks.throughput import load

JOBS, LATENCIES, ROUNDS = 1_600, 200, 2


def measure(root: Path) -> list[Row]:
    split, whole, delays_ms = [], [], []
    for number in range(ROUNDS):
        with imagemill_parts(root / f"parts-{number}", SIMULATOR__NODES="4") as server:
            with httpx2.Client(base_url=server.url) as client:
                delays_ms += [one(client) for _ in range(LATENCIES)]
            load(server.url, 320)
            split.append(load(server.url, JOBS))
        with imagemill(root / f"whole-{number}", SIMULATOR__NODES="4") as server:
            load(server.url, 320)
            whole.append(load(server.url, JOBS))
    delays_ms.sort()
    best, best_whole = (max(runs, key=lambda run: run["per_second"]) for runs in (split, whole))
    count = len(delays_ms)
    return [
        ("api, worker, scheduler: submit to start, p50", f"{delays_ms[count // 2]:.1f} ms", "below 4 ms"),
        ("  p99", f"{delays_ms[int(count * 0.99)]:.1f} ms", "below 20 ms"),
        ("  jobs a second, 16 clients", f"{best['per_second']:.0f}", ""),
        ("  latency of a job then, p50", f"{best['p50_ms']:.0f} ms", ""),
        ("  ratio to one process", f"{best['per_second'] / best_whole['per_second']:.2f}", ""),
    ]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, value, aim in measure(Path(folder)):
            print(f"{name:<46} {value:>10}  {aim}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
