"""Sessions of the web application: a cookie, and a token against requests that other pages forge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from imagemill.accounts.browser_sessions import IDLE_S, LINK_S, LONGEST_S, MOST, BrowserSessions, SignIn
from imagemill.config import Settings
from imagemill.domain.access import Role
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.errors import Unauthenticated
from imagemill.settings import AuthSettings
from tests.access.support import ADMIN_KEY, PASSWORD, QUICK, ask, caller, key, sign_up, visible
from tests.conftest import Server, running_server
from tests.tuning import tuned

SESSION = "/api/v1/session"
DAY = 86_400 * SECOND


@contextmanager
def browser(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=100, trust_env=False) as client:
        yield client


def sign_in(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    """Sign in and carry the token from then on."""
    answer = client.post(SESSION, json=body)
    assert answer.status_code == 201, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer.json()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path_factory.mktemp("sessions"),
        auth={"admin_key": ADMIN_KEY, "sign_up": True, **QUICK},
        cors={"origins": ["http://localhost:3000"]},
        trusted_proxies=["127.0.0.1"],
    )
    with running_server(settings) as started:
        yield started


def test_a_fresh_server_on_this_machine_needs_no_sign_in(make_server: Callable[..., Server]):
    server = make_server()
    with browser(server) as client:
        state = client.get(SESSION).json()
        refused = client.post(SESSION, json={"key": "any"})
        unused = client.post("/api/v1/uploads/none")
    assert (state["needsSignIn"], state["signedIn"], state["session"]) == (False, False, None)
    assert state["me"]["role"] == "admin"
    assert refused.status_code == 409
    assert unused.status_code == 404


def test_the_cookie_of_a_password_reads_and_its_token_changes(server: Server):
    sign_up(server)
    with browser(server) as client:
        assert client.get(SESSION).json() == {
            "signedIn": False,
            "needsSignIn": True,
            "csrf": None,
            "me": None,
            "session": None,
        }
        answer = client.post(SESSION, json={"email": "ann@example.org", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert client.get("/api/v1/auth/me").json()["role"] == "user"
        forged = client.post("/api/v1/keys", json={})
        wrong = client.post("/api/v1/keys", json={}, headers={"X-CSRF-Token": "f" * 64})
        right = client.post("/api/v1/keys", json={}, headers={"X-CSRF-Token": answer.json()["csrf"]})
        again = client.get(SESSION).json()
    assert [forged.status_code, wrong.status_code, right.status_code] == [403, 403, 201]
    assert "X-CSRF-Token" in forged.json()["detail"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert again["csrf"] == answer.json()["csrf"]
    assert again["session"]["current"]


def test_over_https_the_cookie_is_for_https_only(server: Server):
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    with browser(server) as client:
        answer = client.post(SESSION, json={"key": ADMIN_KEY}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.json()["session"]["address"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "email"),
        ({"email": "ann@example.org"}, 400, "password"),
        ({"email": "ann@example.org", "password": "wrong password"}, 401, None),
        ({"key": "im_abcdefghijkl_" + "A" * 43}, 401, None),
        ({"code": "no such code"}, 401, None),
    ],
)
def test_what_signs_nobody_in(server: Server, body: dict[str, Any], status: int, field: str | None):
    with browser(server) as client:
        answer = client.post(SESSION, json=body)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers
    assert field is None or field in answer.json()["errors"]


def test_wrong_passwords_are_throttled_as_logins_are(make_server: Callable[..., Server]):
    server = make_server(auth=tuned(AuthSettings, sign_up=True, login_tries=3, **QUICK))
    sign_up(server)
    with browser(server) as client:
        body = {"email": "ann@example.org", "password": "wrong password"}
        statuses = [client.post(SESSION, json=body).status_code for _ in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_a_key_signs_in_with_its_scopes_and_its_revocation_signs_out(server: Server):
    text = key(server, "anna", scopes=Role.USER.scopes)
    with browser(server) as client:
        state = sign_in(client, key=text)
        assert state["session"]["credential"] == visible(text)
        assert client.post("/api/v1/keys", json={}).status_code == 201
        assert client.get("/api/v1/audit").status_code == 403
        assert client.delete(f"/api/v1/keys/{visible(text)}").status_code == 204
        assert client.get("/api/v1/jobs").status_code == 401
        assert client.get(SESSION).json()["signedIn"] is False


def test_a_disabled_account_is_signed_out_for_good(server: Server):
    text = key(server, "carla")
    with browser(server) as client:
        sign_in(client, key=text)
        for is_disabled in (True, False):
            change = {"disabled": is_disabled}
            assert ask(server, ADMIN_KEY, "PATCH", "/api/v1/owners/carla", json=change).status_code == 200
            assert client.get("/api/v1/jobs").status_code == 401


def test_a_changed_password_ends_all_sessions_but_that_one(server: Server):
    sign_up(server, "bea@example.org")
    entry = {"email": "bea@example.org", "password": PASSWORD}
    with browser(server) as phone, browser(server) as desk:
        sign_in(phone, **entry)
        sign_in(desk, **entry)
        change = {"currentPassword": PASSWORD, "newPassword": "four other unrelated words"}
        assert desk.post("/api/v1/auth/change-password", json=change).status_code == 204
        assert phone.get("/api/v1/jobs").status_code == 401
        assert desk.get("/api/v1/jobs").status_code == 200


def test_signing_out_ends_the_session_of_a_copied_cookie_too(server: Server):
    with browser(server) as client, browser(server) as thief:
        sign_in(client, key=ADMIN_KEY)
        thief.cookies.update(client.cookies)
        assert thief.get("/api/v1/jobs").status_code == 200
        assert thief.delete(SESSION).status_code == 403
        assert client.delete(SESSION).status_code == 204
        assert not client.cookies
        assert thief.get("/api/v1/jobs").status_code == 401
        assert client.delete(SESSION).status_code == 204


def test_a_read_only_session_changes_nothing(server: Server):
    with browser(server) as client:
        state = sign_in(client, key=ADMIN_KEY, readOnly=True)
        assert state["session"]["readOnly"]
        assert client.get("/api/v1/jobs?owner=*").status_code == 200
        assert client.get("/api/v1/nodes").status_code == 200
        body = {"recipe": "textToImage", "input": {"prompt": "a fox"}}
        assert client.post("/api/v1/jobs", json=body).status_code == 403
        assert client.post("/api/v1/keys", json={}).status_code == 403
        assert client.get("/api/v1/audit").status_code == 403


def test_sessions_are_listed_and_ended_by_their_account_only(server: Server):
    anna, ben = key(server, "emma"), key(server, "ben")
    with browser(server) as phone, browser(server) as desk, browser(server) as other:
        sign_in(phone, key=anna)
        mine = sign_in(desk, key=anna)["session"]
        theirs = sign_in(other, key=ben)["session"]
        listed = desk.get("/api/v1/sessions").json()["items"]
        assert {each["owner"] for each in listed} == {"emma"}
        assert [each["id"] for each in listed if each["current"]] == [mine["id"]]
        assert desk.delete(f"/api/v1/sessions/{theirs['id']}").status_code == 404
        assert desk.get("/api/v1/sessions?owner=ben").status_code == 403
        (far,) = (each["id"] for each in listed if not each["current"])
        assert desk.delete(f"/api/v1/sessions/{far}").status_code == 204
        assert phone.get("/api/v1/jobs").status_code == 401
        assert other.get("/api/v1/jobs").status_code == 200
        of_ben = ask(server, ADMIN_KEY, "DELETE", f"/api/v1/sessions/{theirs['id']}?owner=ben")
        assert of_ben.status_code == 204
        assert other.get("/api/v1/jobs").status_code == 401


def test_a_header_counts_and_the_cookie_beside_it_does_not(server: Server):
    ben = key(server, "ben")
    with browser(server) as client:
        sign_in(client, key=ADMIN_KEY)
        client.headers.pop("X-CSRF-Token")
        by_key = client.post("/api/v1/keys", json={}, headers={"Authorization": f"Bearer {ben}"})
        wrong = client.get("/api/v1/jobs", headers={"Authorization": "Bearer no-such-key-at-all"})
        acting = client.get("/api/v1/jobs", headers={"X-Imagemill-User": "ann"})
    assert by_key.json()["owner"] == "ben"
    assert wrong.status_code == 401
    assert acting.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_has_no_use_of_the_cookie(server: Server, headers: dict[str, str]):
    with browser(server) as client:
        sign_in(client, key=ADMIN_KEY)
        answers = [client.get("/api/v1/jobs", headers=headers), client.delete(SESSION, headers=headers)]
        still = client.get("/api/v1/jobs", headers={"Sec-Fetch-Site": "same-origin"})
    assert [answer.status_code for answer in answers] == [403, 403]
    assert "access-control-allow-credentials" not in answers[0].headers
    assert still.status_code == 200


def test_a_socket_opens_by_the_cookie_from_a_page_of_the_server_only(server: Server):
    with browser(server) as client:
        sign_in(client, key=ADMIN_KEY)
        job = client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": {"prompt": "a fox"}}).json()
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    url = f"{server.url.replace('http', 'ws')}/api/v1/jobs/{job['id']}/ws"
    with connect(url, additional_headers={"Cookie": cookie}, origin=server.url) as socket:  # type: ignore[arg-type]
        assert socket.recv(timeout=10)
    with connect(url, additional_headers={"Cookie": cookie}, origin="http://localhost:3000") as socket:  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
        assert socket.close_code == 4403


def test_a_session_slides_and_ends(server: Server):
    now = [now_us()]
    sessions = BrowserSessions(server.app.stores.database, clock=lambda: now[0])
    key(server, "dora")
    begun = now[0]
    made = sessions.begin(caller("dora"), SignIn())
    for day in range(6, 30, 6):
        now[0] = begun + day * DAY
        assert sessions.caller(made.text).owner == "dora"
    now[0] += IDLE_S * SECOND - 1
    assert now[0] > begun + LONGEST_S * SECOND
    with pytest.raises(Unauthenticated):
        sessions.caller(made.text)
    assert sessions.of("dora") == []
    unused = sessions.begin(caller("dora"), SignIn())
    now[0] += IDLE_S * SECOND
    with pytest.raises(Unauthenticated):
        sessions.caller(unused.text)


def test_an_account_has_a_limited_number_of_sessions(server: Server):
    sessions = server.app.services.browser_sessions
    key(server, "crowded")
    made = [sessions.begin(caller("crowded"), SignIn()) for _ in range(MOST + 2)]
    assert {each.id for each in sessions.of("crowded")} == {each.session.id for each in made[2:]}


def test_a_sign_in_link_works_once(server: Server):
    sessions = server.app.services.browser_sessions
    before = sessions.of("local")
    code = sessions.link("local")
    assert sessions.of("local") == before
    with browser(server) as client:
        cookie = {"Cookie": f"imagemill_session_{client.base_url.port}={code}"}
        assert client.get(SESSION, headers=cookie).json()["signedIn"] is False, "the code is no cookie"
        assert sign_in(client, code=code)["me"]["role"] == "admin"
        assert client.get("/api/v1/audit").status_code == 200
        assert client.post(SESSION, json={"code": code}).status_code == 401


def test_a_sign_in_link_works_for_minutes(server: Server):
    now = [now_us()]
    sessions = BrowserSessions(server.app.stores.database, clock=lambda: now[0])
    code = sessions.link("local")
    now[0] += LINK_S * SECOND
    with pytest.raises(Unauthenticated, match="too old"):
        sessions.redeem(code, SignIn())


def test_another_settings_key_ends_the_sessions_of_the_former(server: Server):
    database = server.app.stores.database
    by_settings = replace(caller("local"), credential="settings")
    made = BrowserSessions(database, "one digest").begin(by_settings, SignIn())
    assert BrowserSessions(database, "one digest").caller(made.text).role is Role.ADMIN
    for other in ("another digest", None):
        with pytest.raises(Unauthenticated):
            BrowserSessions(database, other).caller(made.text)
