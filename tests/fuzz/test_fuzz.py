"""A short campaign; `make fuzz` is the long one."""

import copy
import warnings
from collections.abc import Iterator

import pytest

from tests.fuzz.campaign import lines, run, told
from tests.fuzz.target import Target, target

SEED = 20261123
"""The same cases at every run: a fault is there or it is not."""


@pytest.fixture(scope="module")
def aim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("fuzz")) as aim:
        yield aim


@pytest.mark.timeout(400)
def test_no_made_up_request_breaks_the_server_or_is_answered_otherwise_than_declared(aim: Target):
    everything = lines(aim)
    cases = len({line.label for line in everything})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = run(aim, cases, SEED, brief=True)
    assert report.complaints == {}, "\n".join(told(report, aim, SEED, 0))
    assert aim.troubles() == []
    assert report.cases >= cases
    assert report.operations == {line.label for line in everything}
    # Not all of it stops at the door.
    assert {200, 201, 400, 404} <= set(report.statuses)


def test_a_campaign_sees_what_is_not_declared(aim: Target):
    lying = copy.deepcopy(aim.document)
    path = "/v1/consumer/coverage"
    operation = lying["paths"][path]["get"]
    operation["responses"] = {"204": {"description": "Never"}}
    lying["paths"] = {path: {"get": operation}}
    report = run(Target(aim.program, aim.url, lying, aim.callers), 4, SEED)
    assert any("is not declared" in fault for _, fault in report.complaints)
