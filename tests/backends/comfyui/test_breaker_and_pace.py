"""Rules that keep jobs off sick nodes and renders within their time."""

import json
import re

import pytest

from imagemill.backends.comfyui.node import RenderTimeEstimator
from imagemill.backends.comfyui.settings import ComfySettings, configured_nodes
from imagemill.net.breaker import Breaker
from tests.tuning import tuned


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Time) -> Breaker:
    return Breaker(failures=3, base_s=5.0, cap_s=15.0, clock=clock)


def broken(clock: Time) -> Breaker:
    sick = breaker(clock)
    for _ in range(3):
        sick.fail("500")
    return sick


def test_failures_in_a_row_open_it() -> None:
    sick = breaker(Time())
    sick.fail("500")
    sick.fail("500")
    assert not sick.is_open
    sick.fail("500")
    assert sick.is_open


def test_a_success_in_between_keeps_it_closed() -> None:
    sick = breaker(Time())
    for _ in range(5):
        sick.fail("500")
        sick.succeed()
    assert not sick.is_open


def test_good_health_closes_it_only_after_its_time() -> None:
    clock = Time()
    sick = broken(clock)
    sick.probe()
    assert sick.is_open
    clock.now = 5.0
    sick.probe()
    assert not sick.is_open


def test_half_open_the_next_failure_opens_it_for_longer_up_to_a_cap() -> None:
    clock = Time()
    sick = broken(clock)
    for pause_s in (5.0, 10.0, 15.0, 15.0):
        clock.now += pause_s - 0.1
        sick.probe()
        assert sick.is_open
        clock.now += 0.1
        sick.probe()
        assert not sick.is_open
        sick.fail("500")
        assert sick.is_open


def test_half_open_a_success_closes_it_for_good() -> None:
    clock = Time()
    sick = broken(clock)
    clock.now = 5.0
    sick.probe()
    sick.succeed()
    sick.fail("500")
    assert not sick.is_open


SETTINGS = tuned(ComfySettings, timeout_floor_s=10.0, timeout_factor=5.0, load_s=20.0)


def test_a_node_that_has_not_rendered_with_a_model_gets_the_whole_time() -> None:
    assert RenderTimeEstimator(SETTINGS).limit_s("model", 20.0, 600.0) == 600.0


def test_the_time_grows_with_the_load_and_with_what_it_took_before() -> None:
    pace = RenderTimeEstimator(SETTINGS)
    pace.learn("model", load=20.0, seconds=40.0)
    assert pace.limit_s("model", 20.0, 600.0) == 20.0 + 5.0 * 40.0
    assert pace.limit_s("model", 10.0, 600.0) == 20.0 + 5.0 * 20.0
    assert pace.limit_s("model", 900.0, 600.0) == 600.0


def test_a_quick_repeat_from_the_cache_does_not_make_it_impatient() -> None:
    pace = RenderTimeEstimator(SETTINGS)
    pace.learn("model", load=20.0, seconds=40.0)
    pace.learn("model", load=20.0, seconds=0.0)
    assert pace.limit_s("model", 20.0, 600.0) == 20.0 + 5.0 * 36.0


def test_addresses_in_the_settings_become_named_nodes_with_their_token() -> None:
    settings = ComfySettings(urls=("http://10.0.0.7:8188/", "https://gpu.example/comfy"), token="s3cret")  # type: ignore[arg-type]
    nodes = list(configured_nodes(settings))
    assert [node.url for node in nodes] == ["http://10.0.0.7:8188", "https://gpu.example/comfy"]
    assert all(re.fullmatch(r"comfyui-[0-9a-f]{6}", node.name) for node in nodes)
    assert nodes[0].name != nodes[1].name
    (alone,) = configured_nodes(ComfySettings(urls=("https://gpu.example/comfy",)))
    assert alone.name == nodes[1].name
    assert nodes[0].headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr(settings)


def test_a_token_is_a_bearer_token_or_headers() -> None:
    access = {"CF-Access-Client-Id": "id", "CF-Access-Client-Secret": "hidden"}
    for token, headers in (("t", {"Authorization": "Bearer t"}), (json.dumps(access), access)):
        settings = ComfySettings.model_validate({"urls": ["https://gpu.example"], "token": token})
        (node,) = configured_nodes(settings)
        assert node.headers == headers
        assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    "token",
    ['{"CF Access": "a"}', '{"A": "a\\nb"}', '{"A": ""}', '{"A": 1}', '{"A": "\u00e9"}', '{"A": "hidden"'],
)
def test_headers_that_cannot_be_sent_are_refused_without_their_values(token: str) -> None:
    with pytest.raises(ValueError, match=r"header|printable") as refused:
        ComfySettings.model_validate({"token": token})
    assert "hidden" not in str(refused.value)
