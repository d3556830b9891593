"""The simulator's faults: when each strikes, and what it looks like from outside."""

import json
import math
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imagemill.backends.base import Progress, RenderCanceled, RenderControl, RenderRequest, RenderResult
from imagemill.backends.simulator.backend import Simulator
from imagemill.backends.simulator.faults import InvalidScenario, Scenario, check_hint, load_scenario
from imagemill.backends.simulator.settings import Fault, FaultRule, SimulatorSettings
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import ImageSpec
from tests.backends.simulated import VirtualTime, simulated

SD1 = "urn:air:sd1:checkpoint:civitai:4384@128713"
FOX = ImageSpec("a red fox", "", SD1, "sd1.safetensors", "sd1", 64, 64, 8, 7.0, "euler", "normal", 1)


def order(attempt: int = 1, job: str = "job", work: ImageSpec = FOX, **changes: Any) -> RenderRequest:
    values: dict[str, Any] = {"node": "sim-1", "timeout_s": 60.0, "properties": {}}
    return RenderRequest(
        job_id=job, attempt=attempt, reference=f"{job}-{attempt}", work=work, **(values | changes)
    )


def render(simulator: Simulator, asked: RenderRequest, watch: RenderControl | None = None) -> RenderResult:
    return simulator.follow(asked, simulator.send(asked), watch or RenderControl())


def failure_of(simulator: Simulator, asked: RenderRequest) -> FailureCode | None:
    """None: it succeeded."""
    try:
        render(simulator, asked)
    except BackendError as error:
        return error.failure
    return None


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("out_of_memory", FailureCode.OUT_OF_MEMORY, "out of memory"),
        ("missing_model", FailureCode.MISSING_MODEL, SD1),
        ("missing_node", FailureCode.MISSING_NODE, "KSampler"),
        ("crash", FailureCode.NODE_LOST, "connection broke"),
        ("content", FailureCode.CONTENT_BLOCKED, "blocked"),
        ("rate_limited", FailureCode.BACKEND_UNAVAILABLE, "429"),
        ("server_error", FailureCode.BACKEND_UNAVAILABLE, "500"),
        ("rejected", FailureCode.BACKEND_REJECTED, "refused"),
    ],
)
def test_a_failing_fault_is_typed_and_names_its_node(fault: str, code: FailureCode, said: str) -> None:
    with pytest.raises(BackendError, match=said) as caught:
        render(simulated(), order(properties={"simulate": fault}))
    assert caught.value.failure is code
    assert "sim-1" in str(caught.value)
    assert "(simulated)" in str(caught.value)


def test_a_hang_stands_still_until_its_time_is_up() -> None:
    time, told = VirtualTime(), list[Progress]()
    asked = order(properties={"simulate": {"fault": "hang", "step_ms": 100}}, timeout_s=30.0)
    with pytest.raises(BackendError) as caught:
        render(simulated(time), asked, RenderControl(told.append))
    assert caught.value.failure is FailureCode.TIMEOUT
    assert time.now == pytest.approx(30.0)
    assert told[-1].fraction == 0.5


def test_a_hang_ends_when_it_is_stopped() -> None:
    watch = RenderControl(lambda progress: watch.stop())
    with pytest.raises(RenderCanceled):
        render(simulated(), order(properties={"simulate": "hang"}), watch)


def test_a_slow_load_loads_again_and_takes_long() -> None:
    time = VirtualTime()
    simulator = simulated(time, load_ms=800)
    render(simulator, order(job="first"))
    before = time.now
    render(simulator, order(job="second", properties={"simulate": "slow_load"}))
    assert time.now - before == pytest.approx(8.0)
    assert simulator.stats()["sim-1"].loads == 2


def test_how_slow_a_slow_load_is_can_be_told() -> None:
    time = VirtualTime()
    render(simulated(time), order(properties={"simulate": {"fault": "slow_load", "load_ms": 250}}))
    rule = FaultRule(fault=Fault.SLOW_LOAD, load_ms=750)
    render(simulated(time, faults=(rule,)), order())
    assert time.now == pytest.approx(1.0)


def test_a_silent_render_finishes_without_a_word() -> None:
    told: list[Progress] = []
    asked = order(properties={"simulate": {"fault": "silent", "step_ms": 10, "load_ms": 10}})
    assert len(render(simulated(), asked, RenderControl(told.append)).outputs) == 1
    assert told == []


def test_a_crash_comes_in_the_middle_and_leaves_nothing_loaded() -> None:
    told: list[Progress] = []
    simulator = simulated()
    render(simulator, order(job="before"))
    assert simulator.nodes()[0].loaded_models == {SD1}
    with pytest.raises(BackendError):
        render(
            simulator,
            order(properties={"simulate": {"fault": "crash", "step_ms": 1}}),
            RenderControl(told.append),
        )
    assert told[-1].fraction == 0.5
    assert simulator.nodes()[0].loaded_models == frozenset()


