"""Whose workflow is meant by a name."""

from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.domain.access import Caller, Role
from imagemill.domain.errors import Conflict, Forbidden, NotFound
from imagemill.graphs.builtin import NAMES, builtin
from imagemill.workflows.service import SHARED, Workflows, spaces_of
from tests.graphs import graph

ANN, BEN = ("ann", SHARED), ("ben", SHARED)
BUILT_IN = NAMES[0]


@pytest.fixture
def workflows(store: Stores) -> Workflows:
    return Workflows(store.workflows, list, [builtin(BUILT_IN)])


def changed(**values: Any) -> dict[str, Any]:
    other = graph()
    node = next(node for node in other.values() if "steps" in node["inputs"])
    node["inputs"] |= values
    return other


def names(workflows: Workflows, spaces: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(kept.workflow.name, kept.space) for kept in workflows.views(spaces)]


def test_what_somebody_adds_nobody_else_finds(workflows: Workflows):
    workflows.add("portrait", graph(), space="ann")
    assert ("portrait", "ann") in names(workflows, ANN)
    assert names(workflows, BEN) == [(BUILT_IN, SHARED)]
    for ask in (workflows.get, workflows.versions):
        with pytest.raises(NotFound):
            ask("portrait", spaces=BEN)
    with pytest.raises(NotFound):
        workflows.get("portrait", 1, BEN)
    with pytest.raises(NotFound):
        workflows.job_request("portrait", 1, {}, BEN)
    for change in (lambda: workflows.change("portrait", graph(), space="ben"),
                   lambda: workflows.remove("portrait", "ben")):  # fmt: skip
        with pytest.raises(NotFound):
            change()


def test_ones_own_goes_before_everybodys_until_it_is_removed(workflows: Workflows):
    workflows.add("portrait", graph())
    workflows.add("portrait", changed(steps=7), space="ann")
    workflows.change("portrait", changed(steps=9), space="ann")
    assert names(workflows, ANN) == [(BUILT_IN, SHARED), ("portrait", "ann")]
    assert workflows.get("portrait", spaces=ANN).version == 2
    assert workflows.get("portrait", spaces=BEN).version == 1
    assert [kept.version for kept in workflows.versions("portrait", ANN)] == [2, 1]
    workflows.remove("portrait", "ann")
    assert workflows.get("portrait", spaces=ANN).space == SHARED
    assert names(workflows, ANN) == names(workflows, BEN)


def test_the_versions_of_what_was_removed_can_be_read_by_its_owner_alone(workflows: Workflows):
    workflows.add("portrait", graph(), space="ann")
    workflows.remove("portrait", "ann")
    assert workflows.get("portrait", 1, ANN).deleted_at is not None
    assert [kept.version for kept in workflows.versions("portrait", ANN)] == [1]
    with pytest.raises(NotFound):
        workflows.get("portrait", 1, BEN)


def test_everybodys_is_not_changed_by_way_of_ones_own(workflows: Workflows):
    workflows.add("portrait", graph())
    with pytest.raises(Forbidden, match="shared=true"):
        workflows.change("portrait", graph(), space="ann")
    with pytest.raises(Forbidden):
        workflows.remove("portrait", "ann")
    with pytest.raises(Conflict):
        workflows.remove(BUILT_IN, "ann")
    assert workflows.get("portrait").version == 1


def test_a_built_in_one_can_be_hidden_by_ones_own_and_is_still_version_0(workflows: Workflows):
    workflows.add(BUILT_IN, graph(), space="ann")
    assert names(workflows, ANN) == [(BUILT_IN, "ann")]
    assert workflows.get(BUILT_IN, spaces=ANN).version == 1
    assert workflows.get(BUILT_IN, 0, ANN).is_built_in
    assert workflows.get(BUILT_IN, spaces=BEN).is_built_in
    with pytest.raises(NotFound):
        workflows.get(BUILT_IN, 1, BEN)


def test_an_end_user_sees_what_the_account_added_and_no_other_end_user():
    ann = Caller("shop:ann", Role.USER, frozenset(), "shop")
    assert spaces_of(ann) == ("shop:ann", "shop", SHARED)
    assert spaces_of(Caller("shop", Role.USER, frozenset(), "shop")) == ("shop", SHARED)
