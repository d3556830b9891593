"""What keys, credits and limits cost a submission through HTTP: servers with and without them take turns.

``python -m benchmarks.access`` runs it alone.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from benchmarks.processes import Row, Running, imagemill
from benchmarks.throughput import BODY

CLIENTS = 8
JOBS = 400
ROUNDS = int(os.environ.get("BENCH_TURNS", "7"))
"""The middle one counts: others on the machine hit all servers alike."""
_KEY = "the-administrator-of-a-benchmark-only"
_KEYS = {"AUTH__ADMIN_KEY": _KEY}
_CREDITS = {"CREDITS__ENABLED": "true"}
_LIMITS = {
    "QUOTA__ENABLED": "true",
    "QUOTA__REQUESTS_PER_MINUTE": "1000000",
    "QUOTA__JOBS_IN_FLIGHT": "1000000",
    "QUOTA__REFUSE_LATE": "false",
}
_WAYS: dict[str, dict[str, str]] = {
    "nobody asked": {},
    "keys": _KEYS,
    "keys, credits": _KEYS | _CREDITS,
    "keys, credits, limits": _KEYS | _CREDITS | _LIMITS,
}


@dataclass
class _Turns:
    rates: list[float] = field(default_factory=list[float])
    costs_ms: list[float] = field(default_factory=list[float])
    """Processor time of the server for a submission: of that, others on the machine take less away."""


def measure(root: Path) -> list[Row]:
    found = {way: _Turns() for way in _WAYS}
    with ExitStack() as stack:
        servers = {
            way: stack.enter_context(imagemill(root / f"access-{number}", "api", **settings))
            for number, (way, settings) in enumerate(_WAYS.items())
        }
        keys = {way: _key(server.url) if _WAYS[way] else "bench" for way, server in servers.items()}
        for turn in range(-1, ROUNDS):
            for way, server in servers.items():
                before_s = _busy_s(server)
                rate = _load(server.url, keys[way])
                if turn >= 0:  # the first one warms up
                    found[way].rates.append(rate)
                    found[way].costs_ms.append((_busy_s(server) - before_s) * 1000 / JOBS)
    alone = found["nobody asked"]
    return [_row(way, turns, alone) for way, turns in found.items()]


def _row(way: str, turns: _Turns, alone: _Turns) -> Row:
    rate, cost_ms = statistics.median(turns.rates), statistics.median(turns.costs_ms)
    ratio = _middle_ratio(turns.rates, alone.rates), _middle_ratio(turns.costs_ms, alone.costs_ms)
    told = "" if turns is alone else f"x {ratio[0]:.2f}, x {ratio[1]:.2f}"
    return f"submits a second and their CPU, {way}", f"{rate:.0f}, {cost_ms:.2f} ms", told


def _middle_ratio(these: list[float], those: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(these, those, strict=True))


def _busy_s(server: Running) -> float:
    times = server.process.cpu_times()
    return times.user + times.system


def _key(url: str) -> str:
    """Of a user who can pay."""
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {_KEY}"}, trust_env=False) as ops:
        ops.post("/api/v1/owners", json={"id": "ann"}).raise_for_status()
        grant = {"owner": "ann", "amount": 10**9}
        headers = {"Idempotency-Key": "bench"}
        ops.post("/api/v1/credits/grants", json=grant, headers=headers).raise_for_status()
        made = ops.post("/api/v1/owners/ann/keys", json={"name": "bench"})
        return str(made.raise_for_status().json()["key"])


def _load(url: str, key: str) -> float:
    command = [sys.executable, "-m", "benchmarks.load", url, str(CLIENTS), str(JOBS), BODY, "send"]
    environment = {**os.environ, "BENCH_KEY": key}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(json.loads(done.stdout)["per_second"])


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for name, value, aim in measure(Path(folder)):
            print(f"{name:<60}  {value:>14}  {aim}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
