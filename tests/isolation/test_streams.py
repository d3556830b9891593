"""Streams, pictures and what is told by the way: nobody gets another's."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.routing import APIWebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from imagemill.api.base import ApiModule
from imagemill.bootstrap.application import Application
from imagemill.bootstrap.build import signing_key
from imagemill.domain.signing import UrlSigner
from imagemill.web.auth import FORBIDDEN, UNAUTHENTICATED
from tests.conftest import LORA, image_job
from tests.isolation.conftest import Stage
from tests.isolation.operations import Operation
from tests.isolation.owners import Belongings, Party, bearer, make_key
from tests.isolation.test_matrix import STRANGERS, VOID

NOT_THERE = 4404


@pytest.fixture(params=["alice", "ann"])
def things(request: pytest.FixtureRequest, stage: Stage) -> Belongings:
    return getattr(stage, request.param)


def sockets(stage: Stage) -> list[Operation]:
    """Every route for WebSockets that the running server has."""
    app = stage.server.app
    found = [path for dialect in app.dialects for path in _sockets(_router(app, dialect).routes)]
    return [Operation("GET", path, ()) for path in found]


def _router(app: Application, module: ApiModule) -> APIRouter:
    settings = app.settings_group(module.settings) if module.settings is not None else None
    router = module.router
    return router if isinstance(router, APIRouter) else router(app.services, settings)


def _sockets(routes: Any) -> Iterator[str]:
    for route in routes:
        if isinstance(route, APIWebSocketRoute):
            yield route.path
        yield from _sockets(getattr(route, "routes", ()))


def closing(stage: Stage, path: str, headers: dict[str, str]) -> tuple[list[Any], int]:
    """What a socket told, and the code it was closed with."""
    url = stage.server.url.replace("http", "ws", 1) + path
    told: list[Any] = []
    with connect(url, additional_headers=headers, proxy=None) as connection:
        try:
            while True:
                told.append(connection.recv(10))
        except ConnectionClosed as closed:
            return told, closed.rcvd.code if closed.rcvd else 1006


def test_there_are_sockets_to_be_tried(stage: Stage):
    assert "/api/v1/jobs/{job_id}/ws" in {each.path for each in sockets(stage)}
    assert all(stage.permits.declares(each.path) for each in sockets(stage))


@pytest.mark.parametrize("who", STRANGERS)
def test_no_socket_tells_of_what_is_somebodys_to(who: str, stage: Stage, things: Belongings):
    for each in sockets(stage):
        path = each.filled(things.paths)
        assert closing(stage, path, dict(stage.unknown_keys[who].headers)) == ([], NOT_THERE)
        told, code = closing(stage, path, dict(things.owner.headers))
        assert told
        assert code == 1000


@pytest.mark.parametrize("what", VOID)
def test_no_socket_is_opened_with(what: str, stage: Stage):
    for each in sockets(stage):
        path = each.filled(stage.alice.paths)
        assert closing(stage, path, dict(VOID[what](stage))) == ([], UNAUTHENTICATED)


def test_a_socket_needs_the_scope_of_its_route(stage: Stage):
    for each in sockets(stage):
        scope = stage.scope(each)
        assert scope is not None
        headers = dict(stage.without(scope).headers)
        assert closing(stage, each.filled(stage.alice.paths), headers) == ([], FORBIDDEN)


def test_a_picture_is_had_by_its_signed_address_alone(stage: Stage, things: Belongings):
    address = urlsplit(things.blob_url)
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    whole = stage.http.get(f"{address.path}?{address.query}")
    assert whole.status_code == 200
    assert whole.headers["cache-control"].startswith("private")
    others = parse_qs(urlsplit((stage.ann if things is stage.alice else stage.alice).blob_url).query)
    wrong = [
        {},
        {"exp": query["exp"]},
        {"exp": query["exp"], "sig": ""},
        {"exp": query["exp"], "sig": query["sig"][::-1]},
        {"exp": query["exp"], "sig": query["sig"][:-1]},
        {"exp": str(int(query["exp"]) + 1), "sig": query["sig"]},
        {"exp": others["exp"][0], "sig": others["sig"][0]},
    ]
    for method in ("GET", "HEAD"):
        for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}, dict(things.owner.headers)):
            for params in wrong:
                answer = stage.http.request(method, address.path, params=params, headers=headers)
                assert answer.status_code == 403, (method, headers, params)
                assert "etag" not in answer.headers
                assert whole.content[:8] not in answer.content


def test_a_signed_address_ends(stage: Stage):
    secret = signing_key(stage.server.app.settings)
    for life_s, status in ((60, 200), (-120, 403)):
        signed = UrlSigner(secret, life_s=life_s).sign(stage.alice.blob_key)
        place = f"/blobs/{stage.alice.paths['blobs/{name}']}?{signed.query}"
        assert stage.http.get(place).status_code == status


def _with_picture(source: str) -> dict[str, Any]:
    control = {"preprocessor": "canny", "weight": 1, "startStep": 0, "endStep": 1, "blobKey": source}
    return image_job(controlNets=[control])


@pytest.mark.parametrize("who", STRANGERS)
def test_no_job_takes_the_picture_of_somebody_else_for(who: str, stage: Stage, things: Belongings):
    stranger = stage.unknown_keys[who]
    job_request = _with_picture(things.blob_key)
    allowed = things.owner.ask("POST", "/v1/consumer/jobs", json=job_request)
    assert allowed.status_code == 200, allowed.text
    answer = stranger.ask("POST", "/v1/consumer/jobs", json=job_request)
    assert answer.status_code == 400
    # As of one that never was: nobody learns by asking what there is.
    never = stranger.ask("POST", "/v1/consumer/jobs", json=_with_picture("0" * 64))
    assert never.json()["detail"] == answer.json()["detail"]


@pytest.mark.parametrize("who", STRANGERS)
def test_an_idempotency_key_is_its_owners_with(who: str, stage: Stage, things: Belongings):
    token = things.owner.post("/v1/consumer/jobs", **_idempotent(things))["token"]
    assert token == things.queries["token"]
    assert stage.unknown_keys[who].post("/v1/consumer/jobs", **_idempotent(things))["token"] != token


def _idempotent(things: Belongings) -> dict[str, Any]:
    return {"body": things.idempotent["json"], "headers": things.idempotent["headers"]}


@pytest.mark.parametrize("who", STRANGERS)
def test_properties_find_ones_own_jobs_only_for(who: str, stage: Stage, things: Belongings):
    query = {"properties": {"album": things.mark}}
    mine = things.owner.post("/v1/consumer/jobs/query", query)["jobs"]
    assert [job["jobId"] for job in mine] == [things.paths["jobs/{job_id}"]]
    stranger = stage.unknown_keys[who]
    found = stranger.post("/v1/consumer/jobs/query", query)["jobs"]
    mine_too = {job["id"] for job in stranger.get("/api/v1/jobs", limit="500")["items"]}
    assert {job["jobId"] for job in found} <= mine_too  # those of the idempotency keys above


@pytest.mark.parametrize("who", STRANGERS)
def test_workflows_are_described_to_those_who_have_them_not_to(who: str, stage: Stage, things: Belongings):
    def described(headers: dict[str, str]) -> str:
        return stage.http.get("/openapi.json", headers=headers).text

    assert things.mark in described(dict(things.owner.headers))
    assert things.mark not in described(dict(stage.unknown_keys[who].headers))
    assert things.mark not in described({})
    assert things.mark not in described(bearer("im_abcdefghijkl_" + "A" * 43))


def test_a_stranger_may_have_a_workflow_of_the_same_name(stage: Stage, things: Belongings):
    name = things.paths["workflows/{name}"]
    bob = stage.party(make_key(stage.server, "bob"))
    node = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    mine = bob.post("/api/v1/workflows", {"name": name, "graph": {"1": node, "2": save}})
    theirs = things.owner.get(f"/api/v1/workflows/{name}")
    assert (mine["version"], theirs["version"]) == (1, 1)
    assert mine["manifest"] != theirs["manifest"]
    assert bob.ask("DELETE", f"/api/v1/workflows/{name}").status_code == 204
    assert things.owner.get(f"/api/v1/workflows/{name}") == theirs


def test_only_operators_change_what_everybody_has(stage: Stage):
    body = {"name": "everybodys", "graph": {"1": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}}
    bob = stage.party(make_key(stage.server, "bob"))
    refused = bob.ask("POST", "/api/v1/workflows?shared=true", json=body)
    assert refused.status_code == 403, refused.text
    assert "everybodys" not in stage.http.get("/openapi.json").text


def test_the_figures_of_all_are_for_operators(stage: Stage, things: Belongings):
    health = stage.http.get("/health", headers=dict(things.owner.headers)).json()
    assert set(health) == {"ok", "status", "problems", "simulated", "database", "blobs"}
    assert stage.http.get("/metrics", headers=dict(things.owner.headers)).status_code == 403
    assert stage.http.get("/metrics").status_code == 401


def test_a_model_is_everybodys(stage: Stage):
    for party in (stage.alice.owner, stage.unknown_keys["another account"]):
        answer = party.ask("GET", f"/v2/resources/{LORA}")
        assert isinstance(answer, httpx2.Response)
        assert answer.status_code == 200


def test_an_end_user_runs_what_the_account_added_and_cannot_change_it(stage: Stage):
    shop: Party = stage.unknown_keys["the account itself"]
    node = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}
    save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    shop.post("/api/v1/workflows", {"name": "shops", "graph": {"1": node, "2": save}})
    assert stage.ann.owner.get("/api/v1/workflows/shops")["shared"] is False
    assert stage.ann.owner.ask("DELETE", "/api/v1/workflows/shops").status_code == 404
    assert stage.unknown_keys["another account"].ask("GET", "/api/v1/workflows/shops").status_code == 404
    assert shop.ask("DELETE", "/api/v1/workflows/shops").status_code == 204
