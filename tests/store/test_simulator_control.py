"""The simulator's speed and faults, shared by processes: two controls on one database, on both databases."""

from collections import Counter

import pytest

from imagemill.backends.simulator.control import MOST_RULES, SimulatorControl
from imagemill.backends.simulator.faults import Scenario
from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings
from imagemill.backends.simulator.timing import SPEEDS
from imagemill.backends.simulator.tuning import Tuning
from imagemill.bootstrap.stores import Stores
from imagemill.domain.errors import Conflict, NotFound

OWN = FaultRule(fault=Fault.BLANK)


def control(store: Stores) -> SimulatorControl:
    tuning = Tuning(SimulatorSettings(faults=(OWN,)), Scenario())
    return SimulatorControl(store.database, tuning, lambda: False)


def test_a_change_by_one_process_applies_to_the_other_and_hits_add_up(store: Stores) -> None:
    one, other = control(store), control(store)
    added = one.add(FaultRule(fault=Fault.HANG, model="flux"))
    one.change_speed(SPEEDS["slow"])

    seen = other.state()

    assert [each.rule for each in other.tuning.rules] == [added.rule, OWN]  # those of the settings come last
    assert (seen.speed_name, other.tuning.settings.step_ms) == ("slow", 1000.0)
    for each, strikes in ((one, 2), (other, 3)):
        for _ in range(strikes):
            each.tuning.count(each.tuning.rules[0])
    one.state()
    assert other.state().rules[0].hits == 5
    other.remove(added.id)
    assert one.state().rules == []
    assert one.change_speed(None).speed == SPEEDS["instant"]


def test_a_rule_of_the_settings_counts_its_own_hits(store: Stores) -> None:
    one = control(store)
    one.tuning.count(one.tuning.rules[0])
    assert [(each.id, each.hits) for each in one.state().own_rules] == [("settings-1", 1)]
    assert one.tuning.take_hits() == Counter()


def test_what_cannot_be_added_or_removed_changes_nothing(store: Stores) -> None:
    one = control(store)
    one.replace([OWN] * MOST_RULES, None)
    with pytest.raises(Conflict):
        one.add(OWN)
    with pytest.raises(NotFound):
        one.remove("nothing")
    with pytest.raises(NotFound):
        one.remove("speed")
    assert len(one.state().rules) == MOST_RULES
