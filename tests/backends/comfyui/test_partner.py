"""Partner nodes: a key, a price and a permission, and what becomes of each paid call."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from imagemill.backends.base import RenderCanceled, RenderControl, RenderRequest
from imagemill.backends.comfyui.backend import ComfyUI
from imagemill.backends.comfyui.partner import PROVIDER
from imagemill.backends.paid_calls import BudgetExceeded
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec
from imagemill.domain.nodes import NodeConfig
from tests.backends.comfyui.support import FILES, graph, order, pace, render, settings, spec, until, wait_well
from tests.backends.fal.support import Book
from tests.comfyui.client import Client
from tests.comfyui.node import NEW, OLD, TestNode

KEY = "comfyui-f0e1d2c3b4a5"
CLASS = "LabPartnerImage"
PRICES = {CLASS: 0.04}


def partner_graph(seed: int = 7, nodes: int = 1) -> GraphSpec:
    made: dict[str, Any] = {}
    for number in range(nodes):
        made[f"p{number}"] = {"class_type": CLASS, "inputs": {"prompt": "a fox", "seed": seed + number}}
        made[f"s{number}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": [f"p{number}", 0], "filename_prefix": "t"},
        }
    return GraphSpec(made)


def fleet(node: TestNode, calls: Book | None, **changes: Any) -> ComfyUI:
    values: dict[str, Any] = {"api_key": KEY, "partner_prices": PRICES, **changes}
    comfy = ComfyUI(settings(**values), calls=calls)
    comfy.configure([NodeConfig("a", node.url)])
    wait_well(comfy)
    return comfy


@pytest.fixture
def node() -> Iterator[TestNode]:
    with TestNode(NEW, models=FILES) as node:
        yield node


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def comfy(node: TestNode, book: Book) -> Iterator[ComfyUI]:
    built = fleet(node, book)
    yield built
    built.close()


def paid_order(**changes: Any) -> RenderRequest:
    return order(changes.pop("work", partner_graph()), partner=True, **changes)


def test_a_permitted_prompt_runs_with_the_key_and_is_recorded(
    comfy: ComfyUI, node: TestNode, book: Book
) -> None:
    asked = paid_order(work=partner_graph(nodes=2))
    assert comfy.unsupported_reason(asked.work) is None
    assert comfy.partner_classes(asked.work) == [CLASS]
    assert comfy.bill(asked.work) == 0.08
    done = render(comfy, asked)
    assert len(done.outputs) == 2
    assert node.partner_keys == [KEY, KEY]
    (call,) = book.calls.values()
    assert (call.path, call.request_id, call.cost) == (CLASS, asked.reference, 80_000)
    assert book.ends == ["succeeded"]


def test_the_key_is_shown_nowhere(comfy: ComfyUI, node: TestNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    asked = paid_order()
    done = render(comfy, asked)
    assert KEY.encode() not in done.outputs[0].data
    assert KEY not in json.dumps(done.details)
    with Client(node) as client:
        assert KEY not in json.dumps([client.history(asked.reference), client.get("/queue").json])
    assert KEY not in caplog.text
    assert KEY not in repr(comfy._settings)  # pyright: ignore[reportPrivateUsage]


def test_a_service_that_repeats_the_key_in_its_error_does_not_show_it(
    comfy: ComfyUI, node: TestNode, book: Book
) -> None:
    node.behave(partner_fails=True)
    with pytest.raises(BackendError, match=r"with the key \[key removed\]") as caught:
        render(comfy, paid_order())
    assert KEY not in str(caught.value)
    assert book.ends == [caught.value.code]
    assert not book.free


def test_other_prompts_do_not_get_the_key(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    render(comfy, order(graph(), partner=True))
    render(comfy, order(spec(), partner=True))
    assert KEY not in json.dumps([prompt.extra_data for prompt in node.prompts])
    assert comfy.bill(graph()) == comfy.bill(spec()) == 0
    assert not book.calls


def test_without_the_permission_nothing_is_sent(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    with pytest.raises(BackendError, match="scope 'partner'") as caught:
        comfy.send(order(partner_graph()))
    assert caught.value.failure is FailureCode.BACKEND_REJECTED
    assert not node.prompts
    assert not book.calls


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_key": None}, "IMAGEMILL_COMFYUI__API_KEY"),
        ({"partner_prices": {}}, 'IMAGEMILL_COMFYUI__PARTNER_PRICES, as in {"LabPartnerImage": 0.04}'),
        ({"partner_budget": 0.01}, "above the 0.01 of IMAGEMILL_COMFYUI__PARTNER_BUDGET"),
    ],
)
def test_without_key_price_or_budget_it_is_refused_with_the_setting(
    node: TestNode, book: Book, changes: dict[str, Any], words: str
) -> None:
    comfy = fleet(node, book, **changes)
    reason = comfy.unsupported_reason(partner_graph())
    assert reason is not None
    assert words in reason
    with pytest.raises(BackendError) as caught:
        comfy.send(paid_order())
    assert words in str(caught.value)
    assert not node.prompts
    comfy.close()


def test_the_price_of_all_other_classes_is_that_of_the_star(node: TestNode, book: Book) -> None:
    comfy = fleet(node, book, partner_prices={"*": 0.5}, partner_budget=None)
    assert comfy.bill(partner_graph(nodes=3)) == 1.5
    assert comfy.unsupported_reason(partner_graph(nodes=3)) is None
    comfy.close()


@pytest.mark.parametrize(("after_s", "failure"), [(60.0, "backend_unavailable"), (None, "backend_rejected")])
def test_beyond_the_budget_nothing_is_sent(
    comfy: ComfyUI, node: TestNode, book: Book, after_s: float | None, failure: str
) -> None:
    book.over = BudgetExceeded(f"{PROVIDER} calls cost 10 within 24 hours", after_s)
    with pytest.raises(BackendError, match="within 24 hours") as caught:
        comfy.send(paid_order())
    assert (caught.value.code, caught.value.after_s) == (failure, after_s)
    assert not node.prompts


def test_a_refused_prompt_is_free(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    node.answer("/prompt", "500", times=1, method="POST")
    with pytest.raises(BackendError):
        comfy.send(paid_order())
    assert book.ends == ["refused"]
    assert book.free == set(book.calls)


def test_a_prompt_that_may_have_arrived_counts(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    node.answer("/prompt", "close", method="POST")
    with pytest.raises(BackendError):
        comfy.send(paid_order())
    assert book.ends == ["unknown"]
    assert not book.free


def test_a_cancelled_prompt_counts(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    pace(node, work_s=5.0)
    asked = paid_order()
    comfy.send(asked)
    control = RenderControl()
    control.stop()
    with pytest.raises(RenderCanceled):
        comfy.follow(asked, asked.reference, control)
    assert book.ends == ["canceled"]
    assert not book.free


def test_another_worker_that_takes_over_pays_no_second_time(
    comfy: ComfyUI, node: TestNode, book: Book
) -> None:
    pace(node, work_s=0.3)
    asked = paid_order()
    comfy.send(asked)
    other = fleet(node, book)
    taken = paid_order(reference=asked.reference, job_id=asked.job_id, attempt=2)
    assert render(other, taken).outputs
    assert node.partner_keys == [KEY]
    assert len(book.calls) == 1
    assert book.ends == ["succeeded"]
    other.close()


def test_a_paid_prompt_is_not_sent_again_for_a_lost_file(comfy: ComfyUI, node: TestNode, book: Book) -> None:
    node.answer("/view", "404")
    with pytest.raises(BackendError) as caught:
        render(comfy, paid_order())
    assert caught.value.failure is FailureCode.BAD_OUTPUT
    assert len(node.prompts) == 1
    assert book.ends == ["bad_output"]


def test_an_old_node_that_would_show_the_key_gets_no_such_prompt(book: Book) -> None:
    with TestNode(OLD, models=FILES) as old, TestNode(NEW, models=FILES) as new:
        alone = fleet(old, book)
        reason = alone.unsupported_reason(partner_graph())
        assert reason is not None
        assert "its ComfyUI is too old, as it would show the key: update it" in reason
        alone.close()
        both = ComfyUI(settings(api_key=KEY, partner_prices=PRICES), calls=book)
        both.configure([NodeConfig("a", old.url), NodeConfig("b", new.url)])
        until(lambda: all(each.healthy for each in both.nodes()), "both are well")
        assert both.unsupported_reason(partner_graph()) is None
        (need,) = both.requirements(partner_graph())
        first, second = both.nodes()
        assert first.available is not None
        assert second.available is not None
        assert need not in first.available
        assert need in second.available
        both.close()
