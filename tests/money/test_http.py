"""Credits as clients see them: estimates, refusals, statements, grants and transfers."""

import csv
import io
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from imagemill.accounts.store import Owner, StoredKey
from imagemill.domain.access import Role, draw
from imagemill.domain.clock import now_us
from tests.conftest import SD1, Server, image_job

ADMIN_KEY = "an-administrator-s-key-of-32-or-more-characters"


@pytest.fixture
def paid(make_server: Callable[..., Server]) -> Server:
    """A server where jobs cost something; ann is an account with a service key."""
    server = make_server(
        credits={"enabled": True, "prices": {"textToImage": {"base": 1.5, "minimum": 0.001}}},
        auth={"admin_key": ADMIN_KEY, "remember_s": 0},
    )
    server.client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    return server


def account(server: Server, name: str, *, is_service: bool = False) -> httpx2.Client:
    """A new account's client."""
    accounts = server.app.stores.accounts
    accounts.ensure_owner(Owner(name, Role.USER, now_us()))
    key = draw()
    accounts.add_key(StoredKey(key.id, name, "a test's", key.digest, Role.USER.scopes, is_service, now_us()))
    return httpx2.Client(
        base_url=server.url, headers={"Authorization": f"Bearer {key.text}"}, timeout=100, verify=False
    )


def post(client: httpx2.Client, path: str, key: str, **body: Any) -> httpx2.Response:
    return client.post(f"/api/v1/credits/{path}", json=body, headers={"Idempotency-Key": key})


def native_job() -> dict[str, Any]:
    sizes = {"width": 64, "height": 64, "steps": 2}
    return {"recipe": "textToImage", "input": {"model": SD1, "prompt": "a boat", **sizes}}


def test_what_nobody_can_pay_is_refused_with_what_is_missing(paid: Server):
    with account(paid, "ann") as ann:
        for answer in (
            ann.post("/api/v1/jobs", json=native_job()),
            ann.post("/v1/consumer/jobs", json=image_job()),
        ):
            body = answer.json()
            assert answer.status_code == 402
            assert body["type"] == "urn:imagemill:problem:credits_insufficient"
            assert (body["needed"], body["available"]) == (1.5, 0.0)
        assert ann.get("/api/v1/jobs").json()["items"] == []


def test_a_job_is_estimated_held_for_and_paid(paid: Server):
    with account(paid, "ann") as ann:
        assert post(paid.client, "grants", "g1", owner="ann", amount=4).status_code == 201
        estimate = ann.post("/api/v1/jobs?whatif=true", json=native_job()).json()
        assert estimate == {
            "cost": 1.5,
            "jobs": [{"recipe": "textToImage", "cost": 1.5}],
            "charged": True,
            "available": 4.0,
            "affordable": True,
        }
        assert ann.get("/api/v1/jobs").json()["items"] == []
        done = ann.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job())
        assert done.json()["jobs"][0]["cost"] == 1.5
        balance = ann.get("/api/v1/credits").json()
        assert (balance["available"], balance["held"]) == (2.5, 0.0)
        entries = ann.get("/api/v1/credits/statement", params={"limit": 2}).json()
        assert [entry["kind"] for entry in entries["items"]] == ["settle", "hold"]
        rest = ann.get("/api/v1/credits/statement", params={"cursor": entries["next"]}).json()
        assert [(entry["kind"], entry["actor"]) for entry in rest["items"]] == [("grant", "local")]


def test_a_job_submitted_again_is_paid_again(paid: Server):
    with account(paid, "ann") as ann:
        post(paid.client, "grants", "g1", owner="ann", amount=2)
        done = ann.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job()).json()
        again = ann.post(f"/api/v1/jobs/{done['jobs'][0]['jobId']}/replay")
        assert again.status_code == 402


