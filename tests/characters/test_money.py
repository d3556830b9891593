"""What pictures cost: held, settled, released; a whole set has a price of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.characters.support import ADMIN_KEY, EIGHT, LIA, avatar, cover, ended, idle, order, scene, sticker
from tests.conftest import Server
from tests.money.test_http import account

GUARDED: dict[str, Any] = {
    "auth": {"admin_key": ADMIN_KEY, "remember_s": 0},
    "simulator": {"step_ms": 0},
    "job": {"max_failures": 1, "heartbeat_s": 0.05},
}


def grant(server: Server, owner: str, amount: float) -> None:
    answer = server.client.post(
        "/api/v1/credits/grants",
        json={"owner": owner, "amount": amount},
        headers={"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": f"{owner}-{amount}"},
    )
    assert answer.is_success, answer.text


def purse(client: httpx2.Client) -> tuple[float, float]:
    """Available and held."""
    found = client.get("/api/v1/credits").json()
    return found["available"], found["held"]


@pytest.fixture
def ann(make_server: Callable[..., Server]) -> Iterator[httpx2.Client]:
    """With 100 credits, at a server that accepts and renders nothing."""
    server = idle(make_server, credits={"enabled": True}, **GUARDED)
    with account(server, "ann") as client:
        grant(server, "ann", 100)
        yield client


@pytest.mark.parametrize(
    ("path", "body", "price"),
    [
        ("avatar", avatar(), 5),
        ("sticker", sticker(), 3),
        ("cover", cover(), 8),
        ("scene", scene(), 5),
        ("stickers/bulk", {"characterId": "lia", "character": LIA}, 20),
        ("stickers/bulk", {"characterId": "lia", "character": LIA, "emotions": EIGHT[:7]}, 21),
    ],
    ids=["avatar", "sticker", "cover", "scene", "set", "seven"],
)
def test_a_request_holds_its_price(path: str, body: dict[str, Any], price: float, ann: httpx2.Client):
    order(ann, path, body)
    assert purse(ann) == (100 - price, price)


def test_a_cancel_gives_back_what_was_held(ann: httpx2.Client):
    jobs = order(ann, "stickers/bulk", {"characterId": "lia", "character": LIA})["jobIds"]
    for job_id in jobs[:3]:
        assert ann.post(f"/api/v1/jobs/{job_id}/cancel").is_success
    assert purse(ann) == (87.5, 12.5)


def test_prices_are_settings(make_server: Callable[..., Server]):
    prices = {"avatar": {"base": 1}, "stickerSet": {"base": 1}}
    server = idle(make_server, credits={"enabled": True, "prices": prices}, **GUARDED)
    with account(server, "ann") as ann:
        grant(server, "ann", 100)
        order(ann, "avatar", avatar())
        order(ann, "stickers/bulk", {"characterId": "lia", "character": LIA})
        assert purse(ann) == (91, 9)


def test_a_success_is_paid_and_a_failure_is_not(make_server: Callable[..., Server]):
    fault = {"fault": "blank", "prompt": "blue eyes"}
    server = make_server(
        credits={"enabled": True}, **GUARDED | {"simulator": {"step_ms": 0, "faults": [fault]}}
    )
    with account(server, "ann") as ann:
        grant(server, "ann", 100)
        assert ended(ann, order(ann, "avatar", avatar())["jobId"])["state"] == "completed"
        assert purse(ann) == (95, 0)
        lost = avatar(character={"physical": "olhos azuis"})
        assert ended(ann, order(ann, "avatar", lost)["jobId"])["state"] == "failed"
        assert purse(ann) == (95, 0)
