"""Nodes and workers, in the words of an operator."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.conftest import Server, image_job
from tests.console.browser import PHONE, Visitor, accessibility_problems

SLOW = {"simulate": {"step_ms": 60_000}}


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    simulator = {"nodes": 2, "slots": 1}
    return make_server(shutdown_grace_s=0, resources={"seed": True}, simulator=simulator)


def test_an_operator_sees_the_nodes_and_when_the_queue_is_done(server: Server, reader: Visitor) -> None:
    server.submit(image_job(quantity=5, properties=SLOW))
    page = reader.open("/nodes")

    expect(page.get_by_text("Healthy: 1 of 1 slots work.")).to_have_count(2)
    assert accessibility_problems(page) == []
    page.get_by_role("tab", name="Models on nodes").click()
    row = page.get_by_role("row").filter(has_text="sd1")
    expect(row.get_by_role("img", name="loaded").first).to_be_visible()
    page.get_by_label("Name or AIR").fill("no such model")
    expect(page.get_by_text("No such model")).to_be_visible()
    page.get_by_role("tab", name="Workers").click()
    expect(page.get_by_role("row", name="leader")).to_contain_text("api, scheduler, worker")

    page.get_by_role("tab", name="Outlook").click()
    expect(page.get_by_text("3 waiting jobs are done in")).to_be_visible()
    page.get_by_role("checkbox").first.check()
    expect(page.get_by_text("With all nodes:")).to_be_visible()
    assert "without=" in page.url
    page.get_by_role("button", name="Why?").first.click()
    expect(page.get_by_text("would take it now").first).to_be_visible()
    assert accessibility_problems(page) == []


def test_a_node_is_added_and_a_wrong_address_keeps_the_form(server: Server, reader: Visitor) -> None:
    reader.expected = ("400",)
    page = reader.open("/nodes")
    page.get_by_role("button", name="Add a node").click()
    dialog = page.get_by_role("dialog", name="Add a node")
    dialog.get_by_label("Name", exact=True).fill("attic")
    dialog.get_by_label("Address").fill("no address")
    dialog.get_by_role("button", name="Add", exact=True).click()

    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("attic")
    dialog.get_by_label("Address").fill("http://127.0.0.1:9")
    dialog.get_by_role("button", name="Add", exact=True).click()

    expect(page.get_by_text("Node attic was added")).to_be_visible()
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="attic"))
    card.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("1 node, attic, is drained in 5 s")).to_be_visible()


def test_the_nodes_fit_on_a_phone(server: Server, reader: Visitor) -> None:
    page = reader.open("/nodes?tab=models")
    page.set_viewport_size({"width": 360, "height": PHONE[1]})

    expect(page.get_by_role("region", name="Models on nodes")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
