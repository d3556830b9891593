"""One storm from begin to end, and its table. ``python -m tests.chaos.storm`` is ``make chaos``."""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import proof
from tests.chaos.clients import Clients
from tests.chaos.rig import Rig, running_rig
from tests.chaos.weather import Weather


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    pause_s: tuple[float, float]
    """Between two blows."""
    clients: int = 3
    client_pause_s: float = 0.3
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    blows: Counter[str]
    worst_s: dict[str, float]
    """Longest recovery from each kind of blow."""
    accepted: int
    jobs: int
    asked_again: int
    attempts_again: Counter[str]
    """Why an attempt was not the last one."""
    orphans: int
    quiet_s: float
    """From the last submission until all had ended."""

    def table(self) -> str:
        rows = [f"{'killed':<24}{'times':>7}{'worst recovery':>18}"]
        for kind, times in sorted(self.blows.items()):
            worst = self.worst_s.get(kind)
            shown = f"{worst:.1f} s" if worst is not None else "-"
            rows.append(f"{kind:<24}{times:>7}{shown:>18}")
        rows += [
            "",
            f"{self.accepted} jobs accepted, {self.jobs} in all, every one finished once",
            f"{self.asked_again} requests asked again; all had ended {self.quiet_s:.1f} s after the last",
            "attempts again: "
            + (", ".join(f"{n} {why}" for why, n in self.attempts_again.items()) or "none"),
            f"{self.orphans} files of lost attempts swept",
        ]
        return "\n".join(rows)


def storm(root: Path, plan: Plan) -> Outcome:
    """Raises `AssertionError` with what was lost, doubled or left behind."""
    with running_rig(root) as rig:
        return _blow(rig, plan, root)


def _blow(rig: Rig, plan: Plan, root: Path) -> Outcome:
    weather = Weather(rig, random.Random(plan.seed))
    clients = Clients(rig.urls, plan.clients, plan.client_pause_s)
    try:
        _wait_for_work(clients)
        weather.blow_for(plan.seconds, plan.pause_s)
    finally:
        clients.stop()
    start = time.monotonic()
    proof.wait_until_all_ended(rig, 120)
    quiet_s = time.monotonic() - start
    accepted = [job_id for ids in clients.accepted.values() for job_id in ids]
    assert not clients.refused, clients.refused[:3]
    assert not clients.contradicted, "an idempotency key was answered with other jobs"
    found = proof.read(rig)
    proof.check_jobs(found, accepted)
    proof.check_events(found)
    proof.check_claims(found, weather.blows)
    proof.check_leaders(rig)
    orphans = proof.check_files(rig, found, root / "proof")
    return Outcome(
        weather.counts(),
        _worst(found, weather),
        len(accepted),
        len(found.statuses),
        clients.asked_again,
        _reasons(found),
        orphans,
        quiet_s,
    )


def _wait_for_work(clients: Clients) -> None:
    end = time.monotonic() + 60
    while not clients.accepted:
        assert time.monotonic() < end, "no API process took a job"
        time.sleep(0.1)


def _worst(found: proof.Found, weather: Weather) -> dict[str, float]:
    worst: dict[str, float] = {}
    for blow in weather.blows:
        seconds = proof.recovery_s(found, blow)
        if seconds is not None:
            worst[blow.kind] = max(worst.get(blow.kind, 0.0), seconds)
    return worst


def _reasons(found: proof.Found) -> Counter[str]:
    entries = [entry for log in found.events.values() for entry in log]
    return Counter(
        entry.data["error"]["code"] for entry in entries if entry.type in ("ClaimExpired", "Rejected")
    )


def main() -> int:
    seconds = float(os.environ.get("CHAOS_SECONDS", "600"))
    seed = int(os.environ.get("CHAOS_SEED", str(random.randrange(10_000))))
    print(f"{seconds:.0f} s of chaos, CHAOS_SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcome = storm(Path(folder), Plan(seconds, (0.5, 4.0), seed=seed))
    print(outcome.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