def test_a_replay_whose_answer_was_lost_is_paid_once(paid: Server):
    with account(paid, "ann") as ann:
        post(paid.client, "grants", "g1", owner="ann", amount=10)
        done = ann.post("/v1/consumer/jobs", params={"wait": "true"}, json=image_job()).json()
        path = f"/api/v1/jobs/{done['jobs'][0]['jobId']}/replay"
        first, again = (ann.post(path, headers={"Idempotency-Key": "r1"}) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json()["id"] == first.json()["id"]
        assert len(ann.get("/api/v1/jobs").json()["items"]) == 2
        assert ann.post(path, headers={"Idempotency-Key": "r2"}).status_code == 201
        assert ann.post(path, headers={"Idempotency-Key": "k" * 201}).status_code == 400


@pytest.mark.parametrize("path", ["grants", "accounts"])
def test_an_end_user_has_an_account_before_the_first_request(paid: Server, path: str):
    with account(paid, "ann", is_service=True) as ann:
        if path == "grants":
            assert post(paid.client, "grants", "g1", owner="ann:new", amount=4).status_code == 201
            assert ann.get("/api/v1/credits", headers={"X-Imagemill-User": "new"}).json()["available"] == 4.0
        else:
            answer = paid.client.put(
                "/api/v1/credits/accounts/ann:new", json={"exempt": True}, headers={"Idempotency-Key": "e1"}
            )
            assert answer.status_code == 200
            assert ann.get("/api/v1/credits", headers={"X-Imagemill-User": "new"}).json()["exempt"] is True
    assert post(paid.client, "grants", "g2", owner="nobody:new", amount=4).status_code == 404


def test_an_account_funds_its_end_users_and_nobody_else(paid: Server):
    with account(paid, "ann", is_service=True) as ann, account(paid, "bob") as bob:
        post(paid.client, "grants", "g1", owner="ann", amount=5)
        moved = post(ann, "transfers", "t1", **{"from": "ann", "to": "ann:zoe", "amount": 2})
        assert [(each["owner"], each["available"]) for each in moved.json()["entries"]] == [
            ("ann", -2.0),
            ("ann:zoe", 2.0),
        ]
        zoe = {"X-Imagemill-User": "zoe"}
        assert ann.get("/api/v1/credits", headers=zoe).json()["available"] == 2.0
        assert ann.get("/api/v1/credits", params={"owner": "ann:zoe"}).json()["available"] == 2.0
        taken = {"from": "ann", "to": "ann:zoe", "amount": 1}
        answer = ann.post("/api/v1/credits/transfers", json=taken, headers={**zoe, "Idempotency-Key": "t2"})
        assert answer.status_code == 403
        assert post(ann, "transfers", "t3", **{"from": "bob", "to": "ann", "amount": 1}).status_code == 403
        assert post(bob, "grants", "g2", owner="bob", amount=1).status_code == 403
        assert bob.get("/api/v1/credits", params={"owner": "ann"}).status_code == 404
        assert bob.get("/api/v1/credits/statement", params={"owner": "ann"}).status_code == 404


def test_an_exempt_owner_pays_nothing(paid: Server):
    with account(paid, "ann") as ann:
        answer = paid.client.put(
            "/api/v1/credits/accounts/ann", json={"exempt": True}, headers={"Idempotency-Key": "e"}
        )
        assert answer.status_code == 200
        assert ann.post("/api/v1/jobs", json=native_job()).status_code == 201
        assert ann.get("/api/v1/credits").json()["exempt"] is True


def test_a_statement_as_csv_holds_no_formula(paid: Server):
    with account(paid, "ann") as ann:
        post(paid.client, "grants", "g1", owner="ann", amount=3, note='=HYPERLINK("http://evil")')
        post(paid.client, "grants", "g2", owner="ann", amount=-1, note="  @sum")
        answer = ann.get("/api/v1/credits/statement", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [(row["available"], row["note"]) for row in rows] == [
            ("-1", "'  @sum"),
            ("3", '\'=HYPERLINK("http://evil")'),
        ]


def test_a_key_is_needed_and_works_once(paid: Server):
    with account(paid, "ann"):
        body = {"owner": "ann", "amount": 1}
        assert paid.client.post("/api/v1/credits/grants", json=body).status_code == 400
        for _ in range(2):
            assert post(paid.client, "grants", "g", **body).status_code == 201
        assert post(paid.client, "grants", "g", owner="ann", amount=2).status_code == 409
        assert post(paid.client, "grants", "h", owner="ann", amount=0.0001).status_code == 400
        assert post(paid.client, "grants", "i", owner="nobody", amount=1).status_code == 404
        found = paid.client.get("/api/v1/credits", params={"owner": "ann"}).json()
        assert found["available"] == 1.0


def test_prices_are_told(paid: Server):
    query = {"recipe": "textToImage", "width": 768, "height": 512, "quantity": 3}
    prices = paid.client.get("/api/v1/prices", params=query).json()
    assert prices["recipes"]["textToImage"]["base"] == 1.5
    assert prices["estimate"] == 4.5
    document = paid.client.get("/openapi.json").json()
    told = document["paths"]["/api/v1/jobs"]["post"]["x-price"]
    assert told["recipes"]["comfy"]["base"] == 4.0


def test_without_credits_jobs_are_free_and_cost_what_they_did(server: Server):
    prices = server.client.get(
        "/api/v1/prices", params={"recipe": "textToImage", "width": 768, "height": 512}
    ).json()
    assert (prices["charged"], prices["estimate"]) == (False, 0.96)
    assert server.client.post("/api/v1/jobs?whatif=true", json=native_job()).json() == {
        "cost": 0.001,
        "jobs": [{"recipe": "textToImage", "cost": 0.001}],
        "charged": False,
    }
