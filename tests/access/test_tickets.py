"""Tickets: how a browser opens a WebSocket once there are keys."""

import json
from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from imagemill.accounts.tickets import SocketTickets
from imagemill.bootstrap.stores import Stores
from imagemill.domain.access import Scope
from imagemill.domain.errors import Unauthenticated
from tests.access.support import ask, caller, guarded, key
from tests.conftest import Server, image_job
from tests.http.support import problem


def submitted(server: Server, token: str, **headers: str) -> str:
    answer = ask(
        server, token, "POST", "/v1/consumer/jobs", json=image_job(), params={"wait": "true"}, headers=headers
    )
    return answer.json()["jobs"][0]["jobId"]


def ticket(server: Server, token: str | None, **headers: str) -> str:
    answer = ask(server, token, "POST", "/api/v1/auth/tickets", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["ticket"]


def opened(server: Server, job_id: str, given: str) -> ClientConnection:
    """As a browser opens it: without a header of ours, with the page's origin."""
    url = f"{server.url.replace('http', 'ws', 1)}/api/v1/jobs/{job_id}/ws?after=0&ticket={given}"
    return connect(url, origin="https://app.example", proxy=None)


def close_code(socket: ClientConnection) -> int:
    with socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def test_a_page_opens_a_socket_with_a_ticket_once(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")
    job_id, given = submitted(server, ann), ticket(server, ann)

    with opened(server, job_id, given) as socket:
        assert json.loads(socket.recv(10))["seq"] == 1
    assert close_code(opened(server, job_id, given)) == 4401
    assert close_code(opened(server, job_id, "")) == 4401
    assert close_code(opened(server, job_id, "nonsense")) == 4401


def test_a_ticket_is_its_owners(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann, bob = key(server, "ann"), key(server, "bob")

    assert close_code(opened(server, submitted(server, ann), ticket(server, bob))) == 4404


def test_an_application_gets_a_ticket_for_its_user(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    app = key(server, "app", is_service=True)
    user = {"X-Imagemill-User": "carol"}
    job_id = submitted(server, app, **user)

    with opened(server, job_id, ticket(server, app, **user)) as socket:
        assert json.loads(socket.recv(10))["seq"] == 1
    assert close_code(opened(server, job_id, ticket(server, app))) == 4404


def test_a_ticket_opens_nothing_but_sockets(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann = key(server, "ann")
    given = ticket(server, ann)

    for token in (None, given):
        problem(ask(server, token, "GET", f"/api/v1/jobs?ticket={given}"), 401)
    problem(ask(server, None, "POST", "/api/v1/auth/tickets"), 401)


def test_a_key_that_may_not_read_gets_none(make_server: Callable[..., Server]) -> None:
    server = guarded(make_server)
    ann = key(server, "ann", scopes=frozenset({Scope.ACCOUNT_READ}))

    problem(ask(server, ann, "POST", "/api/v1/auth/tickets"), 403)


def test_a_ticket_expires_and_is_deleted(store: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store.jobs.ensure_owner("ann", 1)
    tickets = SocketTickets(store.database)
    monkeypatch.setattr("imagemill.accounts.tickets.LIFE_S", -1.0)
    late = tickets.issue(caller("ann", Scope.JOBS_READ))
    monkeypatch.undo()

    with pytest.raises(Unauthenticated, match="older than 30 s"):
        tickets.redeem(late.text)

    fresh = tickets.issue(caller("ann", Scope.JOBS_READ, Scope.JOBS_WRITE))
    found = tickets.redeem(fresh.text)
    assert (found.owner, found.scopes) == ("ann", {Scope.JOBS_READ})
    with pytest.raises(Unauthenticated):
        tickets.redeem(fresh.text)
