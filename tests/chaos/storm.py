"""One storm from begin to end, and its table. ``python -m tests.chaos.storm`` is ``make chaos``."""

import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import proof, records
from tests.chaos.clients import Clients
from tests.chaos.followers import Followers
from tests.chaos.records import Found
from tests.chaos.renders import Account, account
from tests.chaos.rig import BROKERS, Rig, running_rig
from tests.chaos.weather import Weather

_END_S = 300.0
"""Far more than the work that is left needs, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    pause_s: tuple[float, float]
    """Between two blows."""
    clients: int = 3
    followers: int = 3
    client_pause_s: float = 0.3
    seed: int = 1
    broker: str = "redis"


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
    renders: Account
    followed: tuple[int, int, int]
    """Jobs, connections that were dropped, and those of them that were not dropped by the follower."""
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
            *self.renders.lines(),
            f"{self.followed[0]} jobs followed by their events over {self.followed[1]} lost connections, "
            f"{self.followed[2]} of them cut off: every event came once",
            f"{self.orphans} files of lost attempts swept",
        ]
        return "\n".join(rows)


def storm(root: Path, plan: Plan) -> Outcome:
    """Raises `AssertionError` with what was lost, doubled or left behind."""
    with running_rig(root, plan.broker) as rig:
        return _blow(rig, plan, root)


def _blow(rig: Rig, plan: Plan, root: Path) -> Outcome:
    weather = Weather(rig, random.Random(plan.seed))
    clients = Clients(rig.urls, plan.clients, plan.client_pause_s)
    followers = Followers(rig.urls, plan.followers, clients.take_newest)
    try:
        _wait_for_work(clients)
        weather.blow_for(plan.seconds, plan.pause_s)
    finally:
        clients.stop()
        start = time.monotonic()
        rig.calm()
        followers.stop(_END_S)
    proof.wait_until_all_ended(rig, _END_S)
    quiet_s = time.monotonic() - start
    found = records.read(rig)
    _check(rig, found, weather, clients, followers)
    renders = account(
        found,
        [render for node in rig.nodes for render in node.renders()],
        [death for node in rig.nodes for death in node.deaths],
    )
    proof.check_renders(renders)
    return Outcome(
        weather.counts(),
        _worst(found, weather),
        sum(map(len, clients.accepted.values())),
        len(found.statuses),
        clients.asked_again,
        _reasons(found),
        renders,
        (len(followers.ended), followers.reconnects, followers.cut_off),
        proof.check_files(rig, found, root / "proof"),
        quiet_s,
    )


def _check(rig: Rig, found: Found, weather: Weather, clients: Clients, followers: Followers) -> None:
    assert not clients.refused, clients.refused[:3]
    assert not clients.contradicted, "an idempotency key was answered with other jobs"
    proof.check_jobs(found, [job_id for ids in clients.accepted.values() for job_id in ids])
    proof.check_events(found)
    proof.check_followers(found, followers)
    proof.check_claims(found, weather.blows)
    proof.check_leaders(rig)


def _wait_for_work(clients: Clients) -> None:
    end = time.monotonic() + _END_S
    while not clients.accepted:
        assert time.monotonic() < end, "no API process took a job"
        time.sleep(0.1)


def _worst(found: Found, weather: Weather) -> dict[str, float]:
    worst: dict[str, float] = {}
    for blow in weather.blows:
        seconds = proof.recovery_s(found, blow)
        if seconds is not None:
            worst[blow.kind] = max(worst.get(blow.kind, 0.0), seconds)
    return worst


def _reasons(found: Found) -> Counter[str]:
    entries = [entry for log in found.events.values() for entry in log]
    return Counter(
        entry.data["error"]["code"] for entry in entries if entry.type in ("ClaimExpired", "Rejected")
    )


def main() -> int:
    seconds = float(os.environ.get("CHAOS_SECONDS", "600"))
    seed = int(os.environ.get("CHAOS_SEED", str(random.randrange(10_000))))
    broker = os.environ.get("CHAOS_BROKER", "redis")
    if broker not in BROKERS:
        sys.exit(f"CHAOS_BROKER is {broker!r}; it should be one of {', '.join(BROKERS)}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"{seconds:.0f} s of chaos, CHAOS_SEED={seed} CHAOS_BROKER={broker}; logs in {folder}", flush=True)
    outcome = storm(folder, Plan(seconds, (0.5, 4.0), seed=seed, broker=broker))
    shutil.rmtree(folder, ignore_errors=True)  # they stay when something was found
    print(outcome.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
