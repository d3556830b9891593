"""What was answered survives a power cut. ``make power`` is the long proof, of 200 cuts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.power.disk import entries
from tests.power.rig import Rig, faults

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="writes are recorded with LD_PRELOAD")

JOBS = 12
PICTURES = 6


@contextmanager
def killed_at_work(
    root: Path, *, fsync: bool = True, step_ms: int = 2, jobs: int = JOBS, pictures: int = PICTURES
) -> Iterator[Rig]:
    """A server that was killed while clients submitted, and the record of its writes."""
    rig = Rig(root, seed=2, fsync=fsync)
    rig.step_ms = step_ms
    try:
        rig.start()
        with rig.load():
            rig.wait_for_jobs(jobs, pictures)
            rig.kill()
        yield rig
    finally:
        rig.kill()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with killed_at_work(tmp_path_factory.mktemp("power")) as rig:
        yield rig


def test_after_a_power_cut_at_any_moment_nothing_that_was_answered_is_gone(rig: Rig) -> None:
    assert rig.faults_of_cuts(3) == []


def test_a_picture_that_was_not_flushed_is_noticed(rig: Rig) -> None:
    assert any("the picture of job" in fault for fault in rig.faults_of_cuts(4, "files"))


def test_the_server_goes_on_after_a_power_cut(rig: Rig) -> None:
    accepted = set(rig.answers.accepted)

    rig.cut()
    rig.start()
    rig.wait_until_all_ended()

    assert len(accepted) >= JOBS
    assert faults(rig.data, rig.answers, is_over=True) == []


def test_files_that_were_flushed_by_a_journal_are_not_gone_either(tmp_path: Path) -> None:
    with killed_at_work(tmp_path, step_ms=0, jobs=60, pictures=12) as rig:
        assert any(entry.first.startswith(b"IMJ1") for entry in entries(rig.log))
        assert rig.faults_of_cuts(4) == []
        assert any("the picture of job" in fault for fault in rig.faults_of_cuts(4, "files"))


def test_without_flushes_accepted_jobs_are_lost(tmp_path: Path) -> None:
    with killed_at_work(tmp_path, fsync=False) as rig:
        found = rig.faults_of_cuts(4)

    assert any("the accepted job" in fault for fault in found)