@pytest.mark.parametrize(("count", "delivered"), [(3, 2), (1, 0)])
def test_a_partial_render_delivers_one_less(count: int, delivered: int) -> None:
    work = replace(FOX, count=count)
    assert len(render(simulated(), order(work=work, properties={"simulate": "partial"})).outputs) == delivered


def test_a_corrupt_file_ends_half_way() -> None:
    whole = render(simulated(), order()).outputs[0].data
    broken = render(simulated(), order(properties={"simulate": "corrupt"})).outputs[0].data
    assert whole.startswith(broken)
    assert len(broken) == len(whole) // 2
    with pytest.raises(OSError, match="truncated"):
        Image.open(BytesIO(broken)).load()


def test_a_blank_picture_is_black_and_of_the_right_size() -> None:
    picture = Image.open(
        BytesIO(render(simulated(), order(properties={"simulate": "blank"})).outputs[0].data)
    )
    assert picture.size == (64, 64)
    assert picture.convert("L").getextrema() == (0, 0)


def test_a_wrong_size_is_half_the_right_one() -> None:
    output = render(simulated(), order(properties={"simulate": "wrong_size"})).outputs[0]
    assert Image.open(BytesIO(output.data)).size == (32, 32)


def test_a_fault_strikes_the_first_attempts_only() -> None:
    simulator = simulated(faults=(FaultRule(fault=Fault.OUT_OF_MEMORY, times=2),))
    assert [failure_of(simulator, order(attempt)) for attempt in (1, 2, 3)] == [
        FailureCode.OUT_OF_MEMORY,
        FailureCode.OUT_OF_MEMORY,
        None,
    ]


def test_a_job_can_ask_for_more_failing_attempts() -> None:
    hint = {"simulate": {"fault": "server_error", "times": 2}}
    results = [failure_of(simulated(), order(attempt, properties=hint)) for attempt in (1, 2, 3)]
    assert results == [FailureCode.BACKEND_UNAVAILABLE, FailureCode.BACKEND_UNAVAILABLE, None]


@pytest.mark.parametrize(
    ("rule", "strikes"),
    [
        ({"model": "SD1"}, True),
        ({"model": "sdxl"}, False),
        ({"prompt": "Red FOX"}, True),
        ({"prompt": "wolf"}, False),
        ({"node": "sim-1"}, True),
        ({"node": "sim-2"}, False),
        ({"model": "sd1", "prompt": "wolf"}, False),
        ({"probability": 0.0}, False),
    ],
)
def test_a_rule_strikes_when_all_its_conditions_hold(rule: dict[str, Any], strikes: bool) -> None:
    simulator = simulated(faults=(FaultRule(fault=Fault.REJECTED, **rule),))
    assert (failure_of(simulator, order()) is not None) is strikes


def test_a_rule_names_a_node_with_or_without_its_suffix() -> None:
    for named in ("sim-1", "sim-1.ab12"):
        rule = FaultRule(fault=Fault.REJECTED, node=named)
        simulator = Simulator(SimulatorSettings(faults=(rule,)), suffix="ab12")
        assert failure_of(simulator, order(node="sim-1.ab12")) is FailureCode.BACKEND_REJECTED


def test_the_first_rule_that_holds_strikes_and_the_jobs_own_wish_goes_before() -> None:
    rules = (
        FaultRule(fault=Fault.REJECTED, prompt="wolf"),
        FaultRule(fault=Fault.CONTENT),
        FaultRule(fault=Fault.MISSING_NODE),
    )
    assert failure_of(simulated(faults=rules), order()) is FailureCode.CONTENT_BLOCKED
    own = order(properties={"simulate": "out_of_memory"})
    assert failure_of(simulated(faults=rules), own) is FailureCode.OUT_OF_MEMORY


def test_probability_is_drawn_from_seed_job_and_attempt() -> None:
    def struck(seed: int) -> list[bool]:
        rule = FaultRule(fault=Fault.REJECTED, probability=0.3)
        simulator = simulated(seed=seed, faults=(rule,))
        return [failure_of(simulator, order(job=f"job-{number}")) is not None for number in range(200)]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 35 <= sum(struck(1)) <= 85


def test_what_fails_at_the_door_fails_before_it_is_sent() -> None:
    for fault in ("missing_model", "missing_node", "rate_limited", "server_error", "rejected"):
        with pytest.raises(BackendError):
            simulated().send(order(properties={"simulate": fault}))


