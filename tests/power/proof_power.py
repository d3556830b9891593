"""Power cuts, many times over: ``make power``. No accepted job is lost, no picture that was answered.

Each cut ends a running server, at times one that is just starting, and the next server starts on what the
disk may show. Between them, cuts at other moments of the same record are looked at without a server. Then the
same without flushes, where something must be lost: else this would prove nothing.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.power.rig import Rig, faults

CUTS = int(os.environ.get("POWER_CUTS", "200"))
SEED = int(os.environ.get("POWER_SEED", "1"))
_MORE_CUTS = 3
"""Cuts in each record that are looked at without a server."""
_AT_START = 0.1
"""Share of the cuts that hit a server that has just begun to start."""


def prove(root: Path) -> list[str]:
    rig, found, looked_at = Rig(root, SEED), list[str](), 0
    try:
        for number in range(1, CUTS + 1):
            rig.step_ms = rig.rng.choice((0, 2))
            if number > 1 and rig.rng.random() < _AT_START:
                rig.start(until_ready=False)
                time.sleep(rig.rng.uniform(0.1, 3))
            else:
                rig.start()
                with rig.load():
                    rig.wait_for_jobs(rig.rng.randint(1, 40))
                    time.sleep(rig.rng.uniform(0, 0.1))
                    rig.kill()
            found += [f"{number}: {fault}" for fault in rig.faults_of_cuts(_MORE_CUTS)]
            looked_at += _MORE_CUTS
            rig.cut()
            found += [f"{number}: {fault}" for fault in faults(rig.data, rig.answers)]
            _say(f"cut {number}: {len(rig.answers.accepted)} accepted, {len(found)} faults")
        rig.start()
        rig.wait_until_all_ended()
        found += faults(rig.data, rig.answers, is_over=True)
    finally:
        rig.kill()
    _say(
        f"{CUTS} power cuts and {looked_at} looked at without a server, seed {SEED}: "
        f"{len(rig.answers.accepted)} jobs accepted, {len(rig.answers.succeeded)} pictures answered, "
        f"{len(found)} faults"
    )
    return found


def lost_without_flushes(root: Path) -> int:
    """The number of faults in 20 cuts of a server that flushes nothing."""
    rig = Rig(root, SEED, fsync=False)
    try:
        rig.start()
        with rig.load():
            rig.wait_for_jobs(40)
            rig.kill()
        return len(rig.faults_of_cuts(20))
    finally:
        rig.kill()


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = prove(Path(folder))
    for fault in found[:50]:
        _say(fault)
    with tempfile.TemporaryDirectory() as folder:
        lost = lost_without_flushes(Path(folder))
    _say(f"without flushes: {lost} faults in 20 cuts")
    sys.exit(bool(found) or not lost)


if __name__ == "__main__":
    main()
