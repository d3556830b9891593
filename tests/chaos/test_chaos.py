"""Chaos, the short form: ``make chaos`` blows for ten minutes."""

import tempfile
from pathlib import Path

import pytest

from tests.chaos.storm import Plan, storm


@pytest.mark.timeout(600)
def test_a_fleet_loses_nothing_and_doubles_nothing_whatever_is_killed() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outcome = storm(Path(folder), Plan(seconds=20, pause_s=(0.5, 2.0), clients=2))
    print(outcome.table())
    assert len(outcome.blows) == 9, "each kind of blow fell"
    assert outcome.accepted > 20, "the clients were hardly heard: the proof proves little"