@pytest.mark.parametrize(
    "hint",
    [
        *Fault,
        {},
        None,
        {"fault": "hang"},
        {"fault": None, "step_ms": 5},
        {"step_ms": 0, "load_ms": 1.5, "times": 3},
    ],
)
def test_a_well_formed_hint_is_taken(hint: object) -> None:
    assert check_hint(hint) is None


@pytest.mark.parametrize(
    ("hint", "complaint"),
    [
        ("explode", "'explode' is not a fault"),
        (True, "a bool is not a hint"),
        (["hang"], "a list is not a hint"),
        ({"fault": 3}, "'3' is not a fault"),
        ({"fault": "hang", "time": 2}, "time: not known"),
        ({"times": 0}, "times is not a whole number"),
        ({"times": 1.5}, "times is not a whole number"),
        ({"times": True}, "times is not a whole number"),
        ({"step_ms": -1}, "step_ms is not a number"),
        ({"step_ms": "50"}, "step_ms is not a number"),
        ({"load_ms": math.nan}, "load_ms is not a number"),
        ({"load_ms": math.inf}, "load_ms is not a number"),
        ({"load_ms": False}, "load_ms is not a number"),
    ],
)
def test_a_malformed_hint_is_refused_with_what_is_allowed(hint: object, complaint: str) -> None:
    said = check_hint(hint)
    assert said is not None
    assert said.startswith(complaint)
    assert all(word in said for word in ("out_of_memory", "rejected", "step_ms", "load_ms", "times"))
    with pytest.raises(BackendError) as caught:
        render(simulated(), order(properties={"simulate": hint}))
    assert caught.value.failure is FailureCode.BACKEND_REJECTED
    assert str(caught.value) == said


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(list(Fault)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["fault", "times", "step_ms", "load_ms", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_hint_is_either_refused_or_obeyed(hint: object) -> None:
    asked = order(properties={"simulate": hint}, timeout_s=1.0)
    refused = check_hint(hint) is not None
    code = failure_of(simulated(), asked)
    assert code is FailureCode.BACKEND_REJECTED if refused else code is not FailureCode.BUG


def test_other_properties_are_no_hints() -> None:
    assert render(simulated(), order(properties={"fault": "hang", "userId": 7})).outputs


def test_a_toml_scenario_adds_rules(tmp_path: Path) -> None:
    file = tmp_path / "bad-day.toml"
    file.write_text('[[rule]]\nfault = "out_of_memory"\nmodel = "sdxl"\n\n[[rule]]\nfault = "content"\n')
    assert load_scenario(file).rules == (
        FaultRule(fault=Fault.OUT_OF_MEMORY, model="sdxl"),
        FaultRule(fault=Fault.CONTENT),
    )
    assert failure_of(simulated(scenario=file), order()) is FailureCode.CONTENT_BLOCKED


def test_a_json_scenario_adds_rules_after_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "bad-day.json"
    file.write_text(json.dumps({"rule": [{"fault": "rejected", "times": 9}]}))
    simulator = simulated(scenario=file, faults=(FaultRule(fault=Fault.CONTENT),))
    assert failure_of(simulator, order(1)) is FailureCode.CONTENT_BLOCKED
    assert failure_of(simulator, order(2)) is FailureCode.BACKEND_REJECTED


def test_an_empty_scenario_has_no_rules(tmp_path: Path) -> None:
    file = tmp_path / "calm.toml"
    file.write_text("")
    assert load_scenario(file) == Scenario()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", "[[rule]\n", "a.toml: "),
        ("a.json", "{", "a.json: "),
        ("a.json", "[]", "an object with a list"),
        ("a.toml", "rules = []\n", "rules: unknown"),
        ("a.toml", "[rule]\nfault = 'hang'\n", r"\[\[rule\]\]"),
        ("a.toml", "[[rule]]\nfault = 'hang'\n[[rule]]\nfault = 'boom'\n", "rule 2: fault: .*out_of_memory"),
        ("a.toml", "[[rule]]\nfault = 'hang'\ntime = 3\n", "rule 1: time: Extra inputs"),
        ("a.toml", "[[rule]]\ntimes = 0\n", "rule 1: fault: Field required; times: "),
        ("a.json", '{"rule": [3]}', "rule 1: the rule: "),
        ("a.json", '{"rule": [{"fault": "hang", "probability": 2}]}', "rule 1: probability: "),
    ],
)
def test_a_bad_scenario_names_its_file_and_rule(tmp_path: Path, name: str, content: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(InvalidScenario, match=said) as caught:
        simulated(scenario=file)
    assert str(file) in str(caught.value)


def test_a_scenario_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"absent\.toml"):
        simulated(scenario=tmp_path / "absent.toml")
    binary = tmp_path / "picture.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidScenario, match=r"picture\.toml"):
        simulated(scenario=binary)
